//! The folder of a sweep: all there is to know about it.
//!
//! ```text
//! DIR/
//!   sweep.json           the graph and what all jobs need; written once
//!   plan.toml            the plan as it was read
//!   lock                 held by the executor
//!   speed.json           measured speeds
//!   jobs/JOB.json        how the job ended, or how far its last snapshot is (written anew, renamed)
//!   jobs/JOB.lock        held by the job's worker
//!   points/JOB           its journal
//!   snapshots/JOB/at-N   after update N, for branches
//!   snapshots/JOB/last   for resuming
//!   log/JOB              what its worker said
//! ```

use crate::sweep::error::{SweepError, at};
use crate::sweep::estimate::Speeds;
use crate::sweep::graph::{Graph, Job, Kind};
use crate::sweep::journal::rewritable;
use crate::sweep::outside::OutsideTrainer;
use crate::sweep::progress::State;
use serde::{Deserialize, Serialize};
use std::fs::{File, TryLockError};
use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Version of the folder's format.
const FORMAT: u32 = 1;

/// `sweep.json`: what every worker needs to know.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Version of the format.
    pub format: u32,
    /// Threads of each job. Part of the result: losses are equal bit for bit only for one number of threads.
    pub lanes: usize,
    /// Seconds between two snapshots of a running job.
    pub snapshot_seconds: f64,
    /// Name of the data set in the run store.
    pub dataset: String,
    /// What [`fingerprint`](crate::sweep::fingerprint) said of the program and machine that began the sweep; empty: unknown.
    #[serde(default)]
    pub arithmetic: String,
    /// Who trains, where it is not lehr's engine.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trainer: Option<OutsideTrainer>,
    /// The jobs.
    pub graph: Graph,
}

impl Settings {
    /// Settings of the present format.
    #[must_use]
    pub fn new(graph: Graph, lanes: usize, snapshot_seconds: f64, dataset: String) -> Self {
        let arithmetic = String::new();
        Self { format: FORMAT, lanes, snapshot_seconds, dataset, arithmetic, trainer: None, graph }
    }

    /// The same sweep, whatever computes it.
    fn without_arithmetic(&self) -> Self {
        Self { arithmetic: String::new(), ..self.clone() }
    }
}

/// A sweep's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
    /// What `sweep.json` says.
    pub settings: Settings,
}

/// A lock that is held until it is dropped; the system lets go of it when its process dies, however it dies.
#[derive(Debug)]
pub struct Lock {
    file: File,
}

impl Lock {
    /// Takes a lock; waits for up to `patience`.
    ///
    /// # Errors
    /// [`SweepError::Busy`] when another process holds it; [`SweepError::Train`] when the file cannot be made.
    pub fn take(path: &Path, what: &Path, patience: Duration) -> Result<Self, SweepError> {
        let mut file = rewritable(path).map_err(at(path, "open"))?;
        let mut waited = Duration::ZERO;
        loop {
            match file.try_lock() {
                Ok(()) => break,
                Err(TryLockError::WouldBlock) if waited < patience => {
                    let pause = Duration::from_millis(20);
                    std::thread::sleep(pause);
                    waited += pause;
                }
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // Who it is only helps the message.
                    drop(file.read_to_string(&mut holder));
                    let holder = holder.trim();
                    let holder =
                        if holder.is_empty() { String::new() } else { format!(" (process {holder})") };
                    return Err(SweepError::Busy { what: what.to_path_buf(), holder });
                }
                Err(TryLockError::Error(error)) => return Err(at(path, "lock")(error)),
            }
        }
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| file.write_all(std::process::id().to_string().as_bytes()));
        written.map_err(at(path, "write"))?;
        Ok(Self { file })
    }

    /// The lock as the standard input of another process, which then holds it too, for as long as it or a process that it
    /// started lives.
    ///
    /// # Errors
    /// As the system's.
    pub fn share(&self) -> std::io::Result<std::process::Stdio> {
        self.file.try_clone().map(std::process::Stdio::from)
    }

    /// Whether some process holds the lock now.
    #[must_use]
    pub fn is_held(path: &Path) -> bool {
        File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

/// Writes a file whole or not at all: beside it first, on the disk, then renamed.
///
/// # Errors
/// [`SweepError::Train`] when it cannot be written.
pub fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), SweepError> {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}.new", std::process::id()));
    let beside = path.with_file_name(name);
    let written = File::create(&beside)
        .and_then(|mut file| file.write_all(bytes).and_then(|()| file.sync_all()))
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // What was begun is of no use; the first error is the one to tell.
        drop(std::fs::remove_file(&beside));
    }
    written.map_err(at(path, "write"))?;
    // The name must reach the disk, too; not every system lets a folder be opened.
    if let Some(folder) = path.parent().and_then(|parent| File::open(parent).ok()) {
        folder.sync_all().map_err(at(path, "write"))?;
    }
    Ok(())
}

