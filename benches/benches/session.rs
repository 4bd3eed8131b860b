//! What one pushed change costs in the session, without network: decide, encode, take in the ACK.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legation_actors::request::{Interest, Request};
use legation_actors::session::Session;
use legation_actors::snapshot::{ResourceSet, Snapshot};
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::Protocol;
use legation_proto::version::Version;

/// About what a cluster takes, in bytes.
const BODY_BYTES: usize = 358;

fn snapshot(clusters: usize, changed: u8) -> Arc<Snapshot> {
    let resource = |number: usize| {
        let content = if number == 0 { changed } else { 0 };
        let body = Bytes::from(vec![content; BODY_BYTES]);
        Resource { name: format!("cluster-{number}").into(), version: Version::of(1, &body), body }
    };
    let clusters = (0..clusters).map(resource).collect();
    Arc::new(Snapshot::new([clusters, vec![], vec![], vec![], vec![]].map(ResourceSet::new)))
}

fn request(protocol: Protocol, nonce: String) -> Request {
    let interest = match protocol {
        Protocol::Sotw => Interest::Sotw { version_info: String::new(), names: vec![] },
        Protocol::Delta => {
            Interest::Delta { subscribe: vec![], unsubscribe: vec![], initial_versions: vec![] }
        }
    };
    Request { resource_type: ResourceType::Cluster, nonce, error: None, interest }
}

/// Sends what there is and accepts it; the number of bytes.
fn settle(session: &mut Session) -> usize {
    let mut bytes = 0;
    while let Some(response) = session.next_response() {
        bytes += response.encode(session.protocol(), "bench").len();
        let ack = request(session.protocol(), response.nonce);
        assert!(session.on_request(ack).is_ok());
    }
    bytes
}

fn push(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/push one of n clusters");
    group.throughput(Throughput::Elements(1));
    for protocol in [Protocol::Delta, Protocol::Sotw] {
        for clusters in [10, 100] {
            let mut session = Session::new(protocol);
            session.on_snapshot(snapshot(clusters, 0));
            assert!(session.on_request(request(protocol, String::new())).is_ok());
            settle(&mut session);
            let snapshots = [snapshot(clusters, 1), snapshot(clusters, 2)];
            let mut turn = 0;
            group.bench_function(BenchmarkId::new(protocol.as_str(), clusters), |bencher| {
                bencher.iter(|| {
                    turn ^= 1;
                    session.on_snapshot(Arc::clone(&snapshots[turn]));
                    let bytes = settle(&mut session);
                    assert!(bytes > BODY_BYTES);
                    bytes
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, push);
criterion_main!(benches);
