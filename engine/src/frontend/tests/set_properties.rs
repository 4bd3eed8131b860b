//! Random meshes and random sets of changes, against rules that always hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use super::rollback::specs_at;
use super::{Api, gateway_route_spec, node_provider, route_spec, router_provider, router_spec};
use crate::model::{Definition, ResourceId};
use crate::store::Store;

/// A resource of a small world, and what it refers to.
#[derive(Clone, Debug)]
enum Asked {
    Put(Resource),
    Delete(Resource),
}

/// Names are from small sets, so that sets often touch the same resources.
#[derive(Clone, Debug)]
enum Resource {
    Mesh,
    Node(u8),
    Router(u8),
    Route(u8, u8, BTreeSet<u8>),
    Service(u8, Option<Result<u8, u8>>),
    Gateway(u8),
    GatewayRoute(u8, u8, u8),
}

fn resource() -> impl Strategy<Value = Resource> {
    let name = || 0..3_u8;
    let provider = prop::option::of(prop_oneof![name().prop_map(Ok), name().prop_map(Err)]);
    prop_oneof![
        4 => name().prop_map(Resource::Node),
        2 => name().prop_map(Resource::Router),
        4 => (name(), name(), prop::collection::btree_set(name(), 1..3)).prop_map(|(r, n, to)| Resource::Route(r, n, to)),
        3 => (name(), provider).prop_map(|(n, to)| Resource::Service(n, to)),
        1 => name().prop_map(Resource::Gateway),
        2 => (name(), name(), name()).prop_map(|(g, n, to)| Resource::GatewayRoute(g, n, to)),
    ]
}

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        12 => resource().prop_map(Asked::Put),
        4 => resource().prop_map(Asked::Delete),
        1 => Just(Asked::Put(Resource::Mesh)),
        1 => Just(Asked::Delete(Resource::Mesh)),
    ]
}

impl Resource {
    fn id(&self) -> ResourceId {
        let name = |name: &u8| name.to_string();
        match self {
            Self::Mesh => ResourceId::mesh("m"),
            Self::Node(n) => ResourceId::virtual_node("m", name(n)),
            Self::Router(n) => ResourceId::virtual_router("m", name(n)),
            Self::Route(router, n, _) => ResourceId::route("m", name(router), name(n)),
            Self::Service(n, _) => ResourceId::virtual_service("m", name(n)),
            Self::Gateway(n) => ResourceId::virtual_gateway("m", name(n)),
            Self::GatewayRoute(gateway, n, _) => ResourceId::gateway_route("m", name(gateway), name(n)),
        }
    }

    fn spec(&self) -> Value {
        match self {
            Self::Mesh | Self::Node(_) => json!({}),
            Self::Router(_) | Self::Gateway(_) => router_spec(),
            Self::Route(_, _, nodes) => {
                let nodes: Vec<String> = nodes.iter().map(u8::to_string).collect();
                route_spec(&nodes.iter().map(String::as_str).collect::<Vec<_>>())
            }
            Self::Service(_, None) => json!({}),
            Self::Service(_, Some(Ok(node))) => node_provider(&node.to_string()),
            Self::Service(_, Some(Err(router))) => router_provider(&router.to_string()),
            Self::GatewayRoute(_, _, service) => gateway_route_spec(&service.to_string()),
        }
    }

    fn document(&self) -> Value {
        let id = self.id();
        let mut document = json!({"meshName": id.mesh_name(), "spec": self.spec()});
        document[id.kind().name_key()] = json!(id.name());
        if let (Some(kind), Some(parent)) = (id.kind().parent(), id.parent_name()) {
            document[kind.name_key()] = json!(parent);
        }
        document
    }

    /// The path of the single operations, without the prefix.
    fn item(&self) -> String {
        crate::frontend::path::item(&self.id()).replace(crate::frontend::path::PREFIX, "")
    }
}

/// What there is before anything is asked.
fn world() -> Vec<Resource> {
    let mut world = vec![Resource::Mesh];
    world.extend((0..3).map(Resource::Node));
    world.extend((0..2).map(Resource::Router));
    world.extend((0..2).map(|name| Resource::Service(name, Some(Ok(name)))));
    world.push(Resource::Gateway(0));
    world
}

/// Each resource once: the last that was asked of it.
fn without_repeats(set: Vec<Asked>) -> Vec<Asked> {
    let by_id: BTreeMap<ResourceId, Asked> = set
        .into_iter()
        .map(|asked| match &asked {
            Asked::Put(resource) | Asked::Delete(resource) => (resource.id(), asked),
        })
        .collect();
    by_id.into_values().collect()
}

fn body(set: &[Asked]) -> Value {
    let (mut apply, mut delete) = (Vec::new(), Vec::new());
    for asked in set {
        match asked {
            Asked::Put(resource) => apply.push(resource.document()),
            Asked::Delete(resource) => delete.push(json!(resource.id().path())),
        }
    }
    json!({"apply": apply, "delete": delete})
}

