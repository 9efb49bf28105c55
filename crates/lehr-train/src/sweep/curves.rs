//! The loss curves of a sweep's runs, from its journals.

use crate::error::TrainError;
use crate::expert_tokens::{self, ExpertTokens};
use crate::run_config::DataConfig;
use crate::sweep::error::SweepError;
use crate::sweep::folder::Folder;
use crate::sweep::graph::{Job, Kind};
use crate::sweep::journal::{Record, read};
use lehr::{BranchPoint, Curve, LossKind, RunMeta, Split, Steps};

/// Which training losses are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Thinning {
    /// The loss of every update.
    #[default]
    All,
    /// Means over so many updates, each at the last of them; the last point, at T, is a mean over the last so many.
    Means(u64),
}

/// The records of a whole run: those of its trunk up to the branch point, then its own.
///
/// # Errors
/// [`SweepError`] when a journal cannot be read, or the trunk's does not reach the branch point.
pub fn records(folder: &Folder, job: &Job) -> Result<Vec<Record>, SweepError> {
    let own = read(&folder.points(&job.id), job.first())?;
    let Kind::Branch { trunk, at } = &job.kind else { return Ok(own) };
    let mut all = read(&folder.points(trunk), 0)?;
    if (all.len() as u64) < *at && !own.is_empty() {
        return Err(SweepError::Folder {
            place: folder.points(trunk),
            problem: format!("it ends with update {}", all.len()),
            expected: format!("at least update {at}, from which '{}' branches", job.id),
        });
    }
    all.truncate(*at as usize);
    all.extend(own);
    Ok(all)
}

/// Of a mixture of experts, the tokens that each expert got between validations of a whole run, its trunk's part included;
/// empty for dense models.
///
/// # Errors
/// [`SweepError`] when a file cannot be read.
pub fn expert_tokens(folder: &Folder, job: &Job) -> Result<Vec<ExpertTokens>, SweepError> {
    // A trainer of the user's own does not tell them.
    if folder.settings.trainer.is_some() {
        return Ok(Vec::new());
    }
    let width = expert_tokens::width(&job.config.model);
    let mut all = match &job.kind {
        Kind::Branch { trunk, at } => {
            let mut of_trunk = expert_tokens::read(&folder.points(trunk), width)?;
            of_trunk.truncate(*at as usize);
            of_trunk
        }
        _ => Vec::new(),
    };
    all.extend(expert_tokens::read(&folder.points(&job.id), width)?);
    Ok(expert_tokens::by_validation(&all, &job.config, 0, job.last()))
}

/// What the run store says about a run.
#[must_use]
pub fn meta(folder: &Folder, job: &Job, split: Split) -> RunMeta {
    let branch = match &job.kind {
        Kind::Branch { trunk, at } => Some(BranchPoint { trunk: trunk.clone(), at: Steps(*at) }),
        _ => None,
    };
    job.config.meta(&job.id, &folder.settings.dataset, branch, split)
}

/// A run's curve, as the run trained from the start would have logged it; `None` where it has no point yet.
///
/// A training loss stands at the update whose batch it was measured on (before that update changed the weights), a
/// validation loss at the number of updates done.
///
/// # Errors
/// [`SweepError`] when a journal cannot be read.
pub fn curve(
    folder: &Folder,
    job: &Job,
    split: Split,
    thinning: Thinning,
) -> Result<Option<Curve>, SweepError> {
    let outside = folder.settings.trainer.is_some();
    // What a trunk validates at its own end is no part of its branches, unless they validate there, too.
    let end_of_trunk = match &job.kind {
        Kind::Branch { trunk, .. } => folder.job(trunk)?.last(),
        _ => 0,
    };
    let mut records = records(folder, job)?;
    if outside && split != Split::Validation {
        // Another trainer does not log every update.
        records.retain(|record| record.loss.is_finite());
    }
    let mut meta = meta(folder, job, split);
    let (mut step, mut loss) = (Vec::new(), Vec::new());
    match (split, thinning) {
        (Split::Validation, _) => {
            for record in records.iter().filter(|record| {
                (outside && record.update != end_of_trunk) || job.validates_at(record.update)
            }) {
                if let Some(validation) = record.validation {
                    step.push(record.update);
                    loss.push(validation);
                }
            }
        }
        (_, Thinning::Means(k)) if k > 1 && outside => {
            // Means over what was logged in every window of k updates.
            meta.loss_kind = LossKind::IntervalMean(Steps(k));
            for window in records.chunk_by(|a, b| (a.update - 1) / k == (b.update - 1) / k) {
                step.extend(window.last().map(|record| record.update));
                loss.push(window.iter().map(|record| record.loss).sum::<f64>() / window.len() as f64);
            }
        }
        (_, Thinning::Means(k)) if k > 1 => {
            meta.loss_kind = LossKind::IntervalMean(Steps(k));
            for record in &records {
                let end = record.update;
                if end >= k && (end.is_multiple_of(k) || end == job.last()) {
                    let window = &records[(end - k) as usize..end as usize];
                    step.push(end);
                    loss.push(window.iter().map(|record| record.loss).sum::<f64>() / k as f64);
                }
            }
        }
        _ => {
            step.extend(records.iter().map(|record| record.update));
            loss.extend(records.iter().map(|record| record.loss));
        }
    }
    if step.is_empty() {
        return Ok(None);
    }
    Curve::new(meta, job.schedule.clone(), step, loss).map(Some).map_err(|error| {
        SweepError::Train(TrainError::Data {
            place: folder.points(&job.id).display().to_string(),
            problem: error.to_string(),
            expected: "losses above 0".to_owned(),
        })
    })
}

/// A name for the data set, from what the data are: `synthetic-SEED`, or the paths' last components.
#[must_use]
pub fn dataset_name(data: &DataConfig) -> String {
    if data.paths.is_empty() {
        return format!("synthetic-{}", data.language_seed);
    }
    let last = |path: &String| {
        let trimmed = path.trim_end_matches(['/', '\\']);
        trimmed.rsplit(['/', '\\']).next().unwrap_or(trimmed).to_owned()
    };
    data.paths.iter().map(last).collect::<Vec<_>>().join("+")
}
