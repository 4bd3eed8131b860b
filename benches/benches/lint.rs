//! What it costs to find what would black-hole traffic: in a whole mesh, as behind the passes of the transformer; and around
//! one resource, as in the answer to each write.
#![allow(clippy::unwrap_used)]

use std::cell::LazyCell;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legation::frontend::neighbourhood;
use legation::lint::lint;
use legation::model::ResourceId;
use legation::store::{Batch, EmbeddedStore, Store};
use legation_benches::mesh::{GATEWAY, MESH, Mesh};
use legation_benches::run::{criterion, measured, sizes};
use tempfile::TempDir;
use tokio::runtime;

/// How many virtual services a mesh has.
const SERVICES: [usize; 3] = [100, 1000, 10_000];

/// A look at a large mesh takes long, and differs little from the next.
const SAMPLES: usize = 10;

fn meshes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("lint/lint n services");
    for &services in sizes(&SERVICES) {
        let collected = LazyCell::new(|| Mesh::of(services).collected());
        group.throughput(Throughput::Elements(services as u64));
        group.sample_size(SAMPLES).bench_function(BenchmarkId::from_parameter(services), |bencher| {
            let collected = &*collected;
            let lint = || {
                let findings = lint(collected);
                assert_eq!(findings, []);
                findings
            };
            bencher.iter_batched(|| (), |()| measured(lint), BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// Around each kind of resource of a mesh of 20 services, whose nodes have ten backends each.
fn neighbourhoods(criterion: &mut Criterion) {
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let directory = TempDir::new().unwrap();
    let store = EmbeddedStore::open(directory.path()).unwrap();
    let definitions = Mesh::of(20).definitions();
    let batch = definitions.iter().fold(Batch::definitions("bench", "Create"), |batch, (_, definition)| {
        batch.put(definition.id.key(), definition.encode())
    });
    runtime.block_on(store.commit(batch)).unwrap();
    let service = "service-0.internal";
    let mut group = criterion.benchmark_group("lint/around a resource");
    group.measurement_time(Duration::from_secs(3));
    for (name, id) in [
        ("route", ResourceId::route(MESH, service, "all")),
        ("virtual router", ResourceId::virtual_router(MESH, service)),
        ("virtual service", ResourceId::virtual_service(MESH, service)),
        ("virtual node with 10 backends", ResourceId::virtual_node(MESH, "node-0-a")),
        ("gateway route", ResourceId::gateway_route(MESH, GATEWAY, service)),
    ] {
        let (_, definition) = definitions.iter().find(|(_, definition)| definition.id == id).unwrap();
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                runtime.block_on(neighbourhood::findings(&store, &id, Some(&definition.spec))).unwrap()
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = meshes, neighbourhoods
}
criterion_main!(benches);
