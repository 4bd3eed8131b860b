//! The wire form of plans.

use bytes::Bytes;
use legation_proto::id::FragmentKey;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use serde_json::{Map, Value, json};

use super::Show;
use crate::envoy::json;
use crate::frontend::error::ApiError;
use crate::plan::{ChangedResource, Difference, FragmentChange, NodeChange, NodeOutcome, Plan};

/// How many fragments are told; the others are counted.
const FRAGMENTS_SHOWN: usize = 1000;

/// How many resources of a node and type are named in each list; the others are counted.
const RESOURCES_NAMED: usize = 100;

/// Of how many nodes it is shown how their configuration differs, where none is asked for by name.
const NODES_CONFIGURED: usize = 10;

/// Of how many resources it is shown in all how they differ.
const RESOURCES_CONFIGURED: usize = 500;

/// What is known before the plan is made.
pub(super) struct Shown {
    /// The transaction that it is the state of.
    pub(super) basis: Transaction,
    pub(super) changes_nothing: bool,
    /// The resources that would change.
    pub(super) effects: Vec<Value>,
    /// How many would not.
    pub(super) unchanged: usize,
    pub(super) show: Show,
}

impl Shown {
    /// The answer. `connected` counts the Envoys of a node, if that is known.
    pub(super) fn render(
        self,
        plan: &Plan,
        connected: impl Fn(&FragmentKey) -> Option<usize>,
    ) -> Result<Value, ApiError> {
        let mut sums = Sums::default();
        let mut nodes = Vec::new();
        let mut room = Room { nodes: NODES_CONFIGURED, resources: RESOURCES_CONFIGURED, was_enough: true };
        for node in &plan.nodes {
            let envoys = connected(&node.key);
            sums.add(node, envoys);
            if self.show.node.as_ref().is_some_and(|asked| *asked.key() != node.key) {
                continue;
            }
            let mut shown = shown_node(node, envoys);
            if self.show.configuration
                && let Some(configuration) = room.configuration(node)
            {
                shown.insert("configuration".to_owned(), configuration);
            }
            nodes.push(Value::Object(shown));
        }
        let problems: Vec<String> = plan.problems.iter().map(ToString::to_string).collect();
        let transaction = if self.changes_nothing { self.basis } else { self.basis + 1 };
        Ok(json!({
            "transaction": transaction,
            "ifTransaction": self.basis,
            "changes": self.effects,
            "fragments": plan.fragments.iter().take(FRAGMENTS_SHOWN).map(fragment).collect::<Vec<_>>(),
            "nodes": nodes,
            "problems": problems,
            "summary": {
                "resources": self.effects.len(),
                "resourcesUnchanged": self.unchanged,
                "fragments": plan.fragments.len(),
                "nodes": plan.nodes_changed,
                "nodesDetailed": plan.nodes.len(),
                "nodesOfMeshes": plan.nodes_of_meshes,
                "envoys": sums.envoys(),
                "bytes": sums.bytes(),
                "bytesEachMin": sums.each.map(|(min, _)| min),
                "bytesEachMax": sums.each.map(|(_, max)| max),
                "isConfigurationComplete": self.show.configuration && room.was_enough,
            },
        }))
    }
}

/// What all nodes together come to.
#[derive(Default)]
struct Sums {
    envoys: usize,
    bytes: usize,
    /// Whether it is not known how many Envoys are connected.
    is_unknown: bool,
    /// The least and the most that an Envoy of a node that exists is sent.
    each: Option<(usize, usize)>,
}

impl Sums {
    fn add(&mut self, node: &NodeChange, envoys: Option<usize>) {
        let bytes = node.bytes();
        self.is_unknown |= envoys.is_none();
        self.envoys += envoys.unwrap_or_default();
        if node.outcome == NodeOutcome::Updated {
            self.bytes += bytes * envoys.unwrap_or_default();
            let (min, max) = self.each.unwrap_or((bytes, bytes));
            self.each = Some((min.min(bytes), max.max(bytes)));
        }
    }

    fn envoys(&self) -> Option<usize> {
        (!self.is_unknown).then_some(self.envoys)
    }

    fn bytes(&self) -> Option<usize> {
        (!self.is_unknown).then_some(self.bytes)
    }
}

fn fragment(change: &FragmentChange) -> Value {
    json!({
        "fragment": change.key.to_string(),
        "before": change.before.map(|version| version.to_string()),
        "after": change.after.map(|version| version.to_string()),
    })
}

fn shown_node(node: &NodeChange, envoys: Option<usize>) -> Map<String, Value> {
    let mut types = Map::new();
    for resource_type in ResourceType::ALL {
        let (difference, sent) = (&node.differences[resource_type.index()], node.sent[resource_type.index()]);
        if sent.responses == 0 && lists(difference).iter().all(|(_, list)| list.is_empty()) {
            continue;
        }
        let mut of_type = Map::new();
        for (word, list) in lists(difference) {
            let named = list.iter().take(RESOURCES_NAMED);
            let named: Vec<Value> =
                named.map(|resource| json!({"name": resource.name, "bytes": resource.bytes()})).collect();
            of_type.insert(word.to_owned(), json!({"count": list.len(), "resources": named}));
        }
        of_type.insert("responses".to_owned(), json!(sent.responses));
        of_type.insert("bytes".to_owned(), json!(sent.bytes));
        types.insert(resource_type.label().to_owned(), Value::Object(of_type));
    }
    let members = [
        ("node", json!(node.key.to_string())),
        ("change", json!(node.outcome.word())),
        ("envoys", json!(envoys)),
        ("responses", json!(node.responses())),
        ("bytes", json!(node.bytes())),
        ("types", Value::Object(types)),
        ("problems", json!(*node.problems)),
    ];
    members.map(|(name, member)| (name.to_owned(), member)).into_iter().collect()
}

/// The resources that differ, by what becomes of them.
fn lists(difference: &Difference) -> [(&'static str, &[ChangedResource]); 3] {
    let Difference { added, updated, removed } = difference;
    [("added", added), ("updated", updated), ("removed", removed)]
}

/// What is left of what is shown.
struct Room {
    nodes: usize,
    resources: usize,
    was_enough: bool,
}

impl Room {
    /// How the configuration of a node's Envoys differs, in ADS order, if there is room.
    fn configuration(&mut self, node: &NodeChange) -> Option<Value> {
        if self.nodes == 0 {
            self.was_enough = false;
            return None;
        }
        self.nodes -= 1;
        let mut shown = Vec::new();
        for (resource_type, difference) in ResourceType::ALL.iter().zip(&node.differences) {
            for (word, list) in lists(difference) {
                for resource in list {
                    if self.resources == 0 {
                        self.was_enough = false;
                        return Some(Value::Array(shown));
                    }
                    self.resources -= 1;
                    shown.push(json!({
                        "type": resource_type.label(),
                        "name": resource.name,
                        "change": word,
                        "before": message(resource.before.as_ref()),
                        "after": message(resource.after.as_ref()),
                    }));
                }
            }
        }
        Some(Value::Array(shown))
    }
}

/// A resource as Envoy shows it; one that cannot be shown tells why.
fn message(resource: Option<&Resource>) -> Value {
    let Some(body) = resource.map(|resource| -> Bytes { resource.body.to_bytes() }) else {
        return Value::Null;
    };
    json::of_any(body).unwrap_or_else(|error| Value::String(error.to_string()))
}
