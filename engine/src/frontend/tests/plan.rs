//! Plans are held against what then happens, and do nothing themselves.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use envoy_types::pb::envoy::service::discovery::v3::DeltaDiscoveryResponse;
use legation_actors::composition::{Backend, Client};
use legation_actors::request::{Interest, Request};
use legation_actors::session::Session;
use legation_actors::snapshot::Snapshot;
use legation_proto::fragment::{Fragment, NodeFragment};
use legation_proto::id::{FragmentKey, NodeId};
use legation_proto::nonce::Nonce;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{GRPC_PREFIX_BYTES, Protocol};
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, TestRunner};
use prost::Message;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;

use super::{Api, gateway_route_spec, node_provider, route_spec, router_provider};
use crate::envoy::json::of_any;
use crate::frontend::lookup::containers;
use crate::frontend::references::targets;
use crate::frontend::{ConnectedEnvoys, Frontend, FrontendSettings, Planner, router};
use crate::management::compose::compose;
use crate::model::{Definition, Kind, ResourceId, Spec};
use crate::store::{At, Store};
use crate::transformer::keys::{self, DerivedKey};
use crate::transformer::passes::Passes;
use crate::transformer::tests::fixture::MESH;
use crate::transformer::tests::properties::{definitions, name, spec};
use crate::transformer::workers::Workers;

/// As long as that of a host.
const CONTROL_PLANE: &str = "legation/12345678-1234-1234-1234-123456789012";

/// The API, and the transformer over the same store.
struct Host {
    api: Api,
    transformed: watch::Receiver<u64>,
}

/// Everything that hosts have of the mesh.
type Fragments = BTreeMap<FragmentKey, Fragment>;

impl Host {
    fn new() -> Self {
        let api = Api::with_body_bytes_max(1 << 20);
        let (passes, transformed) = Passes::new(api.store.clone(), Workers::start(1).unwrap());
        tokio::spawn(passes.run());
        Self { api, transformed }
    }

    async fn fragments(&mut self) -> Fragments {
        let transaction = self.api.transaction().await;
        self.transformed.wait_for(|done| *done >= transaction).await.unwrap();
        let records = self.api.store.list(keys::FRAGMENTS, At::Newest).await.unwrap().records;
        let fragment = |record: crate::store::Record| match DerivedKey::parse(&record.key) {
            Some(DerivedKey::Fragment(key)) => (key, Fragment::decode(record.value).unwrap()),
            other => panic!("{other:?} is no fragment"),
        };
        records.into_iter().map(fragment).collect()
    }

    async fn plan(&self, body: &Value) -> super::Answer {
        self.api.post("plan?configuration=false", body).await
    }
}

impl Host {
    /// Plans a set and makes it, and holds the one against the other. The answer is of how many nodes Envoys were told something;
    /// nothing, if the set was refused.
    async fn hold(&mut self, set: &Value) -> Option<usize> {
        let before = (self.api.transaction().await, self.api.records().await);
        let fragments = self.fragments().await;
        let plan = self.plan(set).await;
        assert_eq!((self.api.transaction().await, self.api.records().await), before);
        let answer = self.api.post("transactions", set).await;
        assert_eq!(plan.status, answer.status);
        if !answer.is_ok() {
            assert_eq!(plan.body, answer.body);
            return None;
        }
        let plan = plan.ok();
        assert_eq!(plan["transaction"], answer.body["transaction"]);
        let fragments_after = self.fragments().await;
        let observed = all_observed(&fragments, &fragments_after);
        assert_eq!(predicted(&plan), observed, "{set:#}");
        assert_eq!(plan["summary"]["nodes"], observed.len());
        let changed: BTreeSet<_> = fragments.keys().chain(fragments_after.keys()).collect();
        let changed = changed.into_iter().filter(|key| fragments.get(key) != fragments_after.get(key));
        let changed: Vec<String> = changed.map(ToString::to_string).collect();
        let planned = plan["fragments"].as_array().unwrap().iter();
        assert_eq!(planned.map(|it| it["fragment"].clone()).collect::<Vec<_>>(), changed);
        Some(observed.len())
    }
}

