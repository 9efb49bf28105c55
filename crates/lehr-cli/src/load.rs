//! The part of the command line that every verb reading logs shares.

use crate::failure::Failure;
use clap::{Args, ValueEnum};
use lehr::{LossKind, Schedule, Steps};
use lehr_app::Reading;
use lehr_io::{LossUnit, MapOverrides, ReadOptions, SplitChoice};
use std::path::PathBuf;

/// Which logs to read, and how.
#[derive(Debug, Clone, Args)]
pub struct LoadArgs {
    /// Logs, tables, directories of them (searched to the bottom), run stores; patterns with * ? ** are expanded.
    #[arg(required = true, value_name = "PATH")]
    pub paths: Vec<PathBuf>,
    /// Says which column holds what: loss, val_loss, lr, step, run, split, tokens, samples, time (repeat, or separate with
    /// commas).
    #[arg(long, value_name = "ROLE=COLUMN", value_delimiter = ',', help_heading = "Reading")]
    pub map: Vec<String>,
    /// Takes only runs whose name fits a pattern with `*`, `?` and `[abc]`; '!GLOB' takes all but those (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Reading")]
    pub run: Vec<String>,
    /// Takes no run whose name fits a pattern with `*`, `?` and `[abc]` (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',', help_heading = "Reading")]
    pub exclude: Vec<String>,
    /// Takes these losses; default: validation where a run has it.
    #[arg(long, value_enum, help_heading = "Reading")]
    pub split: Option<SplitArg>,
    /// Warm-up updates of logs that begin after the warm-up.
    #[arg(long, value_name = "UPDATES", value_parser = count, help_heading = "Reading")]
    pub warmup: Option<u64>,
    /// Parameters N of every run, whatever the logs say (k M B are understood).
    #[arg(long, value_name = "N", value_parser = positive, help_heading = "Reading")]
    pub params: Option<u64>,
    /// Column of the manifest that holds N; default: without embeddings where the manifest has it.
    #[arg(long, value_name = "COLUMN", help_heading = "Reading")]
    pub params_column: Option<String>,
    /// Tokens per update, where the logs do not say (k M B are understood).
    #[arg(long, value_name = "TOKENS", value_parser = positive, help_heading = "Reading")]
    pub tokens_per_step: Option<u64>,
    /// Samples (sequences) per update, for logs that count samples and not updates.
    #[arg(long, value_name = "SAMPLES", value_parser = positive, help_heading = "Reading")]
    pub samples_per_step: Option<u64>,
    /// The schedule of every run, for logs without a learning rate: wsd:peak=3e-4,total=24k,warmup=2160,ratio=0.2 and the
    /// like (docs/formats/schedule-text.md).
    #[arg(long, value_name = "SCHEDULE", help_heading = "Reading")]
    pub stated_schedule: Option<String>,
    /// What a logged rate of 1 stands for, for logs that hold multiples of the peak rate.
    #[arg(long, value_name = "RATE", help_heading = "Reading")]
    pub lr_scale: Option<f64>,
    /// What a training loss stands for, whatever the source says: instant, mean:UPDATES or ema:DECAY.
    #[arg(long, value_name = "KIND", value_parser = loss_kind, help_heading = "Reading")]
    pub loss_kind: Option<LossKind>,
    /// The unit of the losses, whatever the source says; default: nats a token, unless names or perplexities say otherwise.
    #[arg(long, value_enum, value_name = "UNIT", help_heading = "Reading")]
    pub unit: Option<UnitArg>,
    /// A manifest (CSV or TOML) that describes the runs; one next to the logs is found without this.
    #[arg(long, value_name = "FILE", help_heading = "Reading")]
    pub manifest: Option<PathBuf>,
    /// Leaves rows out whose loss is NaN, infinite, zero or negative, instead of refusing them.
    #[arg(long, help_heading = "Reading")]
    pub drop_nan: bool,
    /// Keeps the last row of each update where rows look like several runs, instead of refusing them.
    #[arg(long, help_heading = "Reading")]
    pub stitch: bool,
}

/// Which losses to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SplitArg {
    /// Training losses.
    Train,
    /// Validation losses.
    #[value(alias = "validation")]
    Val,
}

impl SplitArg {
    /// The library's choice.
    pub fn choice(given: Option<Self>) -> SplitChoice {
        match given {
            None => SplitChoice::Auto,
            Some(Self::Train) => SplitChoice::Train,
            Some(Self::Val) => SplitChoice::Validation,
        }
    }
}