/// Checks that everything lies and refers where something is, and that exactly the entries of referrers are there that
/// the definitions call for.
async fn check_references(api: &Api) {
    let mut definitions = BTreeMap::new();
    let mut entries = BTreeSet::new();
    for record in api.records().await {
        match ResourceId::from_key(&record.key) {
            Some(id) => {
                let definition = Definition::decode(&id, &record.value).unwrap();
                definitions.insert(id, definition);
            }
            None => drop(entries.insert((record.key.to_string(), record.value.to_vec()))),
        }
    }
    let mut expected = BTreeSet::new();
    for (id, definition) in &definitions {
        for container in crate::frontend::lookup::containers(id) {
            assert!(definitions.contains_key(&container), "{id} lies in {container}");
        }
        for target in crate::frontend::references::targets("m", &definition.spec) {
            assert!(definitions.contains_key(&target), "{id} refers to {target}");
            let key = crate::frontend::references::referrer_key(&target, &definition.metadata.uid);
            expected.insert((key, id.key().into_bytes()));
        }
    }
    assert_eq!(entries, expected);
}

/// The specifications alone.
async fn specs(api: &Api) -> Vec<(String, Value)> {
    specs_at(api, api.transaction().await).await
}

/// Makes a set by single operations, in whatever order they can be made in; whether all could be.
async fn make_one_by_one(api: &Api, set: &[Asked]) -> bool {
    let mut left: Vec<&Asked> = set.iter().collect();
    loop {
        let before = left.len();
        let mut still_left = Vec::new();
        for asked in left {
            let done = match asked {
                Asked::Delete(resource) => api.delete(&resource.item()).await.is_ok(),
                Asked::Put(resource) => {
                    let exists = api.get(&resource.item()).await.is_ok();
                    if exists {
                        api.put(&resource.item(), &json!({"spec": resource.spec()})).await.is_ok()
                    } else {
                        let collection = resource.item();
                        let (collection, _) = collection.rsplit_once('/').unwrap();
                        api.put(collection, &resource.document_for_create()).await.is_ok()
                    }
                }
            };
            if !done {
                still_left.push(asked);
            }
        }
        if still_left.is_empty() {
            return true;
        }
        if still_left.len() == before {
            return false;
        }
        left = still_left;
    }
}

impl Resource {
    fn document_for_create(&self) -> Value {
        let id = self.id();
        json!({id.kind().name_key(): id.name(), "spec": self.spec()})
    }
}

#[test]
fn a_set_leaves_nothing_dangling_and_equals_its_operations_one_by_one() {
    let runtime = Runtime::new().unwrap();
    let sets = prop::collection::vec(prop::collection::vec(asked(), 1..7), 1..8);
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let (made, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let checked = TestRunner::new(config).run(&sets, |sets| {
        runtime.block_on(async {
            let (api, singly) = (Api::new(), Api::new());
            for target in [&api, &singly] {
                for resource in world() {
                    let item = resource.item();
                    let (collection, _) = item.rsplit_once('/').unwrap();
                    target.put(collection, &resource.document_for_create()).await.ok();
                }
            }
            for set in sets {
                let set = without_repeats(set);
                let before = (api.transaction().await, api.records().await);
                let answer = api.post("transactions", &body(&set)).await;
                check_references(&api).await;
                if answer.is_ok() {
                    made.fetch_add(1, Ordering::Relaxed);
                    assert!(api.transaction().await <= before.0 + 1);
                } else {
                    refused.fetch_add(1, Ordering::Relaxed);
                    assert_eq!((api.transaction().await, api.records().await), before);
                }
                if answer.is_ok() {
                    assert!(make_one_by_one(&singly, &set).await, "{set:?}");
                    assert_eq!(specs(&api).await, specs(&singly).await);
                }
            }
        });
        Ok(())
    });
    checked.unwrap();
    let (made, refused) = (made.into_inner(), refused.into_inner());
    println!("{made} sets made, {refused} refused");
    assert!(made >= 20 && refused >= 5, "both happen: {made} made, {refused} refused");
}

#[test]
fn a_rollback_is_exactly_what_was() {
    let runtime = Runtime::new().unwrap();
    let steps =
        (prop::collection::vec(prop::collection::vec(asked(), 1..10), 1..12), any::<prop::sample::Index>());
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let checked = TestRunner::new(config).run(&steps, |(sets, to)| {
        runtime.block_on(async {
            let api = Api::new();
            let world: Vec<Asked> = world().into_iter().map(Asked::Put).collect();
            api.post("transactions", &body(&world)).await.ok();
            for set in sets {
                // singles as well as sets, some of which are refused
                api.post("transactions", &body(&without_repeats(set.clone()))).await;
                for asked in set {
                    api.post("transactions", &body(&[asked])).await;
                }
            }
            let newest = api.transaction().await;
            let to = u64::try_from(to.index(usize::try_from(newest).unwrap() + 1)).unwrap();
            let versions = versions(&api).await;
            api.post("rollback", &json!({"to": to})).await.ok();
            assert_eq!(specs(&api).await, specs_at(&api, to).await);
            check_references(&api).await;
            for (uid, (version, spec)) in self::versions(&api).await {
                if let Some((before, old)) = versions.get(&uid) {
                    assert!(version > *before || spec == *old, "a version stands for one content");
                }
            }
        });
        Ok(())
    });
    checked.unwrap();
}

/// Version and specification of every uid.
async fn versions(api: &Api) -> BTreeMap<String, (u64, Value)> {
    let mut versions = BTreeMap::new();
    for record in api.store.list("definitions/", crate::store::At::Newest).await.unwrap().records {
        if let Some(id) = ResourceId::from_key(&record.key) {
            let found = Definition::decode(&id, &record.value).unwrap();
            versions.insert(found.metadata.uid.clone(), (found.metadata.version, found.spec.to_json()));
        }
    }
    versions
}
