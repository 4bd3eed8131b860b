//! Bytes of Envoys and of the store.
#![no_main]

#[path = "../../tests/decoding/mod.rs"]
mod decoding;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| decoding::check(bytes));
