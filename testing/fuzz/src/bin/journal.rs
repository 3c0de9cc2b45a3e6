//! libFuzzer on the target `journal`: see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| underlay_fuzz::journal::run(bytes));
