//! What a sweep's folder holds: settings, states of jobs, speeds.
#![no_main]

use lehr_train::sweep::folder::Settings;
use lehr_train::sweep::{Speeds, State};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<Settings>(bytes);
    let _ = serde_json::from_slice::<Speeds>(bytes);
    if let Ok(state) = serde_json::from_slice::<State>(bytes) {
        let text = serde_json::to_vec(&state).expect("a state is written");
        // Times that are no numbers are not written as such.
        if let Ok(again) = serde_json::from_slice::<State>(&text) {
            assert_eq!(again.seal(), state.seal());
        }
        let _ = (state.is_final(), state.spent(), state.reopened());
    }
});
