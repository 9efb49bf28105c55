//! Fit files, and what is answered from them: finite, or refused, or blocked.
#![no_main]

use lehr::fit::Fit;
use lehr::forecast::{Setting, default_points, forecast};
use lehr::recommend::{RecommendOptions, Target, recommend_ratio};
use lehr::{Shape, Steps};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(fit) = serde_json::from_slice::<Fit>(bytes) else { return };
    let target = Target {
        peak_lr: 1e-3,
        total: Steps(400),
        warmup: Steps(20),
        shape: Shape::Linear,
        final_lr: 0.0,
        setting: Setting::default(),
    };
    let options = RecommendOptions { grid: 7, ..RecommendOptions::default() };
    if let Ok(answer) = recommend_ratio(&fit, &target, &options) {
        let blocked = answer.caveats.iter().any(|caveat| caveat.blocking());
        assert!(blocked || (answer.ratio.is_finite() && answer.loss.value.is_finite()));
    }
    let Ok(schedule) = target.schedule(Steps(80)) else { return };
    if let Ok(answer) = forecast(&fit, &schedule, &target.setting, &default_points(400, 9)) {
        let blocked = answer.caveats.iter().any(|caveat| caveat.blocking());
        assert!(blocked || answer.loss.iter().all(|loss| loss.is_finite()));
    }
});