/// The virtual nodes and gateways.
fn nodes(fragments: &Fragments) -> impl Iterator<Item = (&FragmentKey, &NodeFragment)> {
    fragments.iter().filter_map(|(key, fragment)| match fragment {
        Fragment::Node(node) => Some((key, node)),
        Fragment::Service(_) => None,
    })
}

fn snapshot(fragments: &Fragments, key: &FragmentKey, node: &NodeFragment) -> Snapshot {
    let backend = |name| match fragments.get(&FragmentKey::virtual_service(&key.mesh, name))? {
        Fragment::Service(fragment) => Some(Backend { name, fragment }),
        Fragment::Node(_) => None,
    };
    let backends: Vec<Backend<'_>> = node.backends.iter().filter_map(|name| backend(name)).collect();
    compose(Client::Envoy, node, &backends, None).unwrap().snapshot
}

/// What an Envoy has: the encoded content of each resource.
type State = BTreeMap<(ResourceType, String), Vec<u8>>;

/// An Envoy that reads what it is sent as Envoys do, with the types that are generated of their protocol, and asks for what its
/// clusters and listeners name.
struct Envoy {
    session: Session,
    state: State,
    asked: BTreeSet<(ResourceType, String)>,
    inbox: VecDeque<(ResourceType, DeltaDiscoveryResponse)>,
    /// Responses and bytes by type.
    received: BTreeMap<&'static str, (usize, usize)>,
}

impl Envoy {
    fn with(snapshot: &Snapshot) -> Self {
        let mut envoy = Self {
            session: Session::new(Protocol::Delta),
            state: State::new(),
            asked: BTreeSet::new(),
            inbox: VecDeque::new(),
            received: BTreeMap::new(),
        };
        envoy.session.on_snapshot(snapshot.clone());
        for resource_type in [ResourceType::Cluster, ResourceType::Listener] {
            envoy.ask(resource_type, "", vec!["*".to_owned()], vec![]);
            envoy.run();
        }
        envoy
    }

    fn update(&mut self, snapshot: &Snapshot) {
        self.received.clear();
        self.session.on_snapshot(snapshot.clone());
        self.run();
    }

    fn ask(
        &mut self,
        resource_type: ResourceType,
        nonce: &str,
        subscribe: Vec<String>,
        unsubscribe: Vec<String>,
    ) {
        let interest = Interest::Delta { subscribe, unsubscribe, initial_versions: vec![] };
        let request = Request { resource_type, nonce: Nonce::read(nonce), error: None, interest };
        self.session.on_request(request).unwrap();
    }

    fn receive(&mut self) {
        while let Some(response) = self.session.next_response() {
            let frame = response.encode(Protocol::Delta, CONTROL_PLANE);
            let received = self.received.entry(response.resource_type.label()).or_default();
            *received = (received.0 + 1, received.1 + frame.len());
            let message = DeltaDiscoveryResponse::decode(&frame[GRPC_PREFIX_BYTES..]).unwrap();
            self.inbox.push_back((response.resource_type, message));
        }
    }

    fn run(&mut self) {
        self.receive();
        while let Some((resource_type, message)) = self.inbox.pop_front() {
            for resource in message.resources {
                let content = resource.resource.unwrap().encode_to_vec();
                self.state.insert((resource_type, resource.name), content);
            }
            for name in message.removed_resources {
                self.state.remove(&(resource_type, name));
            }
            self.ask_for_what_is_named(resource_type);
            self.ask(resource_type, &message.nonce, vec![], vec![]);
            self.receive();
        }
    }

