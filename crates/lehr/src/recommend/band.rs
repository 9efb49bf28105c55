//! The interval of loss differences along the ratio.

use super::Recommendation;
use crate::fit::Fit;
use crate::quantile::student;

impl Recommendation {
    /// The interval of the loss at every ratio of [`Recommendation::curve`], as a difference to the recommended ratio
    /// (nats per token), at the level of the fit. `fit` is the fit that the recommendation was made from.
    ///
    /// # Formula
    /// ```text
    /// L̂(r) ± t·s(r)
    /// t     Student's t at the fit's level with the degrees of freedom of its refits, as for the regret of rules
    /// s(r)  standard deviation over the refits of the loss difference to the recommended ratio
    /// ```
    #[must_use]
    pub fn band(&self, fit: &Fit) -> Vec<(f64, f64)> {
        let t = student(self.level, fit.uncertainty.degrees());
        self.curve.iter().map(|p| (p.loss - t * p.difference_sd, p.loss + t * p.difference_sd)).collect()
    }
}
