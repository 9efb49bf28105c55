//! The interval of loss differences along the ratio.

use super::Recommendation;

impl Recommendation {
    /// The interval of the loss at every ratio of [`Recommendation::curve`], as a difference to the recommended ratio
    /// (nats per token), at the level of the recommendation: L̂(r) ± the half-width that the costs of rules have, too.
    #[must_use]
    pub fn band(&self) -> Vec<(f64, f64)> {
        self.curve.iter().map(|p| (p.loss - p.half_width, p.loss + p.half_width)).collect()
    }
}
