//! libFuzzer on the target `ec2`: see `make fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| underlay_fuzz::ec2::run(bytes));
