//! libFuzzer on the target `pod-eni`: see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| underlay_fuzz::pod_eni::run(bytes));
