//! What is in logs: runs, schedules, faults.

mod manifest;

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::reading::Reading;
use lehr::{Arch, BranchPoint, But, Caveat, Cell, LossKind, ParamCount, Schedule, Split};
use lehr_io::{Health, LoadedRun, Mapping, Note, ScheduleOrigin};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};

/// One run.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct RunLine {
    /// Name.
    pub id: String,
    /// Where it was read.
    pub file: String,
    /// Kind of file.
    pub format: String,
    /// Which column was taken for what.
    pub mapping: Option<Mapping>,
    /// Architecture.
    pub arch: Arch,
    /// N: parameters, counted as `counted` says.
    pub params: Option<u64>,
    /// Parameters that a token passes through, where they differ.
    pub active_params: Option<u64>,
    /// Which parameters `params` and `active_params` count.
    pub counted: ParamCount,
    /// Batch in tokens.
    pub tokens_per_step: Option<u64>,
    /// Data set.
    pub dataset: Option<String>,
    /// Which data the loss was measured on.
    pub split: Split,
    /// What one loss stands for.
    pub loss_kind: LossKind,
    /// Number of points.
    pub points: usize,
    /// Update of the first point.
    pub first_step: u64,
    /// Update of the last point.
    pub last_step: u64,
    /// Horizon T.
    pub total_steps: u64,
    /// Largest rate.
    pub peak_lr: f64,
    /// Warm-up W in updates; `None` where the schedule is not of the WSD family.
    pub warmup: Option<u64>,
    /// Annealing ratio r; `None` where the schedule is not of the WSD family.
    pub ratio: Option<f64>,
    /// Rate of update T.
    pub final_lr: f64,
    /// Where the schedule that was rebuilt comes from, and how well it agrees with the log.
    pub schedule: ScheduleOrigin,
    /// The run it was resumed from, and the last update that both share.
    pub branch: Option<BranchPoint>,
    /// Loss at the last point, nats per token.
    pub last_loss: f64,
    /// Loss at T that the source states apart from its points, nats per token.
    pub final_loss: Option<f64>,
    /// Standard deviation of neighbouring points around a smooth curve, nats per token.
    pub noise: Option<f64>,
    /// Updates at which the loss jumps up and comes back.
    pub spikes: Vec<u64>,
    /// The update from where on the loss left for good.
    pub diverged: Option<u64>,
    /// What to beware of in this run.
    pub caveats: Vec<Caveat>,
    /// What was done with this run.
    pub notes: Vec<Note>,
    /// The schedule of the whole run.
    #[serde(skip)]
    pub whole: Schedule,
}

impl RunLine {
    /// The line of a run.
    #[must_use]
    pub fn of(run: LoadedRun) -> Self {
        let LoadedRun { curve, file, format, mapping, schedule, health, caveats, notes } = run;
        let Health { spikes, diverged, noise } = health;
        let meta = curve.meta();
        let whole = curve.schedule();
        let (warmup, ratio) = (whole.warmup().map(|warmup| warmup.0), whole.ratio());
        let (last_step, last_loss) = curve.last();
        Self {
            id: meta.id.clone(),
            file,
            format,
            mapping,
            arch: meta.arch.clone(),
            params: meta.params.map(|n| n.0),
            active_params: meta.active_params.map(|n| n.0),
            counted: meta.counted,
            tokens_per_step: meta.tokens_per_step.map(|n| n.0),
            dataset: meta.dataset.clone(),
            split: meta.split,
            loss_kind: meta.loss_kind,
            points: curve.step().len(),
            first_step: curve.step()[0],
            last_step,
            total_steps: whole.total().0,
            peak_lr: whole.peak_lr(),
            warmup,
            ratio,
            final_lr: whole.lr(whole.total().0),
            schedule,
            branch: meta.branch.clone(),
            last_loss,
            final_loss: meta.final_loss,
            noise,
            spikes,
            diverged,
            caveats,
            notes,
            whole: whole.clone(),
        }
    }
}

/// What is in the logs.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct InspectAnswer {
    /// The runs, in the order of the sources.
    pub runs: Vec<RunLine>,
    /// Names of runs that share schedule, size, batch and data.
    pub twins: Vec<Vec<String>>,
    /// What to beware of in the runs taken together.
    pub caveats: Vec<Caveat>,
    /// What was done or passed over that concerns no single run.
    pub notes: Vec<Note>,
}

impl Document for InspectAnswer {
    const SCHEMA: &'static str = "lehr.inspect/2";
}

impl InspectAnswer {
    /// The largest difference between logged and rebuilt rates, in shares of the peak rate.
    #[must_use]
    pub fn worst_residual(&self) -> f64 {
        self.runs.iter().filter_map(|run| run.schedule.residual).fold(0.0, f64::max)
    }

    /// By how much final losses that are stated apart lie above the last ones of their curves, nats: the median over the runs whose
    /// curve reaches 95 % of the horizon. Several mnat come of another evaluation set.
    #[must_use]
    pub fn stated_apart(&self) -> Option<f64> {
        let ended = |run: &&RunLine| run.last_step as f64 >= 0.95 * run.total_steps as f64;
        let mut apart: Vec<f64> =
            self.runs.iter().filter(ended).filter_map(|run| Some(run.final_loss? - run.last_loss)).collect();
        apart.sort_by(f64::total_cmp);
        apart.get(apart.len() / 2).copied()
    }
}

impl Desk {
    /// Says what is in logs. The notes of the answer are those of all runs and of the reading as a whole.
    ///
    /// # Errors
    /// [`Failure`] for logs that cannot be read.
    pub fn inspect(&self, reading: &Reading) -> Result<Answer<InspectAnswer>, Failure> {
        let mut runs = Vec::new();
        let mut known: BTreeMap<(u64, u64), (usize, Vec<String>)> = BTreeMap::new();
        let summary = self.for_each_run(reading, &mut |run| {
            let key = twin_key(&run);
            let place = known.len();
            known.entry(key).or_insert((place, Vec::new())).1.push(run.curve.meta().id.clone());
            runs.push(RunLine::of(run));
            Ok(())
        })?;
        let mut twins: Vec<(usize, Vec<String>)> =
            known.into_values().filter(|(_, ids)| ids.len() > 1).collect();
        twins.sort();
        let of_runs: BTreeSet<(&str, &str)> =
            runs.iter().flat_map(|run| &run.notes).map(|n| (n.about.as_str(), n.message.as_str())).collect();
        let notes = summary
            .notes
            .iter()
            .filter(|note| note.code != "mapping")
            .filter(|note| !of_runs.contains(&(note.about.as_str(), note.message.as_str())))
            .cloned()
            .collect();
        let twins = twins.into_iter().map(|(_, ids)| ids).collect();
        let caveats = summary.caveats;
        let value = InspectAnswer { runs, twins, caveats: caveats.clone(), notes };
        Ok(Answer { value, caveats, notes: summary.notes })
    }
}

/// What makes two runs twins, as a digest: neither a run's points nor its schedule need be held for it. Two digests of 64 bits: runs
/// that differ have the same with a probability of 10⁻³⁰ a pair.
fn twin_key(run: &LoadedRun) -> (u64, u64) {
    let cell = Cell::of(&run.curve, But::Nothing);
    let digest = |salt: u8| {
        let mut hasher = DefaultHasher::new();
        (salt, &cell).hash(&mut hasher);
        hasher.finish()
    };
    (digest(0), digest(1))
}
