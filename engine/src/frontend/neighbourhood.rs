//! A resource and what it takes to know what is wrong around it: a few reads, however large the mesh is.

use std::collections::HashMap;
use std::sync::Arc;

use super::references::referrers_prefix;
use super::scope::{Scope, needs};
use crate::lint::{Code, Finding, lint};
use crate::model::{Definition, Kind, Metadata, Protocol, ResourceId, Spec};
use crate::store::{At, Store, StoreError};
use crate::transformer::definitions::MeshDefinitions;

/// How many definitions are looked at. Where there are more, nothing is found: what is wrong with part of them may be right
/// with all.
const DEFINITIONS_MAX: usize = 100;

/// Why a neighbourhood is not known.
#[derive(Debug, thiserror::Error)]
pub enum NotKnown {
    /// It is too large.
    #[error("there are more than {DEFINITIONS_MAX} definitions to look at")]
    TooLarge,
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The definitions around a resource.
struct Neighbourhood<'a> {
    store: &'a dyn Store,
    definitions: MeshDefinitions,
    /// What was looked for, and what it needs; nothing if it is not there.
    known: HashMap<ResourceId, Option<Known>>,
}

/// What is known of a definition.
#[derive(Clone)]
struct Known {
    needs: Vec<ResourceId>,
    listens: Listens,
}

/// Where something listens, as far as it matters to what is to be read further.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listens {
    /// Nowhere.
    Nowhere,
    /// For requests only.
    ForRequests,
    /// For connections, too.
    ForConnections,
}

/// What is found around `id` once it is `spec`, or is deleted; of that, what concerns it.
pub async fn findings(
    store: &dyn Store,
    id: &ResourceId,
    spec: Option<&Spec>,
) -> Result<Vec<Finding>, NotKnown> {
    let definitions = MeshDefinitions::new(id.mesh_name().into());
    let mut around = Neighbourhood { store, definitions, known: HashMap::new() };
    let mut scope = Scope::default();
    match spec {
        Some(spec) => {
            scope.add_written(id, spec);
            around.put(id, spec.clone());
            around.read_around(id).await?;
        }
        None => {
            scope.add_deleted(id);
            around.known.insert(id.clone(), None);
            let Some(parent) = id.container().filter(|_| id.parent_name().is_some()) else {
                return Ok(Vec::new());
            };
            around.read(&parent).await?;
            around.read_around(&parent).await?;
        }
    }
    let mut findings = lint(&around.definitions);
    // what was not looked for may be there: only what was read around is complete
    findings.retain(|finding| scope.concerns(finding) && finding.code != Code::ReferenceMissing);
    Ok(findings)
}

