//! What a target takes over from the runs fitted where nothing else is said.

use super::Fit;
use crate::Steps;

impl Fit {
    /// The usual warm-up W of the runs fitted, in updates: the upper median; 0 without runs.
    ///
    /// A target whose warm-up is not stated gets this one, at most half its horizon.
    #[must_use]
    pub fn usual_warmup(&self) -> Steps {
        let mut warmups: Vec<u64> = self.runs.iter().map(|run| run.warmup).collect();
        warmups.sort_unstable();
        Steps(warmups.get(warmups.len() / 2).copied().unwrap_or(0))
    }

    /// The first update that the fit speaks about: the longest warm-up of the runs fitted times the factor that the fit
    /// left out. What a law says about earlier updates is no forecast.
    #[must_use]
    pub fn first_update(&self) -> u64 {
        // The last update before the peak rate.
        let longest = self.runs.iter().map(|run| run.warmup.saturating_sub(1)).max().unwrap_or(0);
        (longest as f64 * self.options.warmup_factor).ceil() as u64
    }
}
