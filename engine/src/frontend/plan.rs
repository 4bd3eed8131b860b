//! What a set of changes would do, without doing it.
//!
//! The set is resolved as it is to be committed, and refused as it would be. What it would write is put into the definitions
//! of its meshes as they are; the rest is [`plan`](crate::plan), which runs where it holds up nobody.

mod shown;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use legation_proto::id::{FragmentKey, NodeId};
use legation_proto::version::Transaction;
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::shown::Shown;
use super::caller::Caller;
use super::change_set::{ChangeSet, Effect, Outcome, Resolved};
use super::command::Query;
use super::error::ApiError;
use super::transactions::{OPERATION, TransactionRequest};
use super::{Frontend, FrontendSettings, aside, quotas, response};
use crate::model::key::{is_beside, mesh_prefix};
use crate::model::{Definition, ResourceId};
use crate::plan::{MeshChange, plan};
use crate::store::{At, Precondition, Record};
use crate::transformer::definitions::MeshDefinitions;
use crate::transformer::keys::{self, DerivedKey};

/// How many plans are made at once, and meshes looked through for what black-holes traffic; others wait. Each takes a core for as
/// long as a pass over its meshes, and the room of these.
const AT_ONCE: usize = 2;

/// The turn of somebody to do so. It goes along to the thread that does it, and is over when that is done, whether or not anybody
/// still waits for the answer.
pub(super) type PlanningTurn = Option<OwnedSemaphorePermit>;

/// Knows how many Envoys are connected.
#[async_trait]
pub trait ConnectedEnvoys: Send + Sync {
    /// How many of each node, of those that any are of. Nothing if it cannot be told of all hosts.
    async fn by_node(&self) -> Option<HashMap<NodeId, usize>>;
}

/// What plans are made with beside the definitions.
pub struct Planner {
    /// The identifier in every response.
    control_plane: String,
    connected: Option<Arc<dyn ConnectedEnvoys>>,
    turns: Arc<Semaphore>,
}

impl Planner {
    /// Plans for a host of this identifier, and for the Envoys that `connected` counts.
    pub fn new(control_plane: String, connected: Arc<dyn ConnectedEnvoys>) -> Self {
        Self { control_plane, connected: Some(connected), ..Self::default() }
    }

    async fn connected(&self) -> Option<HashMap<NodeId, usize>> {
        self.connected.as_ref()?.by_node().await
    }
}

