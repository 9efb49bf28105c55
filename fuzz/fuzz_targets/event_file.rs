//! TensorBoard event files, checksums and all.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lehr_fuzz::named("events.out.tfevents.1", bytes));
