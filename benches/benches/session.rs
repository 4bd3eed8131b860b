//! What a session costs, without network: decide, encode, take in the ACK.

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legation_actors::composition::Client;
use legation_actors::session::{Outcome, Session};
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_benches::client::{Envoy, TYPES, ask};
use legation_benches::mesh::Mesh;
use legation_benches::run::{criterion, measured};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use legation_proto::version::Version;

const PROTOCOLS: [Protocol; 2] = [Protocol::Delta, Protocol::Sotw];

/// About what a cluster takes, in bytes.
const BODY_BYTES: usize = 358;

/// So many clusters, of which the first is what `changed` says.
fn clusters(count: usize, changed: u8) -> Snapshot {
    let resource = |number: usize| {
        let content = if number == 0 { changed } else { 0 };
        let body = Bytes::from(vec![content; BODY_BYTES]);
        Resource {
            name: format!("cluster-{number}").into(),
            version: Version::of(1, &body),
            body: body.into(),
        }
    };
    let clusters = (0..count).map(resource).collect();
    Snapshot::new([clusters, vec![], vec![], vec![], vec![]].map(ResourceSet::new))
}

/// A session whose Envoy has asked for clusters and has all of `snapshot`, and that Envoy.
fn of_clusters(protocol: Protocol, snapshot: &Snapshot) -> (Session, Envoy) {
    let envoy = Envoy::new(protocol, snapshot);
    let mut session = Session::new(protocol);
    session.on_snapshot(snapshot.clone());
    let mut requests = envoy.opening_requests(None);
    requests.retain(|request| request.resource_type == ResourceType::Cluster);
    ask(&mut session, requests);
    envoy.settle(&mut session);
    (session, envoy)
}

/// What the Envoy of a node with so many backends should have, if the first target of each route has `weight`.
fn of_node(backends: usize, weight: u8) -> Snapshot {
    let mesh = Mesh { backends, weight, ..Mesh::of(backends + 1) };
    mesh.node().compose(Client::Envoy).snapshot
}

/// How many resources of the types that an Envoy asks for are in there.
fn resource_count(snapshot: &Snapshot) -> usize {
    TYPES.iter().map(|&resource_type| snapshot.set(resource_type).resources().len()).sum()
}

/// A cluster has changed: decide, encode, take in the ACK.
fn push(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/push one of n clusters");
    group.throughput(Throughput::Elements(1));
    for protocol in PROTOCOLS {
        for count in [10, 100] {
            let snapshots = [clusters(count, 1), clusters(count, 2)];
            let (mut session, envoy) = of_clusters(protocol, &snapshots[0]);
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(protocol.as_str(), count), |bencher| {
                bencher.iter(|| {
                    turn ^= 1;
                    measured(|| {
                        session.on_snapshot(snapshots[turn].clone());
                        let exchange = envoy.settle(&mut session);
                        assert!(exchange.bytes > BODY_BYTES);
                        exchange
                    })
                });
            });
        }
    }
    group.finish();
}

/// The same with all that a sidecar has: routes of one of its backends have changed.
fn push_routes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/push routes to an Envoy with n backends");
    group.throughput(Throughput::Elements(1));
    for protocol in PROTOCOLS {
        for backends in [10, 100] {
            let snapshots = [of_node(backends, 50), of_node(backends, 60)];
            let envoy = Envoy::new(protocol, &snapshots[0]);
            let mut session = Session::new(protocol);
            session.on_snapshot(snapshots[0].clone());
            ask(&mut session, envoy.opening_requests(None));
            envoy.settle(&mut session);
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(protocol.as_str(), backends), |bencher| {
                bencher.iter(|| {
                    turn ^= 1;
                    measured(|| {
                        session.on_snapshot(snapshots[turn].clone());
                        let exchange = envoy.settle(&mut session);
                        assert_eq!(exchange.responses, 1, "the route configuration and nothing else");
                        exchange
                    })
                });
            });
        }
    }
    group.finish();
}

/// The ACK of a pushed cluster, and that there is nothing else to send then.
fn ack_alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/ack one of n clusters");
    group.throughput(Throughput::Elements(1));
    for protocol in PROTOCOLS {
        for count in [10, 100] {
            let snapshots = [clusters(count, 1), clusters(count, 2)];
            let unanswered = || {
                let (mut session, envoy) = of_clusters(protocol, &snapshots[0]);
                session.on_snapshot(snapshots[1].clone());
                let request = session.next_response().map(|response| envoy.ack(response));
                (session, request)
            };
            group.bench_function(BenchmarkId::new(protocol.as_str(), count), |bencher| {
                bencher.iter_batched_ref(
                    unanswered,
                    |(session, request)| {
                        measured(|| {
                            let outcome = request.take().map(|request| session.on_request(request));
                            assert_eq!(outcome, Some(Ok(Outcome::Acked)));
                            assert_eq!(session.next_response(), None);
                            assert!(session.is_synced());
                        });
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

/// Everything for an Envoy that connects: clusters, listeners, route configurations, each accepted.
fn first_answer(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/first answer to an Envoy with n backends");
    for protocol in PROTOCOLS {
        for backends in [10, 100] {
            let snapshot = of_node(backends, 90);
            let envoy = Envoy::new(protocol, &snapshot);
            let resources = resource_count(&snapshot);
            group.throughput(Throughput::Elements(resources as u64));
            group.bench_function(BenchmarkId::new(protocol.as_str(), backends), |bencher| {
                bencher.iter_batched(
                    || envoy.opening_requests(None),
                    |requests| {
                        measured(|| {
                            let mut session = Session::new(protocol);
                            session.on_snapshot(snapshot.clone());
                            ask(&mut session, requests);
                            let exchange = envoy.settle(&mut session);
                            assert_eq!((exchange.responses, exchange.resources), (TYPES.len(), resources));
                            session
                        })
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

/// An Envoy connects that has everything. Delta sends nothing; state of the world sends the route configurations again,
/// which no version can tell that it has.
fn reconnect(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/reconnect of an Envoy with n backends");
    group.throughput(Throughput::Elements(1));
    for protocol in PROTOCOLS {
        for backends in [10, 100] {
            let snapshot = of_node(backends, 90);
            let envoy = Envoy::new(protocol, &snapshot);
            let resent = match protocol {
                Protocol::Delta => 0,
                Protocol::Sotw => snapshot.set(ResourceType::RouteConfiguration).resources().len(),
            };
            group.bench_function(BenchmarkId::new(protocol.as_str(), backends), |bencher| {
                bencher.iter_batched(
                    || envoy.opening_requests(Some(&snapshot)),
                    |requests| {
                        measured(|| {
                            let mut session = Session::new(protocol);
                            session.on_snapshot(snapshot.clone());
                            ask(&mut session, requests);
                            let exchange = envoy.settle(&mut session);
                            assert_eq!(exchange.resources, resent);
                            session
                        })
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = push, push_routes, ack_alone, first_answer, reconnect
}
criterion_main!(benches);
