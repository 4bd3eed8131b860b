//! What the Envoys or gRPC clients of a node should have, whether or not one is connected: composed as for one, and shown as Envoy
//! shows its configuration.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use legation_actors::composition::{Backend, Client, ComposeError};
use legation_proto::fragment::{Fragment, FragmentError, NodeFragment, ServiceFragment};
use legation_proto::id::{FragmentKey, NodeId, NodeIdError};
use legation_proto::resource_type::ResourceType;
use legation_proto::version::Transaction;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use thiserror::Error;

use super::Admin;
use crate::envoy::json;
use crate::management::compose::compose;
use crate::management::feed::definition_of;
use crate::store::{Store, StoreError};
use crate::transformer::keys;

/// What the Envoys of a node should have.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeConfig {
    /// The id of the node.
    pub node: String,
    /// What for: `envoy` or `grpc`.
    pub client: String,
    /// The newest definition that went into it.
    pub transaction: Transaction,
    /// What the node asks for and does not get, and what cannot be shown, a sentence each.
    pub problems: Vec<String>,
    /// The resources by the customary short name of their type: `cds`, `eds`, `sds`, `lds`, `rds`.
    pub types: BTreeMap<String, TypeConfig>,
}

/// All resources of a type.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TypeConfig {
    /// The version of all of them together.
    pub version: String,
    /// In the order of their names.
    pub resources: Vec<ResourceConfig>,
}

/// A resource.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ResourceConfig {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The message; `null` if it cannot be shown.
    pub config: Value,
}

/// What is asked for.
#[derive(Debug, Deserialize)]
pub(super) struct Asked {
    /// The id of a node, in any form that an Envoy may have it in.
    node: String,
    /// What for, `envoy` or `grpc`; an Envoy if absent.
    client: Option<String>,
    /// Only resources of this type, by its short name.
    r#type: Option<String>,
    /// Only resources of this name.
    name: Option<String>,
}

/// Answers what the Envoys of a node should have.
pub(super) async fn config(State(admin): State<Admin>, Query(asked): Query<Asked>) -> Response {
    match answer(&*admin.store, asked).await {
        Ok(config) => Json(config).into_response(),
        Err(problem) => problem.into_response(),
    }
}

