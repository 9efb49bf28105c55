//! The run to forecast or to recommend for.

use crate::load::positive;
use clap::Args;
use lehr::forecast::Setting;
use lehr::{Params, Shape, Tokens};

/// What the target run is, besides its schedule.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub struct SettingArgs {
    /// Parameters N, counted as in the fit (k M B are understood). Default: that of the runs fitted.
    #[arg(long, value_name = "N", value_parser = positive)]
    pub params: Option<u64>,
    /// Tokens per update, to check the batch against the runs fitted.
    #[arg(long, value_name = "TOKENS", value_parser = positive)]
    pub tokens_per_step: Option<u64>,
    /// Architecture, to check it against the runs fitted.
    #[arg(long, value_name = "dense|moe", value_parser = ["dense", "moe"])]
    pub arch: Option<String>,
}

impl SettingArgs {
    /// The library's setting.
    pub fn setting(&self) -> Setting {
        Setting {
            params: self.params.map(Params),
            tokens_per_step: self.tokens_per_step.map(Tokens),
            arch: self.arch.clone(),
        }
    }
}

/// A rate above 0.
pub fn rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("'{text}' is not a rate above 0 such as 3e-4")),
    }
}

/// A rate of at least 0.
pub fn final_rate(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value >= 0.0 => Ok(value),
        _ => Err(format!("'{text}' is not a rate of at least 0 such as 3e-5")),
    }
}

/// A shape by name.
pub fn shape(text: &str) -> Result<Shape, String> {
    text.parse::<Shape>().map_err(|error| error.to_string())
}
