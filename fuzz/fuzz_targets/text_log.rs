//! Standard output of Megatron-LM, torchtitan and nanotron.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lehr_fuzz::named("train.log", bytes));
