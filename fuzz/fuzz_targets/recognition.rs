//! Recognition of schedules: any rows, any options.
#![no_main]

use lehr::Steps;
use lehr::schedule::{RecogniseOptions, recognise};

/// The next eight bytes as a number.
fn next(bytes: &mut &[u8]) -> Option<u64> {
    let (first, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*first))
}

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let mut bytes = input;
    let Some(flags) = next(&mut bytes) else { return };
    let mut option = |bit: u32| if flags >> bit & 1 == 1 { next(&mut bytes) } else { None };
    let options = RecogniseOptions {
        total: option(0).map(Steps),
        warmup: option(1).map(Steps),
        warmup_lr: option(2).map(f64::from_bits),
        peak_lr: option(3).map(f64::from_bits),
        offset: option(4).map(|bits| bits as i64),
        ..RecogniseOptions::default()
    };
    // Small gaps and rates of few digits unless the flags ask for any number.
    let wild = flags >> 5 & 1 == 1;
    let mut step = 0_u64;
    let mut rows = Vec::new();
    while rows.len() < 400
        && let (Some(gap), Some(rate)) = (next(&mut bytes), next(&mut bytes))
    {
        step = step.saturating_add(if wild { gap } else { gap % 100 });
        rows.push((step, if wild { f64::from_bits(rate) } else { (rate % 1000) as f64 * 1e-6 }));
    }
    if let Ok(found) = recognise(&rows, &options) {
        assert!(found.residual.max.is_finite() && found.residual.rms.is_finite());
        assert!(options.total.is_none_or(|total| total == found.schedule.total()));
        assert!(found.schedule.sum(found.schedule.total()).is_finite());
    }
});
