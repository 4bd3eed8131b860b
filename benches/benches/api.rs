//! What a call of the API costs over a connection: beside a handler that does nothing, and beside the commit that a write
//! waits for.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use aws_credential_types::Credentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SigningSettings, sign};
use aws_sigv4::sign::v4::SigningParams;
use axum::routing::any;
use axum::{Json, Router};
use bytes::Bytes;
use criterion::{Bencher, Criterion, Throughput, criterion_group, criterion_main};
use http_body_util::Full;
use hyper::{Method, Request};
use legation::frontend::authentication::{AccessKeys, Authenticator};
use legation::frontend::authorisation::{Authoriser, Denials, Policies};
use legation::frontend::{Frontend, FrontendSettings, Rates, path, router};
use legation::http_server::{Versions, serve};
use legation::model::ResourceId;
use legation::store::{At, Batch, EmbeddedStore, Store};
use legation::tls::server::Transport;
use legation::watched_files::WatchedFile;
use legation_benches::bare_redb::Bare;
use legation_benches::http::{Call, Connection};
use legation_benches::mesh::{MESH, Mesh, service_name};
use legation_benches::run::{criterion, directory};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Calls that wait for the disk vary more than they cost.
const SAMPLES: usize = 30;

/// How many write at the same time.
const WRITERS: usize = 50;

/// How many policies the caller is not concerned by.
const POLICIES: usize = 100;

const KEY: &str = "AKIDBENCH";
const SECRET: &str = "a-secret-of-the-benchmark-alone";

/// An API that is served by a thread of its own.
struct Server {
    address: SocketAddr,
    _runtime: Runtime,
}

impl Server {
    fn start(router: Router) -> Self {
        let runtime = runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let (transport, shutdown) = (Transport::clear_text(), CancellationToken::new());
        runtime.spawn(serve(listener, transport, router, Versions::Http1, shutdown));
        Self { address, _runtime: runtime }
    }

    /// A handler that takes a body of JSON and answers it.
    fn bare() -> Self {
        Self::start(Router::new().fallback(any(|Json(body): Json<Value>| async { Json(body) })))
    }
}

/// Legation's API over a store on the disk that holds a mesh.
struct Api {
    server: Server,
    store: Arc<EmbeddedStore>,
    _directory: TempDir,
}

impl Api {
    fn start(runtime: &Runtime, guard: impl FnOnce(Frontend) -> Frontend) -> Self {
        let directory = directory();
        let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        let definitions = Mesh::of(WRITERS).definitions();
        let batch =
            definitions.iter().fold(Batch::definitions("bench", "Create"), |batch, (_, definition)| {
                batch.put(definition.id.key(), definition.encode())
            });
        runtime.block_on(store.commit(batch)).unwrap();
        let rates = Rates { reads: None, writes: None, ..Rates::default() };
        let settings = FrontendSettings { rates, ..FrontendSettings::default() };
        let frontend = guard(Frontend::new(Arc::clone(&store) as Arc<dyn Store>, settings));
        Self { server: Server::start(router(frontend)), store, _directory: directory }
    }

    fn transaction(&self, runtime: &Runtime) -> u64 {
        runtime.block_on(self.store.list("none", At::Newest)).unwrap().transaction
    }
}

/// The route of a virtual service, and the body of an update with a weight that is never the one before.
fn route(service: usize, round: u8) -> (ResourceId, Bytes) {
    let mesh = Mesh { weight: 80 + round, ..Mesh::of(WRITERS) };
    let body = json!({ "spec": mesh.route(service) }).to_string();
    (ResourceId::route(MESH, service_name(service), "all"), body.into())
}

/// Each writer's calls, of which every other is the same.
fn updates(writer: usize) -> [Call; 2] {
    [0, 1].map(|round| {
        let (id, body) = route(writer, round);
        call(Method::PUT, &path::item(&id), body)
    })
}

fn call(method: Method, path: &str, body: Bytes) -> Call {
    let request = Request::builder().method(method).uri(path).header("host", "legation");
    request.header("content-type", "application/json").body(Full::new(body)).unwrap()
}

/// The same with a signature, which is good for five minutes.
fn signed(call: Call, body: &[u8]) -> Call {
    let identity = Credentials::new(KEY, SECRET, None, None, "bench").into();
    let parameters = SigningParams::builder()
        .identity(&identity)
        .region("us-east-1")
        .name("appmesh")
        .time(SystemTime::now())
        .settings(SigningSettings::default())
        .build()
        .unwrap();
    let uri = format!("http://legation{}", call.uri());
    let headers = call.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    let request =
        SignableRequest::new(call.method().as_str(), uri, headers, SignableBody::Bytes(body)).unwrap();
    let (instructions, _) = sign(request, &parameters.into()).unwrap().into_parts();
    let mut call = call;
    instructions.apply_to_request_http1x(&mut call);
    call
}

fn authenticator() -> Authenticator {
    let file = format!("[[access-key]]\nid = \"{KEY}\"\nsecret = \"{SECRET}\"\nuser = \"bench\"\n");
    let keys = AccessKeys::parse(file.as_bytes()).unwrap();
    Authenticator::new(watch::channel(Arc::new(keys)).1, "us-east-1")
}

