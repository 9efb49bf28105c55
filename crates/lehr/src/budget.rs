//! How long a target run is, as people state it: in updates, in tokens, in floating-point operations.

use crate::units::{Params, Steps, Tokens};

/// The length of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Length {
    /// Updates.
    Updates(u64),
    /// Tokens.
    Tokens(u64),
    /// Floating-point operations of the training.
    Compute(f64),
}

/// Floating-point operations of the training for each parameter and token: two forward, four backward.
const OPERATIONS: f64 = 6.0;

/// Why a length is no number of updates.
#[derive(Debug, Clone, Copy, PartialEq, thiserror::Error)]
pub enum LengthError {
    /// Tokens without the batch.
    #[error("a length in {0} needs the batch: tokens an update")]
    NoBatch(&'static str),
    /// Compute without N.
    #[error("a length in compute needs N: 6·N·D operations train N parameters on D tokens")]
    NoParams,
    /// Less than one update.
    #[error("{tokens:.4e} tokens are less than one update of {batch} tokens")]
    TooShort {
        /// Tokens of the whole run.
        tokens: f64,
        /// Tokens an update.
        batch: u64,
    },
}

impl Length {
    /// The number of updates, rounded.
    ///
    /// # Formula
    /// T = D/B; D = C/(6·N). D tokens, B tokens an update, C operations, N parameters (those that a token passes through).
    ///
    /// # Errors
    /// [`LengthError`], one variant a reason.
    ///
    /// # Source
    /// Kaplan et al., Scaling Laws for Neural Language Models, 2020, section 2.1: C ≈ 6·N·D, without embeddings and attention scores.
    ///
    /// # Examples
    /// ```
    /// use lehr::budget::Length;
    /// use lehr::{Params, Steps, Tokens};
    /// let (n, batch) = (Some(Params(1_000_000_000)), Some(Tokens(500_000)));
    /// assert_eq!(Length::Tokens(20_000_000_000).updates(n, batch), Ok(Steps(40_000)));
    /// assert_eq!(Length::Compute(1.2e20).updates(n, batch), Ok(Steps(40_000)));
    /// ```
    pub fn updates(self, params: Option<Params>, batch: Option<Tokens>) -> Result<Steps, LengthError> {
        let (tokens, unit) = match self {
            Self::Updates(updates) => return Ok(Steps(updates)),
            Self::Tokens(tokens) => (tokens as f64, "tokens"),
            Self::Compute(operations) => {
                let params = params.filter(|n| n.0 > 0).ok_or(LengthError::NoParams)?;
                (operations / (OPERATIONS * params.0 as f64), "compute")
            }
        };
        let batch = batch.filter(|b| b.0 > 0).ok_or(LengthError::NoBatch(unit))?;
        let updates = (tokens / batch.0 as f64).round();
        if updates >= 1.0 && updates < u64::MAX as f64 {
            Ok(Steps(updates as u64))
        } else {
            Err(LengthError::TooShort { tokens, batch: batch.0 })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_length_needs_is_asked_for() {
        let batch = Some(Tokens(1000));
        assert_eq!(Length::Updates(7).updates(None, None), Ok(Steps(7)));
        assert_eq!(Length::Tokens(7_400).updates(None, batch), Ok(Steps(7)));
        assert_eq!(Length::Tokens(7).updates(None, None), Err(LengthError::NoBatch("tokens")));
        assert_eq!(Length::Compute(1e20).updates(None, batch), Err(LengthError::NoParams));
        let short = Length::Tokens(100).updates(None, batch);
        assert_eq!(short, Err(LengthError::TooShort { tokens: 100.0, batch: 1000 }));
    }
}