async fn answer(store: &dyn Store, asked: Asked) -> Result<NodeConfig, Problem> {
    let node: NodeId = asked.node.parse()?;
    let client = asked.client.as_deref().map_or(Ok(Client::Envoy), client_called)?;
    let filter = Filter::new(asked.r#type.as_deref(), asked.name)?;
    let fragments = Fragments::read(store, &node).await?;
    // a large configuration takes its time, which is not the runtime's
    let composing = tokio::task::spawn_blocking(move || fragments.compose(client, &node, &filter));
    composing.await.map_err(|_| Problem::Failed)?
}

fn client_called(name: &str) -> Result<Client, Problem> {
    let clients = [Client::Envoy, Client::Grpc];
    let found = clients.into_iter().find(|client| client.as_str() == name);
    found.ok_or_else(|| Problem::UnknownClient(excerpt(name)))
}

/// The beginning of something that is not understood.
fn excerpt(text: &str) -> String {
    text.chars().take(20).collect()
}

/// Which resources to show.
struct Filter {
    resource_type: Option<ResourceType>,
    name: Option<String>,
}

impl Filter {
    fn new(label: Option<&str>, name: Option<String>) -> Result<Self, Problem> {
        let of_label = |label: &str| {
            let found = ResourceType::ALL.into_iter().find(|resource_type| resource_type.label() == label);
            found.ok_or_else(|| Problem::UnknownType(excerpt(label)))
        };
        Ok(Self { resource_type: label.map(of_label).transpose()?, name })
    }

    fn takes_type(&self, resource_type: ResourceType) -> bool {
        self.resource_type.is_none_or(|wanted| wanted == resource_type)
    }

    fn takes_name(&self, name: &str) -> bool {
        self.name.as_ref().is_none_or(|wanted| wanted == name)
    }
}

/// What an Envoy's configuration is made of.
struct Fragments {
    node: NodeFragment,
    /// The backends that exist, in the order of their names.
    backends: Vec<(Arc<str>, ServiceFragment)>,
}

impl Fragments {
    /// Reads them one after the other, as an Envoy's actor learns of them: a change that arrives between two of them may be
    /// in one and not yet in the other.
    async fn read(store: &dyn Store, node: &NodeId) -> Result<Self, Problem> {
        let key = node.key();
        // read first: what this mark covers has been written
        let mark = store.get(&keys::transformed(&key.mesh)).await?;
        let transformed = mark.and_then(|mark| keys::transaction_of_mark(&mark.value));
        let fragment = match find(store, key, transformed).await? {
            Found::Fragment(Fragment::Node(fragment)) => fragment,
            Found::Fragment(Fragment::Service(_)) | Found::NotMade => {
                return Err(Problem::NotMade(node.clone()));
            }
            Found::Undefined => return Err(Problem::NotFound(node.clone())),
        };
        let mut backends = Vec::new();
        for name in &fragment.backends {
            let key = FragmentKey::virtual_service(&key.mesh, name);
            if let Found::Fragment(Fragment::Service(backend)) = find(store, &key, transformed).await? {
                backends.push((Arc::clone(name), backend));
            }
        }
        Ok(Self { node: fragment, backends })
    }

    fn compose(&self, client: Client, node: &NodeId, filter: &Filter) -> Result<NodeConfig, Problem> {
        let backends: Vec<_> =
            self.backends.iter().map(|(name, fragment)| Backend { name, fragment }).collect();
        let composed = compose(client, &self.node, &backends, None)?;
        let mut problems = composed.problems.to_vec();
        let mut types = BTreeMap::new();
        for resource_type in ResourceType::ALL.into_iter().filter(|&wanted| filter.takes_type(wanted)) {
            let set = composed.snapshot.set(resource_type);
            let wanted = set.resources().iter().filter(|resource| filter.takes_name(&resource.name));
            let shown = wanted.map(|resource| ResourceConfig {
                name: resource.name.to_string(),
                version: resource.version.to_string(),
                config: json::of_any(resource.body.to_bytes()).unwrap_or_else(|error| {
                    problems.push(format!("{resource_type} {} cannot be shown: {error}", resource.name));
                    Value::Null
                }),
            });
            let resources = shown.collect();
            let of_type = TypeConfig { version: set.version().to_string(), resources };
            types.insert(resource_type.label().to_owned(), of_type);
        }
        let transaction = composed.snapshot.transaction();
        let (node, client) = (node.to_string(), client.as_str().to_owned());
        Ok(NodeConfig { node, client, transaction, problems, types })
    }
}

/// What there is of a fragment.
enum Found {
    Fragment(Fragment),
    /// Its definition does not exist.
    Undefined,
    /// Its definition was transformed, and gave none.
    NotMade,
}

async fn find(
    store: &dyn Store,
    key: &FragmentKey,
    transformed: Option<Transaction>,
) -> Result<Found, Problem> {
    let Some(definition) = store.get(&definition_of(key).key()).await? else {
        return Ok(Found::Undefined);
    };
    match store.get(&keys::fragment(key)).await? {
        Some(record) => Ok(Found::Fragment(Fragment::decode(record.value)?)),
        None if transformed.is_some_and(|transformed| transformed >= definition.transaction) => {
            Ok(Found::NotMade)
        }
        None => Err(Problem::NotYet(key.clone())),
    }
}

/// Why there is no answer.
#[derive(Debug, Error)]
enum Problem {
    #[error(transparent)]
    BadNode(#[from] NodeIdError),
    #[error("{0:?} is no type of resource; there are {types}", types = ResourceType::ALL.map(ResourceType::label).join(", "))]
    UnknownType(String),
    #[error("{0:?} is no kind of client; there are envoy and grpc")]
    UnknownClient(String),
    #[error("{0} does not exist")]
    NotFound(NodeId),
    #[error("no configuration can be made of the definition of {0}; the log of the control plane tells why")]
    NotMade(NodeId),
    #[error("the definition of {0} was not transformed yet; try again in a moment")]
    NotYet(FragmentKey),
    #[error("the store does not answer")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fragment(#[from] FragmentError),
    #[error(transparent)]
    Compose(#[from] ComposeError),
    #[error("composing has failed")]
    Failed,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let code = match self {
            Self::BadNode(_) | Self::UnknownType(_) | Self::UnknownClient(_) => StatusCode::BAD_REQUEST,
            Self::NotFound(_) | Self::NotMade(_) => StatusCode::NOT_FOUND,
            Self::NotYet(_) | Self::Store(_) => StatusCode::SERVICE_UNAVAILABLE,
            Self::Fragment(_) | Self::Compose(_) | Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        };
        if !matches!(self, Self::NotYet(_)) && code.is_server_error() {
            tracing::error!(
                error = &self as &dyn std::error::Error,
                "cannot tell the configuration of a node"
            );
        }
        (code, format!("{self}\n")).into_response()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::ResourceId;
    use crate::store::{Batch, EmbeddedStore};
    use crate::transformer::tests::fixture::{Definitions, MESH};

    /// A store that holds definitions, of which everything or nothing was transformed.
    struct Host {
        store: EmbeddedStore,
        _directory: tempfile::TempDir,
    }

    /// A node with a backend, one with a backend that does not exist.
    fn definitions() -> Definitions {
        let backends = |name: &str| json!({"backends": [{"virtualService": {"virtualServiceName": name}}]});
        Definitions::new()
            .virtual_node("consumer", backends("service.local"))
            .virtual_node("alone", backends("none.local"))
            .listening_node("provider", &[(80, "http")])
            .provided_by_node("service.local", "provider")
    }

    impl Host {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self { store: EmbeddedStore::open(directory.path()).unwrap(), _directory: directory }
        }

        async fn define(&self, id: ResourceId) -> Transaction {
            self.store.commit(Batch::definitions("test", "Create").put(id.key(), "{}")).await.unwrap()
        }

        async fn define_all(&self) -> Transaction {
            for node in ["consumer", "alone", "provider"] {
                self.define(ResourceId::virtual_node(MESH, node)).await;
            }
            self.define(ResourceId::virtual_service(MESH, "service.local")).await
        }

        async fn write_fragments(&self, wanted: impl Fn(&FragmentKey) -> bool) {
            for (key, fragment) in definitions().transform().fragments {
                if wanted(&key) {
                    let batch = Batch::derived().put(keys::fragment(&key), fragment.encode());
                    self.store.commit(batch).await.unwrap();
                }
            }
        }

        async fn mark(&self, transaction: Transaction) {
            let batch = Batch::derived().put(keys::transformed(MESH), transaction.to_string());
            self.store.commit(batch).await.unwrap();
        }

        async fn ask(
            &self,
            node: &str,
            resource_type: Option<&str>,
            name: Option<&str>,
        ) -> Result<NodeConfig, Problem> {
            let r#type = resource_type.map(str::to_owned);
            answer(
                &self.store,
                Asked { node: node.to_owned(), client: None, r#type, name: name.map(str::to_owned) },
            )
            .await
        }

        /// The status and the text of a refusal.
        async fn refusal(&self, node: &str) -> (u16, String) {
            let problem = self.ask(node, None, None).await.unwrap_err();
            let text = problem.to_string();
            (problem.into_response().status().as_u16(), text)
        }
    }

    fn names<'a>(config: &'a NodeConfig, label: &str) -> Vec<&'a str> {
        config.types[label].resources.iter().map(|resource| resource.name.as_str()).collect()
    }

    const CONSUMER: &str = "mesh/m/virtualNode/consumer";

    #[tokio::test]
    async fn a_node_has_what_its_fragment_and_its_backends_make() {
        let host = Host::new();
        let newest = host.define_all().await;
        host.write_fragments(|_| true).await;
        host.mark(newest).await;
        for id in [CONSUMER, "arn:aws:appmesh:eu-west-1:111122223333:mesh/m/virtualNode/consumer"] {
            let config = host.ask(id, None, None).await.unwrap();
            assert_eq!(config.node, CONSUMER);
            assert_eq!(names(&config, "cds"), ["cds_egress_m_amazonaws", "cds_egress_m_provider_http_80"]);
            assert_eq!(names(&config, "rds"), ["rds_egress_http_80"]);
            let snapshot = definitions().node_snapshot("consumer");
            for resource_type in ResourceType::ALL {
                let set = snapshot.set(resource_type);
                let shown = &config.types[resource_type.label()];
                assert_eq!(shown.version, set.version().to_string());
                let versions: Vec<_> =
                    set.resources().iter().map(|resource| resource.version.to_string()).collect();
                assert_eq!(
                    shown.resources.iter().map(|shown| &shown.version).collect::<Vec<_>>(),
                    versions.iter().collect::<Vec<_>>()
                );
                assert!(
                    shown.resources.iter().all(|shown| shown.config["@type"] == resource_type.type_url())
                );
            }
        }
        let alone = host.ask("mesh/m/virtualNode/alone", None, None).await.unwrap();
        assert_eq!(names(&alone, "cds"), ["cds_egress_m_amazonaws"]);
    }

    #[tokio::test]
    async fn a_part_of_it_can_be_asked_for() {
        let host = Host::new();
        let newest = host.define_all().await;
        host.write_fragments(|_| true).await;
        host.mark(newest).await;
        let clusters = host.ask(CONSUMER, Some("cds"), None).await.unwrap();
        assert_eq!(clusters.types.keys().collect::<Vec<_>>(), ["cds"]);
        let one = host.ask(CONSUMER, None, Some("cds_egress_m_provider_http_80")).await.unwrap();
        assert_eq!(names(&one, "cds"), ["cds_egress_m_provider_http_80"]);
        assert_eq!(names(&one, "lds"), [""; 0]);
        let problem = host.ask(CONSUMER, Some("xds"), None).await.unwrap_err();
        assert_eq!(problem.to_string(), r#""xds" is no type of resource; there are cds, eds, sds, lds, rds"#);
        assert_eq!(problem.into_response().status(), 400);
    }

    #[tokio::test]
    async fn a_client_without_an_envoy_has_other_needs() {
        let host = Host::new();
        let newest = host.define_all().await;
        host.write_fragments(|_| true).await;
        host.mark(newest).await;
        let ask = async |client: &str| {
            let client = Some(client.to_owned());
            answer(&host.store, Asked { node: CONSUMER.to_owned(), client, r#type: None, name: None }).await
        };
        let config = ask("grpc").await.unwrap();
        let composed = definitions().grpc_client("consumer");
        assert_eq!((config.client.as_str(), &config.problems[..]), ("grpc", &composed.problems[..]));
        let listeners = composed.snapshot.set(ResourceType::Listener);
        assert_eq!(config.types["lds"].version, listeners.version().to_string());
        assert_eq!(ask("envoy").await.unwrap().client, "envoy");
        assert_eq!(ask("carrier-pigeon").await.unwrap_err().into_response().status(), 400);
    }

    #[tokio::test]
    async fn an_id_of_no_known_form_is_bad() {
        let (status, text) = Host::new().refusal("sidecar-17").await;
        assert_eq!(status, 400);
        assert!(text.contains("mesh/<mesh>/virtualNode/<name>"), "{text}");
    }

    #[tokio::test]
    async fn a_node_that_is_not_defined_is_not_found() {
        let host = Host::new();
        host.mark(0).await;
        assert_eq!(host.refusal(CONSUMER).await, (404, format!("{CONSUMER} does not exist")));
    }

    #[tokio::test]
    async fn nothing_is_said_before_everything_was_transformed() {
        let host = Host::new();
        let newest = host.define_all().await;
        let (status, text) = host.refusal(CONSUMER).await;
        assert_eq!((status, text.contains("not transformed yet")), (503, true), "{text}");
        host.mark(newest - 1).await;
        host.write_fragments(|key| *key.name == *"consumer").await;
        let (status, text) = host.refusal(CONSUMER).await;
        assert_eq!((status, text.contains("virtualService/service.local")), (503, true), "{text}");
    }

    #[tokio::test]
    async fn a_definition_that_nothing_can_be_made_of_is_told_apart() {
        let host = Host::new();
        let newest = host.define_all().await;
        host.mark(newest).await;
        let (status, text) = host.refusal(CONSUMER).await;
        assert_eq!((status, text.contains("no configuration can be made")), (404, true), "{text}");
        // a backend of which nothing can be made is left out, as it is for an Envoy
        host.write_fragments(|key| *key.name == *"consumer").await;
        let config = host.ask(CONSUMER, None, None).await.unwrap();
        assert_eq!(names(&config, "cds"), ["cds_egress_m_amazonaws"]);
    }
}