/// Reads JSON that this program wrote; `None` where there is no file.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, SweepError> {
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path, "read")(error)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|error| SweepError::Folder {
        place: path.to_path_buf(),
        problem: error.to_string(),
        expected: "what this program wrote there; remove a damaged file of jobs/ or speed.json, and `lehr sweep resume` makes it again".to_owned(),
    })
}

fn to_json(value: &impl Serialize, path: &Path) -> Result<Vec<u8>, SweepError> {
    serde_json::to_vec_pretty(value).map_err(|error| SweepError::Folder {
        place: path.to_path_buf(),
        problem: error.to_string(),
        expected: "values that JSON can hold".to_owned(),
    })
}

impl Folder {
    /// Makes the folder of a sweep, or opens it when it is of the same sweep.
    ///
    /// # Errors
    /// [`SweepError::Folder`] when the folder holds another sweep; [`SweepError::Train`] when it cannot be written.
    pub fn create(path: &Path, settings: Settings, plan: &str) -> Result<Self, SweepError> {
        if let Some(there) = Self::settings_in(path)? {
            if there.without_arithmetic() != settings.without_arithmetic() {
                return Err(SweepError::Folder {
                    place: path.to_path_buf(),
                    problem: different(&there, &settings),
                    expected: "the same plan and lanes; name another folder with --dir, or continue the old sweep with `lehr sweep resume`".to_owned(),
                });
            }
            return Self { path: path.to_path_buf(), settings: there }.with_folders();
        }
        let this = Self { path: path.to_path_buf(), settings }.with_folders()?;
        // Of two that begin sweeps in one folder, the second finds what the first wrote.
        let _held = Lock::take(&path.join("lock"), path, Duration::from_secs(2))?;
        if Self::settings_in(path)?.is_some() {
            drop(_held);
            return Self::create(path, this.settings, plan);
        }
        write_whole(&path.join("plan.toml"), plan.as_bytes())?;
        let file = path.join("sweep.json");
        write_whole(&file, &to_json(&this.settings, &file)?)?;
        Ok(this)
    }

    /// Opens the folder of a sweep.
    ///
    /// # Errors
    /// [`SweepError::Folder`] when there is no sweep or one of another version.
    pub fn open(path: &Path) -> Result<Self, SweepError> {
        match Self::settings_in(path)? {
            Some(settings) => Self { path: path.to_path_buf(), settings }.with_folders(),
            None => Err(SweepError::Folder {
                place: path.to_path_buf(),
                problem: "there is no sweep.json".to_owned(),
                expected: "the folder of a sweep, which `lehr sweep PLAN --dir DIR` makes".to_owned(),
            }),
        }
    }

    fn settings_in(path: &Path) -> Result<Option<Settings>, SweepError> {
        let file = path.join("sweep.json");
        let Some(value) = read_json::<serde_json::Value>(&file)? else { return Ok(None) };
        let wrong = |problem: String, expected: &str| SweepError::Folder {
            place: file.clone(),
            problem,
            expected: expected.to_owned(),
        };
        if value.get("format").and_then(serde_json::Value::as_u64) != Some(FORMAT.into()) {
            let found = value.get("format").map_or("missing".to_owned(), ToString::to_string);
            return Err(wrong(format!("its format is {found}"), "format 1; use the lehr that wrote it"));
        }
        let settings = serde_json::from_value(value);
        settings.map(Some).map_err(|error| wrong(error.to_string(), "what this program wrote there"))
    }

