//! Schedules as text: what is accepted has finite rates.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<lehr::Schedule>() {
        Ok(schedule) => {
            assert!(schedule.peak_lr().is_finite());
            if schedule.total().0 <= 100_000 {
                assert!(schedule.rates().iter().all(|rate| rate.is_finite() && *rate >= 0.0));
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
