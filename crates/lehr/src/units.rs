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