    fn with_folders(self) -> Result<Self, SweepError> {
        let outside = self.settings.trainer.is_some().then_some("job");
        for name in ["jobs", "points", "snapshots", "log"].into_iter().chain(outside) {
            let folder = self.path.join(name);
            std::fs::create_dir_all(&folder).map_err(at(&folder, "make"))?;
        }
        Ok(self)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The jobs.
    #[must_use]
    pub fn graph(&self) -> &Graph {
        &self.settings.graph
    }

    /// The job of that name.
    ///
    /// # Errors
    /// [`SweepError::Folder`] when the sweep has no such job.
    pub fn job(&self, id: &str) -> Result<&Job, SweepError> {
        self.graph().job(id).ok_or_else(|| SweepError::Folder {
            place: self.path.clone(),
            problem: format!("the sweep has no job '{id}'"),
            expected: "a name that `lehr sweep status` lists".to_owned(),
        })
    }

    /// Keeps every other executor out of this sweep.
    ///
    /// # Errors
    /// [`SweepError::Busy`] when another one is at work.
    pub fn lock(&self) -> Result<Lock, SweepError> {
        // A look at the lock holds it for a moment, too.
        Lock::take(&self.path.join("lock"), &self.path, Duration::from_millis(200))
    }

    /// File of a job's lock.
    #[must_use]
    pub fn job_lock(&self, id: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{id}.lock"))
    }

    /// File of a job's journal.
    #[must_use]
    pub fn points(&self, id: &str) -> PathBuf {
        self.path.join("points").join(id)
    }

    /// File of what a job's worker says.
    #[must_use]
    pub fn log(&self, id: &str) -> PathBuf {
        self.path.join("log").join(id)
    }

    /// Folder of a job's snapshots.
    #[must_use]
    pub fn snapshots(&self, id: &str) -> PathBuf {
        self.path.join("snapshots").join(id)
    }

    /// A trunk's snapshot after update `at`.
    #[must_use]
    pub fn snapshot_at(&self, id: &str, at: u64) -> PathBuf {
        // What another trainer leaves there may be a file or a folder.
        let end = if self.settings.trainer.is_some() { "" } else { ".safetensors" };
        self.snapshots(id).join(format!("at-{at}{end}"))
    }

    /// Folder of the checkpoints that a trainer of the user's own keeps for itself.
    #[must_use]
    pub fn scratch(&self, id: &str) -> PathBuf {
        self.snapshots(id).join("resume")
    }

    /// What a trainer of the user's own is told of a job.
    #[must_use]
    pub fn job_file(&self, id: &str) -> PathBuf {
        self.path.join("job").join(format!("{id}.json"))
    }

    /// File that holds, while a trainer of the user's own runs, the number of its process group.
    #[must_use]
    pub fn group_file(&self, id: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{id}.group"))
    }

    /// File that counts how often a trainer of the user's own asked a cluster to be started again without a further update.
    #[must_use]
    pub fn again_file(&self, id: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{id}.again"))
    }

    /// File of what a trainer of the user's own says.
    #[must_use]
    pub fn output(&self, id: &str) -> PathBuf {
        self.path.join("log").join(format!("{id}.out"))
    }

    /// The newest snapshot for resuming a job.
    #[must_use]
    pub fn last_snapshot(&self, id: &str) -> PathBuf {
        self.snapshots(id).join("last.safetensors")
    }

    /// How a job ended, or how far its last snapshot is.
    ///
    /// # Errors
    /// [`SweepError::Folder`] or [`SweepError::Train`] when the file cannot be read.
    pub fn state(&self, id: &str) -> Result<State, SweepError> {
        Ok(read_json(&self.state_file(id))?.unwrap_or_default())
    }

    /// Replaces what [`Folder::state`] reads.
    ///
    /// # Errors
    /// [`SweepError::Train`] when the file cannot be written.
    pub fn set_state(&self, id: &str, state: &State) -> Result<(), SweepError> {
        let file = self.state_file(id);
        write_whole(&file, &to_json(state, &file)?)
    }

    fn state_file(&self, id: &str) -> PathBuf {
        self.path.join("jobs").join(format!("{id}.json"))
    }

    /// Speeds measured before.
    ///
    /// # Errors
    /// [`SweepError::Folder`] or [`SweepError::Train`] when the file cannot be read.
    pub fn speeds(&self) -> Result<Speeds, SweepError> {
        Ok(read_json(&self.path.join("speed.json"))?.unwrap_or_default())
    }

    /// Keeps measured speeds.
    ///
    /// # Errors
    /// [`SweepError::Train`] when the file cannot be written.
    pub fn set_speeds(&self, speeds: &Speeds) -> Result<(), SweepError> {
        let file = self.path.join("speed.json");
        write_whole(&file, &to_json(speeds, &file)?)
    }

    /// Updates of a trunk of which a snapshot is there, ascending.
    #[must_use]
    pub fn snapshots_there(&self, trunk: &Job) -> Vec<u64> {
        match &trunk.kind {
            Kind::Trunk { snapshots, .. } => {
                let there = |at: &u64| self.snapshot_at(&trunk.id, *at).exists();
                snapshots.iter().copied().filter(there).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Removes the snapshots of a trunk that no branch will need and from which the trunk itself will not resume.
    ///
    /// # Errors
    /// [`SweepError`] when a state cannot be read or a snapshot cannot be removed.
    pub fn drop_unneeded(&self, trunk: &Job) -> Result<(), SweepError> {
        let there = self.snapshots_there(trunk);
        let newest = if self.state(&trunk.id)?.is_final() { None } else { there.last().copied() };
        for snapshot in there {
            let mut wanted = newest == Some(snapshot);
            for (branch, at) in self.graph().branches(&trunk.id) {
                wanted = wanted || (at == snapshot && !self.state(&branch.id)?.is_final());
            }
            if !wanted {
                remove(&self.snapshot_at(&trunk.id, snapshot))?;
            }
        }
        Ok(())
    }

    /// Removes what a killed worker had begun to write beside its job's snapshots. Only for who keeps others from the job.
    ///
    /// # Errors
    /// [`SweepError::Train`] when a file cannot be removed.
    pub fn drop_unfinished(&self, job: &Job) -> Result<(), SweepError> {
        // What another trainer keeps beside its checkpoints is its own.
        if self.settings.trainer.is_some() {
            return Ok(());
        }
        for entry in std::fs::read_dir(self.snapshots(&job.id)).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            let of_trunk = name.starts_with("at-") && name.ends_with(".safetensors");
            if name != "last.safetensors" && !of_trunk {
                remove(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Removes the snapshots that nobody needs once a job has ended: its own, and those of its trunk.
    ///
    /// # Errors
    /// As [`Folder::drop_unneeded`].
    pub fn clean_up(&self, job: &Job) -> Result<(), SweepError> {
        remove(&self.last_snapshot(&job.id))?;
        if self.settings.trainer.is_some() {
            remove(&self.scratch(&job.id))?;
        }
        self.drop_unfinished(job)?;
        match self.graph().job(job.trunk().unwrap_or(&job.id)) {
            Some(trunk) => self.drop_unneeded(trunk),
            None => Ok(()),
        }
    }

    /// Bytes of all snapshots that are there.
    #[must_use]
    pub fn snapshot_bytes(&self) -> u64 {
        let folders = std::fs::read_dir(self.path.join("snapshots")).into_iter().flatten().flatten();
        let files =
            folders.flat_map(|folder| std::fs::read_dir(folder.path()).into_iter().flatten().flatten());
        files.filter_map(|file| file.metadata().ok()).map(|meta| meta.len()).sum()
    }
}

/// Removes a file, a folder with what is in it, or a link (not what it leads to) that may be gone already.
///
/// # Errors
/// [`SweepError::Train`] when it is there and cannot be removed.
pub fn remove(file: &Path) -> Result<(), SweepError> {
    let is_folder = std::fs::symlink_metadata(file).is_ok_and(|meta| meta.is_dir());
    let removed = if is_folder { std::fs::remove_dir_all(file) } else { std::fs::remove_file(file) };
    match removed {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(at(file, "remove")(error)),
        _ => Ok(()),
    }
}

/// In what two sweeps differ, for people.
fn different(there: &Settings, wanted: &Settings) -> String {
    if there.lanes != wanted.lanes {
        return format!("its sweep runs with --lanes {}, not {}", there.lanes, wanted.lanes);
    }
    let other = wanted.graph.jobs.iter().find(|job| there.graph.job(&job.id) != Some(job));
    match other.or_else(|| there.graph.jobs.iter().find(|job| wanted.graph.job(&job.id) != Some(job))) {
        Some(job) => format!("it holds another sweep (they differ in job '{}')", job.id),
        None => "it holds a sweep with other settings".to_owned(),
    }
}
