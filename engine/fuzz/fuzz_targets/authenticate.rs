//! Requests of those who are not let in, and files of access keys.
#![no_main]

#[path = "../../tests/signatures/mod.rs"]
mod signatures;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signatures::check(bytes));
