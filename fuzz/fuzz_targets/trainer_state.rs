//! Hugging Face trainer states.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lehr_fuzz::named("trainer_state.json", bytes));
