//! Bytes of those who import what they have.
#![no_main]

#[path = "../../tests/importing/mod.rs"]
mod importing;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| importing::check(bytes));
