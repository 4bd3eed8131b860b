//! What the embedded store costs: commits beside bare ones of redb, which it is built on, listings, and watches.
#![allow(clippy::unwrap_used)]

use std::cell::LazyCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use legation::model::ResourceId;
use legation::store::{At, Batch, DEFINITIONS, EmbeddedStore, Store};
use legation_benches::bare_redb::Bare;
use legation_benches::mesh::{MESH, Mesh};
use legation_benches::run::{criterion, directory, measured, sizes};
use tempfile::TempDir;
use tokio::runtime::{self, Runtime};
use tokio::task::JoinSet;

/// Commits that wait for the disk vary more than they cost.
const SAMPLES: usize = 30;

/// How many commit at the same time, and how many definitions each has in a batch.
const COMMITS: [(&str, usize, usize); 3] =
    [("1 writer", 1, 1), ("16 writers", 16, 1), ("batch of 100", 1, 100)];

fn runtime() -> Runtime {
    runtime::Builder::new_current_thread().build().unwrap()
}

/// So many definitions of virtual nodes, by their keys.
fn definitions(count: usize) -> Vec<(Arc<str>, Bytes)> {
    let definitions = Mesh::of(20).definitions();
    let (_, node) = &definitions[1];
    let value = Bytes::from(node.encode());
    let key = |number: usize| ResourceId::virtual_node(MESH, format!("node-{number}")).key().into();
    (0..count).map(|number| (key(number), value.clone())).collect()
}

/// One batch that puts them all.
fn batch(definitions: &[(Arc<str>, Bytes)]) -> Batch {
    let batch = Batch::definitions("bench", "UpdateVirtualNode");
    definitions.iter().fold(batch, |batch, (key, value)| batch.put(Arc::clone(key), value.clone()))
}

/// An embedded store in a directory of its own.
struct Embedded {
    store: Arc<EmbeddedStore>,
    _directory: TempDir,
}

impl Embedded {
    fn open() -> Self {
        let directory = directory();
        let store = Arc::new(EmbeddedStore::open(directory.path()).unwrap());
        Self { store, _directory: directory }
    }

    fn holding(runtime: &Runtime, count: usize) -> Self {
        let embedded = Self::open();
        for part in definitions(count).chunks(embedded.store.limits().changes) {
            runtime.block_on(embedded.store.commit(batch(part))).unwrap();
        }
        embedded
    }

    /// How long it takes until each of the writers, who do not wait for each other, has committed its own so many times.
    fn commit(&self, runtime: &Runtime, writers: &[Vec<(Arc<str>, Bytes)>], rounds: u64) -> Duration {
        let before = self.transaction(runtime);
        let mut tasks = JoinSet::new();
        let started = Instant::now();
        for definitions in writers {
            let (store, definitions) = (Arc::clone(&self.store), definitions.clone());
            let commits = async move {
                for _ in 0..rounds {
                    store.commit(batch(&definitions)).await.unwrap();
                }
            };
            tasks.spawn_on(commits, runtime.handle());
        }
        runtime.block_on(tasks.join_all());
        let elapsed = started.elapsed();
        assert_eq!(self.transaction(runtime), before + rounds * writers.len() as u64);
        elapsed
    }

    fn transaction(&self, runtime: &Runtime) -> u64 {
        runtime.block_on(self.store.list("none", At::Newest)).unwrap().transaction
    }
}

fn commits(criterion: &mut Criterion) {
    let runtime = runtime();
    for (name, writers, batch) in COMMITS {
        let definitions = definitions(writers * batch);
        let writers: Vec<_> = definitions.chunks(batch).map(<[_]>::to_vec).collect();
        let mut group = criterion.benchmark_group(format!("store/commit, {name}"));
        group.sample_size(SAMPLES).throughput(Throughput::Elements(definitions.len() as u64));

        let embedded = LazyCell::new(Embedded::open);
        group.bench_function("embedded", |bencher| {
            bencher.iter_custom(|rounds| embedded.commit(&runtime, &writers, rounds));
        });

        let mut bare = None;
        group.bench_function("bare redb", |bencher| {
            let bare = bare.get_or_insert_with(Bare::create);
            bencher.iter_custom(|rounds| bare.commit(&writers, rounds));
        });
        group.finish();
    }
}

fn listing(criterion: &mut Criterion) {
    let runtime = runtime();
    let mut group = criterion.benchmark_group("store/list n definitions");
    group.sample_size(SAMPLES);
    for &count in sizes(&[1000, 10_000, 100_000]) {
        let embedded = LazyCell::new(|| Embedded::holding(&runtime, count));
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let store = &embedded.store;
            let list = || {
                let listing = runtime.block_on(store.list(DEFINITIONS, At::Newest)).unwrap();
                assert_eq!(listing.records.len(), count);
                listing
            };
            bencher.iter_batched(|| (), |()| measured(list), BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// A fragment is written, which takes no disk, and each of its watchers is told.
fn watching(criterion: &mut Criterion) {
    const KEY: &str = "derived/fragment";
    let runtime = runtime();
    let (_, value) = definitions(1).remove(0);
    let mut group = criterion.benchmark_group("store/tell n watchers");
    for count in [1, 100] {
        let embedded = Embedded::open();
        let store = &embedded.store;
        let watch = || runtime.block_on(store.list_and_watch(KEY)).unwrap().1;
        let mut watches: Vec<_> = (0..count).map(|_| watch()).collect();
        group.throughput(Throughput::Elements(count));
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            bencher.iter(|| {
                measured(|| {
                    runtime.block_on(async {
                        store.commit(Batch::derived().put(KEY, value.clone())).await.unwrap();
                        for watch in &mut watches {
                            let events = watch.next().await.unwrap();
                            assert_eq!(events.len(), 1);
                            assert_eq!(events[0].value.as_ref(), Some(&value));
                        }
                    });
                });
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = criterion();
    targets = commits, listing, watching
}
criterion_main!(benches);
