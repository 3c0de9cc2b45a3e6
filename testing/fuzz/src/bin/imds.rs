//! libFuzzer on the target `imds`: see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| underlay_fuzz::imds::run(bytes));
