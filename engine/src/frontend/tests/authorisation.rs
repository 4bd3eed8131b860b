//! Whom the policies allow what, through the whole API: who is denied changes nothing.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use tokio::sync::watch;
use tower::ServiceExt;

use super::{Answer, Api, gateway_route_spec, gateway_spec, node_provider, route_spec, router_spec};
use crate::frontend::authentication::tests::Signing;
use crate::frontend::authentication::{AccessKeys, Authenticator};
use crate::frontend::authorisation::{Authoriser, Denials, Policies};
use crate::frontend::caller::Caller;
use crate::frontend::command::Command;
use crate::frontend::transactions::{TransactionRequest, Untouched};
use crate::frontend::{ApiError, Frontend, FrontendSettings, Operation, path, router};
use crate::model::{Kind, Path, ResourceId, Spec, Tags};
use crate::store::{At, Record, Store};
use crate::watched_files::WatchedFile;

const EXAMPLE: &str = include_str!("../../../../examples/policies/teams.cedar");

const SECRET: &str = "everybody-has-this-one";

const KEYS: &str = "
[[access-key]]
id = 'admin'
secret = 'everybody-has-this-one'
user = 'admin'
groups = ['admins']

[[access-key]]
id = 'pat'
secret = 'everybody-has-this-one'
user = 'pat'
groups = ['payments']

[[access-key]]
id = 'oscar'
secret = 'everybody-has-this-one'
user = 'oscar'
groups = ['orders']

[[access-key]]
id = 'reader'
secret = 'everybody-has-this-one'
user = 'reader'
";

/// Who has no key.
const ANONYMOUS: &str = "anonymous";

/// The API under policies: a mesh with resources of the teams `payments` and `orders`.
struct World {
    api: Api,
    /// For who has no key.
    open: Router,
    frontend: Frontend,
    denials: Arc<Denials>,
}

impl World {
    async fn new(policies: &str) -> World {
        let api = Api::new();
        let settings = FrontendSettings::default();
        let file = WatchedFile { path: "p.cedar".into(), content: policies.as_bytes().to_vec() };
        let (_, policies) = watch::channel(Arc::new(Policies::parse(&[file]).unwrap()));
        let (_, keys) = watch::channel(Arc::new(AccessKeys::parse(KEYS.as_bytes()).unwrap()));
        let denials = Arc::new(Denials::default());
        let authoriser = Authoriser::new(policies, Arc::clone(&denials));
        let frontend = Frontend::new(api.store.clone(), settings).with_authoriser(authoriser);
        let open = router(frontend.clone());
        let inner = frontend.clone();
        let signed = router(frontend.with_authenticator(Authenticator::new(keys, "us-east-1")));
        // filled while everything is allowed
        fill(&api).await;
        World { api: Api { router: signed, ..api }, open, frontend: inner, denials }
    }

    async fn call(&self, user: &'static str, call: &Call) -> Answer {
        let request = if user == ANONYMOUS {
            let request = Request::builder().method(call.method.clone()).uri(&call.uri);
            request.body(Body::from(call.body.clone())).unwrap()
        } else {
            let signing = Signing {
                method: call.method.clone(),
                uri: call.uri.clone(),
                body: call.body.clone().into_bytes(),
                time: SystemTime::now(),
                id: user,
                secret: SECRET,
                ..Signing::default()
            };
            let signed = signing.sign();
            Request::from_parts(signed.head, Body::from(signed.body))
        };
        let router = if user == ANONYMOUS { &self.open } else { &self.api.router };
        Answer::read(router.clone().oneshot(request).await.unwrap()).await
    }

    /// Everything that is stored, of whatever kind of data.
    async fn state(&self) -> (u64, Vec<Record>) {
        let listing = self.api.store.list("", At::Newest).await.unwrap();
        (listing.transaction, listing.records)
    }

