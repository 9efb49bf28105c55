//! How the rate moves from one value to another.

use super::ScheduleError;
use crate::bounds;
use serde::{Deserialize, Serialize};

/// How the rate falls during annealing. p is the share of the annealing updates done, 0 < p ≤ 1.
///
/// Written and stored as text: `linear`, `cosine`, `1-sqrt`, `exponential`, `geometric`, `inverse`, `power:2`.
///
/// # Examples
/// ```
/// use lehr::Shape;
/// assert_eq!("minus_sqrt".parse::<Shape>()?, Shape::OneMinusSqrt);
/// assert_eq!(Shape::Power(2.0).to_string(), "power:2");
/// assert!("quadratic-ish".parse::<Shape>().is_err());
/// # Ok::<(), lehr::schedule::ShapeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(into = "String", try_from = "String")]
pub enum Shape {
    /// f = 1 − p.
    #[default]
    Linear,
    /// f = (1 + cos πp)/2.
    Cosine,
    /// f = 1 − √p.
    OneMinusSqrt,
    /// f = 2·0.5^p − 1: the exponential of Megatron-LM, which ends at the final rate exactly.
    Exponential,
    /// η = η_max·(η_f/η_max)^p: a straight line in log η; needs a final rate above 0.
    Geometric,
    /// 1/η = (1 − p)/η_max + p/η_f: a straight line in 1/η; needs a final rate above 0.
    Inverse,
    /// f = (1 − p)^β, β > 0: the paper's eq. 12.
    Power(f64),
}

impl Shape {
    /// The rate at share p of the way from `from` to `to`.
    ///
    /// # Formula
    /// η = to + (from − to)·f(p); geometric and inverse as their variants say.
    #[must_use]
    pub fn between(self, from: f64, to: f64, p: f64) -> f64 {
        if from == to {
            return to;
        }
        let f = match self {
            Self::Linear => 1.0 - p,
            Self::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * p).cos()),
            Self::OneMinusSqrt => 1.0 - p.sqrt(),
            Self::Exponential => 2.0 * (-p * std::f64::consts::LN_2).exp() - 1.0,
            Self::Power(beta) => (1.0 - p).max(0.0).powf(beta),
            Self::Geometric => return from * (to / from).powf(p),
            Self::Inverse => return 1.0 / ((1.0 - p) / from + p / to),
        };
        to + (from - to) * f
    }

    /// Whether the shape can connect two rates.
    ///
    /// # Errors
    /// [`ScheduleError::Shape`] for a geometric or inverse shape with a rate of 0; [`ScheduleError::Rate`] for a bad power.
    pub fn check(self, from: f64, to: f64) -> Result<(), ScheduleError> {
        match self {
            Self::Geometric | Self::Inverse if from != to && (to == 0.0 || from == 0.0) => {
                Err(ScheduleError::Shape {
                    shape: self.to_string(),
                    final_lr: to,
                    why: "it needs rates above 0 at both ends",
                })
            }
            Self::Power(beta) if !bounds::POWER.holds(beta) => Err(ScheduleError::Rate {
                what: "the shape's power".into(),
                value: beta,
                expected: bounds::POWER.words,
            }),
            _ => Ok(()),
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Linear => f.write_str("linear"),
            Self::Cosine => f.write_str("cosine"),
            Self::OneMinusSqrt => f.write_str("1-sqrt"),
            Self::Exponential => f.write_str("exponential"),
            Self::Geometric => f.write_str("geometric"),
            Self::Inverse => f.write_str("inverse"),
            Self::Power(beta) => write!(f, "power:{beta}"),
        }
    }
}

/// The text names no shape.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no annealing shape; expected linear, cosine, 1-sqrt, exponential (2·0.5^p − 1), geometric, inverse or power:BETA with BETA between 0.001 and 1000"
)]
pub struct ShapeError(pub String);

impl std::str::FromStr for Shape {
    type Err = ShapeError;

    /// Reads the written form and the spellings that trainers use for the same curve.
    fn from_str(text: &str) -> Result<Self, ShapeError> {
        let name = text.trim().to_ascii_lowercase().replace('_', "-");
        let refused = || ShapeError(text.to_owned());
        Ok(match name.as_str() {
            "linear" | "lin" => Self::Linear,
            "cosine" | "cos" => Self::Cosine,
            "1-sqrt"
            | "1sqrt"
            | "sqrt"
            | "1-√p"
            | "minus-sqrt"
            | "1-minus-sqrt"
            | "one-minus-sqrt"
            | "one-minus-square-root" => Self::OneMinusSqrt,
            "exponential" | "exp" => Self::Exponential,
            "geometric" | "geom" | "log-linear" => Self::Geometric,
            "inverse" | "inv" | "inverse-linear" => Self::Inverse,
            "square" | "quadratic" => Self::Power(2.0),
            _ => {
                let beta = name.strip_prefix("power").ok_or_else(refused)?;
                let beta = beta.trim_start_matches([':', '=', '(']).trim_end_matches(')');
                let beta: f64 = beta.parse().map_err(|_| refused())?;
                if !bounds::POWER.holds(beta) {
                    return Err(refused());
                }
                Self::Power(beta)
            }
        })
    }
}

impl From<Shape> for String {
    fn from(shape: Shape) -> Self {
        shape.to_string()
    }
}

impl TryFrom<String> for Shape {
    type Error = ShapeError;

    fn try_from(text: String) -> Result<Self, ShapeError> {
        text.parse()
    }
}