    /// The names of `resource_type` that what it has leads to.
    fn named(&self, resource_type: ResourceType) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        for ((of_type, name), content) in &self.state {
            let shown = || of_any(content.clone().into()).unwrap();
            match (resource_type, of_type) {
                (ResourceType::Endpoints, ResourceType::Cluster) => {
                    names.extend((shown()["type"] == "EDS").then(|| name.clone()));
                }
                (ResourceType::RouteConfiguration, ResourceType::Listener) => {
                    find_all(&shown(), "route_config_name", &mut names);
                }
                _ => {}
            }
        }
        names
    }

    fn ask_for_what_is_named(&mut self, by: ResourceType) {
        let (resource_type, forgets) = match by {
            ResourceType::Cluster => (ResourceType::Endpoints, true),
            // listeners that are replaced drain for a long time, and their routes are followed until then
            ResourceType::Listener => (ResourceType::RouteConfiguration, false),
            _ => return,
        };
        let named: BTreeSet<_> =
            self.named(resource_type).into_iter().map(|name| (resource_type, name)).collect();
        let asked = self.asked.iter().filter(|(of_type, _)| *of_type == resource_type);
        let gone: Vec<_> = asked.filter(|name| forgets && !named.contains(name)).cloned().collect();
        let come: Vec<_> = named.difference(&self.asked).cloned().collect();
        for name in &gone {
            self.asked.remove(name);
            self.state.remove(name);
        }
        self.asked.extend(come.iter().cloned());
        let names = |names: Vec<(ResourceType, String)>| names.into_iter().map(|(_, name)| name).collect();
        if !come.is_empty() || !gone.is_empty() {
            self.ask(resource_type, "", names(come), names(gone));
            self.receive();
        }
    }
}

fn find_all(value: &Value, member: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                found.extend(value.as_str().filter(|_| name == member).map(str::to_owned));
                find_all(value, member, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| find_all(item, member, found)),
        _ => {}
    }
}

/// Whether a resource that was this, if there was one, and is that, is wanted.
type Wanted = dyn Fn(Option<&Vec<u8>>, Option<&Vec<u8>>) -> bool;

/// What became of a node, in the form of a plan.
fn observed(key: &FragmentKey, before: &Fragments, after: &Fragments) -> Option<Value> {
    let of = |fragments: &Fragments| match fragments.get(key) {
        Some(Fragment::Node(node)) => Some(snapshot(fragments, key, node)),
        _ => None,
    };
    let (word, envoy, had) = match (of(before), of(after)) {
        (None, None) => return None,
        (None, Some(after)) => ("created", Some(Envoy::with(&after)), State::new()),
        (Some(_), None) => ("deleted", None, State::new()),
        (Some(before), Some(after)) => {
            let mut envoy = Envoy::with(&before);
            let had = envoy.state.clone();
            envoy.update(&after);
            if envoy.received.is_empty() {
                assert_eq!(envoy.state, had);
                return None;
            }
            ("updated", Some(envoy), had)
        }
    };
    let mut types = BTreeMap::new();
    let (mut responses, mut bytes) = (0, 0);
    for resource_type in ResourceType::ALL {
        let Some(envoy) = &envoy else { continue };
        let (sent, sent_bytes) = envoy.received.get(resource_type.label()).copied().unwrap_or_default();
        responses += sent;
        bytes += sent_bytes;
        let list = |wanted: &Wanted| {
            let keys: BTreeSet<_> = had.keys().chain(envoy.state.keys()).collect();
            let of_type = keys.into_iter().filter(|(of_type, _)| *of_type == resource_type);
            let wanted = of_type.filter(|key| wanted(had.get(key), envoy.state.get(key)));
            let shown: Vec<Value> = wanted
                .map(|key| {
                    let content = envoy.state.get(key).or_else(|| had.get(key)).unwrap();
                    json!({"name": key.1, "bytes": content.len()})
                })
                .collect();
            json!({"count": shown.len(), "resources": shown})
        };
        let (added, updated, removed) = (
            list(&|before, after| before.is_none() && after.is_some()),
            list(&|before, after| before.is_some() && after.is_some() && before != after),
            list(&|before, after| before.is_some() && after.is_none()),
        );
        let is_same = [&added, &updated, &removed].iter().all(|list| list["count"] == 0);
        if sent == 0 && is_same {
            continue;
        }
        types.insert(
            resource_type.label(),
            json!({"added": added, "updated": updated, "removed": removed, "responses": sent, "bytes": sent_bytes}),
        );
    }
    Some(
        json!({"node": key.to_string(), "change": word, "responses": responses, "bytes": bytes, "types": types}),
    )
}

/// Everything that became of nodes.
fn all_observed(before: &Fragments, after: &Fragments) -> Vec<Value> {
    let keys: BTreeSet<_> = nodes(before).chain(nodes(after)).map(|(key, _)| key).collect();
    keys.into_iter().filter_map(|key| observed(key, before, after)).collect()
}

