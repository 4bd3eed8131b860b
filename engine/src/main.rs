//! The `legation` command.

use std::process::ExitCode;

use tikv_jemallocator::Jemalloc;

/// Keeps the memory of a host flat under churn, where glibc's allocator leaves holes.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    legation::cli::run()
}
