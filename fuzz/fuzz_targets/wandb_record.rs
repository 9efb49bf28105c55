//! W&B records behind right checksums.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    lehr_fuzz::named("run-1.wandb", &lehr_fuzz::wandb_record(bytes));
});
