//! W&B run files, checksums and all.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lehr_fuzz::named("run-1.wandb", bytes));
