//! Job files of a trainer: what is read is written and read back as the same.
#![no_main]

use lehr_train::sweep::JobFile;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(job) = serde_json::from_slice::<JobFile>(bytes) {
        let text = serde_json::to_vec(&job).expect("a job is written");
        // Rates that are no numbers are not written as such.
        if let Ok(again) = serde_json::from_slice::<JobFile>(&text) {
            assert_eq!(again, job);
        }
    }
});
