//! Saved forecasts of jobs, held against what happened.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::reading::Reading;
use crate::watch::SavedForecast;
use lehr::Curve;
use serde::Serialize;
use std::path::Path;

/// A forecast and what happened. A line of the file that `[[save]]` names holds the fields up to `law`.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ScoredForecast {
    /// As it was saved.
    #[serde(flatten)]
    pub saved: SavedForecast,
    /// Measured loss at the update forecast, nats per token.
    pub measured: f64,
    /// Forecast minus measured, nats per token.
    pub error: f64,
    /// Whether the interval holds what was measured.
    pub inside: bool,
}

/// Scores of the forecasts that were made when about as much of the run was done.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct ScoredShare {
    /// Share of the run done, from.
    pub from: f64,
    /// Share of the run done, to.
    pub to: f64,
    /// Forecasts.
    pub forecasts: usize,
    /// Jobs.
    pub jobs: usize,
    /// Of the forecasts, those whose interval holds what was measured.
    pub inside: usize,
    /// Mean |forecast − measured|, nats per token.
    pub mean_error: f64,
    /// Mean of forecast − measured, nats per token.
    pub bias: f64,
}

/// How saved forecasts did.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ScoreAnswer {
    /// By the share of the run that was done.
    pub shares: Vec<ScoredShare>,
    /// All that can be judged.
    pub forecasts: Vec<ScoredForecast>,
    /// Forecasts whose job has not got that far, or is not there.
    pub open: usize,
}

impl Document for ScoreAnswer {
    const SCHEMA: &'static str = "lehr.watch-score/1";
}

/// Shares of a run by which forecasts are put together.
const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];
/// A point this close to the update forecast, as a share of it, is that update's.
const SAME: f64 = 0.01;

/// The forecasts of a file, one JSON object a line.
fn read_saved(name: &str, text: &str) -> Result<Vec<SavedForecast>, Failure> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
        .map(|(i, line)| {
            serde_json::from_str(line).map_err(|error| {
                Failure::new(format_args!("{name}:{}: no saved forecast: {error}", i + 1))
                    .hint("expected what `lehr watch` adds to the file named by [[save]], one object a line")
            })
        })
        .collect()
}

/// The loss measured at an update.
fn measured(curve: &Curve, update: u64) -> Option<f64> {
    let near = |t: u64| t.abs_diff(update) as f64 <= SAME * update as f64;
    let points = curve.step().iter().zip(curve.loss());
    points.filter(|(t, _)| near(**t)).min_by_key(|(t, _)| t.abs_diff(update)).map(|(_, loss)| *loss)
}

impl Desk {
    /// Holds saved forecasts against what the jobs' logs say now.
    ///
    /// # Errors
    /// [`Failure`] with the line for a file that holds no forecasts, and for logs that cannot be read.
    pub fn score(&self, saved: &Path, reading: &Reading) -> Result<Answer<ScoreAnswer>, Failure> {
        let saved = read_saved(&saved.display().to_string(), &self.files().text(saved)?)?;
        let runs = self.runs(reading)?;
        let count = saved.len();
        let forecasts: Vec<ScoredForecast> = saved
            .into_iter()
            .filter_map(|saved| {
                let curve = runs.curves.iter().find(|curve| curve.meta().id == saved.job)?;
                let measured = measured(curve, saved.steps)?;
                let inside = (saved.lower..=saved.upper).contains(&measured);
                Some(ScoredForecast { error: saved.loss - measured, measured, inside, saved })
            })
            .collect();
        let shares = SHARES
            .windows(2)
            .filter_map(|ends| {
                let inside: Vec<&ScoredForecast> = forecasts
                    .iter()
                    .filter(|f| {
                        let share = f.saved.update as f64 / f.saved.steps.max(1) as f64;
                        share > ends[0] && share <= ends[1]
                    })
                    .collect();
                let n = inside.len();
                let mut jobs: Vec<&str> = inside.iter().map(|f| f.saved.job.as_str()).collect();
                jobs.sort_unstable();
                jobs.dedup();
                (n > 0).then(|| ScoredShare {
                    from: ends[0],
                    to: ends[1],
                    forecasts: n,
                    jobs: jobs.len(),
                    inside: inside.iter().filter(|f| f.inside).count(),
                    mean_error: inside.iter().map(|f| f.error.abs()).sum::<f64>() / n as f64,
                    bias: inside.iter().map(|f| f.error).sum::<f64>() / n as f64,
                })
            })
            .collect();
        let open = count - forecasts.len();
        Ok(Answer {
            value: ScoreAnswer { shares, forecasts, open },
            caveats: runs.caveats,
            notes: runs.notes,
        })
    }
}
