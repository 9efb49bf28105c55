//! `lehr recommend --optimise`: peak rate, batch and ratio chosen together.

use crate::failure::Failure;
use crate::output::{Output, table};
use clap::{Args, ValueEnum};
use lehr::recommend::{Budget, JointPoint};
use lehr::units::{parse_count, short_count};
use lehr_app::recommend_jointly::{JointRequest, stated_rate};
use std::path::Path;

/// What may be chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Choice {
    /// The peak rate, within --peak-lr-range.
    PeakLr,
    /// The tokens per update, within --batch-range.
    Batch,
    /// The annealing ratio, within --ratio-range; it is always chosen.
    Ratio,
}

/// What is chosen along with the ratio.
#[derive(Debug, Clone, Args)]
pub struct JointArgs {
    /// Chooses these together at fixed --tokens, --compute or --steps: peak-lr, batch, ratio.
    #[arg(
        long,
        alias = "optimize",
        value_enum,
        value_name = "WHAT,…",
        value_delimiter = ',',
        conflicts_with = "running",
        help_heading = "Joint choice"
    )]
    pub optimise: Vec<Choice>,
    /// Peak rates considered; default: those of the runs fitted.
    #[arg(
        long,
        value_name = "LOWER..UPPER",
        allow_hyphen_values = true,
        requires = "optimise",
        help_heading = "Joint choice"
    )]
    pub peak_lr_range: Option<String>,
    /// Batches considered, tokens per update (k M are understood); default: those of the runs fitted.
    #[arg(
        long,
        value_name = "LOWER..UPPER",
        allow_hyphen_values = true,
        requires = "optimise",
        help_heading = "Joint choice"
    )]
    pub batch_range: Option<String>,
}

impl JointArgs {
    /// Whether the batch is chosen.
    pub fn batch(&self) -> bool {
        self.optimise.contains(&Choice::Batch)
    }

    /// The peak rate, where it is not chosen.
    pub fn peak_lr(&self, given: &[f64]) -> Result<Option<f64>, Failure> {
        let chosen = self.optimise.contains(&Choice::PeakLr);
        if given.len() > 1 && !chosen {
            return Err(Failure::usage(
                "[[peak_lr]] names several: beside [[optimise]] there is one, or none",
            ));
        }
        stated_rate(given.first().copied(), chosen)
    }

    /// The peak rates considered, if stated.
    pub fn peak_lr_range(&self) -> Result<Option<(f64, f64)>, Failure> {
        let number = |text: &str| text.parse::<f64>().ok().filter(|rate| rate.is_finite() && *rate > 0.0);
        ends("peak_lr_range", self.peak_lr_range.as_deref(), "2e-4..4e-3", number)
    }

    /// The batches considered, if stated.
    pub fn batch_range(&self) -> Result<Option<(u64, u64)>, Failure> {
        let number = |text: &str| parse_count(text).ok().filter(|tokens| *tokens > 0);
        ends("batch_range", self.batch_range.as_deref(), "128k..2M", number)
    }
}

fn ends<T: PartialOrd>(
    option: &str,
    text: Option<&str>,
    example: &str,
    number: impl Fn(&str) -> Option<T>,
) -> Result<Option<(T, T)>, Failure> {
    let Some(text) = text else { return Ok(None) };
    text.split_once("..")
        .and_then(|(low, high)| Some((number(low.trim())?, number(high.trim())?)))
        .filter(|(low, high)| low <= high)
        .map(Some)
        .ok_or_else(|| {
            Failure::usage(format_args!(
                "[[{option}]] '{text}' is not of the form {example}, with both ends above 0 and the smaller first"
            ))
        })
}

/// Asks and answers.
pub fn answer(request: &JointRequest, file: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let answer = output.desk().recommend_jointly(request)?;
    let found = &answer.value;
    output.begin(&answer, file)?;
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    let batch =
        |point: &JointPoint| point.tokens_per_step.map_or_else(|| "as fitted".to_owned(), short_count);
    let best = &found.best;
    let percent = (100.0 * found.level).round();
    let fixed = match found.fixed {
        Budget::Tokens(tokens) => format!("{} tokens", short_count(tokens)),
        Budget::Updates(updates) => format!("{updates} updates"),
    };
    let (low, high) = found.peak_lr_range;
    let batches = found
        .batch_range
        .map(|(low, high)| format!(", batches from {} to {} tokens", short_count(low), short_count(high)))
        .unwrap_or_default();
    let mut text = format!(
        "Peak rate {:.3e}, batch {} tokens: {} updates, the last {:.1} % annealed (from update {}).\n",
        best.peak_lr,
        batch(best),
        best.total,
        100.0 * best.ratio,
        found.start_step
    );
    text += &format!(
        "It ends at a loss of {:.4} nats per token ({:.4} … {:.4}, {percent} %); chosen for {fixed}, peak rates from {low:e} to {high:e}{batches}.\n",
        found.loss.value, found.loss.lower, found.loss.upper
    );
    text += &format!(
        "These {} choices end within {:.1} mnat (10⁻³ nats per token) of it:\n\n",
        found.plateau.len(),
        1e3 * found.tolerance
    );
    let mut rows = table(["peak rate", "batch", "updates", "ratio", "loss"]);
    for point in &found.plateau {
        rows.add_row([
            format!("{:.3e}", point.peak_lr),
            batch(point),
            point.total.to_string(),
            format!("{:.3}", point.ratio),
            format!("{:.4}", point.loss),
        ]);
    }
    output.data(&format!("{text}{rows}\n"))?;
    output.close(&answer)
}
