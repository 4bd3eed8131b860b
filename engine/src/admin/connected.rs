//! How many Envoys are connected, to this host or to all.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use legation_actors::fleet::Fleet;
use legation_proto::id::NodeId;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::peers::Peers;
use super::{Admin, fleet};
use crate::frontend::ConnectedEnvoys;
use crate::membership::Members;
use crate::settings::Role;

/// How many Envoys of each node are connected to this host.
pub(super) async fn nodes(State(admin): State<Admin>) -> Response {
    let by_node = admin.management.map(|management| management.fleet.envoys_by_node()).unwrap_or_default();
    let nodes: BTreeMap<String, usize> =
        by_node.into_iter().map(|(node, count)| (node.to_string(), count)).collect();
    Json(json!({ "host": admin.me.id, "nodes": nodes })).into_response()
}

/// The Envoys of the only host.
pub struct ConnectedHere(pub Arc<Fleet>);

#[async_trait]
impl ConnectedEnvoys for ConnectedHere {
    async fn by_node(&self) -> Option<HashMap<NodeId, usize>> {
        Some(self.0.envoys_by_node())
    }
}

/// The Envoys of all hosts, each of which is asked.
pub struct ConnectedEverywhere {
    /// All hosts.
    pub hosts: watch::Receiver<Arc<Members>>,
    /// How they are asked.
    pub peers: Peers,
}

#[async_trait]
impl ConnectedEnvoys for ConnectedEverywhere {
    async fn by_node(&self) -> Option<HashMap<NodeId, usize>> {
        let mut asked = fleet::peers(&self.hosts.borrow());
        asked.retain(|peer| peer.member.has(Role::Management));
        let mut sum: HashMap<NodeId, usize> = HashMap::new();
        for (peer, answer) in fleet::ask_all(&self.peers, asked, "/host/nodes").await {
            let mut answer = match answer {
                Ok(answer) => answer,
                // most likely it is dead, and its Envoys are with others
                Err(_) if peer.lost_since.is_some() => continue,
                Err(error) => {
                    tracing::warn!(host = %peer.member.id, %error, "a plan cannot tell how many envoys are connected");
                    return None;
                }
            };
            let Value::Object(counts) = answer["nodes"].take() else {
                return None;
            };
            for (node, count) in counts {
                let count = count.as_u64().and_then(|count| usize::try_from(count).ok())?;
                *sum.entry(node.parse().ok()?).or_default() += count;
            }
        }
        Some(sum)
    }
}
