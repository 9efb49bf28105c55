//! The run to forecast or to recommend for.

use crate::failure::Failure;
use crate::load::positive;
use clap::Args;
use lehr::budget::Length;
use lehr::forecast::Setting;
use lehr::{ArchFamily, Params, Shape, Tokens};

/// What the target run is, besides its schedule.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub struct SettingArgs {
    /// Parameters N, counted as in the fit (k M B are understood; `forecast` and `recommend` take several, separated by commas). Default: that of the runs fitted.
    #[arg(long, value_name = "N,…", value_delimiter = ',', value_parser = positive)]
    pub params: Vec<u64>,
    /// Tokens per update, to check the batch against the runs fitted.
    #[arg(long, value_name = "TOKENS", value_parser = positive)]
    pub tokens_per_step: Option<u64>,
    /// Architecture, to check it against the runs fitted.
    #[arg(long, value_name = "dense|moe", value_parser = family)]
    pub arch: Option<ArchFamily>,
}

impl SettingArgs {
    /// The library's setting of one run.
    pub fn one(&self) -> Result<Setting, Failure> {
        if self.params.len() > 1 {
            return Err(Failure::usage("[[params]] names several sizes: this is about one run").hint(
                "`lehr forecast` and `lehr recommend` take several of runs that have not begun, one row each",
            ));
        }
        Ok(self.setting())
    }

    /// What several runs share, with N where there is one.
    pub fn setting(&self) -> Setting {
        let only = if self.params.len() == 1 { self.params.first() } else { None };
        Setting {
            params: only.copied().map(Params),
            tokens_per_step: self.tokens_per_step.map(Tokens),
            arch: self.arch,
        }
    }
}

/// How long the target is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Target")]
pub struct LengthArgs {
    /// Horizon in updates (k M B are understood); with --running, default: as the job's log says.
    #[arg(long, alias = "max-steps", value_name = "UPDATES", value_parser = positive, conflicts_with_all = ["tokens", "compute"])]
    pub steps: Option<u64>,
    /// Horizon in tokens (k M B T are understood); the batch is that of --tokens-per-step or of the runs fitted.
    #[arg(long, value_name = "TOKENS", value_parser = positive, conflicts_with = "compute")]
    pub tokens: Option<u64>,
    /// Horizon in floating-point operations of the training, 6·N·tokens: 1e21.
    #[arg(long, value_name = "FLOPS", value_parser = operations)]
    pub compute: Option<f64>,
}

impl LengthArgs {
    /// The library's length, if one was stated.
    pub fn length(&self) -> Option<Length> {
        (self.steps.map(Length::Updates))
            .or(self.tokens.map(Length::Tokens))
            .or(self.compute.map(Length::Compute))
    }
}

/// A number of operations.
fn operations(text: &str) -> Result<f64, String> {
    match text.trim().parse::<f64>() {
        Ok(value) if value.is_finite() && value > 0.0 => Ok(value),
        _ => Err(format!("'{text}' is not a number of operations above 0 such as 1e21")),
    }
}

/// A share between 0 and 1, or a percentage.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.trim().strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(value) if (0.0..=1.0).contains(&(value / unit)) => Ok(value / unit),
        _ => Err(format!("'{text}' is not a share between 0 and 1 such as 0.3 or 30%")),
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

/// A family of architectures by name.
pub fn family(text: &str) -> Result<ArchFamily, String> {
    text.parse::<ArchFamily>().map_err(|error| error.to_string())
}
