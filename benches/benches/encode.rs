//! What it costs to bring resources into the bytes that travel: resources and fragments once a change, frames once an Envoy.
#![allow(clippy::unwrap_used)]

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use envoy_types::pb::envoy::config::cluster::v3::Cluster;
use envoy_types::pb::google::protobuf::Any;
use legation_benches::client::CONTROL_PLANE;
use legation_benches::mesh::Mesh;
use legation_benches::run::{criterion, measured};
use legation_proto::fragment::Fragment;
use legation_proto::nonce::Nonce;
use legation_proto::resource::Resource;
use legation_proto::resource_type::ResourceType;
use legation_proto::response::{Protocol, Response};
use legation_proto::version::Version;
use prost::Message;

/// How many resources a response has, and how large they are, in bytes.
const RESPONSES: [(usize, usize); 3] = [(1, 358), (1, 10 << 10), (20, 1 << 10)];

fn response(resources: usize, body_bytes: usize) -> Response {
    let resource = |number: usize| {
        let body = Bytes::from(vec![0; body_bytes]);
        Resource {
            name: format!("cluster-{number}").into(),
            version: Version::of(1, &body),
            body: body.into(),
        }
    };
    Response {
        resource_type: ResourceType::Cluster,
        version: Version { transaction: 1, hash: 1 },
        nonce: Nonce(1),
        resources: (0..resources).map(resource).collect(),
        removed: Vec::new(),
    }
}

fn frames(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode/frame of a response");
    for protocol in [Protocol::Delta, Protocol::Sotw] {
        for (resources, body_bytes) in RESPONSES {
            let response = response(resources, body_bytes);
            let bytes = resources * body_bytes;
            group.throughput(Throughput::Bytes(bytes as u64));
            let id = BenchmarkId::new(protocol.as_str(), format!("{resources} of {body_bytes} B"));
            group.bench_function(id, |bencher| {
                bencher.iter(|| {
                    measured(|| {
                        let frame = response.encode(protocol, CONTROL_PLANE);
                        assert!(frame.len() > bytes);
                        frame
                    })
                });
            });
        }
    }
    group.finish();
}

fn resources(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode/resource");
    let resource = Mesh::of(20).node().backends[0].1.clusters[0].clone();
    let cluster = Cluster::decode(Any::decode(resource.body.to_bytes()).unwrap().value.as_slice()).unwrap();
    group.throughput(Throughput::Bytes(resource.body.len() as u64));
    group.bench_function("cluster", |bencher| {
        bencher.iter(|| {
            measured(|| {
                let encoded = Resource::encode(ResourceType::Cluster, &resource.name, 1, &cluster);
                assert_eq!(encoded.version, resource.version);
                encoded
            })
        });
    });
    group.finish();
}

fn fragments(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode/fragment");
    let ingredients = Mesh::of(20).node();
    let service = Fragment::Service(ingredients.backends[0].1.clone());
    for (name, fragment) in [("virtual service", service), ("virtual node", Fragment::Node(ingredients.node))]
    {
        let encoded = Bytes::from(fragment.encode());
        group.throughput(Throughput::Bytes(encoded.len() as u64));
        group.bench_function(BenchmarkId::new("encode", name), |bencher| {
            bencher.iter(|| {
                measured(|| {
                    let bytes = fragment.encode();
                    assert_eq!(bytes.len(), encoded.len());
                    bytes
                })
            });
        });
        group.bench_function(BenchmarkId::new("decode", name), |bencher| {
            bencher.iter(|| {
                measured(|| {
                    let decoded = Fragment::decode(encoded.clone()).unwrap();
                    assert_eq!(decoded.transaction(), fragment.transaction());
                    decoded
                })
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = frames, resources, fragments
}
criterion_main!(benches);
