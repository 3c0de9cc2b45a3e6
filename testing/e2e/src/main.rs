//! The demo, the benchmarks and the end-to-end tests.

fn main() {}
