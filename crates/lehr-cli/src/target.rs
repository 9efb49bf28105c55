//! The run to forecast or to recommend for, and the fit it is done with.

use crate::failure::Failure;
use crate::load::positive;
use crate::output::say;
use clap::Args;
use lehr::fit::{FIT_FORMAT, Fit};
use lehr::forecast::Setting;
use lehr::{Params, Shape, Steps, Tokens};
use std::path::Path;

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

/// The warm-up: as given, else that of the runs fitted, said aloud.
pub fn warmup(given: Option<u64>, fit: &Fit, total: u64) -> Steps {
    Steps(given.unwrap_or_else(|| {
        let mut warmups: Vec<u64> = fit.runs.iter().map(|run| run.warmup + 1).collect();
        warmups.sort_unstable();
        let usual = warmups.get(warmups.len() / 2).copied().unwrap_or(0);
        if usual > total / 2 {
            say(format_args!(
                "note: warm-up {} updates, half the horizon, because that of the runs fitted ({usual}) leaves too little (--warmup says otherwise)",
                total / 2
            ));
        } else {
            say(format_args!(
                "note: warm-up {usual} updates, as in the runs fitted (--warmup says otherwise)"
            ));
        }
        usual.min(total / 2)
    }))
}

/// Reads a fit.
pub fn read_fit(path: &Path) -> Result<Fit, Failure> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| Failure::new(format_args!("{}: {error}", path.display())))?;
    let hint = "a fit is what `lehr fit PATH… -o fit.json` writes";
    let value: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
        Failure::new(format_args!("{}, line {}: not a fit: {error}", path.display(), error.line())).hint(hint)
    })?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FIT_FORMAT) => {}
        Some(format) => {
            return Err(Failure::new(format_args!(
                "{}: a fit of format {format}; this version reads format {FIT_FORMAT}",
                path.display()
            ))
            .hint("fit again with this version"));
        }
        None => {
            return Err(
                Failure::new(format_args!("{}: not a fit: it has no 'format'", path.display())).hint(hint)
            );
        }
    }
    // Not from the value: the text keeps the place of a fault.
    serde_json::from_str(&text)
        .map_err(|error| Failure::new(format_args!("{}: not a fit: {error}", path.display())).hint(hint))
}
