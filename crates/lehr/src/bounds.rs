//! Bounds of every number about a schedule or a run that a user or a log can state.
//!
//! They lie far outside what is trained today and far inside what arithmetic holds, so that a slip of the keyboard or a
//! column of tokens is refused by name, and no sum overflows behind them.

/// A bound on a whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Whole {
    /// Smallest value.
    pub least: u64,
    /// Largest value.
    pub most: u64,
    /// What it counts.
    pub unit: &'static str,
}

/// A bound on a real number; 0 may be allowed besides the range.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Real {
    /// Smallest value.
    pub least: f64,
    /// Largest value.
    pub most: f64,
    /// Whether 0 is allowed too.
    pub zero: bool,
    /// The range in words.
    pub words: &'static str,
}

/// Updates of a run, a phase or a warm-up, and the steps of a log.
pub const UPDATES: Whole = Whole { least: 1, most: 1_000_000_000, unit: "updates" };
/// Rates of a schedule that is kept as one rate an update (8 bytes each).
pub const SAMPLED_UPDATES: Whole = Whole { least: 1, most: 20_000_000, unit: "updates" };
/// Distance between a log's step and the update whose rate it holds, in size.
pub const OFFSET: Whole = Whole { least: 0, most: 1_000_000_000, unit: "updates" };
/// Parameters N of a model.
pub const PARAMS: Whole = Whole { least: 1, most: 1_000_000_000_000_000, unit: "parameters" };
/// Tokens of one update.
pub const TOKENS_PER_UPDATE: Whole = Whole { least: 1, most: 1_000_000_000_000, unit: "tokens" };
/// A rate of an update.
pub const RATE: Real =
    Real { least: 1e-30, most: 1e3, zero: true, words: "0, or a rate between 1e-30 and 1000" };
/// A rate that a run trains at.
pub const PEAK_RATE: Real =
    Real { least: 1e-12, most: 1e3, zero: false, words: "a rate between 1e-12 and 1000" };
/// The power β of the shape (1 − p)^β.
pub const POWER: Real = Real { least: 1e-3, most: 1e3, zero: false, words: "a power between 0.001 and 1000" };

/// A number lies outside its bound.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{what} is {found}; expected {expected}")]
pub struct BoundError {
    /// Which number.
    pub what: String,
    /// Its value.
    pub found: String,
    /// The bound in words.
    pub expected: String,
}

impl Whole {
    /// Whether the value lies within.
    #[must_use]
    pub fn holds(&self, value: u64) -> bool {
        (self.least..=self.most).contains(&value)
    }

    /// The value itself if it lies within.
    ///
    /// # Errors
    /// [`BoundError`], which names the number and the bound.
    ///
    /// # Examples
    /// ```
    /// use lehr::bounds::UPDATES;
    /// assert_eq!(UPDATES.check("the horizon", 24_000), Ok(24_000));
    /// let error = UPDATES.check("the horizon", 2_000_000_000).unwrap_err();
    /// assert_eq!(error.to_string(), "the horizon is 2000000000; expected 1 … 1000000000 updates");
    /// ```
    pub fn check(&self, what: &str, value: u64) -> Result<u64, BoundError> {
        if self.holds(value) {
            return Ok(value);
        }
        let Self { least, most, unit } = self;
        Err(BoundError {
            what: what.to_owned(),
            found: value.to_string(),
            expected: format!("{least} … {most} {unit}"),
        })
    }
}

impl Real {
    /// Whether the value lies within; never for NaN and infinities.
    #[must_use]
    pub fn holds(&self, value: f64) -> bool {
        (self.least..=self.most).contains(&value) || (self.zero && value == 0.0)
    }

    /// The value itself if it lies within.
    ///
    /// # Errors
    /// [`BoundError`], which names the number and the bound.
    pub fn check(&self, what: &str, value: f64) -> Result<f64, BoundError> {
        if self.holds(value) {
            return Ok(value);
        }
        Err(BoundError {
            what: what.to_owned(),
            found: crate::schedule::number(value),
            expected: self.words.to_owned(),
        })
    }
}