/// Columns by role, from ROLE=COLUMN.
pub fn read_map(texts: &[String]) -> Result<MapOverrides, Failure> {
    let mut map = MapOverrides::default();
    for text in texts {
        map.add(text).map_err(|error| {
            let hint = error.hint();
            Failure::usage(error).hint(hint.unwrap_or_default())
        })?;
    }
    Ok(map)
}

/// A whole number, with k, M, B or T behind it if one likes: [`lehr::units::parse_count`], the grammar of schedules and files.
///
/// # Errors
/// A sentence that clap shows, for anything else.
pub fn count(text: &str) -> Result<u64, String> {
    lehr::units::parse_count(text).map_err(|error| error.to_string())
}

/// A whole number of at least 1.
///
/// # Errors
/// As [`count`], and for 0.
pub fn positive(text: &str) -> Result<u64, String> {
    match count(text)? {
        0 => Err("0 is none; expected at least 1".to_owned()),
        value => Ok(value),
    }
}

fn stated(text: &str) -> Result<Schedule, Failure> {
    text.parse().map_err(|error| {
        Failure::usage(format_args!("[[stated_schedule]] '{text}': {error}"))
            .hint("write FAMILY:KEY=VALUE,…, for instance wsd:peak=3e-4,total=24k,warmup=2160,ratio=0.2")
    })
}

/// What one loss stands for.
fn loss_kind(text: &str) -> Result<LossKind, String> {
    let wrong =
        || format!("'{text}' is none of instant, mean:UPDATES (at least 1) and ema:DECAY (between 0 and 1)");
    match text.split_once(':') {
        None if text == "instant" => Ok(LossKind::Instant),
        Some(("mean", updates)) => Ok(LossKind::IntervalMean(Steps(positive(updates).map_err(|_| wrong())?))),
        Some(("ema", decay)) => {
            let decay = decay.parse().ok().filter(|decay| *decay > 0.0 && *decay < 1.0);
            Ok(LossKind::Ema(decay.ok_or_else(wrong)?))
        }
        _ => Err(wrong()),
    }
}

/// The unit of a loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum UnitArg {
    /// Nats a token.
    Nats,
    /// Bits a token.
    Bits,
    /// Bits a byte of text.
    BitsPerByte,
}

impl UnitArg {
    /// As the library names it.
    fn unit(self) -> LossUnit {
        match self {
            Self::Nats => LossUnit::Nats,
            Self::Bits => LossUnit::Bits,
            Self::BitsPerByte => LossUnit::BitsPerByte,
        }
    }
}

impl LoadArgs {
    /// Logs as they are, nothing mapped or chosen.
    pub fn of(paths: &[PathBuf]) -> Self {
        Self {
            paths: paths.to_vec(),
            map: Vec::new(),
            run: Vec::new(),
            exclude: Vec::new(),
            split: None,
            warmup: None,
            params: None,
            params_column: None,
            tokens_per_step: None,
            samples_per_step: None,
            stated_schedule: None,
            lr_scale: None,
            loss_kind: None,
            unit: None,
            manifest: None,
            drop_nan: false,
            stitch: false,
        }
    }

    /// The library's request.
    pub fn reading(&self) -> Result<Reading, Failure> {
        let map = read_map(&self.map)?;
        let options = ReadOptions {
            map,
            runs: self
                .run
                .iter()
                .cloned()
                .chain(self.exclude.iter().map(|glob| format!("!{glob}")))
                .collect(),
            split: SplitArg::choice(self.split),
            warmup: self.warmup,
            params: self.params,
            params_column: self.params_column.clone(),
            tokens_per_step: self.tokens_per_step,
            samples_per_step: self.samples_per_step,
            schedule: self.stated_schedule.as_deref().map(stated).transpose()?,
            lr_scale: match self.lr_scale {
                Some(scale) if !(scale.is_finite() && scale > 0.0) => {
                    return Err(Failure::usage(format_args!(
                        "[[lr_scale]] is {scale}; expected a finite rate above 0"
                    )));
                }
                scale => scale,
            },
            loss_kind: self.loss_kind,
            unit: self.unit.map(UnitArg::unit),
            drop_nan: self.drop_nan,
            stitch: self.stitch,
            max_points: None,
            manifest: None,
        };
        Ok(Reading { paths: self.paths.clone(), manifest: self.manifest.clone(), options, held: None })
    }
}
