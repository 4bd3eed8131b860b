//! What a pass of the transformer costs, by the size of the mesh: decoding the definitions, collecting them, transforming
//! them, encoding the fragments. A pass does all of the last three, and decodes what changed.
#![allow(clippy::unwrap_used)]

use std::cell::LazyCell;

use criterion::measurement::WallTime;
use criterion::{
    BatchSize, BenchmarkGroup, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main,
};
use legation::model::Definition;
use legation::transformer::definitions::MeshDefinitions;
use legation::transformer::transform::transform;
use legation_benches::mesh::{MESH, Mesh};
use legation_benches::run::{criterion, measured, sizes};
use legation_proto::fragment::Fragment;

/// How many virtual services a mesh has.
const SERVICES: [usize; 3] = [100, 1000, 10_000];

/// A pass over a large mesh takes long, and differs little from the next.
const SAMPLES: usize = 10;

/// Measures `work` on what `prepare` makes of a mesh, but not how long its result takes to drop.
fn measure<I, O>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    mesh: Mesh,
    prepare: impl Fn(Mesh) -> I,
    work: impl Fn(&I) -> O,
) {
    let input = LazyCell::new(|| prepare(mesh));
    group.sample_size(SAMPLES).bench_function(BenchmarkId::from_parameter(mesh.services), |bencher| {
        let input = &*input;
        bencher.iter_batched(|| (), |()| measured(|| work(input)), BatchSize::PerIteration);
    });
}

fn decoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transform/decode definitions of n services");
    for &services in sizes(&SERVICES) {
        let mesh = Mesh::of(services);
        let records = |mesh: Mesh| {
            let definitions = mesh.definitions().into_iter();
            definitions.map(|(_, definition)| (definition.encode(), definition.id)).collect::<Vec<_>>()
        };
        group.throughput(Throughput::Elements(mesh.definition_count() as u64));
        measure(&mut group, mesh, records, |records| {
            let decoded = records.iter().map(|(record, id)| Definition::decode(id, record).unwrap());
            let decoded: Vec<_> = decoded.collect();
            assert_eq!(decoded.len(), mesh.definition_count());
            decoded
        });
    }
    group.finish();
}

fn collecting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transform/collect definitions of n services");
    for &services in sizes(&SERVICES) {
        let mesh = Mesh::of(services);
        group.throughput(Throughput::Elements(mesh.definition_count() as u64));
        // a pass keeps what it has decoded, for the next one
        measure(
            &mut group,
            mesh,
            |mesh| mesh.definitions(),
            |definitions| {
                let meshes = MeshDefinitions::collect(definitions.iter().cloned());
                assert!(meshes[MESH].fragment_keys().count() >= 3 * services, "services and their two nodes");
                meshes
            },
        );
    }
    group.finish();
}

fn transforming(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transform/transform n services");
    for &services in sizes(&SERVICES) {
        let mesh = Mesh::of(services);
        group.throughput(Throughput::Elements(services as u64));
        measure(
            &mut group,
            mesh,
            |mesh| mesh.collected(),
            |collected| {
                let transformed = transform(collected);
                assert_eq!(transformed.fragments.len(), mesh.fragment_count());
                transformed
            },
        );
    }
    group.finish();
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transform/encode fragments of n services");
    for &services in sizes(&SERVICES) {
        let mesh = Mesh::of(services);
        group.throughput(Throughput::Elements(mesh.fragment_count() as u64));
        measure(
            &mut group,
            mesh,
            |mesh| mesh.fragments(),
            |fragments| {
                let encoded: Vec<_> = fragments.values().map(Fragment::encode).collect();
                assert!(encoded.iter().all(|encoded| encoded.len() > 100), "100 bytes are next to nothing");
                encoded
            },
        );
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = decoding, collecting, transforming, encoding
}
criterion_main!(benches);
