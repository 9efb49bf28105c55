//! What a plan of many runs costs, and the folder that is made of it.

use super::{engine, slots};
use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use lehr::{Caveat, CaveatKind, Schedule};
use lehr_train::sweep::curves::dataset_name;
use lehr_train::sweep::estimate::{Cost, JobCounts, Speed, Speeds};
use lehr_train::sweep::folder::Settings;
use lehr_train::sweep::outside::{OutsideTrainer, TrainerPlan};
use lehr_train::sweep::plan::PlanFile;
use lehr_train::sweep::{
    Estimate, Folder, Graph, Job, Kind, SweepError, estimate, fingerprint, measure_speeds,
};
use lehr_train::{Batches, Corpus, TrainError};
use serde::Serialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time spent on each model to learn its speed.
const TIMED: Duration = Duration::from_millis(700);
/// Readers take the training losses of a run that has fewer validations.
const FEWEST_VALIDATIONS: u64 = 5;

/// A plan to train, or to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepRequest {
    /// The plan (TOML).
    pub plan: PathBuf,
    /// Folder of the sweep; `None`: the plan's name with `.sweep`.
    pub dir: Option<PathBuf>,
    /// Threads of each job.
    pub lanes: usize,
    /// Jobs at a time, for the time it takes; `None`: as many as the cores can serve.
    pub jobs: Option<usize>,
    /// Times the models whose speed the plan does not state.
    pub measure: bool,
}

impl SweepRequest {
    /// A plan in a folder: one thread a job, as many jobs at a time as the cores can serve.
    #[must_use]
    pub fn new(plan: &Path, dir: Option<PathBuf>) -> Self {
        Self { plan: plan.to_path_buf(), dir, lanes: 1, jobs: None, measure: true }
    }

    fn folder(&self) -> PathBuf {
        self.dir.clone().unwrap_or_else(|| self.plan.with_extension("sweep"))
    }
}

/// One job of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct PlannedJob {
    /// Name of the job and of its run.
    pub id: String,
    /// `trunk`, `branch` or `alone`.
    pub kind: &'static str,
    /// Name of its model in the plan.
    pub model: String,
    /// Peak rate.
    pub peak_lr: f64,
    /// Sequences per update.
    pub batch: u32,
    /// Seed.
    pub seed: u64,
    /// Of a branch: the trunk that it leaves.
    pub trunk: Option<String>,
    /// The first update that the job does itself.
    pub first: u64,
    /// The last update that the job does: T.
    pub last: u64,
    /// Tokens that the job itself trains on.
    pub tokens: u64,
    /// Of a trunk: updates after which a snapshot is kept.
    pub snapshots: Vec<u64>,
    /// Schedule of the whole run.
    pub schedule: Schedule,
}

impl From<&Job> for PlannedJob {
    fn from(job: &Job) -> Self {
        let (kind, snapshots) = match &job.kind {
            Kind::Trunk { snapshots, .. } => ("trunk", snapshots.clone()),
            Kind::Branch { .. } => ("branch", Vec::new()),
            Kind::Alone => ("alone", Vec::new()),
        };
        Self {
            id: job.id.clone(),
            kind,
            model: job.model.clone(),
            peak_lr: job.schedule.peak_lr(),
            batch: job.config.batch,
            seed: job.config.seed,
            trunk: job.trunk().map(str::to_owned),
            first: job.first() + 1,
            last: job.last(),
            tokens: job.updates() * job.tokens_per_update(),
            snapshots,
            schedule: job.schedule.clone(),
        }
    }
}

/// What a plan costs.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct SweepPlanAnswer {
    /// Folder that the sweep would have.
    pub dir: String,
    /// Name of the data set.
    pub dataset: String,
    /// Threads of each job.
    pub lanes: usize,
    /// Jobs at a time.
    pub slots: usize,
    /// How many jobs of each kind.
    pub counts: JobCounts,
    /// As it will be trained.
    pub shared: Cost,
    /// If every run that is asked for were trained from the start.
    pub unshared: Cost,
    /// Unshared over shared floating-point operations.
    pub saving: f64,
    /// The most bytes that snapshots take at one time.
    pub peak_snapshot_bytes: u64,
    /// Speeds of the models, on which the hours rest.
    pub speeds: Vec<Speed>,
    /// The jobs: trunks, each before its branches, and runs that stand alone.
    pub jobs: Vec<PlannedJob>,
    /// What to know about the data.
    pub caveats: Vec<Caveat>,
    /// The costs as the library gives them.
    #[serde(skip)]
    pub estimate: Estimate,
}