    /// Makes a call that must be denied and leave nothing behind but a line.
    async fn denied(&self, user: &'static str, call: &Call) -> String {
        let before = self.state().await;
        let answer = self.call(user, call).await;
        let message = answer.refused(403, "ForbiddenException");
        assert!(self.state().await == before, "{user} changed something by {call:?}");
        let newest = self.denials.newest(None, 1);
        let denied = &newest.first().expect("a denial").denied;
        let expected = format!(
            "User: {} is not authorized to perform: {} on resource: {}",
            denied.user, denied.action, denied.resource
        );
        assert_eq!((message.as_str(), denied.user.as_str()), (expected.as_str(), user), "{call:?}");
        message
    }
}

/// A request.
#[derive(Clone, Debug)]
struct Call {
    method: Method,
    uri: String,
    body: String,
}

impl Call {
    fn new(method: Method, uri: impl Into<String>, body: &Value) -> Call {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        Call { method, uri: uri.into(), body }
    }

    fn post(path: &str, body: &Value) -> Call {
        Call::new(Method::POST, format!("/legation/v1/{path}"), body)
    }

    fn get(path: &str) -> Call {
        Call::new(Method::GET, format!("/legation/v1/{path}"), &Value::Null)
    }
}

fn arn(id: &ResourceId) -> String {
    id.arn("us-east-1", "000000000000")
}

fn tag(key: &str, value: &str) -> Value {
    json!([{"key": key, "value": value}])
}

fn spec(id: &ResourceId) -> Value {
    let team = if id.path().contains("orders") { "orders" } else { "payments" };
    match id.kind() {
        Kind::Mesh | Kind::VirtualNode => json!({}),
        Kind::VirtualRouter => router_spec(),
        Kind::VirtualGateway => gateway_spec(),
        Kind::VirtualService => node_provider(&format!("{team}-node")),
        Kind::Route => route_spec(&[&format!("{team}-node")]),
        Kind::GatewayRoute => gateway_route_spec(&format!("{team}-service")),
    }
}

/// The resource of this kind that is a team's.
fn of_team(kind: Kind, team: &str) -> ResourceId {
    match kind {
        Kind::Mesh => ResourceId::mesh("shop"),
        Kind::VirtualNode => ResourceId::virtual_node("shop", format!("{team}-node")),
        Kind::VirtualRouter => ResourceId::virtual_router("shop", format!("{team}-router")),
        Kind::VirtualGateway => ResourceId::virtual_gateway("shop", format!("{team}-gateway")),
        Kind::VirtualService => ResourceId::virtual_service("shop", format!("{team}-service")),
        Kind::Route => ResourceId::route("shop", format!("{team}-router"), format!("{team}-route")),
        Kind::GatewayRoute => {
            ResourceId::gateway_route("shop", format!("{team}-gateway"), format!("{team}-route"))
        }
    }
}

/// Makes the mesh, and everything in it for both teams.
async fn fill(api: &Api) {
    for team in ["payments", "orders"] {
        for kind in Kind::ALL {
            let id = of_team(kind, team);
            if kind == Kind::Mesh && team == "orders" {
                continue;
            }
            // the tags of routes say nothing about whose they are
            let tags = match kind {
                Kind::Mesh => tag("owner", "platform"),
                Kind::Route | Kind::GatewayRoute => tag("team", "payments"),
                _ => tag("team", team),
            };
            let call = create(&id, &tags);
            api.call_anywhere("PUT", &call.uri, call.body).await.ok();
        }
    }
}

fn create(id: &ResourceId, tags: &Value) -> Call {
    let body = json!({id.kind().name_key(): id.name(), "spec": spec(id), "tags": tags});
    Call::new(Method::PUT, path::collection(id), &body)
}

fn update(id: &ResourceId) -> Call {
    Call::new(Method::PUT, path::item(id), &json!({"spec": changed_spec(id)}))
}

/// Another specification where there is one.
fn changed_spec(id: &ResourceId) -> Value {
    match id.kind() {
        Kind::VirtualNode => router_spec(),
        Kind::Mesh => json!({"egressFilter": {"type": "ALLOW_ALL"}}),
        _ => spec(id),
    }
}

