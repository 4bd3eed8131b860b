//! Benchmarks of Legation; they stand in `benches/`.