impl Document for SweepPlanAnswer {
    const SCHEMA: &'static str = "lehr.sweep-plan/1";
}

/// A sweep that is ready to be carried out.
#[derive(Debug)]
pub struct BegunSweep {
    /// Its folder.
    pub folder: Folder,
    /// What it costs.
    pub estimate: Estimate,
}

/// A plan that has been read and fits its data.
struct Read {
    plan: PlanFile,
    text: String,
    settings: Settings,
    caveats: Vec<Caveat>,
    slots: usize,
}

/// The plan with absolute paths: workers may be started anywhere.
fn parse(path: &Path, text: &str) -> Result<PlanFile, Failure> {
    let mut plan = PlanFile::parse(&path.to_string_lossy(), text)?;
    let beside = std::path::absolute(path).map_err(Failure::at(path))?;
    let beside = beside.parent().unwrap_or(Path::new("/")).to_path_buf();
    let full = |text: &mut String| *text = beside.join(&*text).to_string_lossy().into_owned();
    plan.plan.data.paths.iter_mut().for_each(full);
    plan.plan.data.tokenizer.iter_mut().for_each(full);
    plan.plan.data.cache.iter_mut().for_each(full);
    Ok(plan)
}

/// An error about a key, with the plan's line.
fn in_plan(plan: &PlanFile, error: TrainError) -> Failure {
    match error {
        TrainError::Config { key, found, expected } => plan.wrong(&key, found, expected).into(),
        other => SweepError::from(other).into(),
    }
}

/// Opens the data of every model and batch: the data set's name, and what to know about the longest runs.
fn look_at_data(graph: &Graph, plan: &PlanFile) -> Result<(String, Vec<Caveat>), Failure> {
    let mut longest: BTreeMap<(u32, u32), &Job> = BTreeMap::new();
    for job in &graph.jobs {
        let held = longest.entry((job.config.model.context, job.config.batch)).or_insert(job);
        if job.last() > held.last() {
            *held = job;
        }
    }
    let (mut name, mut caveats) = (None, Vec::new());
    for job in longest.values() {
        let corpus = Corpus::for_run(&job.config).map_err(|error| in_plan(plan, error))?;
        name = name.or_else(|| Some(corpus.name().to_owned()));
        for caveat in corpus.caveats(job.last()) {
            caveats.push(match caveat.kind().clone() {
                CaveatKind::DataRepeat { updates, rows, passes, sequences, .. } => {
                    let run = Some(job.id.clone());
                    CaveatKind::DataRepeat { run, updates, rows, passes, sequences }.into()
                }
                other => other.into(),
            });
        }
    }
    let validations = |job: &&Job| match job.config.validate_every {
        0 => 1,
        every => job.last().div_ceil(every),
    };
    let few: Vec<_> = graph.jobs.iter().filter(|job| validations(job) < FEWEST_VALIDATIONS).collect();
    if let Some(job) = few.first() {
        caveats.push(
            CaveatKind::FewValidations {
                runs: few.len() as u64,
                first: job.id.clone(),
                validations: validations(job),
                enough: FEWEST_VALIDATIONS,
            }
            .into(),
        );
    }
    Ok((plan.plan.dataset.clone().or(name).unwrap_or_default(), caveats))
}

/// Vocabulary of a model of a user's own trainer that states none: it only decides what the head costs.
const VOCABULARY: u32 = 32_000;

/// A plan whose trainer is the user's own: its data are the trainer's to open.
fn outside(
    plan: PlanFile,
    text: String,
    trainer: TrainerPlan,
    request: &SweepRequest,
    slots: usize,
) -> Result<Read, Failure> {
    let graph = Graph::new(&plan, plan.plan.data.vocabulary.unwrap_or(VOCABULARY))?;
    for (i, name) in trainer.exports.iter().enumerate() {
        let known = crate::export::targets().any(|(known, _)| known == name);
        if !known {
            let names: Vec<&str> = crate::export::targets().map(|(name, _)| name).collect();
            let expected = format!("one of {}", names.join(", "));
            return Err(plan.wrong(&format!("trainer.exports[{i}]"), format!("'{name}'"), expected).into());
        }
    }
    for (i, text) in trainer.map.iter().enumerate() {
        if let Err(error) = lehr_io::MapOverrides::default().add(text) {
            let expected = format!("ROLE=COLUMN ({error})");
            return Err(plan.wrong(&format!("trainer.map[{i}]"), format!("'{text}'"), expected).into());
        }
    }
    let named = plan.plan.dataset.clone();
    let dataset = named.unwrap_or_else(|| dataset_name(&plan.plan.data));
    let mut settings = Settings::new(graph, request.lanes, plan.plan.snapshot_seconds, dataset);
    let beside = std::path::absolute(&request.plan).map_err(Failure::at(&request.plan))?;
    let beside = beside.parent().unwrap_or(Path::new("/")).to_path_buf();
    settings.trainer = Some(OutsideTrainer { plan: trainer, beside });
    Ok(Read { plan, text, settings, caveats: Vec::new(), slots })
}

