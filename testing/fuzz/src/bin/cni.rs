//! libFuzzer on the target `cni`: see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| underlay_fuzz::cni::run(bytes));