/// What a plan says of nodes.
fn predicted(plan: &Value) -> Vec<Value> {
    let without_what_is_not_observed = |node: &Value| {
        let mut node = node.clone();
        let members = node.as_object_mut().unwrap();
        assert_eq!(members.remove("envoys"), Some(Value::Null), "no Envoys are known here");
        members.remove("problems");
        node
    };
    plan["nodes"].as_array().unwrap().iter().map(without_what_is_not_observed).collect()
}

fn document(id: &ResourceId, spec: &Value) -> Value {
    let mut document = json!({"meshName": id.mesh_name(), "spec": spec});
    document[id.kind().name_key()] = json!(id.name());
    if let (Some(kind), Some(parent)) = (id.kind().parent(), id.parent_name()) {
        document[kind.name_key()] = json!(parent);
    }
    document
}

/// As many of these definitions as need none that is not among them.
fn whole(definitions: Vec<Definition>) -> Vec<Definition> {
    let mut whole: BTreeMap<ResourceId, Definition> =
        definitions.into_iter().map(|definition| (definition.id.clone(), definition)).collect();
    loop {
        let ids: BTreeSet<ResourceId> = whole.keys().cloned().collect();
        whole.retain(|id, definition| {
            containers(id).iter().all(|container| ids.contains(container))
                && targets(id.mesh_name(), &definition.spec).iter().all(|target| ids.contains(target))
        });
        if whole.len() == ids.len() {
            return whole.into_values().collect();
        }
    }
}

/// A resource, and what it is to be; it is to be deleted if this is nothing.
type Asked = (ResourceId, Option<Value>);

fn asked() -> impl Strategy<Value = Asked> {
    let kinds = select(Kind::ALL.to_vec());
    (kinds, name(), name()).prop_flat_map(|(kind, parent, name)| {
        let name = if kind == Kind::Mesh { MESH } else { name };
        let id = ResourceId::from_parts(kind, MESH, kind.parent().map(|_| parent), name).unwrap();
        let spec = spec(kind).prop_filter("invalid", move |spec| Spec::parse(kind, spec).is_ok());
        (Just(id), prop::option::weighted(0.75, spec))
    })
}

fn body(set: &BTreeMap<ResourceId, Option<Value>>) -> Value {
    let (mut apply, mut delete) = (Vec::new(), Vec::new());
    for (id, spec) in set {
        match spec {
            Some(spec) => apply.push(document(id, spec)),
            None => delete.push(json!(id.path())),
        }
    }
    json!({"apply": apply, "delete": delete})
}

#[test]
fn what_is_planned_is_what_happens() {
    let runtime = Runtime::new().unwrap();
    let steps = (definitions(), prop::collection::vec(prop::collection::vec(asked(), 1..4), 1..8));
    let config = Config { cases: 24, failure_persistence: None, ..Config::default() };
    let [made, refused, quiet, updates] = [const { AtomicUsize::new(0) }; 4];
    let count = |counter: &AtomicUsize, more| {
        counter.fetch_add(more, Ordering::Relaxed);
    };
    let checked = TestRunner::new(config).run(&steps, |(first, sets)| {
        runtime.block_on(async {
            let mut host = Host::new();
            let first = whole(first.into_definitions());
            let first = first.into_iter().map(|first| (first.id.clone(), Some(first.spec.to_json())));
            let sets = sets.into_iter().map(|set| set.into_iter().collect());
            for set in std::iter::once(first.collect()).chain(sets) {
                let Some(observed) = host.hold(&body(&set)).await else {
                    count(&refused, 1);
                    continue;
                };
                count(&made, 1);
                count(if observed == 0 { &quiet } else { &updates }, observed.max(1));
            }
        });
        Ok(())
    });
    checked.unwrap();
    let [made, refused, quiet, updates] = [made, refused, quiet, updates].map(AtomicUsize::into_inner);
    println!("{made} sets made, {refused} refused, {quiet} sent nothing, {updates} updates of nodes");
    assert!(made >= 20 && refused >= 5 && updates >= 100, "all of it happens");
}