impl Desk {
    fn read_plan(&self, request: &SweepRequest) -> Result<Read, Failure> {
        if request.lanes == 0 {
            return Err(Failure::usage("[[lanes]] 0 computes nothing; expected at least 1"));
        }
        let slots = slots(request.jobs, request.lanes)?;
        let text = self.files().text(&request.plan)?;
        let plan = parse(&request.plan, &text)?;
        if let Some(trainer) = plan.plan.trainer.clone() {
            return outside(plan, text, trainer, request, slots);
        }
        // One sequence at a time is enough to ask the data for their vocabulary.
        let vocabulary =
            Corpus::open(&plan.plan.data, 8, 1, 0).map_err(|error| in_plan(&plan, error))?.vocabulary();
        let graph = Graph::new(&plan, vocabulary)?;
        let (dataset, caveats) = look_at_data(&graph, &plan)?;
        let settings = Settings::new(graph, request.lanes, plan.plan.snapshot_seconds, dataset);
        Ok(Read { plan, text, settings, caveats, slots })
    }

    /// Speeds of the models: as the plan states them, else measured, if that is asked for.
    fn speeds(&self, read: &Read, request: &SweepRequest) -> Result<Speeds, Failure> {
        let (graph, stated) = (&read.settings.graph, &read.plan.plan.speed);
        // Another trainer's speed is the plan's to state.
        if read.settings.trainer.is_some() && !graph.jobs.iter().all(|job| stated.contains_key(&job.model)) {
            return Ok(Speeds::default());
        }
        if !request.measure && !graph.jobs.iter().all(|job| stated.contains_key(&job.model)) {
            return Ok(Speeds::default());
        }
        self.work("timing the models", || Ok(measure_speeds(graph, stated, &engine, request.lanes, TIMED)?))
    }

    /// Says which jobs a plan has and what they cost, and leaves nothing.
    ///
    /// # Errors
    /// [`Failure`] with file and line for a plan that is wrong, and for data that cannot be read.
    pub fn plan_sweep(&self, request: &SweepRequest) -> Result<Answer<SweepPlanAnswer>, Failure> {
        let read = self.read_plan(request)?;
        let speeds = self.speeds(&read, request)?;
        let estimate = estimate(&read.settings.graph, &speeds, read.slots);
        let value = SweepPlanAnswer {
            dir: request.folder().display().to_string(),
            dataset: read.settings.dataset.clone(),
            lanes: read.settings.lanes,
            slots: estimate.slots,
            counts: estimate.jobs,
            shared: estimate.shared,
            unshared: estimate.unshared,
            saving: estimate.saving,
            peak_snapshot_bytes: estimate.peak_snapshot_bytes,
            speeds: estimate.speeds.clone(),
            jobs: read.settings.graph.jobs.iter().map(PlannedJob::from).collect(),
            caveats: read.caveats.clone(),
            estimate,
        };
        Ok(Answer { value, caveats: read.caveats, notes: Vec::new() })
    }

    /// Makes the folder of a plan, or opens it where it is there; [`Desk::run_sweep`] carries it out.
    ///
    /// # Errors
    /// As [`Desk::plan_sweep`], and for a folder that holds another sweep.
    pub fn begin_sweep(&self, request: &SweepRequest) -> Result<Answer<BegunSweep>, Failure> {
        let mut read = self.read_plan(request)?;
        let settings = &mut read.settings;
        if settings.trainer.is_none() {
            settings.arithmetic = fingerprint(&settings.graph, &engine, request.lanes)?;
        }
        // A sweep that is there already is recognised before time is spent on measuring.
        let folder = Folder::create(&request.folder(), settings.clone(), &read.text)?;
        let known = folder.speeds()?;
        let speeds = if known.models().is_empty() { self.speeds(&read, request)? } else { known };
        folder.set_speeds(&speeds)?;
        let estimate = estimate(&read.settings.graph, &speeds, read.slots);
        Ok(Answer { value: BegunSweep { folder, estimate }, caveats: read.caveats, notes: Vec::new() })
    }
}
