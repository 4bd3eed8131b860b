//! What it costs to guard the API: to know who makes a request, whether they may, whether they ask too often, and whether they
//! have asked before.
#![allow(clippy::unwrap_used)]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::SystemTime;

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use axum::Router;
use axum::body::Body;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use http::request::Parts;
use http::{Method, Request, StatusCode};
use legation::frontend::authentication::{AccessKeys, Authenticator};
use legation::frontend::authorisation::{Action, Policies, Question, Subject};
use legation::frontend::caller::Caller;
use legation::frontend::throttle::Throttle;
use legation::frontend::{Frontend, FrontendSettings, Operation, Rates, router};
use legation::model::{Kind, ResourceId, Tags};
use legation::store::EmbeddedStore;
use legation::watched_files::WatchedFile;
use legation_benches::run::{criterion, measured, sizes};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tower::ServiceExt;

const REGION: &str = "us-east-1";
const SECRET: &str = "a-secret-of-the-benchmark";

/// How many access keys there are.
const KEYS: usize = 1000;

/// Sizes of bodies, in bytes.
const BODIES: [usize; 2] = [512, 64 * 1024];

/// How many policies there are.
const POLICIES: [usize; 4] = [1, 10, 100, 1000];

/// How many callers ask in turn.
const CALLERS: [usize; 2] = [1, 1000];

fn signatures(criterion: &mut Criterion) {
    let keys: String = (0..KEYS)
        .map(|index| {
            format!("[[access-key]]\nid = 'AKID{index}'\nsecret = '{SECRET}'\nuser = 'user-{index}'\n")
        })
        .collect();
    let (_sender, keys) = watch::channel(Arc::new(AccessKeys::parse(keys.as_bytes()).unwrap()));
    let authenticator = Authenticator::new(keys, REGION);
    let now = SystemTime::now();
    let mut group = criterion.benchmark_group("api_guard/signature of n bytes");
    for &bytes in sizes(&BODIES) {
        let body = vec![b'x'; bytes];
        let head = signed("AKID7", &body, now);
        let verify = || {
            let caller = authenticator.examine_at(&head, now).unwrap().verify(&head, &body).unwrap();
            assert_eq!(caller.name(), "user-7");
        };
        group.throughput(Throughput::Bytes(bytes as u64));
        group.bench_function(BenchmarkId::new("right", bytes), |bencher| bencher.iter(|| measured(verify)));
        let mut other = body.clone();
        other[0] = b'y';
        let refuse = || assert!(authenticator.examine_at(&head, now).unwrap().verify(&head, &other).is_err());
        group.bench_function(BenchmarkId::new("wrong", bytes), |bencher| bencher.iter(|| measured(refuse)));
    }
    group.finish();
    let head = signed("AKIDNOBODY", b"", now);
    let refuse = || assert!(authenticator.examine_at(&head, now).is_err());
    criterion.bench_function("api_guard/unknown access key", |bencher| bencher.iter(|| measured(refuse)));
}

/// The head of a request as AWS's clients send it.
fn signed(id: &str, body: &[u8], now: SystemTime) -> Parts {
    const URI: &str = "/v20190125/meshes/shop/virtualNodes/payments";
    let request =
        Request::put(URI).header("host", "127.0.0.1:8080").header("content-type", "application/json");
    let mut request = request.body(()).unwrap();
    let identity = Credentials::new(id, SECRET, None, None, "bench").into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region(REGION)
        .name("appmesh")
        .time(now)
        .settings(SigningSettings::default())
        .build()
        .unwrap()
        .into();
    let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let signable = SignableRequest::new("PUT", URI, headers, SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(signable, &parameters).unwrap().into_parts();
    instructions.apply_to_request_http1x(&mut request);
    request.into_parts().0
}

/// One policy a team, and somebody of the last team, who may change what is its own and nothing else.
fn decisions(criterion: &mut Criterion) {
    let settings = FrontendSettings::default();
    let mut group = criterion.benchmark_group("api_guard/decision with n policies");
    for &count in sizes(&POLICIES) {
        let text: String = (0..count).map(policy).collect();
        let file = WatchedFile { path: "teams.cedar".into(), content: text.into_bytes() };
        let policies = Policies::parse(&[file]).unwrap();
        assert_eq!(policies.len(), count);
        let team = format!("team-{}", count - 1);
        let caller = Caller::new("pat", vec![team.clone(), "developers".to_owned()]);
        for (name, owner, is_allowed) in [("allowed", team.as_str(), true), ("denied", "nobody", false)] {
            let tags =
                |key: &str, value: &str| -> Tags { serde_json::from_value(json!({key: value})).unwrap() };
            let mesh = Subject { id: ResourceId::mesh("shop"), tags: tags("owner", "platform") };
            let node = ResourceId::virtual_node("shop", "payments");
            let subject = [Subject { id: node, tags: tags("team", owner) }, mesh];
            let none = Tags::default();
            let action = Action::AppMesh(Operation::Update(Kind::VirtualNode));
            let question =
                Question { caller: &caller, action, subject: &subject, tags: &none, untagged: &[] };
            let decide = || assert_eq!(policies.allow(&question, &settings), is_allowed);
            group.bench_function(BenchmarkId::new(name, count), |bencher| bencher.iter(|| measured(decide)));
        }
    }
    group.finish();
}

fn policy(team: usize) -> String {
    format!(
        "permit (principal in Group::\"team-{team}\", action in Action::\"write\", resource is VirtualNode)
         when {{ resource.hasTag(\"team\") && resource.getTag(\"team\") == \"team-{team}\" }};\n"
    )
}

fn throttling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("api_guard/throttle n callers");
    for &count in sizes(&CALLERS) {
        let throttle = Throttle::new(Rates { reads: NonZeroU32::new(1_000_000_000), ..Rates::default() });
        let callers: Vec<Caller> =
            (0..count).map(|index| Caller::new(&format!("user-{index}"), Vec::new())).collect();
        let mut next = callers.iter().cycle();
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter_batched(
                || next.next().unwrap(),
                |caller| measured(|| assert!(throttle.admit(caller, false).is_ok())),
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// A request that is repeated, with a client token by which it is found out, beside one without that changes nothing. Both are
/// whole calls, without a network and without anybody who has to be known.
fn repetitions(criterion: &mut Criterion) {
    const MESH: &str = "/v20190125/meshes/shop";
    let runtime = runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let directory = TempDir::new().unwrap();
    let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
    let rates = Rates { reads: None, writes: None, ..Rates::default() };
    let frontend = Frontend::new(store, FrontendSettings { rates, ..FrontendSettings::default() });
    let api = Api { router: router(frontend), runtime };
    api.put("/v20190125/meshes", &json!({"meshName": "shop", "spec": {}}));
    let spec = json!({"egressFilter": {"type": "ALLOW_ALL"}});
    let with_token = json!({"spec": spec, "clientToken": "a-token-of-the-benchmark"});
    api.put(MESH, &with_token);
    let mut group = criterion.benchmark_group("api_guard/repeated update");
    for (name, body) in [("with a token", with_token), ("without", json!({"spec": spec}))] {
        group.bench_function(name, |bencher| bencher.iter(|| measured(|| api.put(MESH, &body))));
    }
    group.finish();
}

struct Api {
    router: Router,
    runtime: Runtime,
}

impl Api {
    fn put(&self, uri: &str, body: &Value) {
        let request =
            Request::builder().method(Method::PUT).uri(uri).body(Body::from(body.to_string())).unwrap();
        let response = self.runtime.block_on(self.router.clone().oneshot(request)).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = signatures, decisions, throttling, repetitions
}
criterion_main!(benches);