/// A shop: `web` and `other` reach `books`, of which there are two versions; `alone` reaches nothing.
fn shop() -> Value {
    let node = |name: &str, backend: Option<&str>| {
        let backends: Vec<Value> =
            backend.iter().map(|name| json!({"virtualService": {"virtualServiceName": name}})).collect();
        let listeners = json!([{"portMapping": {"port": 80, "protocol": "http"}}]);
        let discovery = json!({"dns": {"hostname": format!("{name}.local")}});
        document(
            &ResourceId::virtual_node("m", name),
            &json!({"backends": backends, "listeners": listeners, "serviceDiscovery": discovery}),
        )
    };
    json!({"apply": [
        document(&ResourceId::mesh("m"), &json!({})),
        node("books-1", None), node("books-2", None), node("alone", None),
        node("web", Some("books.local")), node("other", Some("books.local")),
        document(&ResourceId::virtual_router("m", "r"), &super::router_spec()),
        route(&["books-1"]),
        document(&ResourceId::virtual_service("m", "books.local"), &router_provider("r")),
    ]})
}

fn route(nodes: &[&str]) -> Value {
    document(&ResourceId::route("m", "r", "x"), &route_spec(nodes))
}

async fn host_with_shop() -> Host {
    let mut host = Host::new();
    host.api.post("transactions", &shop()).await.ok();
    host.fragments().await;
    host
}

/// What becomes of nodes, in short.
fn in_short(plan: &Value) -> Vec<String> {
    let node = |node: &Value| {
        let types = node["types"].as_object().unwrap().iter().map(|(label, of_type)| {
            let count = |word: &str| of_type[word]["count"].as_u64().unwrap();
            format!("{label} +{} ~{} -{}", count("added"), count("updated"), count("removed"))
        });
        let types: Vec<String> = types.collect();
        let name = node["node"].as_str().unwrap().rsplit('/').next().unwrap();
        format!("{name} {}: {}", node["change"].as_str().unwrap(), types.join(", "))
    };
    plan["nodes"].as_array().unwrap().iter().map(node).collect()
}

#[tokio::test]
async fn the_nodes_that_depend_on_a_change_are_told() {
    let host = host_with_shop().await;
    let id = |name: &str| ResourceId::virtual_node("m", name).path();
    for (body, expected) in [
        (json!({"apply": [route(&["books-1"])]}), vec![]),
        (
            json!({"apply": [route(&["books-1", "books-2"])]}),
            vec!["other updated: cds +1 ~0 -0, rds +0 ~1 -0", "web updated: cds +1 ~0 -0, rds +0 ~1 -0"],
        ),
        (
            json!({"apply": [route(&["books-2"])]}),
            vec!["other updated: cds +1 ~0 -1, rds +0 ~1 -0", "web updated: cds +1 ~0 -1, rds +0 ~1 -0"],
        ),
        (json!({"delete": [id("alone")]}), vec!["alone deleted: "]),
        (
            json!({"apply": [document(&ResourceId::virtual_node("m", "new"), &json!({}))]}),
            vec!["new created: cds +1 ~0 -0, lds +1 ~0 -0"],
        ),
        // nobody reaches it
        (
            json!({"apply": [document(&ResourceId::virtual_service("m", "s"), &node_provider("alone"))]}),
            vec![],
        ),
    ] {
        let plan = host.plan(&body).await.ok();
        assert_eq!(in_short(&plan), expected, "{body}");
        assert_eq!(
            plan["summary"]["nodesOfMeshes"],
            if body.to_string().contains("\"new\"") { 6 } else { 5 }
        );
    }
}

#[tokio::test]
async fn endpoints_go_with_their_clusters() {
    let mut host = host_with_shop().await;
    // nothing tells where it is, so its endpoints come from the control plane
    let listeners = json!([{"portMapping": {"port": 80, "protocol": "http"}}]);
    let bare = document(&ResourceId::virtual_node("m", "bare"), &json!({"listeners": listeners}));
    let to_bare = json!({"apply": [bare, route(&["books-1", "bare"])]});
    assert_eq!(host.hold(&to_bare).await, Some(3), "two reach it, and it is one");
    // a cluster that looks up its endpoints itself is asked for none either, though it is there still
    let found = json!({"listeners": listeners, "serviceDiscovery": {"dns": {"hostname": "bare.local"}}});
    let found = json!({"apply": [document(&ResourceId::virtual_node("m", "bare"), &found)]});
    let plan = host.plan(&found).await.ok();
    let updated = ["other", "web"].map(|name| format!("{name} updated: cds +0 ~1 -0, eds +0 ~0 -1"));
    assert_eq!(in_short(&plan), updated);
    assert_eq!(plan["nodes"][0]["types"]["eds"]["responses"], 0);
    assert_eq!(host.hold(&found).await, Some(2));
    host.hold(&to_bare).await;
    let back = json!({"apply": [route(&["books-1"])]});
    let plan = host.plan(&back).await.ok();
    assert_eq!(
        in_short(&plan),
        ["other", "web"].map(|name| format!("{name} updated: cds +0 ~0 -1, eds +0 ~0 -1, rds +0 ~1 -0"))
    );
    assert_eq!(plan["nodes"][0]["types"]["eds"]["responses"], 0, "Envoy asks for them no more");
    assert_eq!(host.hold(&back).await, Some(2));
}

