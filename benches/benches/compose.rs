//! What it costs to compose what one client should have, by the number of its backends.
#![allow(clippy::unwrap_used)]

use std::cell::LazyCell;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legation::management::compose::compose;
use legation_actors::composition::Client;
use legation_benches::mesh::{Ingredients, Mesh};
use legation_benches::run::{criterion, measured};
use legation_proto::resource_type::ResourceType;

/// How many backends a node has.
const BACKENDS: [usize; 3] = [1, 10, 100];

/// A mesh in which a node can have as many, and the node itself still is none of them.
fn mesh(backends: usize) -> Mesh {
    Mesh { backends, ..Mesh::of(backends + 1) }
}

/// What the clients of the node had before.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    /// Nothing.
    Nothing,
    /// The same, but for a route of a backend.
    AnotherRoute,
}

fn composing(
    criterion: &mut Criterion,
    name: &str,
    client: Client,
    before: Before,
    ingredients: fn(usize) -> Ingredients,
) {
    let mut group = criterion.benchmark_group(format!("compose/{name} with n backends"));
    for backends in BACKENDS {
        let ingredients = LazyCell::new(|| ingredients(backends));
        group.throughput(Throughput::Elements(backends as u64));
        group.bench_function(BenchmarkId::from_parameter(backends), |bencher| {
            let (node, fragments) = (&ingredients.node, ingredients.backends());
            let snapshot = ingredients.with_another_route().compose(client).snapshot;
            let before = (before == Before::AnotherRoute).then_some(&snapshot);
            bencher.iter_with_large_drop(|| {
                measured(|| {
                    let composed = compose(client, node, &fragments, before).unwrap();
                    let clusters = composed.snapshot.set(ResourceType::Cluster).resources();
                    assert!(clusters.len() >= 2 * backends, "two targets each");
                    assert_ne!(composed.snapshot, snapshot);
                    composed
                })
            });
        });
    }
    group.finish();
}

fn sidecar(criterion: &mut Criterion) {
    composing(criterion, "sidecar", Client::Envoy, Before::Nothing, |backends| mesh(backends).node());
}

fn change_of_a_route(criterion: &mut Criterion) {
    let before = Before::AnotherRoute;
    composing(criterion, "changed sidecar", Client::Envoy, before, |backends| mesh(backends).node());
}

fn gateway(criterion: &mut Criterion) {
    composing(criterion, "gateway", Client::Envoy, Before::Nothing, |backends| mesh(backends).gateway());
}

fn grpc_client(criterion: &mut Criterion) {
    let ingredients = |backends| {
        let ingredients = Mesh { protocol: "grpc", ..mesh(backends) }.node();
        ingredients.compose(Client::Grpc); // without problems
        ingredients
    };
    composing(criterion, "gRPC client", Client::Grpc, Before::Nothing, ingredients);
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = sidecar, change_of_a_route, gateway, grpc_client
}
criterion_main!(benches);
