//! What the fuzzers have found worth keeping is checked by every test run.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod decoding;
mod importing;
mod routing;
mod signatures;

/// Everything that a fuzzer ever found wrong, and one way to every part of the code.
fn check_corpus(target: &str, check: fn(&[u8])) {
    let corpus = format!("{}/fuzz/corpus/{target}", env!("CARGO_MANIFEST_DIR"));
    let mut count = 0;
    for entry in std::fs::read_dir(&corpus).unwrap() {
        let path = entry.unwrap().path();
        let checked = std::panic::catch_unwind(|| check(&std::fs::read(&path).unwrap()));
        assert!(checked.is_ok(), "see above for what is wrong with {}", path.display());
        count += 1;
    }
    assert!(count > 0, "there is no corpus in {corpus}");
}

#[test]
fn the_corpus_of_the_fuzzer_is_decoded() {
    check_corpus("decode", decoding::check);
}

#[test]
fn nobody_in_the_corpus_is_let_in() {
    check_corpus("authenticate", signatures::check);
}

#[test]
fn the_corpus_of_the_fuzzer_is_imported() {
    check_corpus("import", importing::check);
}

#[test]
fn the_corpus_of_the_fuzzer_is_routed() {
    check_corpus("path", routing::check);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_borne(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300)) {
        decoding::check(&bytes);
        signatures::check(&bytes);
        importing::check(&bytes);
        routing::check(&bytes);
    }
}
