//! The text form of schedules.
#![no_main]

use lehr::Schedule;

libfuzzer_sys::fuzz_target!(|text: &str| {
    match text.parse::<Schedule>() {
        Ok(schedule) => {
            let written = schedule.to_string();
            assert_eq!(written.parse::<Schedule>().as_ref(), Ok(&schedule), "{written}");
            assert!(schedule.sum(schedule.total()).is_finite());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
