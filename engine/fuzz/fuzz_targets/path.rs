//! Methods, paths and queries.
#![no_main]

#[path = "../../tests/routing/mod.rs"]
mod routing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| routing::check(bytes));
