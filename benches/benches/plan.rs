//! What it costs to tell what a change would do: all of a mesh is transformed before and after it, and what it reaches is
//! composed and held against what Envoys have.
#![allow(clippy::unwrap_used)]

use std::cell::LazyCell;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legation::model::ResourceId;
use legation::plan::{MeshChange, plan};
use legation::transformer::definitions::MeshDefinitions;
use legation_benches::mesh::{MESH, Mesh};
use legation_benches::run::{criterion, measured, sizes};

/// How many virtual services a mesh has. There are two virtual nodes for each.
const SERVICES: [usize; 3] = [100, 500, 1000];

/// A plan for a large mesh takes long, and differs little from the next.
const SAMPLES: usize = 10;

/// As long as that of a host.
const CONTROL_PLANE: &str = "legation/12345678-1234-1234-1234-123456789012";

/// What is done to the definitions of a mesh.
type Edit = fn(Mesh, &mut MeshDefinitions);

/// The mesh, and the same with what `change` does to it.
fn change(mesh: Mesh, change: impl FnOnce(&mut MeshDefinitions)) -> MeshChange {
    let before = mesh.collected();
    let mut after = before.clone();
    change(&mut after);
    let fragments = mesh.fragments();
    let stored = fragments.iter().map(|(key, fragment)| (key.clone(), fragment.encode().into())).collect();
    MeshChange { before, after, stored }
}

/// Gives one route other weights, which are those of another such mesh.
fn reweigh(mesh: Mesh, after: &mut MeshDefinitions) {
    let id = ResourceId::route(MESH, "service-0.internal", "all");
    let definitions = Mesh { weight: 30, ..mesh }.definitions();
    let route = definitions.into_iter().find(|(_, definition)| definition.id == id);
    let (_, route) = route.unwrap();
    after.insert(mesh.definition_count() as u64 + 1, route);
}

fn plans(criterion: &mut Criterion) {
    let cases: [(&str, Edit, bool); 2] = [
        ("plan/nothing changes in a mesh of n services", |_, _| {}, false),
        ("plan/a route changes in a mesh of n services", reweigh, true),
    ];
    for (name, make, is_change) in cases {
        let mut group = criterion.benchmark_group(name);
        group.measurement_time(Duration::from_secs(5));
        for &services in sizes(&SERVICES) {
            let mesh = Mesh::of(services);
            let change = LazyCell::new(|| [change(mesh, |after| make(mesh, after))]);
            group.throughput(Throughput::Elements(services as u64));
            group.sample_size(SAMPLES).bench_function(BenchmarkId::from_parameter(services), |bencher| {
                let change = &*change;
                let planned = || {
                    let plan = plan(change, CONTROL_PLANE);
                    // both targets of ten services have this one as a backend
                    assert_eq!(plan.nodes_changed >= 2 * mesh.backends, is_change);
                    plan
                };
                bencher.iter_batched(|| (), |()| measured(planned), BatchSize::PerIteration);
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = plans
}
criterion_main!(benches);
