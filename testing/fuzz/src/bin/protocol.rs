//! libFuzzer on the target `protocol`: see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| underlay_fuzz::protocol::run(bytes));