impl Default for Planner {
    /// Knows no Envoys, and takes the identifier of a host to be as long as they are.
    fn default() -> Self {
        let control_plane = format!("legation/{}", uuid::Uuid::nil());
        Self { control_plane, connected: None, turns: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

/// A plan that is asked for.
#[derive(Debug)]
pub(super) struct PlanRequest {
    transaction: TransactionRequest,
    show: Show,
}

/// What of the nodes is shown.
#[derive(Clone, Debug)]
pub(super) struct Show {
    /// Only this one.
    node: Option<NodeId>,
    /// How their configuration differs.
    configuration: bool,
}

impl PlanRequest {
    /// The changes that it is about.
    pub(super) fn set(&self) -> &ChangeSet {
        &self.transaction.set
    }

    /// The set in a body, and what the query says of the answer.
    pub(super) fn decode(body: &[u8], query: &Query) -> Result<Self, ApiError> {
        let known = ["node", "configuration"];
        if let Some(unknown) = query.keys().find(|name| !known.contains(&name.as_str())) {
            let unknown = crate::model::shape::error::excerpt(unknown);
            return Err(ApiError::BadRequest(format!("{unknown}: is not a parameter of a plan")));
        }
        let node = query.get("node").map(|node| node.parse::<NodeId>()).transpose();
        let node = node.map_err(|error| ApiError::BadRequest(format!("node: {error}")))?;
        let configuration = match query.get("configuration").map(String::as_str) {
            None | Some("true") => true,
            Some("false") => false,
            Some(_) => {
                return Err(ApiError::BadRequest("configuration: is neither true nor false".to_owned()));
            }
        };
        Ok(Self { transaction: TransactionRequest::decode(body)?, show: Show { node, configuration } })
    }
}

impl Frontend {
    /// Tells what the set that `request` asks for would do. Nothing is committed.
    pub(super) async fn plan(&self, caller: &Caller, request: &PlanRequest) -> Result<Value, ApiError> {
        // who waits for a turn holds no meshes
        let turn = self.planning_turn().await;
        let names = request.transaction.set.meshes();
        let mut before = Vec::new();
        for mesh in &names {
            before.push(self.store.list(&mesh_prefix(mesh), At::Newest).await?.records);
        }
        let (resolved, untouched) = self.resolve_request(caller, &request.transaction).await?;
        if !resolved.changes_nothing() {
            let batch = self.set_batch(caller, OPERATION, &resolved, untouched);
            self.store.limits().check(&batch).map_err(ApiError::Batch)?;
            self.check_room(&resolved).await?;
        }
        // what is the same before and after was the same when the set was resolved, whatever happened in other meshes
        let mut basis = Transaction::MAX;
        let mut meshes = Vec::new();
        for (mesh, before) in names.iter().zip(before) {
            let definitions = self.store.list(&mesh_prefix(mesh), At::Newest).await?;
            if definitions.records != before {
                return Err(ApiError::Raced);
            }
            basis = basis.min(definitions.transaction);
            let stored = self.store.list(&keys::fragments_of(mesh), At::Newest).await?;
            meshes.push((Arc::from(*mesh), before, stored.records));
        }
        let (planner, settings) = (Arc::clone(&self.planner), Arc::clone(&self.settings));
        let connected = planner.connected().await;
        let show = request.show.clone();
        let planning = aside(move || {
            let _turn = turn;
            let change = |(name, definitions, stored): (Arc<str>, Vec<Record>, Vec<Record>)| {
                mesh_change(&name, &definitions, &stored, &resolved, basis + 1)
            };
            let meshes: Vec<MeshChange> = meshes.into_iter().map(change).collect();
            let plan = plan(&meshes, &planner.control_plane);
            let changed: Vec<&Effect> =
                resolved.effects.iter().filter(|effect| !effect.is_unchanged()).collect();
            let shown = Shown {
                basis,
                changes_nothing: resolved.changes_nothing(),
                unchanged: resolved.effects.len() - changed.len(),
                effects: changed.into_iter().map(|effect| planned(effect, &settings)).collect(),
                show,
            };
            shown.render(&plan, |key: &FragmentKey| {
                let node = NodeId::of(key.clone())?;
                Some(connected.as_ref()?.get(&node).copied().unwrap_or_default())
            })
        });
        planning.await?
    }

    /// Waits for a turn to make a plan, or the like.
    pub(super) async fn planning_turn(&self) -> PlanningTurn {
        // nobody closes the semaphore
        Arc::clone(&self.planner.turns).acquire_owned().await.ok()
    }

    /// Refuses what there is no room for, as a commit would.
    async fn check_room(&self, resolved: &Resolved) -> Result<(), ApiError> {
        for room in self.room(resolved) {
            let Precondition::Fewer { family, than } = &room else { continue };
            let listing = self.store.list(room.key(), At::Newest).await?;
            let count = listing.records.iter().filter(|record| family.contains(&record.key)).count();
            if count >= *than {
                return Err(quotas::reached(family));
            }
        }
        Ok(())
    }
}

/// What would become of a resource. One that is created gets its uid when it is made.
fn planned(effect: &Effect, settings: &FrontendSettings) -> Value {
    let mut shown = response::effect_in_full(effect, settings);
    if effect.outcome == Outcome::Created
        && let Some(metadata) = shown.pointer_mut("/after/metadata").and_then(Value::as_object_mut)
    {
        metadata.remove("uid");
    }
    shown
}

/// A mesh as it is, and as it would be with what is written by the transaction `next`. Definitions are taken over as the
/// transformer does it.
fn mesh_change(
    name: &Arc<str>,
    definitions: &[Record],
    stored: &[Record],
    resolved: &Resolved,
    next: Transaction,
) -> MeshChange {
    let mut before = MeshDefinitions::new(Arc::clone(name));
    for record in definitions {
        if let Some(definition) = definition(&record.key, &record.value) {
            before.insert(record.transaction, definition);
        }
    }
    let mut after = before.clone();
    for (key, value) in resolved.written() {
        let Some(id) = id_of(key).filter(|id| id.mesh_name() == name.as_ref()) else { continue };
        match value.map(|value| definition(key, value)) {
            None => after.remove(&id),
            Some(Some(definition)) => after.insert(next, definition),
            Some(None) => {}
        }
    }
    let stored: BTreeMap<_, _> = stored
        .iter()
        .filter_map(|record| match DerivedKey::parse(&record.key)? {
            DerivedKey::Fragment(key) => Some((key, record.value.clone())),
            DerivedKey::Transformed(_) => None,
        })
        .collect();
    MeshChange { before, after, stored }
}

/// The resource whose definition has this key.
fn id_of(key: &str) -> Option<ResourceId> {
    if is_beside(key) { None } else { ResourceId::from_key(key) }
}

/// One that cannot be read is left out, as by the transformer, which tells of it.
fn definition(key: &str, value: &[u8]) -> Option<Definition> {
    Definition::decode(&id_of(key)?, value).ok()
}