/// Who is called bench may do everything; many more policies are of others.
fn authoriser() -> Authoriser {
    let others = (0..POLICIES)
        .map(|number| format!("permit(principal == User::\"user-{number}\", action, resource);\n"));
    let own = "permit(principal == User::\"bench\", action, resource);\n".to_owned();
    let content = others.chain([own]).collect::<String>().into_bytes();
    let policies = Policies::parse(&[WatchedFile { path: "bench.cedar".into(), content }]).unwrap();
    Authoriser::new(watch::channel(Arc::new(policies)).1, Arc::new(Denials::default()))
}

/// How long one caller takes for so many of its calls, one after the other.
fn one_after_the_other(bencher: &mut Bencher<'_>, runtime: &Runtime, address: SocketAddr, calls: &[Call]) {
    let mut connection = runtime.block_on(Connection::open(address));
    bencher.iter_custom(|rounds| {
        runtime.block_on(async {
            let started = Instant::now();
            for call in calls.iter().cycle().take(usize::try_from(rounds).unwrap()) {
                connection.call(call.clone()).await;
            }
            started.elapsed()
        })
    });
}

/// How long it takes until each of the writers, who do not wait for each other, has made the calls of these rounds. What one
/// round writes is not what the round before has written.
async fn at_once(connections: &mut Vec<Connection>, rounds: Range<u64>) -> Duration {
    let mut writers = JoinSet::new();
    let started = Instant::now();
    for (writer, mut connection) in connections.drain(..).enumerate() {
        let rounds = rounds.clone();
        writers.spawn(async move {
            let updates = updates(writer);
            for round in rounds {
                connection.call(updates[usize::from(round % 2 == 0)].clone()).await;
            }
            connection
        });
    }
    connections.extend(writers.join_all().await);
    started.elapsed()
}

fn single_calls(criterion: &mut Criterion) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group("api/calls one after the other");
    group.sample_size(SAMPLES).throughput(Throughput::Elements(1));
    let (id, body) = route(0, 0);

    let bare = Server::bare();
    let echo = [call(Method::PUT, &path::item(&id), body)];
    group.bench_function("bare handler", |bencher| {
        one_after_the_other(bencher, &runtime, bare.address, &echo);
    });

    let (_, record) = Mesh::of(WRITERS).definitions().into_iter().find(|(_, found)| found.id == id).unwrap();
    let record = (Arc::from(id.key()), Bytes::from(record.encode()));
    let mut redb = None;
    group.bench_function("bare redb commit", |bencher| {
        let redb = redb.get_or_insert_with(Bare::create);
        bencher.iter_custom(|rounds| redb.commit(&[vec![record.clone()]], rounds));
    });

    let open = Api::start(&runtime, |frontend| frontend);
    let describe = [call(Method::GET, &path::item(&id), Bytes::new())];
    group.bench_function("describe", |bencher| {
        one_after_the_other(bencher, &runtime, open.server.address, &describe);
    });
    group.bench_function("update", |bencher| {
        let before = open.transaction(&runtime);
        one_after_the_other(bencher, &runtime, open.server.address, &updates(0));
        assert!(open.transaction(&runtime) > before);
    });

    let guarded = Api::start(&runtime, |frontend| {
        frontend.with_authenticator(authenticator()).with_authoriser(authoriser())
    });
    let sign_update = |round: u8| {
        let (id, body) = route(0, round);
        signed(call(Method::PUT, &path::item(&id), body.clone()), &body)
    };
    group.bench_function("describe, signed and authorised", |bencher| {
        let describe = [signed(call(Method::GET, &path::item(&id), Bytes::new()), b"")];
        one_after_the_other(bencher, &runtime, guarded.server.address, &describe);
    });
    group.bench_function("update, signed and authorised", |bencher| {
        let before = guarded.transaction(&runtime);
        one_after_the_other(bencher, &runtime, guarded.server.address, &[0, 1].map(sign_update));
        assert!(guarded.transaction(&runtime) > before);
    });
    group.finish();
}

fn concurrent_writers(criterion: &mut Criterion) {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut group = criterion.benchmark_group(format!("api/calls of {WRITERS} writers at once"));
    group.sample_size(SAMPLES).throughput(Throughput::Elements(WRITERS as u64));

    let connect = |address| {
        let opened = (0..WRITERS).map(|_| runtime.block_on(Connection::open(address)));
        opened.collect::<Vec<_>>()
    };
    let bare = Server::bare();
    let mut connections = connect(bare.address);
    group.bench_function("bare handler", |bencher| {
        bencher.iter_custom(|rounds| runtime.block_on(at_once(&mut connections, 0..rounds)));
    });

    let records: Vec<Vec<(Arc<str>, Bytes)>> = Mesh::of(WRITERS)
        .definitions()
        .into_iter()
        .take(WRITERS)
        .map(|(_, definition)| vec![(Arc::from(definition.id.key()), Bytes::from(definition.encode()))])
        .collect();
    let mut redb = None;
    group.bench_function("bare redb, a commit for all", |bencher| {
        let redb = redb.get_or_insert_with(Bare::create);
        bencher.iter_custom(|rounds| redb.commit(&records, rounds));
    });

    let api = Api::start(&runtime, |frontend| frontend);
    let mut connections = connect(api.server.address);
    let mut made = 0;
    group.bench_function("update", |bencher| {
        bencher.iter_custom(|rounds| {
            let before = api.transaction(&runtime);
            let elapsed = runtime.block_on(at_once(&mut connections, made..made + rounds));
            made += rounds;
            assert_eq!(api.transaction(&runtime), before + rounds * WRITERS as u64);
            elapsed
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = single_calls, concurrent_writers
}
criterion_main!(benches);
