//! How long, how large, and what exactly is measured.

use std::hint::black_box;
use std::time::Duration;

use criterion::Criterion;
use tempfile::TempDir;

/// The settings of every benchmark: all of them together take a few minutes.
pub fn criterion() -> Criterion {
    Criterion::default().warm_up_time(Duration::from_millis(500)).measurement_time(Duration::from_secs(2))
}

/// The sizes to measure, smallest first; the smallest alone where nothing is measured, as in `cargo test --benches`.
pub fn sizes<T>(all: &[T]) -> &[T] {
    let is_measured = std::env::args().any(|argument| argument == "--bench");
    if is_measured { all } else { &all[..1] }
}

/// Runs what is measured. It stands in a function of its own so that Callgrind can be told to count nothing else:
/// `--toggle-collect='*measured*'`.
#[inline(never)]
pub fn measured<T>(work: impl FnOnce() -> T) -> T {
    black_box(work())
}

/// A directory on the disk that is built on: what is only in memory is not worth measuring.
pub fn directory() -> TempDir {
    let program = std::env::current_exe().unwrap();
    tempfile::tempdir_in(program.parent().unwrap()).unwrap()
}
