//! A metric of the file store of MLflow.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lehr_fuzz::named("mlruns/0/run/metrics/loss", bytes));
