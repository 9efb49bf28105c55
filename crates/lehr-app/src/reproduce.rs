//! Experiments from nothing to a report: train, export, analyse, write.

mod batches;
mod findings;
mod laws;
mod ratios;
mod validation;

pub use batches::{BatchGroup, BatchRun, BatchesFound, RunNoise};
pub use laws::{LawFold, LawOnShapes, LawsFound, OnShape, ShapeGroup, ShapesFound};
pub use ratios::{RatioGroup, RatiosFound};
pub use validation::Validated;

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::{Failure, FailureKind};
use crate::observer::Event;
use crate::reading::Reading;
use crate::sweep::{Execution, Place, SweepExportRequest, SweepRequest, SweepStatusAnswer, WorkerProgram};
use crate::writing::{write_drawing, write_file};
use lehr::{Caveat, CaveatKind};
use lehr_io::Note;
use lehr_train::sweep::{Folder, State};
use serde::Serialize;
use std::path::{Path, PathBuf};

/// Most points a run that are held.
const HELD: usize = 1000;

/// What can be reproduced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Experiment {
    /// The best annealing ratio measured against peak rate, horizon and N, dense and mixture of experts.
    Ratios,
    /// Every law: fitted on cosine runs and judged on warm-up–stable–decay runs, and the other way round.
    Laws,
    /// Laws fitted on linear annealing, judged on other shapes.
    Shapes,
    /// Batch sizes at equal tokens: do updates or tokens decide, and which batch is large enough?
    Batches,
}

impl std::fmt::Display for Experiment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ratios => "ratios",
            Self::Laws => "laws",
            Self::Shapes => "shapes",
            Self::Batches => "batches",
        })
    }
}

/// Size of a built-in plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// Seconds; too small to mean anything.
    Tiny,
    /// Minutes on two cores.
    #[default]
    Small,
    /// Hours on two cores: more sizes, longer horizons.
    Medium,
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tiny => "tiny",
            Self::Small => "small",
            Self::Medium => "medium",
        })
    }
}

/// The built-in plan (TOML) of an experiment.
#[must_use]
pub fn plan(experiment: Experiment, size: Size) -> &'static str {
    match (experiment, size) {
        (Experiment::Ratios, Size::Tiny) => include_str!("reproduce/plans/ratios-tiny.toml"),
        (Experiment::Ratios, Size::Small) => include_str!("reproduce/plans/ratios-small.toml"),
        (Experiment::Ratios, Size::Medium) => include_str!("reproduce/plans/ratios-medium.toml"),
        (Experiment::Laws, Size::Tiny) => include_str!("reproduce/plans/laws-tiny.toml"),
        (Experiment::Laws, Size::Small) => include_str!("reproduce/plans/laws-small.toml"),
        (Experiment::Laws, Size::Medium) => include_str!("reproduce/plans/laws-medium.toml"),
        (Experiment::Shapes, Size::Tiny) => include_str!("reproduce/plans/shapes-tiny.toml"),
        (Experiment::Shapes, Size::Small) => include_str!("reproduce/plans/shapes-small.toml"),
        (Experiment::Shapes, Size::Medium) => include_str!("reproduce/plans/shapes-medium.toml"),
        (Experiment::Batches, Size::Tiny) => include_str!("reproduce/plans/batches-tiny.toml"),
        (Experiment::Batches, Size::Small) => include_str!("reproduce/plans/batches-small.toml"),
        (Experiment::Batches, Size::Medium) => include_str!("reproduce/plans/batches-medium.toml"),
    }
}

/// Where an experiment's runs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// They are trained, as far as they are not yet.
    Plan {
        /// Size of the built-in plan.
        size: Size,
        /// Runs trained at a time; `None`: as many as the cores can serve.
        jobs: Option<usize>,
        /// Who trains them.
        worker: WorkerProgram,
    },
    /// They are there already: a run store or other logs.
    Store(PathBuf),
}

/// An experiment and where to write its report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReproduceRequest {
    /// The experiment.
    pub experiment: Experiment,
    /// Where its runs come from.
    pub origin: Origin,
    /// Folder of the report; `None`: `reproduce-EXPERIMENT-SIZE`, of a store `reproduce-EXPERIMENT-store`.
    pub dir: Option<PathBuf>,
}

/// What was trained for a report.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Trained {
    /// Folder of the sweep.
    pub sweep: String,
    /// Jobs of the sweep.
    pub jobs: usize,
    /// Updates trained, shared beginnings once.
    pub updates: u64,
    /// Seconds, summed over the jobs that are done, each on one core.
    pub seconds: f64,
}

