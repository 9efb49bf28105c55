//! Newtypes where a swap would be silent or a range is an invariant.

use serde::{Deserialize, Serialize};

/// A number of optimizer updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Steps(pub u64);

/// A number of training tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Tokens(pub u64);

/// A number of trainable parameters, under the convention that the run states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Params(pub u64);

/// The share `r` of the whole horizon that is spent annealing, 0 ≤ r ≤ 1.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct AnnealingRatio(f64);

/// The ratio was not a number between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error(
    "annealing ratio {0} is not between 0 and 1 (it is a share of the whole horizon: 0.2 means the last 20 %)"
)]
pub struct RatioError(pub f64);

impl AnnealingRatio {
    /// Checks the range.
    ///
    /// # Errors
    /// [`RatioError`] when `ratio` is NaN, below 0 or above 1.
    pub fn new(ratio: f64) -> Result<Self, RatioError> {
        if (0.0..=1.0).contains(&ratio) { Ok(Self(ratio)) } else { Err(RatioError(ratio)) }
    }

    /// The ratio as a plain number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for AnnealingRatio {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

macro_rules! display_number {
    ($($name:ident),*) => {$(
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}
display_number!(Steps, Tokens, Params, AnnealingRatio);

/// The text is no count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no whole number; expected digits, optionally with k, M or B, such as 24000, 24k, 1.5M or 0.4B"
)]
pub struct CountError(pub String);

/// Reads a whole number that may end in k (10³), M (10⁶) or B (10⁹); the result must be whole.
///
/// # Errors
/// [`CountError`] for anything else, a fraction of one included.
///
/// # Examples
/// ```
/// use lehr::units::parse_count;
/// assert_eq!(parse_count("24k"), Ok(24_000));
/// assert_eq!(parse_count("1.5M"), Ok(1_500_000));
/// assert!(parse_count("0.2").is_err());
/// ```
pub fn parse_count(text: &str) -> Result<u64, CountError> {
    let refused = || CountError(text.to_owned());
    let plain = text.trim().replace('_', "");
    let (digits, scale) = match plain.char_indices().last() {
        Some((at, 'k' | 'K')) => (&plain[..at], 1e3),
        Some((at, 'm' | 'M')) => (&plain[..at], 1e6),
        Some((at, 'b' | 'B' | 'g' | 'G')) => (&plain[..at], 1e9),
        _ => (plain.as_str(), 1.0),
    };
    if let (Ok(whole), true) = (digits.parse::<u64>(), scale == 1.0) {
        return Ok(whole);
    }
    let value = digits.parse::<f64>().map_err(|_| refused())? * scale;
    let whole = value.round();
    // Above 2⁵³ not every whole number has a value of its own.
    if (0.0..9.0e15).contains(&whole) && (value - whole).abs() <= 1e-9 * whole.max(1.0) {
        Ok(whole as u64)
    } else {
        Err(refused())
    }
}
