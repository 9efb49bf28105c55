//! gzip and Zstandard.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lehr_fuzz::named("run.csv", bytes));