/// The request for `operation` about `id`. What is created comes with the tag of the team payments.
fn request(operation: Operation, id: &ResourceId, key: &str) -> Call {
    let tags_path = |path: &str| format!("{path}?resourceArn={}", path::escape(&arn(id)));
    match operation {
        Operation::Create(_) => create(id, &tag("team", "payments")),
        Operation::Describe(_) => Call::new(Method::GET, path::item(id), &Value::Null),
        Operation::List(_) => Call::new(Method::GET, path::collection(id), &Value::Null),
        Operation::Update(_) => update(id),
        Operation::Delete(_) => Call::new(Method::DELETE, path::item(id), &Value::Null),
        Operation::TagResource => {
            Call::new(Method::PUT, tags_path(path::TAG), &json!({"tags": tag(key, "payments")}))
        }
        Operation::UntagResource => {
            Call::new(Method::PUT, tags_path(path::UNTAG), &json!({"tagKeys": [key]}))
        }
        Operation::ListTagsForResource => Call::new(Method::GET, tags_path(path::TAGS), &Value::Null),
    }
}

/// What a user may do to resources of a class, of those that lie in a mesh and of those that lie in a router or gateway: C
/// create, R describe, L list, U update, D delete, T tag and untag, B the same with the key of a boundary, S show tags.
const MATRIX: [(&str, &str, &str, &str); 20] = [
    ("admin", "mesh", "CRLUDTBS", ""),
    ("admin", "payments", "CRLUDTBS", "CRLUDTBS"),
    ("admin", "orders", "CRLUDTBS", "CRLUDTBS"),
    ("admin", "absent", "CRLUDTBS", "CRLUDTBS"),
    ("pat", "mesh", "RLS", ""),
    ("pat", "payments", "CRLUDTS", "CRLUDTS"),
    ("pat", "orders", "RLS", "RLS"),
    ("pat", "absent", "RLS", "RLS"),
    ("oscar", "mesh", "RLS", ""),
    ("oscar", "payments", "RLS", "RLS"),
    ("oscar", "orders", "RLUDTS", "CRLUDTS"),
    ("oscar", "absent", "RLS", "RLS"),
    ("reader", "mesh", "RLS", ""),
    ("reader", "payments", "RLS", "RLS"),
    ("reader", "orders", "RLS", "RLS"),
    ("reader", "absent", "RLS", "RLS"),
    ("anonymous", "mesh", "", ""),
    ("anonymous", "payments", "", ""),
    ("anonymous", "orders", "", ""),
    ("anonymous", "absent", "", ""),
];

