//! Newtypes where a swap would be silent or a range is an invariant.

use serde::{Deserialize, Serialize};

/// A number of optimizer updates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Steps(pub u64);

/// A number of training tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(transparent)]
pub struct Tokens(pub u64);

/// A number of trainable parameters, under the convention that the run states.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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

/// The level of an interval, 0 < level < 1: the share of cases in which it is to hold what it speaks of.
///
/// # Examples
/// ```
/// use lehr::Level;
/// assert_eq!(Level::new(0.9)?, Level::USUAL);
/// assert!(Level::new(90.0).is_err());
/// # Ok::<(), lehr::units::LevelError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct Level(f64);

/// The level was not a number between 0 and 1.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("the level is {0}; expected a number between 0 and 1, such as 0.9")]
pub struct LevelError(pub f64);

impl Level {
    /// 90 %, the level where none is stated.
    pub const USUAL: Self = Self(0.9);

    /// Checks the range.
    ///
    /// # Errors
    /// [`LevelError`] when `level` is NaN, at most 0 or at least 1.
    pub fn new(level: f64) -> Result<Self, LevelError> {
        if level > 0.0 && level < 1.0 { Ok(Self(level)) } else { Err(LevelError(level)) }
    }

    /// 1 − α, for an α that is written in the code: one outside its range does not compile.
    pub(crate) const fn without(alpha: f64) -> Self {
        assert!(alpha > 0.0 && alpha < 1.0);
        Self(1.0 - alpha)
    }

    /// The level as a plain number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl Default for Level {
    fn default() -> Self {
        Self::USUAL
    }
}

impl<'de> Deserialize<'de> for Level {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(f64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// δ of Huber's criterion, in the residual's unit: positive and finite.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize)]
#[serde(transparent)]
pub struct HuberDelta(f64);

/// δ was not a positive number.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
#[error("δ of Huber's criterion is {0}; expected a positive number, such as 0.001")]
pub struct HuberDeltaError(pub f64);

impl HuberDelta {
    /// 10⁻³, of the starting paper's code and of fits here.
    pub const USUAL: Self = Self(1e-3);

    /// Checks the range.
    ///
    /// # Errors
    /// [`HuberDeltaError`] when `delta` is NaN, infinite, 0 or below.
    pub fn new(delta: f64) -> Result<Self, HuberDeltaError> {
        if delta > 0.0 && delta.is_finite() { Ok(Self(delta)) } else { Err(HuberDeltaError(delta)) }
    }

    /// δ as a plain number.
    #[must_use]
    pub fn get(self) -> f64 {
        self.0
    }
}

impl<'de> Deserialize<'de> for HuberDelta {
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
display_number!(Steps, Tokens, Params, AnnealingRatio, Level, HuberDelta);

/// The text is no count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no whole number; expected digits, optionally with k, M, B or T, such as 24000, 24k, 1.5M or 0.4B, and at most 10^18"
)]
pub struct CountError(pub String);

/// Reads a whole number that may end in k (10³), M (10⁶), B or G (10⁹) or T (10¹²); the result must be whole.
///
/// The one grammar of counts: schedule texts, options and files read them alike. Underscores between digits, an
/// exponent (`1e9`) and a space before the unit are allowed; the arithmetic is exact.
///
/// # Errors
/// [`CountError`] for anything else, a fraction of one and more than 10¹⁸ included.
///
/// # Examples
/// ```
/// use lehr::units::parse_count;
/// assert_eq!(parse_count("24k"), Ok(24_000));
/// assert_eq!(parse_count("1.5M"), Ok(1_500_000));
/// assert_eq!(parse_count("1.3 B"), Ok(1_300_000_000));
/// assert_eq!(parse_count("2e4"), Ok(20_000));
/// assert!(parse_count("0.2").is_err());
/// ```
pub fn parse_count(text: &str) -> Result<u64, CountError> {
    const MOST: u128 = 1_000_000_000_000_000_000;
    let refused = || CountError(text.to_owned());
    let plain = text.trim().replace('_', "");
    let (number, unit) = match plain.char_indices().last() {
        Some((at, 'k' | 'K')) => (&plain[..at], 3),
        Some((at, 'm' | 'M')) => (&plain[..at], 6),
        Some((at, 'b' | 'B' | 'g' | 'G')) => (&plain[..at], 9),
        Some((at, 't' | 'T')) => (&plain[..at], 12),
        _ => (plain.as_str(), 0),
    };
    let number = number.trim();
    let number = number.strip_prefix('+').unwrap_or(number);
    let (mantissa, exponent) = match number.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i32>().map_err(|_| refused())?),
        None => (number, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) || fraction.len() > 1_000 {
        return Err(refused());
    }
    // The digits are moved by so many powers of ten; zeros that only fill are none of them.
    let significant = digits.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return Ok(0);
    }
    let filled = digits.len() - digits.trim_end_matches('0').len();
    let power = i64::from(exponent) + i64::from(unit) + filled as i64 - fraction.len() as i64;
    if !(0..=18).contains(&power) || significant.len() > 19 {
        return Err(refused());
    }
    let value = significant.parse::<u128>().map_err(|_| refused())? * 10_u128.pow(power as u32);
    u64::try_from(value).ok().filter(|&value| u128::from(value) <= MOST).ok_or_else(refused)
}

/// A count as people say it, in four digits at most: 85.0M, 1.33B, 100.7k, 512.
#[must_use]
pub fn short_count(count: u64) -> String {
    let n = count as f64;
    // The limits are where the digits shown round up to the next unit.
    match n {
        n if n >= 999.95e6 => format!("{:.2}B", n / 1e9),
        n if n >= 999.95e3 => format!("{:.1}M", n / 1e6),
        n if n >= 1e3 => format!("{:.1}k", n / 1e3),
        _ => count.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::parse_count;

    #[test]
    fn counts_are_read_exactly_and_nothing_else_is() {
        for (text, value) in [
            ("0", 0),
            ("0.0k", 0),
            ("007", 7),
            ("24_000", 24_000),
            ("1.2345678901M", 0),
            ("0.4B", 400_000_000),
            ("1.5T", 1_500_000_000_000),
            ("9007199254740993", 9_007_199_254_740_993),
            ("1000000000000000000", 1_000_000_000_000_000_000),
            ("1e3k", 1_000_000),
            ("50e-1", 5),
        ] {
            match value {
                0 if !text.starts_with('0') => assert!(parse_count(text).is_err(), "{text}"),
                value => assert_eq!(parse_count(text), Ok(value), "{text}"),
            }
        }
        for text in [
            "",
            "k",
            ".",
            "-1",
            "1.5",
            "1e400",
            "inf",
            "nan",
            "0x10",
            "1001P",
            "18446744073709551615",
            "1e19",
            "é",
        ] {
            assert!(parse_count(text).is_err(), "{text}");
        }
    }
}
