//! The unit of a loss: nats or bits a token, or bits a byte.

use crate::mapping::has_word;
use lehr::CaveatKind;
use serde::{Deserialize, Serialize};

/// The unit in which a log holds its losses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LossUnit {
    /// Nats a token: −ln p.
    Nats,
    /// Bits a token: −log₂ p (fairseq, metaseq).
    Bits,
    /// Bits a byte of text.
    BitsPerByte,
}

impl LossUnit {
    /// Every unit.
    pub const ALL: [Self; 3] = [Self::Nats, Self::Bits, Self::BitsPerByte];

    /// Its name in options.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Nats => "nats",
            Self::Bits => "bits",
            Self::BitsPerByte => "bits-per-byte",
        }
    }

    /// Nats in one of it; what is counted a byte stays a byte.
    #[must_use]
    pub fn nats(self) -> f64 {
        match self {
            Self::Nats => 1.0,
            Self::Bits | Self::BitsPerByte => std::f64::consts::LN_2,
        }
    }

    /// The unit that a column's name states: `loss_bits`, `val/bpb`, `bits_per_token`.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        if has_word(name, &["bpb", "bpc"])
            || (has_word(name, &["bits"]) && has_word(name, &["byte", "bytes"]))
        {
            Some(Self::BitsPerByte)
        } else if has_word(name, &["bits", "bpt"]) {
            Some(Self::Bits)
        } else {
            has_word(name, &["nats"]).then_some(Self::Nats)
        }
    }
}

/// What a log says about the unit of one of its losses.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct UnitEvidence {
    /// The column.
    pub column: String,
    /// The column of perplexities beside it.
    pub perplexity: String,
    /// Losses and perplexities of some rows.
    pub rows: Vec<(f64, f64)>,
}

/// Rows of evidence that are enough.
pub(crate) const ENOUGH: usize = 256;

/// A unit and how it is known.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Found {
    pub(crate) unit: LossUnit,
    pub(crate) why: String,
}

impl UnitEvidence {
    /// The median of ln(perplexity)/loss.
    fn ratio(&self) -> Option<f64> {
        let usable = |&(loss, perplexity): &(f64, f64)| {
            (loss > 0.0 && loss.is_finite() && perplexity > 1.0 && perplexity.is_finite())
                .then(|| perplexity.ln() / loss)
        };
        let mut ratios: Vec<f64> = self.rows.iter().filter_map(usable).collect();
        if ratios.is_empty() {
            return None;
        }
        let middle = ratios.len() / 2;
        Some(*ratios.select_nth_unstable_by(middle, f64::total_cmp).1)
    }

    /// The unit, by the name of the column, else by the perplexity beside it.
    ///
    /// # Formula
    /// ln(perplexity)/loss is 1 for nats and ln 2 for bits; its median within 5 % of one of them decides.
    ///
    /// # Errors
    /// The caveat where the two columns agree with neither.
    pub(crate) fn unit(&self, run: &str) -> Result<Option<Found>, CaveatKind> {
        const NEAR: f64 = 0.05;
        let named = LossUnit::of_name(&self.column);
        if let Some(unit) = named {
            return Ok(Some(Found { unit, why: format!("the name of '{}'", self.column) }));
        }
        let Some(ratio) = self.ratio() else { return Ok(None) };
        let near = |of: f64| (ratio / of - 1.0).abs() < NEAR;
        let why = |power: &str| format!("'{}' is {power}^'{}'", self.perplexity, self.column);
        if near(1.0) {
            Ok(Some(Found { unit: LossUnit::Nats, why: why("e") }))
        } else if near(std::f64::consts::LN_2) {
            Ok(Some(Found { unit: LossUnit::Bits, why: why("2") }))
        } else {
            Err(CaveatKind::UnknownUnit {
                run: run.to_owned(),
                loss: self.column.clone(),
                perplexity: self.perplexity.clone(),
                ratio,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_state_the_unit() {
        assert_eq!(LossUnit::of_name("loss_bits"), Some(LossUnit::Bits));
        assert_eq!(LossUnit::of_name("bits_per_token"), Some(LossUnit::Bits));
        assert_eq!(LossUnit::of_name("val/bpb"), Some(LossUnit::BitsPerByte));
        assert_eq!(LossUnit::of_name("bits per byte"), Some(LossUnit::BitsPerByte));
        assert_eq!(LossUnit::of_name("loss (nats)"), Some(LossUnit::Nats));
        assert_eq!(LossUnit::of_name("habits/loss"), None);
    }

    #[test]
    fn loss_and_perplexity_are_held_against_each_other() {
        let evidence = |power: fn(f64) -> f64| UnitEvidence {
            column: "loss".to_owned(),
            perplexity: "ppl".to_owned(),
            rows: (0..9).map(|i| f64::from(i) / 4.0 + 2.0).map(|loss| (loss, power(loss))).collect(),
        };
        let unit =
            |power: fn(f64) -> f64| evidence(power).unit("run").map(|found| found.map(|found| found.unit));
        assert_eq!(unit(f64::exp), Ok(Some(LossUnit::Nats)));
        assert_eq!(unit(f64::exp2), Ok(Some(LossUnit::Bits)));
        assert!(unit(|loss| 10_f64.powf(loss)).is_err());
        assert_eq!(UnitEvidence::default().unit("run"), Ok(None));
    }
}