/// The numbers of an experiment, under its name.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Results {
    /// Of `ratios`.
    Ratios(RatiosFound),
    /// Of `laws`.
    Laws(LawsFound),
    /// Of `shapes`.
    Shapes(ShapesFound),
    /// Of `batches`.
    Batches(BatchesFound),
}

/// An experiment that was reproduced.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct ReproduceAnswer {
    /// The experiment.
    pub experiment: Experiment,
    /// Size of the built-in plan; `None` with `[[store]]`.
    pub size: Option<Size>,
    /// Folder of the report.
    pub dir: String,
    /// Run store that was analysed.
    pub store: String,
    /// The report (Markdown).
    pub report: String,
    /// Pictures of the report (SVG).
    pub pictures: Vec<String>,
    /// Runs analysed.
    pub runs: usize,
    /// What was trained; `None` with `[[store]]`.
    pub trained: Option<Trained>,
    /// The answers, a sentence each.
    pub summary: Vec<String>,
    /// Commands that make the report or show the same numbers.
    pub commands: Vec<String>,
    /// What to know before using it.
    pub caveats: Vec<Caveat>,
    /// The numbers.
    #[serde(flatten)]
    pub results: Results,
    /// Title of the report.
    #[serde(skip)]
    pub title: String,
}

impl Document for ReproduceAnswer {
    const SCHEMA: &'static str = "lehr.reproduce/2";
}

fn make(dir: &Path) -> Result<(), Failure> {
    std::fs::create_dir_all(dir).map_err(Failure::at(dir))
}

