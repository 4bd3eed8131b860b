//! Random interleavings of snapshots, requests, ACKs, NACKs and reconnects, against models of an Envoy and of a client that
//! sends anything.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod model;

use std::collections::BTreeMap;

use legation_proto::response::Protocol;
use model::envoy::{Step, check};
use model::world::{CLUSTERS, ROUTES, World};
use proptest::prelude::*;

fn world() -> impl Strategy<Value = World> {
    let cluster = prop::option::weighted(0.7, 0..3u8);
    let route =
        prop::option::weighted(0.7, (0..2u8, prop::collection::vec(any::<prop::sample::Index>(), 0..3)));
    let clusters = prop::array::uniform4(cluster);
    let routes = prop::array::uniform2(route);
    (clusters, routes, prop::option::weighted(0.9, 0..2u8), 0..2u8).prop_map(
        |(clusters, routes, listener, secret)| {
            let clusters: BTreeMap<_, _> = CLUSTERS
                .into_iter()
                .zip(clusters)
                .filter_map(|(name, content)| Some((name, content?)))
                .collect();
            let present: Vec<_> = clusters.keys().copied().collect();
            let routes = ROUTES
                .into_iter()
                .zip(routes)
                .filter_map(|(name, route)| {
                    let (content, picks) = route?;
                    let picked = picks
                        .iter()
                        .filter(|_| !present.is_empty())
                        .map(|pick| *pick.get(&present))
                        .collect();
                    Some((name, (content, picked)))
                })
                .collect();
            World { clusters, routes, listener, secret }
        },
    )
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => world().prop_map(Step::Publish),
        12 => Just(Step::ServerReads),
        8 => Just(Step::EnvoyAccepts),
        1 => Just(Step::EnvoyRejects),
        1 => Just(Step::StaleAnswer),
        1 => Just(Step::Reconnect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn sotw_converges_and_never_names_a_missing_cluster(steps in prop::collection::vec(step(), 0..60), last in world()) {
        check(Protocol::Sotw, steps, &last);
    }

    #[test]
    fn delta_converges_and_never_names_a_missing_cluster(steps in prop::collection::vec(step(), 0..60), last in world()) {
        check(Protocol::Delta, steps, &last);
    }

    #[test]
    fn any_client_is_borne(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        model::check(&bytes);
    }
}

/// What the fuzzer has found worth keeping: everything that it ever found wrong, and one way to every part of the code.
#[test]
fn the_corpus_of_the_fuzzer_is_borne() {
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/session");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let checked = std::panic::catch_unwind(|| model::check(&std::fs::read(&path).unwrap()));
        assert!(checked.is_ok(), "see above for what is wrong with {}", path.display());
        count += 1;
    }
    assert!(count > 0, "there is no corpus in {corpus}");
}
