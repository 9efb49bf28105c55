//! The CSV monitor of DeepSpeed.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| lehr_fuzz::named("log/Train_Samples_train_loss.csv", bytes));