/// Writes a plan, unless it is there; another one there is refused.
fn write_plan(file: &Path, text: &str) -> Result<(), Failure> {
    match std::fs::read_to_string(file) {
        Ok(there) if there == text => Ok(()),
        Ok(_) => Err(Failure::new(format_args!(
            "{}: this is the plan of another experiment, size or version",
            file.display()
        ))
        .hint("name another folder with [[dir]]")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => write_file(file, text.as_bytes()),
        Err(error) => Err(Failure::at(file)(error)),
    }
}

/// Time spent in the jobs of a sweep that are done.
fn seconds(folder: &Folder) -> Result<f64, Failure> {
    let mut sum = 0.0;
    for job in &folder.graph().jobs {
        sum += match folder.state(&job.id)? {
            State::Done { seconds, .. } => seconds,
            State::Waiting | State::Begun { .. } | State::Diverged { .. } | State::Failed { .. } => 0.0,
        };
    }
    Ok(sum)
}

/// The runs of an experiment, and what is known of them besides.
#[derive(Default)]
struct Material {
    store: PathBuf,
    trained: Option<Trained>,
    sweep: Option<Folder>,
    commands: Vec<String>,
    caveats: Vec<Caveat>,
}

impl Desk {
    /// Runs an experiment: trains its runs (never those that are finished), analyses them, writes tables and pictures.
    ///
    /// # Errors
    /// [`Failure`] for a folder that holds another experiment, jobs that fail, runs that do not answer the question, and
    /// of kind [`Interrupted`](FailureKind::Interrupted) when the observer stops it; the same request goes on from there.
    pub fn reproduce(&self, request: &ReproduceRequest) -> Result<Answer<ReproduceAnswer>, Failure> {
        let experiment = request.experiment;
        let (size, word) = match &request.origin {
            Origin::Plan { size, .. } => (Some(*size), size.to_string()),
            Origin::Store(_) => (None, "store".to_owned()),
        };
        let dir =
            request.dir.clone().unwrap_or_else(|| PathBuf::from(format!("reproduce-{experiment}-{word}")));
        let Material { store, trained, sweep, mut commands, mut caveats } =
            self.material(request, &dir).map_err(|failure| match failure.kind() {
                FailureKind::Interrupted => failure.hint("the same request goes on from there"),
                _ => failure,
            })?;
        let loaded = self.runs(&Reading::of([store.clone()]).held(Some(HELD)))?;
        caveats.extend(loaded.caveats);
        let curves = loaded.curves;
        let place = store.display().to_string();
        let mut found = self.work("analysing", || match experiment {
            Experiment::Ratios => ratios::analyse(&curves, &place),
            Experiment::Laws => laws::transfer(&curves, &place),
            Experiment::Shapes => laws::shapes(&curves, &place),
            Experiment::Batches => batches::analyse(&curves, &place, sweep.as_ref()),
        })?;
        if let (Experiment::Ratios, Some(sweep), Origin::Plan { size, jobs, worker }) =
            (experiment, &sweep, &request.origin)
        {
            let execution = Execution { jobs: *jobs, ..Execution::here(worker.clone()) };
            let plan = plan(experiment, *size);
            validation::validate(self, &dir, plan, sweep, &curves, &execution, &mut found)?;
        }
        if size == Some(Size::Tiny) {
            caveats.push(CaveatKind::Tiny.into());
        }
        caveats.append(&mut found.caveats);
        commands.append(&mut found.commands);
        let report = dir.join("REPORT.md");
        let text = findings::markdown(&found, &curves, trained.as_ref(), &commands, &caveats);
        let mut pictures = Vec::new();
        for (file, picture) in found.pictures {
            let path = dir.join(file);
            write_drawing(&path, &picture.into())?;
            pictures.push(path.display().to_string());
        }
        write_file(&report, text.as_bytes())?;
        let value = ReproduceAnswer {
            experiment,
            size,
            dir: dir.display().to_string(),
            store: place,
            report: report.display().to_string(),
            pictures,
            runs: curves.len(),
            trained,
            summary: found.summary,
            commands,
            caveats: caveats.clone(),
            results: found.results,
            title: found.title,
        };
        let notes: Vec<Note> = loaded.notes;
        Ok(Answer { value, caveats, notes })
    }

    fn material(&self, request: &ReproduceRequest, dir: &Path) -> Result<Material, Failure> {
        let experiment = request.experiment;
        match &request.origin {
            Origin::Store(store) if !store.exists() => {
                Err(Failure::new(format_args!("{}: no such file or directory", store.display()))
                    .hint("name a run store: `lehr import` and `lehr sweep export` write them"))
            }
            Origin::Store(store) => {
                make(dir)?;
                let commands = vec![format!("lehr reproduce {experiment} --store {}", store.display())];
                Ok(Material { store: store.clone(), commands, ..Material::default() })
            }
            Origin::Plan { size, jobs, worker } => {
                let execution = Execution { jobs: *jobs, ..Execution::here(worker.clone()) };
                self.trained(experiment, *size, &execution, dir)
            }
        }
    }

    /// Trains the built-in plan, or what is left of it, and exports its runs.
    fn trained(
        &self,
        experiment: Experiment,
        size: Size,
        execution: &Execution,
        dir: &Path,
    ) -> Result<Material, Failure> {
        let (file, folder, store) = (dir.join("plan.toml"), dir.join("sweep"), dir.join("store"));
        make(dir)?;
        write_plan(&file, plan(experiment, size))?;
        let (sweep, status) = self.train_plan(&file, &folder, execution)?;
        let written = self.export_sweep(&SweepExportRequest::everything(&folder, &store))?.value;
        let commands = vec![
            format!("lehr reproduce {experiment} --size {size} --dir {}", dir.display()),
            format!("lehr sweep {} --dir {}", file.display(), folder.display()),
            format!("lehr sweep export {} -o {}", folder.display(), store.display()),
        ];
        let left_out = written.left_out.iter();
        let caveats = left_out
            .map(|run| CaveatKind::RunLeftOut { run: run.id.clone(), why: run.why.clone() }.into())
            .collect();
        let trained = Trained {
            sweep: folder.display().to_string(),
            jobs: status.jobs.len(),
            updates: status.updates_done,
            seconds: seconds(&sweep)?,
        };
        let line = format!("trained {} jobs; analysing {} runs", trained.jobs, written.runs.len());
        self.observer().hear(Event::Said(&line));
        Ok(Material { store, trained: Some(trained), sweep: Some(sweep), commands, caveats })
    }

    /// Trains a plan in a folder, or what is left of it.
    fn train_plan(
        &self,
        plan: &Path,
        dir: &Path,
        execution: &Execution,
    ) -> Result<(Folder, SweepStatusAnswer), Failure> {
        let execution = Execution { place: Place::Here, ..execution.clone() };
        let request =
            SweepRequest { jobs: execution.jobs, ..SweepRequest::new(plan, Some(dir.to_path_buf())) };
        let begun = self.begin_sweep(&request)?;
        let folder = begun.value.folder;
        let (estimate, caveats) = (&begun.value.estimate, &begun.caveats[..]);
        self.observer().hear(Event::SweepBegun { folder: folder.path(), estimate, caveats });
        let status = self.run_sweep(&folder, &execution)?.value;
        status.check()?;
        Ok((folder, status))
    }
}
