//! What a trainer is told of one job: a JSON file.

use crate::config::{ModelConfig, OptimiserConfig};
use crate::run_config::DataConfig;
use crate::sweep::error::SweepError;
use crate::sweep::folder::{Folder, write_whole};
use crate::sweep::graph::{Job, Kind};
use crate::sweep::outside::{AGAIN, DIVERGED, OutsideTrainer, absolute};
use lehr::Schedule;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Name and version of the form.
pub const JOB_FORMAT: &str = "lehr.job/1";

/// One job, as its trainer reads it. Fields may be added without a new version; readers pass over what they do not know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JobFile {
    /// `lehr.job/1`.
    pub format: String,
    /// Name of the job and of its run.
    pub name: String,
    /// `trunk`, `branch` or `alone`.
    pub kind: String,
    /// The model.
    pub model: JobModel,
    /// The optimiser.
    pub optimiser: OptimiserConfig,
    /// The data, as the plan states them.
    pub data: DataConfig,
    /// Sequences an update.
    pub batch: u32,
    /// Tokens an update.
    pub tokens_per_update: u64,
    /// Seed of initial weights and of the data's order: batch k is a function of seed and k alone.
    pub seed: u64,
    /// The first update to do, from 1; a branch begins after its branch point.
    pub first: u64,
    /// The last update to do.
    pub last: u64,
    /// The rate of every update of the whole run, that of update 1 first, also of those before `first`.
    pub rates: Vec<f64>,
    /// The schedule in words that lehr reads.
    pub schedule: String,
    /// Its numbers, where it is warm-up, stable phase and annealing.
    pub wsd: Option<JobWsd>,
    /// The trunk's checkpoint that a branch resumes from, optimiser state and data position included.
    pub resume: Option<JobCheckpoint>,
    /// Checkpoints to leave, ascending: files or folders at exactly these paths, written beside and renamed.
    pub save: Vec<JobCheckpoint>,
    /// A folder for the trainer's own checkpoints, from which a killed job goes on. Removed when the job is done.
    pub scratch: PathBuf,
    /// Updates between two validations; 0: only after the last update.
    pub validate_every: u64,
    /// Where to log.
    pub log: PathBuf,
    /// Configurations of trainers, by name, as `lehr schedule --export` writes them.
    pub exports: BTreeMap<String, String>,
    /// The plan's settings for the trainer.
    pub settings: BTreeMap<String, serde_json::Value>,
    /// What to exit with.
    pub exit_codes: ExitCodes,
}

/// The model of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JobModel {
    /// Name in the plan.
    pub name: String,
    /// Parameters without embedding and head.
    pub params: u64,
    /// Of them those that a token passes through.
    pub active_params: u64,
    /// Every key.
    pub config: ModelConfig,
}

/// The numbers of a warm-up–stable–decay schedule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JobWsd {
    /// Peak rate.
    pub peak_lr: f64,
    /// Horizon.
    pub total: u64,
    /// Warm-up updates.
    pub warmup: u64,
    /// Annealing updates.
    pub anneal: u64,
    /// How the rate falls.
    pub shape: String,
    /// Final rate.
    pub final_lr: f64,
}

/// A checkpoint: after which update, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct JobCheckpoint {
    /// Updates done.
    pub update: u64,
    /// File or folder.
    pub path: PathBuf,
}

/// How a trainer says how it ended; anything else is a failure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct ExitCodes {
    /// All updates are done.
    pub done: i32,
    /// The run diverged.
    pub diverged: i32,
    /// Interrupted; to be started again.
    pub again: i32,
}

impl JobFile {
    /// The file of a job; `exports` are configurations of trainers by name.
    ///
    /// # Errors
    /// [`SweepError`] when the state of a branch cannot be read.
    pub fn new(
        folder: &Folder,
        trainer: &OutsideTrainer,
        job: &Job,
        exports: BTreeMap<String, String>,
    ) -> Result<Self, SweepError> {
        let count = job.config.model.parameters();
        let (kind, resume) = match &job.kind {
            Kind::Trunk { .. } => ("trunk", None),
            Kind::Branch { trunk, at } => {
                let path = absolute(&folder.snapshot_at(trunk, *at));
                ("branch", Some(JobCheckpoint { update: *at, path }))
            }
            Kind::Alone => ("alone", None),
        };
        let mut save = Vec::new();
        for (branch, update) in folder.graph().branches(&job.id) {
            let known = save.last().is_some_and(|last: &JobCheckpoint| last.update == update);
            if !known && !folder.state(&branch.id)?.is_final() {
                save.push(JobCheckpoint { update, path: absolute(&folder.snapshot_at(&job.id, update)) });
            }
        }
        let wsd = match &job.schedule {
            Schedule::Wsd(wsd) => Some(JobWsd {
                peak_lr: wsd.peak_lr,
                total: wsd.total.0,
                warmup: wsd.warmup.0,
                anneal: wsd.anneal.0,
                shape: wsd.shape.to_string(),
                final_lr: wsd.final_lr,
            }),
            _ => None,
        };
        Ok(Self {
            format: JOB_FORMAT.to_owned(),
            name: job.id.clone(),
            kind: kind.to_owned(),
            model: JobModel {
                name: job.model.clone(),
                params: count.non_embedding,
                active_params: count.active,
                config: job.config.model.clone(),
            },
            optimiser: job.config.optimiser.clone(),
            data: job.config.data.clone(),
            batch: job.config.batch,
            tokens_per_update: job.tokens_per_update(),
            seed: job.config.seed,
            first: job.first() + 1,
            last: job.last(),
            rates: job.schedule.rates(),
            schedule: job.schedule.to_string(),
            wsd,
            resume,
            save,
            scratch: absolute(&folder.scratch(&job.id)),
            validate_every: job.config.validate_every,
            log: trainer.logs(folder, &job.id),
            exports,
            settings: trainer.plan.settings.clone(),
            exit_codes: ExitCodes { done: 0, diverged: DIVERGED, again: AGAIN },
        })
    }

    /// Writes the file where the trainer is told of it.
    ///
    /// # Errors
    /// [`SweepError`] when it cannot be written.
    pub fn write(&self, folder: &Folder) -> Result<(), SweepError> {
        let path = folder.job_file(&self.name);
        let bytes = serde_json::to_vec_pretty(self).map_err(|error| SweepError::Folder {
            place: path.clone(),
            problem: error.to_string(),
            expected: "values that JSON can hold".to_owned(),
        })?;
        write_whole(&path, &bytes)
    }
}

/// The JSON Schema of a job file, pretty-printed.
#[must_use]
pub fn job_schema() -> String {
    let schema = schemars::schema_for!(JobFile);
    format!("{:#}\n", schema.as_value())
}
