//! A job file done by lehr's own engine: the trainer that shows the contract, and that tests it.

use super::engine;
use crate::desk::Desk;
use crate::failure::Failure;
use lehr_train::sweep::JobFile;
use lehr_train::sweep::job_file::JOB_FORMAT;
use lehr_train::sweep::journal::advance;
use lehr_train::{RunConfig, TrainError, Trainer};
use serde::Serialize;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::{Duration, Instant};

/// Time between two checkpoints in the job's scratch folder, unless the settings say after how many updates.
const CHECKPOINT: Duration = Duration::from_secs(30);
/// The setting that says after how many updates a checkpoint is left.
const CHECKPOINT_EVERY: &str = "checkpoint_every";
/// The setting that says how many threads compute a job.
const LANES: &str = "lanes";

/// One line of the log.
#[derive(Debug, Serialize)]
struct Line {
    step: u64,
    lr: f64,
    train_loss: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    val_loss: Option<f64>,
}

impl Desk {
    /// Does the job of a job file with lehr's engine, from its last checkpoint where there is one.
    ///
    /// # Errors
    /// [`Failure`] for a file that is no job file, a checkpoint that is not there, and a model that cannot be trained; of kind
    /// [`Diverged`](crate::FailureKind::Diverged) when the run diverges, and of kind [`Again`](crate::FailureKind::Again) when
    /// the observer stops it, after a checkpoint.
    pub fn do_job(&self, file: &Path) -> Result<(), Failure> {
        let job = read(file)?;
        let config = RunConfig {
            model: job.model.config.clone(),
            optimiser: job.optimiser.clone(),
            data: job.data.clone(),
            batch: job.batch,
            seed: job.seed,
            validate_every: job.validate_every,
            noise_every: 0,
        };
        config.check()?;
        let number = |name: &str| job.settings.get(name).and_then(serde_json::Value::as_u64);
        let lanes = number(LANES).unwrap_or(1).max(1) as usize;
        let mut trainer = engine(&config, lanes)?;
        let kept = job.scratch.join("last.safetensors");
        begin(&job, trainer.as_mut(), &kept, file)?;
        let mut log = open_log(&job.log)?;
        let every = number(CHECKPOINT_EVERY);
        let mut saved = Instant::now();
        let write = |log: &mut File, line: &Line| -> Result<(), Failure> {
            let text = serde_json::to_string(line)? + "\n";
            log.write_all(text.as_bytes()).map_err(Failure::at(&job.log))
        };
        while trainer.completed() < job.last {
            if self.observer().cancelled() {
                keep(trainer.as_ref(), &log, &kept, &job)?;
                return Err(Failure::again("stopped as asked, after a checkpoint"));
            }
            let update = trainer.completed() + 1;
            let rate = job.rates[update as usize - 1];
            let record = match advance(trainer.as_mut(), &config, rate, job.last) {
                Ok(record) => record,
                Err(error @ TrainError::Diverged { .. }) => return Err(Failure::diverged(error)),
                Err(error) => return Err(error.into()),
            };
            let line = Line { step: update, lr: rate, train_loss: record.loss, val_loss: record.validation };
            write(&mut log, &line)?;
            if let Some(save) = job.save.iter().find(|save| save.update == update) {
                log.sync_data().map_err(Failure::at(&job.log))?;
                trainer.save(&save.path)?;
            }
            let due = every.map_or_else(|| saved.elapsed() >= CHECKPOINT, |every| update % every.max(1) == 0);
            if due && update < job.last {
                keep(trainer.as_ref(), &log, &kept, &job)?;
                saved = Instant::now();
            }
        }
        log.sync_data().map_err(Failure::at(&job.log))
    }
}

/// The job file, if it is one that this version knows.
fn read(file: &Path) -> Result<JobFile, Failure> {
    let text = std::fs::read_to_string(file).map_err(Failure::at(file))?;
    let wrong = |found: &dyn std::fmt::Display, expected: &str| {
        Failure::new(format_args!("{}: {found}; expected {expected}", file.display()))
            .within(file.to_string_lossy())
            .finding(found, expected)
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| wrong(&error, "a job file of a sweep"))?;
    let format = value.get("format").and_then(serde_json::Value::as_str).unwrap_or("missing");
    if format != JOB_FORMAT {
        return Err(wrong(&format_args!("the format is {format}"), JOB_FORMAT));
    }
    let job: JobFile =
        serde_json::from_value(value).map_err(|error| wrong(&error, "the keys of docs/formats/job.md"))?;
    if job.rates.len() as u64 != job.last || job.first == 0 || job.first > job.last {
        let found = format!("{} rates for updates {} … {}", job.rates.len(), job.first, job.last);
        return Err(wrong(&found, "one rate for every update up to the last"));
    }
    Ok(job)
}

/// Loads the newest checkpoint: the job's own, else the trunk's.
fn begin(job: &JobFile, trainer: &mut dyn Trainer, kept: &Path, file: &Path) -> Result<(), Failure> {
    let (from, allowed) = match (&job.resume, kept.exists()) {
        (_, true) => (kept, job.first - 1..=job.last),
        (Some(resume), false) => (resume.path.as_path(), resume.update..=resume.update),
        (None, false) => return Ok(()),
    };
    trainer.load(from)?;
    let completed = trainer.completed();
    if !allowed.contains(&completed) {
        return Err(Failure::new(format_args!(
            "{}: {} is of update {completed}; expected one of updates {} … {}",
            file.display(),
            from.display(),
            allowed.start(),
            allowed.end()
        )));
    }
    Ok(())
}

/// A checkpoint in the scratch folder, after the log is on the disk.
fn keep(trainer: &dyn Trainer, log: &File, kept: &Path, job: &JobFile) -> Result<(), Failure> {
    log.sync_data().map_err(Failure::at(&job.log))?;
    std::fs::create_dir_all(&job.scratch).map_err(Failure::at(&job.scratch))?;
    Ok(trainer.save(kept)?)
}

/// The log, to be added to; a line that a killed process began is cut off.
fn open_log(path: &Path) -> Result<File, Failure> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(Failure::at(folder))?;
    }
    let open = || -> std::io::Result<File> {
        let mut file = File::options().create(true).read(true).append(true).open(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        file.seek(SeekFrom::End(0))?;
        Ok(file)
    };
    open().map_err(Failure::at(path))
}
