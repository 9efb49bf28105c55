//! The curves of a sweep as a run store.

use crate::answer::Answer;
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::files::file_source;
use crate::store::Replacement;
use crate::train::write_experts;
use crate::writing::check_target;
use lehr::{Curve, Split};
use lehr_io::run_store::POINTS;
use lehr_train::sweep::integrity::incomplete;
use lehr_train::sweep::{Folder, Job, State, SweepError, Thinning, curve, curves};
use serde::Serialize;
use std::path::PathBuf;

/// Which losses to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Which {
    /// Validation and training losses.
    #[default]
    Both,
    /// Training losses.
    Training,
    /// Validation losses.
    Validation,
}

/// What to write of a sweep, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SweepExportRequest {
    /// Folder of the sweep.
    pub dir: PathBuf,
    /// Directory of the run store; made if it is not there.
    pub store: PathBuf,
    /// Which losses.
    pub which: Which,
    /// Means over so many updates instead of every training loss.
    pub thin: Option<u64>,
    /// Only runs whose name fits one of these patterns with `*`, `?` and `[abc]`; empty: all.
    pub runs: Vec<String>,
    /// File for the tokens that each expert of the mixtures got between validations (CSV).
    pub experts: Option<PathBuf>,
    /// Diverged runs, too, up to where they diverged.
    pub diverged: bool,
}

impl SweepExportRequest {
    /// All finished runs, with validation and training losses.
    pub fn everything(dir: impl Into<PathBuf>, store: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            store: store.into(),
            which: Which::Both,
            thin: None,
            runs: Vec::new(),
            experts: None,
            diverged: false,
        }
    }
}

/// A run that is not written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct LeftOut {
    /// Name of the run.
    pub id: String,
    /// Why it is not written: unfinished, diverged, failed, or not asked for.
    pub why: String,
    /// Whether it ended badly: it diverged or failed.
    #[serde(skip)]
    pub ended: bool,
}

/// What was written of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct SweepExportAnswer {
    /// The run store.
    pub store: String,
    /// Names of the runs written.
    pub runs: Vec<String>,
    /// Points written.
    pub points: u64,
    /// Runs that are not written.
    pub left_out: Vec<LeftOut>,
}

impl Document for SweepExportAnswer {
    const SCHEMA: &'static str = "lehr.sweep-export/1";
}

/// Why a job's run is not written, if it is not, and whether it ended badly.
fn reason(request: &SweepExportRequest, job: &Job, state: &State) -> Option<(String, bool)> {
    if !request.runs.is_empty() && !request.runs.iter().any(|pattern| lehr::names_run(pattern, &job.id)) {
        return Some(("its name fits none of the patterns".to_owned(), false));
    }
    match state {
        State::Done { .. } => None,
        State::Diverged { .. } if request.diverged => None,
        State::Diverged { update, quantity, .. } => {
            Some((format!("diverged: {quantity} out of bounds at update {update}"), true))
        }
        State::Failed { problem } => Some((format!("failed: {problem}"), true)),
        State::Waiting | State::Begun { .. } => Some(("not finished".to_owned(), false)),
    }
}

/// The curve to write, and training losses beside it.
fn losses(
    request: &SweepExportRequest,
    folder: &Folder,
    job: &Job,
) -> Result<Option<(Curve, Option<Curve>)>, SweepError> {
    let thinning = request.thin.map_or(Thinning::All, Thinning::Means);
    let training = match request.which {
        Which::Validation => None,
        _ => curve(folder, job, Split::Train, thinning)?,
    };
    let validation = match request.which {
        Which::Training => None,
        _ => curve(folder, job, Split::Validation, thinning)?,
    };
    Ok(match (validation, training) {
        (Some(validation), training) => Some((validation, training)),
        (None, Some(training)) => Some((training, None)),
        (None, None) => None,
    })
}

impl Desk {
    /// Writes the finished runs of a sweep to a run store. A branch's curve begins with its trunk's points, as if it had
    /// been trained from the start; in a store that is there, runs of the sweep are written anew and others stay.
    ///
    /// # Errors
    /// [`Failure`] for a folder that holds no sweep, a store that cannot be written, and if no run is finished.
    pub fn export_sweep(&self, request: &SweepExportRequest) -> Result<Answer<SweepExportAnswer>, Failure> {
        check_target(request.experts.as_deref())?;
        let folder = Folder::open(&request.dir)?;
        let mut notes = Vec::new();
        let replacement = Replacement::begin(&request.store, &mut notes)?;
        let mut writer = replacement.writer()?;
        let (mut runs, mut points, mut left_out) = (Vec::new(), 0, Vec::new());
        for job in &folder.graph().jobs {
            self.check_cancelled()?;
            let why = match reason(request, job, &folder.state(&job.id)?) {
                None => incomplete(&folder, job)?.map(|why| (why, true)),
                why => why,
            };
            let found = if why.is_none() { losses(request, &folder, job)? } else { None };
            let Some((curve, training)) = found else {
                let (why, ended) = why.unwrap_or_else(|| ("it has no point".to_owned(), false));
                left_out.push(LeftOut { id: job.id.clone(), why, ended });
                continue;
            };
            let source = format!("{}#{}", request.dir.display(), job.id);
            writer.push_both(&curve, training.as_ref(), &source)?;
            points += (curve.step().len() + training.map_or(0, |training| training.step().len())) as u64;
            runs.push(job.id.clone());
        }
        if runs.is_empty() {
            return Err(Failure::new(format_args!(
                "{}: no run of the sweep can be written",
                request.dir.display()
            ))
            .hint("`lehr sweep status DIR --all` says how far each is"));
        }
        if let Some(before) = replacement.before() {
            let old = file_source(&request.store.join(POINTS), 1, false)?;
            writer.copy(&old, before, &|id| folder.graph().job(id).is_none())?;
        }
        replacement.commit(writer)?;
        if let Some(file) = &request.experts {
            let mut tokens = Vec::new();
            for id in &runs {
                tokens.push((id.clone(), curves::expert_tokens(&folder, folder.job(id)?)?));
            }
            write_experts(file, &tokens)?;
        }
        let store = request.store.to_string_lossy().into_owned();
        Ok(Answer { value: SweepExportAnswer { store, runs, points, left_out }, caveats: Vec::new(), notes })
    }
}
