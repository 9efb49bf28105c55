//! The options of a fit, shared by every verb that fits.

use crate::failure::Failure;
use crate::load::count;
use crate::output::Output;
use clap::{Args, ValueEnum};
use lehr::features::{FeatureDefinition, Momentum};
use lehr::fit::{BeginSearch, Criterion, FitOptions, Residual, Weighting};
use lehr_app::Desk;
use lehr_app::forecast::checked_level;

/// The law that is fitted where none is named.
pub const LAW: &str = "noise-relaxation";

/// How to fit.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Fitting")]
pub struct FitArgs {
    /// Holds a coefficient at a value (repeat, or separate with commas).
    #[arg(long, value_name = "COEFFICIENT=VALUE", value_delimiter = ',')]
    pub fix: Vec<String>,
    /// Fits a coefficient that the law would hold on these data.
    #[arg(long, value_name = "COEFFICIENT", value_delimiter = ',')]
    pub free: Vec<String>,
    /// Replaces a coefficient's range.
    #[arg(long, value_name = "COEFFICIENT=LOWER..UPPER", value_delimiter = ',')]
    pub bound: Vec<String>,
    /// Puts a Gaussian prior on a coefficient (on its logarithm, where the fit moves that).
    #[arg(long, value_name = "COEFFICIENT=MEAN±SD", value_delimiter = ',')]
    pub prior: Vec<String>,
    /// Takes residuals on the losses themselves or on their logarithms.
    #[arg(long, value_enum, default_value_t = ResidualArg::Log)]
    pub residual: ResidualArg,
    /// Huber's δ in the residual's unit; 0 means plain least squares.
    #[arg(long, value_name = "DELTA", default_value_t = 1e-3, allow_negative_numbers = true)]
    pub huber: f64,
    /// Points fitted a curve, uniform in updates plus the last; `all` takes every one. Of longer curves about 1000 points
    /// are held while reading: means of neighbouring single-batch training losses, every k-th other loss.
    #[arg(long, value_name = "N", default_value = "48")]
    pub points: String,
    /// Leaves out points before this multiple of the warm-up.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.3, allow_negative_numbers = true)]
    pub skip_warmup: f64,
    /// Leaves out points before this share of each run's updates; `chosen` takes the share that forecasts the longest runs from the
    /// shorter ones best, for targets of three and more times the longest horizon.
    #[arg(long, value_name = "SHARE|chosen", default_value = "0", allow_negative_numbers = true)]
    pub first_share: String,
    /// Leaves out points before this update; `found` looks for the first from which the law's errors have no trend. Without it, `found`
    /// where no run's rates show a warm-up, else 0.
    #[arg(long, value_name = "UPDATE|found")]
    pub first_update: Option<String>,
    /// The starting paper's objective: Huber on raw losses, summed over all logged points, momentum over logged rows.
    #[arg(long)]
    pub published: bool,
    /// Rows of the annealing momentum M: every K-th update, or `logged` rows as in the starting paper's code.
    #[arg(long, value_name = "K|logged")]
    pub momentum: Option<String>,
    /// Fit runs that diverged or never learned all the same (names, `*` and `?` allowed; may be repeated).
    #[arg(long, value_name = "RUN")]
    pub keep: Vec<String>,
    /// Starts of the solver.
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub starts: usize,
    /// Iterations of the solver a start.
    #[arg(long, value_name = "N", default_value_t = 400)]
    pub max_iterations: u64,
    /// Seed of starts and bootstrap.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Level of the intervals.
    #[arg(long, value_name = "SHARE", default_value_t = 0.9, allow_negative_numbers = true)]
    pub level: f64,
    /// Threads; results do not depend on them. Default: all cores.
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

/// On which scale residuals are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ResidualArg {
    /// ln L̂ − ln L.
    Log,
    /// L̂ − L.
    Raw,
}

fn pair<'a>(flag: &str, text: &'a str, form: &str) -> Result<(&'a str, &'a str), Failure> {
    text.split_once('=')
        .map(|(name, value)| (name.trim(), value.trim()))
        .ok_or_else(|| Failure::usage(format_args!("--{flag} '{text}' is not of the form {form}")))
}

fn number(flag: &str, text: &str) -> Result<f64, Failure> {
    text.trim()
        .parse()
        .ok()
        .filter(|v: &f64| v.is_finite())
        .ok_or_else(|| Failure::usage(format_args!("--{flag}: '{text}' is not a finite number")))
}

impl FitArgs {
    /// The desk with as many threads as asked for.
    pub fn desk(&self, output: &Output) -> Result<Desk, Failure> {
        match self.threads {
            Some(threads) => output.desk().threads(threads),
            None => Ok(output.desk()),
        }
    }