#[tokio::test]
async fn what_cannot_be_transformed_keeps_what_hosts_have() {
    let mut host = host_with_shop().await;
    let shop = shop();
    let good = &shop["apply"][1];
    assert_eq!(good["virtualNodeName"], "books-1");
    let mut broken = good.clone();
    broken["spec"]["listeners"] = json!([]);
    let plan = host.plan(&json!({"apply": [broken]})).await.ok();
    assert_eq!(in_short(&plan), ["books-1 updated: cds +0 ~0 -1, lds +0 ~0 -1, rds +0 ~0 -1"]);
    assert!(plan["problems"][0].as_str().unwrap().contains("books.local"), "{}", plan["problems"]);
    assert_eq!(host.hold(&json!({"apply": [broken]})).await, Some(1), "nobody loses the last good one");
    assert_eq!(host.hold(&json!({"apply": [good]})).await, Some(1), "nobody gets it again");
}

#[tokio::test]
async fn a_plan_knows_no_uid_of_what_does_not_exist() {
    let host = host_with_shop().await;
    let new = document(&ResourceId::virtual_node("m", "new"), &json!({}));
    let plan = host.plan(&json!({"apply": [new, route(&["books-2"])]})).await.ok();
    let metadata = |index: usize| plan["changes"][index]["after"]["metadata"].as_object().unwrap();
    assert_eq!((metadata(0).get("uid"), &metadata(0)["version"]), (None, &json!(1)));
    assert!(metadata(1)["uid"].is_string());
    assert_eq!(metadata(1)["version"], 2);
}

#[tokio::test]
async fn what_is_refused_is_refused_in_a_plan() {
    let host = host_with_shop().await;
    let too_old = json!({"apply": [route(&["books-2"])], "ifTransaction": 0});
    for body in [
        json!({"delete": [ResourceId::virtual_node("m", "books-1").path()]}),
        json!({"apply": [route(&["none"])]}),
        json!({"apply": [document(&ResourceId::gateway_route("m", "g", "x"), &gateway_route_spec("s"))]}),
        json!({"apply": [{"meshName": "m", "spec": {"wrong": 1}}]}),
        json!({}),
        too_old,
    ] {
        let planned = host.plan(&body).await;
        let answer = host.api.post("transactions", &body).await;
        assert!(!answer.is_ok(), "{body}");
        assert_eq!((planned.status, planned.body), (answer.status, answer.body), "{body}");
    }
}

#[tokio::test]
async fn quotas_hold_for_plans() {
    let quotas = crate::frontend::Quotas { virtual_nodes: 1, ..crate::frontend::Quotas::default() };
    let api = Api::with_settings(FrontendSettings { quotas, ..FrontendSettings::default() });
    let node = |name| document(&ResourceId::virtual_node("m", name), &json!({}));
    let mesh = document(&ResourceId::mesh("m"), &json!({}));
    api.post("transactions", &json!({"apply": [mesh, node("a")]})).await.ok();
    let more = json!({"apply": [node("b")]});
    let planned = api.post("plan", &more).await;
    let answer = api.post("transactions", &more).await;
    assert!(!answer.is_ok());
    assert_eq!((planned.status, planned.body), (answer.status, answer.body));
    let instead = json!({"apply": [node("b")], "delete": [ResourceId::virtual_node("m", "a").path()]});
    api.post("plan", &instead).await.ok();
    api.post("transactions", &instead).await.ok();
}

