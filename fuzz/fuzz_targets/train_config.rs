//! Configurations of training runs.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match lehr_train::config_file::TrainFile::parse("train.toml", text).and_then(|file| file.run(32)) {
        Ok(_) => {}
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