    /// The library's options.
    pub fn options(&self) -> Result<FitOptions, Failure> {
        let mut options = if self.published {
            FitOptions {
                definition: Some(FeatureDefinition { momentum: Momentum::LoggedRows, ..Default::default() }),
                ..FitOptions::published()
            }
        } else {
            FitOptions {
                residual: match self.residual {
                    ResidualArg::Log => Residual::Log,
                    ResidualArg::Raw => Residual::Raw,
                },
                weighting: Weighting::EqualCurves,
                points_per_curve: match self.points.as_str() {
                    "all" => None,
                    text => match count(text) {
                        Ok(n) if n >= 2 => Some(n as usize),
                        _ => {
                            return Err(Failure::usage(format_args!(
                                "--points '{text}' is not a number of at least 2, nor 'all'"
                            )));
                        }
                    },
                },
                warmup_factor: self.skip_warmup,
                ..FitOptions::default()
            }
        };
        if !(self.huber.is_finite() && self.huber >= 0.0) {
            return Err(Failure::usage(format_args!("--huber {} is not a number of at least 0", self.huber)));
        }
        if !(self.skip_warmup.is_finite() && self.skip_warmup >= 0.0) {
            return Err(Failure::usage(format_args!(
                "--skip-warmup {} is not a number of at least 0",
                self.skip_warmup
            )));
        }
        if self.threads == Some(0) {
            return Err(Failure::usage("--threads 0: give at least one, or leave it out for all cores"));
        }
        if self.starts == 0 {
            return Err(Failure::usage("--starts 0: a fit needs at least one start"));
        }
        options.criterion =
            lehr::HuberDelta::new(self.huber).map_or(Criterion::Squares, |delta| Criterion::Huber { delta });
        match self.first_share.as_str() {
            "chosen" => options.choose_first_share = true,
            share => options.first_share = number("first-share", share)?,
        }
        match self.first_update.as_deref() {
            None if self.published => {}
            None => options.begin = BeginSearch::WithoutWarmup,
            Some("found") => options.begin = BeginSearch::Always,
            Some(text) => {
                options.first_update = count(text).map_err(|error| {
                    Failure::usage(format_args!(
                        "--first-update '{text}' is neither 'found' nor an update: {error}"
                    ))
                })?
            }
        }
        options.keep.clone_from(&self.keep);
        options.starts = self.starts;
        options.max_iterations = self.max_iterations;
        options.seed = self.seed;
        options.level = checked_level(self.level)?;
        options.freed = self.free.clone();
        for text in &self.fix {
            let (name, value) = pair("fix", text, "COEFFICIENT=VALUE, for example --fix alpha=0.5")?;
            options.fixed.insert(name.to_owned(), number("fix", value)?);
        }
        for text in &self.bound {
            let form = "COEFFICIENT=LOWER..UPPER, for example --bound alpha=0.1..2";
            let (name, value) = pair("bound", text, form)?;
            let (lower, upper) = value
                .split_once("..")
                .ok_or_else(|| Failure::usage(format_args!("--bound '{text}' is not of the form {form}")))?;
            let (lower, upper) = (number("bound", lower)?, number("bound", upper)?);
            if lower >= upper {
                return Err(Failure::usage(format_args!("--bound '{text}': {lower} is not below {upper}")));
            }
            options.bounds.insert(name.to_owned(), (lower, upper));
        }
        for text in &self.prior {
            let form = "COEFFICIENT=MEAN±SD, for example --prior q=0.6±0.1 (or q=0.6+-0.1)";
            let (name, value) = pair("prior", text, form)?;
            let (mean, sd) = value
                .split_once('±')
                .or_else(|| value.split_once("+-"))
                .ok_or_else(|| Failure::usage(format_args!("--prior '{text}' is not of the form {form}")))?;
            let (mean, sd) = (number("prior", mean)?, number("prior", sd)?);
            if sd <= 0.0 {
                return Err(Failure::usage(format_args!(
                    "--prior '{text}': the standard deviation {sd} is not above 0"
                )));
            }
            options.priors.insert(name.to_owned(), (mean, sd));
        }
        if let Some(text) = &self.momentum {
            let momentum = match text.as_str() {
                "logged" => Momentum::LoggedRows,
                text => match text.parse() {
                    Ok(stride) if stride >= 1 => Momentum::Dense { stride, warmup: false },
                    _ => {
                        return Err(Failure::usage(format_args!(
                            "--momentum '{text}' is neither a number of updates nor 'logged'"
                        )));
                    }
                },
            };
            options.definition = Some(FeatureDefinition { momentum, ..Default::default() });
        }
        Ok(options)
    }
}