/// Three Envoys of one node, and one of another.
struct Counted;

#[async_trait::async_trait]
impl ConnectedEnvoys for Counted {
    async fn by_node(&self) -> Option<HashMap<NodeId, usize>> {
        let node = |name: &str| format!("mesh/m/virtualNode/{name}").parse().unwrap();
        Some(HashMap::from([(node("web"), 3), (node("other"), 1)]))
    }
}

#[tokio::test]
async fn a_plan_shows_configuration_and_counts_envoys() {
    let host = host_with_shop().await;
    let planner = Planner::new(CONTROL_PLANE.to_owned(), Arc::new(Counted));
    let frontend = Frontend::new(host.api.store.clone(), FrontendSettings::default()).with_planner(planner);
    let api = Api { router: router(frontend), ..host.api.clone() };
    let body = json!({"apply": [route(&["books-1", "books-2"])]});
    let plan = api.post("plan", &body).await.ok();
    let bytes: Vec<u64> =
        plan["nodes"].as_array().unwrap().iter().map(|node| node["bytes"].as_u64().unwrap()).collect();
    assert_eq!(
        (plan["nodes"][0]["envoys"].clone(), plan["nodes"][1]["envoys"].clone()),
        (json!(1), json!(3))
    );
    let summary = &plan["summary"];
    assert_eq!((&summary["envoys"], &summary["bytes"]), (&json!(4), &json!(bytes[0] + 3 * bytes[1])));
    assert_eq!((&summary["resources"], &summary["isConfigurationComplete"]), (&json!(1), &json!(true)));

    let configuration = plan["nodes"][1]["configuration"].as_array().unwrap();
    let names: Vec<_> = configuration
        .iter()
        .map(|it| (it["type"].as_str().unwrap(), it["change"].as_str().unwrap()))
        .collect();
    assert_eq!(names, [("cds", "added"), ("rds", "updated")]);
    assert_eq!(configuration[0]["before"], Value::Null);
    assert_eq!(configuration[0]["after"]["name"], configuration[0]["name"]);
    let clusters = |side: &str| {
        let mut found = BTreeSet::new();
        find_all(&configuration[1][side], "name", &mut found);
        found.iter().filter(|name| name.contains("books")).count()
    };
    assert!(clusters("before") < clusters("after"), "{configuration:#?}");

    let one = api.post("plan?node=mesh/m/virtualNode/other", &body).await.ok();
    assert_eq!(in_short(&one), ["other updated: cds +1 ~0 -0, rds +0 ~1 -0"]);
    assert_eq!(one["summary"]["nodes"], 2, "the sum is of all");
    api.post("plan?node=books", &body).await.refused(400, "BadRequestException");
    api.post("plan?configuration=1", &body).await.refused(400, "BadRequestException");
    api.post("plan?other=1", &body).await.refused(400, "BadRequestException");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_writes_in_other_meshes_does_not_keep_it_from_being_made() {
    let api = Api::with_body_bytes_max(1 << 20);
    api.fill().await;
    api.put("/meshes", &json!({"meshName": "other", "spec": {}})).await.ok();
    api.put("/meshes/other/virtualNodes", &json!({"virtualNodeName": "n", "spec": {}})).await.ok();
    let is_over = Arc::new(AtomicBool::new(false));
    let (writes, ends) = (api.clone(), Arc::clone(&is_over));
    let writer = tokio::spawn(async move {
        let mut count = 0;
        while !ends.load(Ordering::Relaxed) {
            count += 1;
            let dns = json!({"dns": {"hostname": format!("{count}.local")}});
            let body = json!({"spec": {"serviceDiscovery": dns}});
            writes.put("/meshes/other/virtualNodes/n", &body).await.ok();
        }
        count
    });
    // so many that others always write between the first look and the last
    let node = |index: usize| json!({"meshName": "m", "virtualNodeName": format!("n{index}"), "spec": {}});
    let nodes: Vec<Value> = (0..2000).map(node).collect();
    let plan = api.post("plan", &json!({"apply": nodes})).await;
    is_over.store(true, Ordering::Relaxed);
    assert!(writer.await.unwrap() > 0);
    assert_eq!(plan.ok()["summary"]["resources"], 2000);
}
