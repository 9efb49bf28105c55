//! A small sweep over the real engine.

use lehr_train::expert_tokens::file_beside;
use lehr_train::sweep::folder::Settings;
use lehr_train::sweep::local::{Event, Executor};
use lehr_train::sweep::plan::PlanFile;
use lehr_train::sweep::{Folder, Graph, LocalExecutor, State, work, worker};
use lehr_train::{Batches, CpuTrainer, RunConfig, TrainError, Trainer, UpdateReport};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// Dense and mixture of experts; two horizons, two ratios, two shapes, a cosine, constants, two rates.
pub const PLAN: &str = "\
validate_every = 10
warmup = 5
snapshot_seconds = 0.02

[models.dense]
vocabulary = 32
context = 8
width = 8
layers = 1
heads = 2
hidden = 16

[models.sparse]
vocabulary = 32
context = 8
width = 8
layers = 1
heads = 2
hidden = 16
experts = { count = 4, top_k = 2, hidden = 8 }

[[grid]]
models = ['dense', 'sparse']
peak_lr = [1e-2]
total = [60, 100]
ratio = [0.1, 0.35]
batch = [2]
seed = [1]

[[grid]]
models = ['dense']
peak_lr = [1e-2]
total = [60]
ratio = [0.35]
shape = ['1-sqrt', 'power:2']
family = ['wsd', 'cosine', 'constant']
batch = [2]
seed = [1]
";

/// Tokens that look random, the same for every process.
struct Hashed {
    rows: usize,
    context: usize,
    seed: u64,
}

fn hash(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

impl Hashed {
    fn fill(&self, stream: u64, tokens: &mut [u32]) {
        for (i, token) in tokens.iter_mut().enumerate() {
            // Neighbouring tokens are alike, so that there is something to learn.
            *token = (hash(stream.wrapping_mul(1 << 20) + (i / 2) as u64) % 32) as u32;
        }
    }
}

impl Batches for Hashed {
    fn rows(&self) -> usize {
        self.rows
    }

    fn context(&self) -> usize {
        self.context
    }

    fn vocabulary(&self) -> u32 {
        32
    }

    fn training(&self, update: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        self.fill(hash(self.seed) ^ update, tokens);
        Ok(())
    }

    fn validation_len(&self) -> u64 {
        2
    }

    fn validation(&self, index: u64, tokens: &mut [u32]) -> Result<(), TrainError> {
        self.fill(u64::MAX - index, tokens);
        Ok(())
    }
}

/// The real engine, slowed down so that a kill finds it at work, which diverges where a test wants it to: at update 40 of
/// runs with the seed 666.
struct Slow {
    inner: Box<dyn Trainer>,
    pause: Duration,
    diverges_at: u64,
}

impl Trainer for Slow {
    fn update(&mut self, lr: f64) -> Result<UpdateReport, TrainError> {
        let update = self.inner.completed() + 1;
        if update == self.diverges_at {
            return Err(TrainError::Diverged { update, quantity: "loss", value: f64::NAN });
        }
        std::thread::sleep(self.pause);
        self.inner.update(lr)
    }

    fn sequence_gradient_norm(&mut self) -> Result<f64, TrainError> {
        self.inner.sequence_gradient_norm()
    }
    fn evaluate(&mut self) -> Result<f64, TrainError> {
        self.inner.evaluate()
    }

    fn completed(&self) -> u64 {
        self.inner.completed()
    }

    fn tokens_per_update(&self) -> u64 {
        self.inner.tokens_per_update()
    }

    fn expert_counts(&self) -> Vec<Vec<u64>> {
        self.inner.expert_counts()
    }

    fn fork(&self) -> Box<dyn Trainer> {
        self.inner.fork()
    }

    fn save(&self, file: &Path) -> Result<(), TrainError> {
        self.inner.save(file)
    }

    fn load(&mut self, file: &Path) -> Result<(), TrainError> {
        self.inner.load(file)
    }
}

pub fn make(config: &RunConfig, lanes: usize) -> Result<Box<dyn Trainer>, TrainError> {
    let batches =
        Hashed { rows: config.batch as usize, context: config.model.context as usize, seed: config.seed };
    let micros = std::env::var("LEHR_TEST_PAUSE").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    Ok(Box::new(Slow {
        inner: Box::new(CpuTrainer::new(config, Arc::new(batches), lanes)?),
        pause: Duration::from_micros(micros),
        diverges_at: if config.seed == 666 { 40 } else { 0 },
    }))
}

pub fn graph(plan: &str) -> Graph {
    Graph::new(&PlanFile::parse("plan.toml", plan).unwrap(), 32).unwrap()
}

/// A sweep's folder, not begun.
pub fn folder(path: &Path, plan: &str) -> Folder {
    let seconds = PlanFile::parse("plan.toml", plan).unwrap().plan.snapshot_seconds;
    let settings = Settings::new(graph(plan), 1, seconds, "hashed".to_owned());
    Folder::create(path, settings, plan).unwrap()
}

/// Trains the whole sweep in this process.
pub fn finish(folder: &Folder) {
    for job in &folder.graph().jobs {
        work(folder, &job.id, &make, &|_| {}).unwrap();
    }
}

/// What is in all journals, and how all jobs ended.
pub fn results(folder: &Folder) -> Vec<(String, Vec<u8>, String)> {
    let result = |id: &String| {
        let state = match folder.state(id).unwrap() {
            State::Done { .. } => "done".to_owned(),
            other => format!("{other:?}"),
        };
        let mut bytes = std::fs::read(folder.points(id)).unwrap_or_default();
        bytes.extend(std::fs::read(file_beside(&folder.points(id))).unwrap_or_default());
        (id.clone(), bytes, state)
    };
    folder.graph().jobs.iter().map(|job| result(&job.id)).collect()
}

/// A process of this very test program that plays a part: `worker FOLDER JOB` or `driver FOLDER`.
pub fn actor(role: &str, folder: &Path, job: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["support::plays_its_part", "--exact", "--nocapture", "--test-threads=1"])
        .env("LEHR_TEST_ROLE", role)
        .env("LEHR_TEST_FOLDER", folder)
        .env("LEHR_TEST_JOB", job);
    command
}

/// Does nothing in the test run itself; as a process started by [`actor`], it is a worker or a driver.
#[test]
fn plays_its_part() {
    let Ok(role) = std::env::var("LEHR_TEST_ROLE") else { return };
    let path = std::path::PathBuf::from(std::env::var("LEHR_TEST_FOLDER").unwrap());
    let folder = Folder::open(&path).unwrap();
    match role.as_str() {
        "worker" => {
            worker::end_with_executor();
            let job = std::env::var("LEHR_TEST_JOB").unwrap();
            if let Err(error) = work(&folder, &job, &make, &|line| eprintln!("{line}")) {
                eprintln!("error: {error}");
                std::process::exit(1);
            }
        }
        "driver" => {
            if let Err(error) = drive(&folder, &mut |_| {}) {
                eprintln!("error: {error}");
                std::process::exit(1);
            }
        }
        other => panic!("no role '{other}'"),
    }
}

/// Runs a sweep with two worker processes at a time.
pub fn drive(
    folder: &Folder,
    observe: &mut dyn FnMut(Event<'_>),
) -> Result<(), lehr_train::sweep::SweepError> {
    let command = |job: &str| actor("worker", folder.path(), job);
    LocalExecutor { slots: 2, command: &command, poll: Duration::from_millis(5), stop: &|| false }
        .run(folder, observe)
}