impl Neighbourhood<'_> {
    /// Reads what findings that concern `id` depend on.
    async fn read_around(&mut self, id: &ResourceId) -> Result<(), NotKnown> {
        match id.kind() {
            Kind::Mesh => {}
            Kind::VirtualNode => {
                let backends = self.needs(id);
                self.read_services(&backends).await?;
                for referrer in self.referrers(id).await? {
                    self.read(&referrer).await?;
                    if let Some(router) = referrer.container().filter(|_| referrer.kind() == Kind::Route) {
                        self.read_needs(&referrer).await?;
                        self.read(&router).await?;
                        // without listeners its ports are those of its routes, and of those for connections one counts
                        let listens = self.listens(&router);
                        if listens != Listens::ForRequests {
                            self.read_routes(&router, listens == Listens::Nowhere).await?;
                        }
                    }
                }
            }
            Kind::VirtualRouter => {
                self.read_routes(id, true).await?;
                for service in self.referrers(id).await? {
                    self.read(&service).await?;
                }
            }
            Kind::Route => {
                if let Some(router) = id.container() {
                    self.read(&router).await?;
                    let is_listening_nowhere = self.listens(&router) == Listens::Nowhere;
                    self.read_routes(&router, is_listening_nowhere).await?;
                }
                self.read_needs(id).await?;
            }
            Kind::VirtualService => {
                self.read_services(std::slice::from_ref(id)).await?;
                let referrers = self.referrers(id).await?;
                if !referrers.is_empty() {
                    self.read_targets_of(std::slice::from_ref(id)).await?;
                }
                for gateway_route in referrers {
                    self.read(&gateway_route).await?;
                    if let Some(gateway) = gateway_route.container() {
                        self.read(&gateway).await?;
                    }
                }
            }
            Kind::VirtualGateway => {
                let mut services = Vec::new();
                for route in self.children(id).await? {
                    services.extend(self.needs(&route));
                }
                self.read_services(&services).await?;
                self.read_targets_of(&services).await?;
            }
            Kind::GatewayRoute => {
                if let Some(gateway) = id.container() {
                    self.read(&gateway).await?;
                    self.children(&gateway).await?;
                }
                let services = self.needs(id);
                self.read_services(&services).await?;
                self.read_targets_of(&services).await?;
            }
        }
        Ok(())
    }

    /// Reads virtual services, their providers and the routes of these; and what their routes lead to if one of them is for
    /// connections, since these need ports of their own.
    async fn read_services(&mut self, services: &[ResourceId]) -> Result<(), NotKnown> {
        let mut has_connections = false;
        for service in services {
            self.read(service).await?;
            for provider in self.needs(service) {
                self.read(&provider).await?;
                let listens = self.listens(&provider);
                has_connections |= listens == Listens::ForConnections;
                if provider.kind() == Kind::VirtualRouter {
                    self.read_routes(&provider, listens == Listens::Nowhere).await?;
                    has_connections |= listens == Listens::Nowhere;
                }
            }
        }
        if has_connections {
            self.read_targets_of(services).await?;
        }
        Ok(())
    }

    /// Reads what the routes of the providers of virtual services lead to.
    async fn read_targets_of(&mut self, services: &[ResourceId]) -> Result<(), NotKnown> {
        for service in services {
            for provider in self.needs(service) {
                if provider.kind() == Kind::VirtualRouter {
                    self.read_routes(&provider, true).await?;
                }
            }
        }
        Ok(())
    }

    /// Reads the routes of a router, and perhaps what they lead to.
    async fn read_routes(&mut self, router: &ResourceId, with_targets: bool) -> Result<(), NotKnown> {
        for route in self.children(router).await? {
            if with_targets {
                self.read_needs(&route).await?;
            }
        }
        Ok(())
    }

    /// Reads what `id` needs.
    async fn read_needs(&mut self, id: &ResourceId) -> Result<(), NotKnown> {
        let unknown: Vec<ResourceId> =
            self.needs(id).into_iter().filter(|needed| !self.known.contains_key(needed)).collect();
        self.require_room(unknown.len())?;
        if unknown.is_empty() {
            return Ok(());
        }
        let keys: Vec<Arc<str>> = unknown.iter().map(|needed| needed.key().into()).collect();
        let records = self.store.get_all(&keys).await?;
        for (needed, key) in unknown.iter().zip(keys) {
            self.take_in(needed, records.get(&key).map(|record| record.value.as_ref()))?;
        }
        Ok(())
    }

    /// Reads what lies in `id`, and tells what that is.
    async fn children(&mut self, id: &ResourceId) -> Result<Vec<ResourceId>, NotKnown> {
        let Some(prefix) = id.children_prefix() else {
            return Ok(Vec::new());
        };
        let mut children = Vec::new();
        for record in self.store.list(&prefix, At::Newest).await?.records {
            let Some(child) = ResourceId::from_key(&record.key) else { continue };
            if !self.known.contains_key(&child) {
                self.take_in(&child, Some(&record.value))?;
            }
            children.push(child);
        }
        Ok(children)
    }

    /// Who refers to `id`.
    async fn referrers(&self, id: &ResourceId) -> Result<Vec<ResourceId>, NotKnown> {
        let listing = self.store.list(&referrers_prefix(id), At::Newest).await?;
        let referrer = |value: &[u8]| ResourceId::from_key(str::from_utf8(value).ok()?);
        Ok(listing.records.iter().filter_map(|record| referrer(&record.value)).collect())
    }

    /// Reads `id`, if it was not read before.
    async fn read(&mut self, id: &ResourceId) -> Result<(), NotKnown> {
        if self.known.contains_key(id) {
            return Ok(());
        }
        let record = self.store.get(&id.key()).await?;
        self.take_in(id, record.as_ref().map(|record| record.value.as_ref()))
    }

    /// Refuses to look at so many more, if they are too many.
    fn require_room(&self, more: usize) -> Result<(), NotKnown> {
        if self.known.len() + more > DEFINITIONS_MAX { Err(NotKnown::TooLarge) } else { Ok(()) }
    }

    /// Takes a record in. One that cannot be read is none; whoever needs it is told so elsewhere.
    fn take_in(&mut self, id: &ResourceId, record: Option<&[u8]>) -> Result<(), NotKnown> {
        self.require_room(1)?;
        match record.and_then(|record| Definition::decode(id, record).ok()) {
            Some(definition) => self.put(id, without_backends(definition.spec)),
            None => drop(self.known.insert(id.clone(), None)),
        }
        Ok(())
    }

    fn put(&mut self, id: &ResourceId, spec: Spec) {
        let needs = needs(id.mesh_name(), &spec).into_iter().collect();
        self.known.insert(id.clone(), Some(Known { needs, listens: listens(&spec) }));
        let metadata = Metadata::created(String::new(), "", 0);
        self.definitions.insert(0, Definition { id: id.clone(), spec, metadata });
    }

    fn needs(&self, id: &ResourceId) -> Vec<ResourceId> {
        let known = self.known.get(id).and_then(Option::as_ref);
        known.map(|known| known.needs.clone()).unwrap_or_default()
    }

    fn listens(&self, id: &ResourceId) -> Listens {
        let known = self.known.get(id).and_then(Option::as_ref);
        known.map_or(Listens::Nowhere, |known| known.listens)
    }
}

/// Only the backends of the resource itself matter, and those of its neighbours are many.
fn without_backends(mut spec: Spec) -> Spec {
    if let Spec::VirtualNode(node) = &mut spec {
        node.backends = None;
    }
    spec
}

fn listens(spec: &Spec) -> Listens {
    let protocols: Vec<Protocol> = match spec {
        Spec::VirtualNode(node) => node.listeners().iter().map(|own| own.port_mapping.protocol).collect(),
        Spec::VirtualRouter(router) => {
            router.listeners().iter().map(|own| own.port_mapping.protocol).collect()
        }
        _ => Vec::new(),
    };
    if protocols.is_empty() {
        Listens::Nowhere
    } else if protocols.contains(&Protocol::Tcp) {
        Listens::ForConnections
    } else {
        Listens::ForRequests
    }
}