/// The operations on a kind with their letters in the matrix, and the key of the tag that is changed.
fn operations(kind: Kind) -> [(char, Operation, &'static str); 10] {
    [
        ('C', Operation::Create(kind), ""),
        ('R', Operation::Describe(kind), ""),
        ('L', Operation::List(kind), ""),
        ('U', Operation::Update(kind), ""),
        ('D', Operation::Delete(kind), ""),
        ('T', Operation::TagResource, "colour"),
        ('T', Operation::UntagResource, "colour"),
        ('B', Operation::TagResource, "team"),
        ('B', Operation::UntagResource, "team"),
        ('S', Operation::ListTagsForResource, ""),
    ]
}

#[tokio::test]
async fn denied_means_denied() {
    let world = World::new(EXAMPLE).await;
    let (began, _) = world.state().await;
    let (mut tried, mut names) = ([0, 0], BTreeSet::new());
    for (user, class, in_mesh, in_parent) in MATRIX {
        let kinds = Kind::ALL.into_iter().filter(|kind| (*kind == Kind::Mesh) == (class == "mesh"));
        for kind in kinds {
            let allowed = if kind.parent().is_some() { in_parent } else { in_mesh };
            let id = of_team(kind, class);
            for (letter, operation, key) in operations(kind) {
                let call = request(operation, &id, key);
                let is_allowed = allowed.contains(letter);
                tried[usize::from(is_allowed)] += 1;
                names.insert(operation.to_string());
                if !is_allowed {
                    let message = world.denied(user, &call).await;
                    assert!(message.contains(&format!("perform: appmesh:{operation} on")), "{message}");
                    continue;
                }
                let answer = world.call(user, &call).await;
                assert!(answer.status != 403, "{user} {class} {operation}: {}", answer.body);
                assert!(answer.status != 400, "{user} {class} {operation}: {}", answer.body);
                let rollback = Call::post("rollback", &json!({"to": began}));
                world.call("admin", &rollback).await.ok();
            }
        }
    }
    assert_eq!(names.len(), 38);
    assert_eq!(tried, [533, 417], "denied and allowed, as many as the matrix says");
}

#[tokio::test]
async fn what_app_mesh_never_had_is_denied_as_well() {
    let world = World::new(EXAMPLE).await;
    let (began, _) = world.state().await;
    let set = |id: ResourceId| {
        let document = json!({"meshName": "shop", "virtualNodeName": id.name(), "spec": changed_spec(&id)});
        Call::post("transactions", &json!({"apply": [document]}))
    };
    let asked = |path: &str, team: &str| {
        Call::post(path, &serde_json::from_str(&set(of_team(Kind::VirtualNode, team)).body).unwrap())
    };
    let all = ["admin", "pat", "oscar", "reader", ANONYMOUS];
    for (call, allowed) in [
        // who may not make a change may not plan it; what it would black-hole is told to who may look at the mesh
        (asked("plan", "payments"), "admin pat"),
        (asked("plan", "orders"), "admin oscar"),
        (asked("lint", "payments"), "admin pat oscar reader"),
        (asked("lint", "orders"), "admin pat oscar reader"),
        (set(of_team(Kind::VirtualNode, "payments")), "admin pat"),
        (set(of_team(Kind::VirtualNode, "orders")), "admin oscar"),
        (Call::get("history"), "admin pat oscar reader"),
        (Call::get("history?mesh=shop"), "admin pat oscar reader"),
        (Call::get("history?resource=mesh/shop/virtualNode/payments-node"), "admin pat oscar reader"),
        (Call::get("history?mesh=none"), "admin pat oscar reader"),
        (Call::get("denials"), "admin"),
        (Call::get("denials?mesh=shop"), "admin"),
        (Call::post("rollback", &json!({"to": began})), "admin"),
        (Call::post("rollback", &json!({"to": began, "dryRun": true})), "admin"),
        (Call::post("rollback", &json!({"to": began, "mesh": "shop"})), "admin pat oscar reader"),
    ] {
        for user in all {
            if allowed.split(' ').any(|name| name == user) {
                world.call(user, &call).await.ok();
                world.call("admin", &Call::post("rollback", &json!({"to": began}))).await.ok();
            } else {
                world.denied(user, &call).await;
            }
        }
    }
}

#[tokio::test]
async fn one_change_that_is_denied_denies_the_set() {
    let world = World::new(EXAMPLE).await;
    let apply = |documents: &[Value], delete: &[&str]| {
        Call::post("transactions", &json!({"apply": documents, "delete": delete}))
    };
    let node = |name: &str, team: &str| {
        let spec = router_spec();
        json!({"meshName": "shop", "virtualNodeName": name, "spec": spec, "tags": tag("team", team)})
    };
    let (own, others) = (node("payments-node", "payments"), node("orders-node", "payments"));
    let route = json!({
        "meshName": "shop", "virtualRouterName": "orders-router", "routeName": "payments-x",
        "spec": route_spec(&["payments-node"]), "tags": tag("team", "payments"),
    });
    let router = json!({
        "meshName": "shop", "virtualRouterName": "payments-x", "spec": router_spec(), "tags": tag("team", "payments"),
    });
    let route_of_it = json!({
        "meshName": "shop", "virtualRouterName": "payments-x", "routeName": "x",
        "spec": route_spec(&["payments-node"]),
    });
    let missing = json!({
        "meshName": "shop", "virtualServiceName": "orders-x", "spec": node_provider("none"),
    });
    for (call, action, resource) in [
        (apply(&[own.clone(), others.clone()], &[]), "UpdateVirtualNode", "orders-node"),
        (apply(&[others, own.clone()], &[]), "UpdateVirtualNode", "orders-node"),
        (apply(&[own.clone(), route], &[]), "CreateRoute", "orders-router/route/payments-x"),
        (
            apply(std::slice::from_ref(&own), &["mesh/shop/virtualNode/orders-node"]),
            "DeleteVirtualNode",
            "orders-node",
        ),
        (apply(&[own.clone(), node("else", "payments")], &[]), "CreateVirtualNode", "virtualNode/else"),
        (
            apply(&[own.clone(), node("payments-x", "orders")], &[]),
            "CreateVirtualNode",
            "virtualNode/payments-x",
        ),
        // whatever is wrong with it besides is not told
        (apply(&[own.clone(), missing], &[]), "CreateVirtualService", "orders-x"),
        (apply(std::slice::from_ref(&own), &["mesh/shop/virtualNode/none"]), "DeleteVirtualNode", "none"),
        (apply(&[own.clone(), json!({"meshName": "none", "spec": {}})], &[]), "CreateMesh", "mesh/none"),
    ] {
        let message = world.denied("pat", &call).await;
        assert!(
            message.contains(&format!("appmesh:{action} on")) && message.ends_with(resource),
            "{message}"
        );
    }
    // what is made in the set has its tags for what lies in it
    let (before, _) = world.state().await;
    world.call("pat", &apply(&[own, route_of_it, router], &[])).await.ok();
    assert_eq!(world.state().await.0, before + 1);
}

#[tokio::test]
async fn a_plan_takes_the_right_to_plan_and_to_change() {
    let of_mesh = "resource == Mesh::\"arn:aws:appmesh:us-east-1:000000000000:mesh/shop\"";
    let policies = format!(
        r#"permit (principal == User::"pat", action == Action::"legation:Plan", {of_mesh});
           permit (principal in Group::"orders", action == Action::"appmesh:UpdateVirtualNode", resource);
           permit (principal == User::"reader", action == Action::"legation:Lint", {of_mesh});
           permit (principal == User::"admin", action in [Action::"legation:Plan", Action::"legation:Lint"], {of_mesh});
           permit (principal == User::"admin", action == Action::"appmesh:UpdateVirtualNode", resource)
           when {{ resource.name == "payments-node" }};"#
    );
    let world = World::new(&policies).await;
    let documents = |names: &[&str]| {
        let document =
            |name: &&str| json!({"meshName": "shop", "virtualNodeName": name, "spec": router_spec()});
        json!({"apply": names.iter().map(document).collect::<Vec<_>>()})
    };
    let own = documents(&["payments-node"]);
    let all = documents(&["payments-node", "orders-node"]);
    for (user, path, set, denied) in [
        ("pat", "plan", &own, "appmesh:UpdateVirtualNode"),
        ("pat", "lint", &own, "legation:Lint"),
        ("oscar", "plan", &own, "legation:Plan"),
        ("oscar", "lint", &own, "legation:Lint"),
        ("reader", "plan", &own, "legation:Plan"),
        ("admin", "plan", &all, "appmesh:UpdateVirtualNode"),
        // nothing is told of the mesh that may be looked at either
        ("admin", "lint", &json!({"delete": ["mesh/shop/virtualNode/none", "mesh/other"]}), "legation:Lint"),
        ("admin", "plan", &json!({"delete": ["mesh/shop/virtualNode/none"]}), "appmesh:DeleteVirtualNode"),
    ] {
        let message = world.denied(user, &Call::post(path, set)).await;
        assert!(message.contains(&format!("perform: {denied} on resource: ")), "{user} {path}: {message}");
    }
    let plan = world.call("admin", &Call::post("plan", &own)).await.ok();
    assert_eq!(plan["changes"].as_array().unwrap().len(), 1);
    // lint shows no definitions: what is wrong, and with which resources
    let answer = world.call("reader", &Call::post("lint", &all)).await.ok();
    let shown: Vec<&Value> =
        answer["findings"].as_array().unwrap().iter().map(|finding| &finding["resource"]).collect();
    assert_eq!(shown, ["mesh/shop/virtualNode/orders-node", "mesh/shop/virtualNode/payments-node"]);
    let gone = json!({"delete": ["mesh/shop/virtualRouter/orders-router/route/orders-route"]});
    let answer = world.call("reader", &Call::post("lint", &gone)).await.ok();
    assert!(!answer.to_string().contains("weightedTargets"), "{answer}");
}

/// The ways to change something that is the team's, and what has to stay the team's for it.
fn changes_of_team() -> Vec<(Command, ResourceId)> {
    let node = of_team(Kind::VirtualNode, "payments");
    let router = of_team(Kind::VirtualRouter, "payments");
    let route = ResourceId::route("shop", router.name(), "x");
    let spec = |id: &ResourceId| Spec::parse(id.kind(), &changed_spec(id)).unwrap();
    let tags = Tags::parse(&tag("colour", "red"), &Path::root("tags")).unwrap();
    vec![
        (Command::Update { id: node.clone(), spec: spec(&node), token: None }, node.clone()),
        (Command::Delete { id: of_team(Kind::Route, "payments") }, router.clone()),
        (Command::Tag { id: node.clone(), tags: tags.clone() }, node),
        (Command::Create { id: route.clone(), spec: spec(&route), tags, token: None }, router),
    ]
}

#[tokio::test]
async fn who_loses_a_right_meanwhile_changes_nothing() {
    let world = World::new(EXAMPLE).await;
    let (frontend, pat) = (&world.frontend, Caller::new("pat", vec!["payments".to_owned()]));
    let (began, _) = world.state().await;
    let give_to = |id: &ResourceId, team: &str| {
        let path = format!("{}?resourceArn={}", path::TAG, path::escape(&arn(id)));
        Call::new(Method::PUT, path, &json!({"tags": tag("team", team)}))
    };
    for (command, owned) in changes_of_team() {
        let permitted = frontend.authorise(&pat, &command).await.unwrap();
        world.call("admin", &give_to(&owned, "orders")).await.ok();
        let before = world.state().await;
        let outcome = frontend.execute(permitted, &command).await;
        assert!(matches!(outcome, Err(ApiError::Forbidden(_))), "{command:?}: {outcome:?}");
        assert!(world.state().await == before, "{command:?} changed something");
        world.call("admin", &Call::post("rollback", &json!({"to": began}))).await.ok();
        // other tags than those of the team's do not matter, but it is asked again
        let permitted = frontend.authorise(&pat, &command).await.unwrap();
        let path = format!("{}?resourceArn={}", path::TAG, path::escape(&arn(&owned)));
        let other = Call::new(Method::PUT, path, &json!({"tags": tag("size", "large")}));
        world.call("admin", &other).await.ok();
        frontend.execute(permitted, &command).await.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        world.call("admin", &Call::post("rollback", &json!({"to": began}))).await.ok();
    }
}

#[tokio::test]
async fn who_loses_a_right_meanwhile_makes_no_set() {
    let world = World::new(EXAMPLE).await;
    let (frontend, pat) = (&world.frontend, Caller::new("pat", vec!["payments".to_owned()]));
    let (began, _) = world.state().await;
    let router = of_team(Kind::VirtualRouter, "payments");
    let node = of_team(Kind::VirtualNode, "payments");
    let update = json!({"meshName": "shop", "virtualNodeName": node.name(), "spec": router_spec()});
    let spec = route_spec(&[node.name()]);
    let route =
        json!({"meshName": "shop", "virtualRouterName": router.name(), "routeName": "x", "spec": spec});
    for (set, owned) in [
        (json!({"apply": [update]}), &node),
        (json!({"apply": [route]}), &router),
        (json!({"delete": [of_team(Kind::Route, "payments").path()]}), &router),
    ] {
        let request = TransactionRequest::decode(set.to_string().as_bytes()).unwrap();
        let resolved = frontend.resolve(&pat, &request.set).await.unwrap();
        let path = format!("{}?resourceArn={}", path::TAG, path::escape(&arn(owned)));
        let call = Call::new(Method::PUT, path, &json!({"tags": tag("team", "orders")}));
        world.call("admin", &call).await.ok();
        let before = world.state().await;
        let outcome = frontend.commit_set(&pat, "ApplyChanges", &resolved, Untouched::default()).await;
        assert!(matches!(outcome, Err(ApiError::Raced)), "{set}: {outcome:?}");
        assert!(world.state().await == before, "{set} changed something");
        world.denied("pat", &Call::post("transactions", &set)).await;
        world.call("admin", &Call::post("rollback", &json!({"to": began}))).await.ok();
        world.call("pat", &Call::post("transactions", &set)).await.ok();
        world.call("admin", &Call::post("rollback", &json!({"to": began}))).await.ok();
    }
}

#[tokio::test]
async fn one_effect_that_is_denied_denies_the_rollback() {
    let world = World::new(EXAMPLE).await;
    let own = of_team(Kind::VirtualNode, "payments");
    let tag_own = |key: &str, value: &str| {
        let path = format!("{}?resourceArn={}", path::TAG, path::escape(&arn(&own)));
        Call::new(Method::PUT, path, &json!({"tags": tag(key, value)}))
    };
    world.call("pat", &tag_own("colour", "red")).await.ok();
    let (to, _) = world.state().await;
    let rollback =
        |dry_run: bool| Call::post("rollback", &json!({"to": to, "mesh": "shop", "dryRun": dry_run}));
    let others = of_team(Kind::VirtualNode, "orders");
    world.call("pat", &update(&own)).await.ok();
    world.call("oscar", &update(&others)).await.ok();
    for user in ["pat", "oscar", "reader", ANONYMOUS] {
        for dry_run in [true, false] {
            world.denied(user, &rollback(dry_run)).await;
        }
    }
    world.call("admin", &rollback(false)).await.ok();
    // what is one's own can be taken back
    world.call("pat", &update(&own)).await.ok();
    world.denied("oscar", &rollback(false)).await;
    world.call("pat", &rollback(false)).await.ok();
    // likewise tags, but not those that a boundary rests on, whether they come back or go
    world.call("pat", &tag_own("colour", "blue")).await.ok();
    world.call("pat", &tag_own("size", "large")).await.ok();
    world.call("pat", &rollback(false)).await.ok();
    world.call("admin", &tag_own("owner", "payments")).await.ok();
    let message = world.denied("pat", &rollback(false)).await;
    assert!(message.contains("appmesh:UntagResource on"), "{message}");
    world.call("admin", &rollback(false)).await.ok();
    world.call("admin", &request(Operation::TagResource, &others, "team")).await.ok();
    let message = world.denied("pat", &rollback(false)).await;
    assert!(message.contains("appmesh:TagResource on"), "{message}");
}

#[tokio::test]
async fn a_denial_does_not_tell_what_exists() {
    let world = World::new(EXAMPLE).await;
    for kind in Kind::ALL {
        for (_, operation, key) in operations(kind) {
            let mut answers = BTreeSet::new();
            for team in ["orders", "nobody"] {
                let id = of_team(kind, team);
                let answer = world.call(ANONYMOUS, &request(operation, &id, key)).await;
                answers.insert((answer.status.as_u16(), answer.body.to_string().replace(team, "X")));
            }
            assert_eq!(answers.len(), 1, "{answers:?}");
            assert_eq!(answers.first().map(|(status, _)| *status), Some(403));
        }
    }
}

#[tokio::test]
async fn a_history_is_read_where_the_mesh_allows_it() {
    let policies = r#"
        permit (principal == User::"pat", action == Action::"legation:GetHistory",
                resource == Mesh::"arn:aws:appmesh:us-east-1:000000000000:mesh/shop");
        permit (principal == User::"oscar", action in [Action::"legation:GetDenials"], resource is Mesh)
        when { resource.hasTag("owner") && resource.getTag("owner") == "platform" };
    "#;
    let world = World::new(policies).await;
    for query in ["?mesh=shop", "?resource=mesh/shop", "?resource=mesh/shop/virtualNode/payments-node"] {
        world.call("pat", &Call::get(&format!("history{query}"))).await.ok();
        world.denied("oscar", &Call::get(&format!("history{query}"))).await;
    }
    for query in ["", "?mesh=other", "?resource=mesh/other/virtualNode/payments-node"] {
        world.denied("pat", &Call::get(&format!("history{query}"))).await;
    }
    let answer = world.call("oscar", &Call::get("denials?mesh=shop&limit=2")).await.ok();
    let shown: Vec<String> = answer["denials"]
        .as_array()
        .unwrap()
        .iter()
        .map(|denial| {
            format!("{} {} {} {}", denial["user"], denial["action"], denial["resource"], denial["count"])
        })
        .collect();
    let expected = r#""oscar" "legation:GetHistory" "arn:aws:appmesh:us-east-1:000000000000:mesh/shop" 3"#;
    assert_eq!(shown, [expected]);
    for refused in ["denials?limit=0", "denials?limit=1001", "denials?limit=x", "denials?mesh="] {
        let answer = world.call("oscar", &Call::get(refused)).await;
        answer.refused(400, "BadRequestException");
    }
    world.denied("oscar", &Call::get("denials?mesh=other")).await;
    world.denied("oscar", &Call::get("denials")).await;
}

/// Any request that makes sense, and some that make none.
fn any_call() -> impl Strategy<Value = Call> {
    let operations: Vec<Operation> = Operation::all().collect();
    let kinds = prop::sample::select(Kind::ALL.to_vec());
    let teams = prop::sample::select(vec!["payments", "orders", "absent"]);
    let keys = prop::sample::select(vec!["team", "owner", "colour"]);
    let single =
        (prop::sample::select(operations), kinds, teams, keys).prop_map(|(operation, kind, team, key)| {
            let kind = match operation {
                Operation::Create(kind)
                | Operation::Describe(kind)
                | Operation::List(kind)
                | Operation::Update(kind)
                | Operation::Delete(kind) => kind,
                _ => kind,
            };
            request(operation, &of_team(kind, team), key)
        });
    let set = (prop::collection::vec(0..3_usize, 0..4), prop::collection::vec(0..3_usize, 0..3)).prop_map(
        |(puts, deletes)| {
            let team = |index: &usize| ["payments", "orders", "absent"][*index];
            let apply: Vec<Value> = puts
                .iter()
                .map(|index| json!({"meshName": "shop", "virtualNodeName": format!("{}-node", team(index)), "spec": {}}))
                .collect();
            let delete: Vec<String> =
                deletes.iter().map(|index| of_team(Kind::VirtualNode, team(index)).path()).collect();
            Call::post("transactions", &json!({"apply": apply, "delete": delete}))
        },
    );
    let rollback = (0..20_u64, any::<bool>(), any::<bool>()).prop_map(|(to, dry_run, is_mesh)| {
        let mesh = is_mesh.then_some("shop");
        Call::post("rollback", &json!({"to": to, "dryRun": dry_run, "mesh": mesh}))
    });
    let odd = ("(GET|PUT|POST|DELETE)", "/(v20190125|legation/v1)/[a-z/]{0,20}", "[{}\\[\\]a-z\":]{0,20}")
        .prop_map(|(method, uri, body)| Call { method: method.parse().unwrap(), uri, body });
    prop_oneof![6 => single, 2 => set, 1 => rollback, 1 => odd]
}

#[test]
fn who_is_allowed_nothing_changes_nothing_and_is_shown_nothing() {
    let runtime = Runtime::new().unwrap();
    let policies = r#"permit (principal == User::"admin", action, resource);"#;
    let world = runtime.block_on(World::new(policies));
    let before = runtime.block_on(world.state());
    let users = prop::sample::select(vec!["pat", "oscar", "reader", ANONYMOUS]);
    let mut runner = TestRunner::new(Config { cases: 512, ..Config::default() });
    let outcome = runner.run(&(users, any_call()), |(user, call)| {
        let answer = runtime.block_on(world.call(user, &call));
        prop_assert!(!answer.is_ok(), "{user} was shown {}", answer.body);
        prop_assert!(runtime.block_on(world.state()) == before, "{user} changed something");
        Ok(())
    });
    outcome.unwrap();
}
