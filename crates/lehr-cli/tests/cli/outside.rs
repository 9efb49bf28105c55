//! Sweeps whose runs are trained by another program: `[trainer]` in a plan.

use crate::support::{command, lehr, lehr_in, root};
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

/// A trunk of 54 updates and three branches.
const GRID: &str = "
[[grid]]
models = ['tiny']
peak_lr = [5e-2]
total = [60]
ratio = [0.1, 0.25, 0.5]
batch = [4]
";
const TINY: &str = "
[models.tiny]
vocabulary = 32
context = 16
width = 16
layers = 1
heads = 2
hidden = 32
";

const OWN_GRID: &str =
    "[[grid]]\nmodels = ['tiny']\npeak_lr = [1e-2]\ntotal = [24]\nratio = [0.25, 0.5]\nbatch = [2]\n";

/// A plan whose trainer is lehr's own engine, by job files.
pub fn own_engine() -> String {
    let program = assert_cmd::cargo::cargo_bin("lehr");
    format!(
        "validate_every = 4\nwarmup = 2\n{}\n[trainer]\ncommand = \"'{}' sweep job {{job}}\"\nlogs = '{{dir}}/logs/{{name}}.jsonl'\n[trainer.settings]\ncheckpoint_every = 3\n{OWN_GRID}",
        TINY.replace("vocabulary = 32\n", "vocabulary = 256\n"),
        program.display()
    )
}

/// Whether Python is there; a test that needs it says that it skips.
pub fn python() -> bool {
    let there = std::process::Command::new("python3").arg("--version").output().is_ok();
    if !there {
        println!("skipped: no python3");
    }
    there
}

/// A folder with a plan whose trainer is the toy of `fixtures/trainers`.
pub fn toy(settings: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let script = root().join("fixtures/trainers/toy.py").canonicalize().unwrap();
    let plan = format!(
        "validate_every = 5\nwarmup = 4\n{TINY}\n[trainer]\ncommand = \"python3 {} {{job}}\"\nlogs = 'logs/{{name}}.jsonl'\n[trainer.settings]\n{settings}\n{GRID}",
        script.display()
    );
    std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
    folder
}

/// The losses of every run of a sweep's folder, as its store holds them.
pub fn store(folder: &Path, sweep: &str) -> Vec<u8> {
    let out = format!("{sweep}-store");
    lehr_in(folder, &["sweep", "export", sweep, "-o", &out]).expect(0);
    std::fs::read(folder.join(out).join("points.parquet")).unwrap()
}

pub fn status(folder: &Path, sweep: &str) -> Value {
    lehr_in(folder, &["sweep", "status", sweep, "--json"]).expect(0).json()
}

/// Lines of a job's log, by update (the last that was written counts), with their bits as text.
fn log(file: &Path) -> std::collections::BTreeMap<u64, String> {
    let text = std::fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| {
            let value: Value = serde_json::from_str(line).unwrap();
            (value["step"].as_u64().unwrap(), line.to_owned())
        })
        .collect()
}

#[test]
fn a_branch_of_another_trainer_is_the_run_from_the_start_and_checkpoints_are_removed() {
    if !python() {
        return;
    }
    let folder = toy("");
    let at = folder.path();
    let answer = lehr_in(at, &["sweep", "plan.toml", "--dir", "s", "--jobs", "2"]).expect(0);
    assert!(answer.out.contains("4 done") || status(at, "s")["done"] == 4, "{}", answer.out);
    // The run under the whole schedule, from the start: the same job file without a trunk.
    let file = at.join("s/job/tiny-lr5e-2-b4-s0-w4-T60-r0.25-linear.json");
    let mut job: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    assert_eq!((job["format"].as_str(), job["kind"].as_str()), (Some("lehr.job/1"), Some("branch")));
    assert_eq!(job["resume"]["update"], 45);
    assert_eq!(job["rates"].as_array().unwrap().len(), 60);
    let branch = log(Path::new(job["log"].as_str().unwrap()));
    job["resume"] = Value::Null;
    job["first"] = 1.into();
    job["log"] = at.join("whole.jsonl").to_str().unwrap().into();
    job["scratch"] = at.join("scratch").to_str().unwrap().into();
    std::fs::write(at.join("whole.json"), job.to_string()).unwrap();
    let script = root().join("fixtures/trainers/toy.py").canonicalize().unwrap();
    let done = std::process::Command::new("python3").arg(script).arg(at.join("whole.json")).status().unwrap();
    assert!(done.success());
    let whole = log(&at.join("whole.jsonl"));
    assert_eq!(whole.len(), 60);
    assert_eq!(branch.len(), 15);
    for (update, line) in &branch {
        assert_eq!(line, &whole[update]);
    }
    // Nothing that lehr named is left; the log, which is the trainer's, is.
    let left = std::fs::read_dir(at.join("s/snapshots")).unwrap();
    for folder in left {
        let inside = std::fs::read_dir(folder.unwrap().path()).unwrap().count();
        assert_eq!(inside, 0);
    }
    assert!(at.join("logs").exists());
    // A run in the store begins with its trunk's points.
    store(at, "s");
    let found = lehr_in(at, &["inspect", "s-store", "--split", "train", "--json"]).expect(0).json();
    let runs = found["runs"].as_array().unwrap();
    let run = runs.iter().find(|run| run["id"].as_str().unwrap().contains("r0.25")).unwrap();
    assert_eq!(run["points"], 60, "{run}");
}

#[test]
fn crashes_preemptions_and_hopeless_jobs_do_not_stop_a_sweep() {
    if !python() {
        return;
    }
    let smooth = toy("");
    lehr_in(smooth.path(), &["sweep", "plan.toml", "--dir", "s"]).expect(0);
    // The trunk crashes once before update 33 and resumes from 30; the branches that are cut off once say so with 75.
    let rough = toy("at = \"constant\"\ncrash = 33\nagain = 41");
    lehr_in(rough.path(), &["sweep", "plan.toml", "--dir", "s"]).expect(0);
    assert!(store(smooth.path(), "s") == store(rough.path(), "s"), "losses differ");
    // A job that always fails is given up after three attempts, with what it said last; the others are done.
    let hopeless = toy("at = \"r0.25\"\nalways = 50");
    let answer = lehr_in(hopeless.path(), &["sweep", "plan.toml", "--dir", "s"]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let found = status(hopeless.path(), "s");
    assert_eq!((found["done"].as_u64(), found["failed"].as_u64()), (Some(3), Some(1)));
    let job = found["jobs"].as_array().unwrap().iter().find(|job| job["state"] == "failed").unwrap();
    let problem = job["problem"].as_str().unwrap();
    assert!(problem.contains("ended with code 1; it failed 3 times in a row"), "{problem}");
    assert!(problem.contains("ends with 1 before update 50"), "{problem}");
    // A run that diverges is a result.
    let hot = toy("at = \"r0.5\"\ndiverge = 40");
    lehr_in(hot.path(), &["sweep", "plan.toml", "--dir", "s"]).expect(0);
    let found = status(hot.path(), "s");
    assert_eq!((found["done"].as_u64(), found["diverged"].as_u64()), (Some(3), Some(1)));
}

#[test]
fn nobody_loses_what_is_done_when_the_parent_is_killed() {
    if !python() {
        return;
    }
    let folder = toy("seconds = 0.02\ncheckpoint_every = 5");
    let at = folder.path();
    let mut parent =
        command().current_dir(at).args(["sweep", "plan.toml", "--dir", "s", "--jobs", "1"]).spawn().unwrap();
    let since = Instant::now();
    let logged =
        || std::fs::read_to_string(at.join("logs/tiny-lr5e-2-b4-s0-w4-constant.jsonl")).unwrap_or_default();
    while logged().lines().count() < 20 {
        assert!(since.elapsed() < Duration::from_secs(60), "nothing was trained");
        std::thread::sleep(Duration::from_millis(10));
    }
    parent.kill().unwrap();
    parent.wait().unwrap();
    lehr_in(at, &["sweep", "resume", "s", "--jobs", "2"]).expect(0);
    assert_eq!(status(at, "s")["done"], 4);
    let smooth = toy("seconds = 0.0\ncheckpoint_every = 5");
    lehr_in(smooth.path(), &["sweep", "plan.toml", "--dir", "s"]).expect(0);
    assert!(store(smooth.path(), "s") == store(at, "s"), "losses differ");
    // No more than the updates since the last checkpoint were trained twice, and none was logged by two trainers at once.
    let rows = logged().lines().count();
    assert!((54..=54 + 6).contains(&rows), "{rows} rows of 54 updates");
}

#[test]
fn a_preempted_job_of_a_cluster_leaves_a_checkpoint_and_is_requeued() {
    use std::os::unix::fs::PermissionsExt;
    if !python() {
        return;
    }
    let folder = toy("seconds = 0.02\ncheckpoint_every = 1000");
    let at = folder.path();
    let plan = std::fs::read_to_string(at.join("plan.toml")).unwrap();
    std::fs::write(at.join("plan.toml"), plan.replace("[trainer]\n", "[trainer]\ngpus = 8\nnodes = 2\n"))
        .unwrap();
    let write = ["sweep", "plan.toml", "--dir", "s", "--executor", "slurm", "--write-only"];
    lehr_in(at, &write).expect(0);
    let script = std::fs::read_to_string(at.join("s/slurm/first.sh")).unwrap();
    for line in
        ["#SBATCH --nodes=2", "#SBATCH --gres=gpu:8", "#SBATCH --signal=B:USR1@180", "#SBATCH --requeue"]
    {
        assert!(script.lines().any(|found| found == line), "{line}: {script}");
    }
    // A cluster of one shell: what it is asked to requeue is written down.
    std::fs::create_dir(at.join("bin")).unwrap();
    let scontrol = at.join("bin/scontrol");
    std::fs::write(&scontrol, format!("#!/bin/sh\necho \"$@\" >> {}/asked\n", at.display())).unwrap();
    std::fs::set_permissions(&scontrol, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", at.join("bin").display(), std::env::var("PATH").unwrap());
    let task = || {
        let mut shell = std::process::Command::new("sh");
        shell.arg(at.join("s/slurm/first.sh")).env("PATH", &path);
        shell.env("SLURM_ARRAY_TASK_ID", "0").env("SLURM_ARRAY_JOB_ID", "7");
        shell.spawn().unwrap()
    };
    let rows = || {
        let log = at.join("logs/tiny-lr5e-2-b4-s0-w4-constant.jsonl");
        std::fs::read_to_string(log).unwrap_or_default().lines().count()
    };
    let mut first = task();
    let since = Instant::now();
    while rows() < 10 {
        assert!(since.elapsed() < Duration::from_secs(60), "nothing was trained");
        std::thread::sleep(Duration::from_millis(10));
    }
    let told = std::process::Command::new("kill").args(["-USR1", &first.id().to_string()]).status().unwrap();
    assert!(told.success());
    assert!(first.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(at.join("asked")).unwrap(), "requeue 7_0\n");
    assert!(rows() < 54, "it was not interrupted");
    assert!(task().wait().unwrap().success());
    // Not one update was trained twice.
    assert_eq!((rows(), status(at, "s")["done"].as_u64()), (54, Some(1)));
}

#[test]
fn lehrs_own_engine_keeps_the_contract_bit_for_bit() {
    let points = |plan: String| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
        lehr_in(folder.path(), &["sweep", "plan.toml", "--dir", "s", "--no-measure"]).expect(0);
        store(folder.path(), "s")
    };
    let tiny = TINY.replace("vocabulary = 32\n", "vocabulary = 256\n");
    let own = points(format!("validate_every = 4\nwarmup = 2\n{tiny}{OWN_GRID}"));
    assert!(own == points(own_engine()), "losses differ");
}

#[test]
fn runs_that_exist_take_their_cells_and_only_the_missing_ones_are_trained() {
    if !python() {
        return;
    }
    let folder = toy("");
    let at = folder.path();
    lehr_in(at, &["sweep", "plan.toml", "--dir", "first"]).expect(0);
    store(at, "first");
    let plan =
        std::fs::read_to_string(at.join("plan.toml")).unwrap().replace("logs = 'logs/", "logs = 'more/");
    std::fs::write(at.join("again.toml"), plan.replace("0.1, 0.25, 0.5", "0.1, 0.25, 0.4")).unwrap();
    let adopt = |dir: &str, checkpoint: &str| {
        let words = ["sweep", "adopt", "again.toml", "first-store", "--dir", dir, "--json"];
        lehr_in(at, &[&words[..], &["--checkpoint", checkpoint]].concat())
    };
    let trunk = "tiny-lr5e-2-b4-s0-w4-constant";
    let refused = adopt("second", "nobody@36=kept");
    assert!(refused.code == 2 && refused.err.contains("no run of that name is adopted"), "{}", refused.err);
    let refused = adopt("third", &format!("{trunk}@35=plan.toml"));
    assert!(refused.err.contains("branches leave after updates 36, 45, 54"), "{}", refused.err);
    // A checkpoint of the trunk that the user kept: the trainer writes it at update 36.
    let job = std::fs::read_to_string(at.join(format!("first/job/{trunk}.json"))).unwrap();
    let mut job: Value = serde_json::from_str(&job).unwrap();
    let place = |name: &str| Value::from(at.join(name).to_str().unwrap());
    job["save"] = serde_json::json!([{ "update": 36, "path": place("kept") }]);
    (job["log"], job["scratch"], job["last"]) = (place("kept.jsonl"), place("kept-scratch"), 36.into());
    std::fs::write(at.join("kept.json"), job.to_string()).unwrap();
    let script = root().join("fixtures/trainers/toy.py").canonicalize().unwrap();
    assert!(
        std::process::Command::new("python3")
            .arg(script)
            .arg(at.join("kept.json"))
            .status()
            .unwrap()
            .success()
    );
    let answer = adopt("fourth", &format!("{trunk}@36=kept")).expect(0).json();
    let adopted = answer["adopted"].as_array().unwrap();
    let names: Vec<&str> = adopted.iter().map(|one| one["job"].as_str().unwrap()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.contains(&trunk) && names.iter().any(|name| name.contains("r0.25")), "{names:?}");
    assert_eq!((answer["left"].as_u64(), answer["updates_left"].as_u64()), (Some(1), Some(24)));
    assert_eq!(answer["unused"].as_array().unwrap().len(), 1, "{answer}");
    lehr_in(at, &["sweep", "resume", "fourth"]).expect(0);
    let trained: Vec<String> = std::fs::read_dir(at.join("more"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(trained, ["tiny-lr5e-2-b4-s0-w4-T60-r0.4-linear.jsonl"]);
    // The link to the user's checkpoint is gone, the checkpoint is not.
    assert!(at.join("kept").exists());
    assert_eq!(std::fs::read_dir(at.join(format!("fourth/snapshots/{trunk}"))).unwrap().count(), 0);
}

#[test]
fn wrong_trainers_are_refused_with_file_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |trainer: &str, said: &str| {
        let plan = format!("{TINY}\n{trainer}\n{GRID}");
        std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
        let answer = lehr_in(folder.path(), &["sweep", "plan.toml", "--dry-run"]);
        assert!(answer.code != 0 && answer.err.contains(said), "{}: {}", answer.code, answer.err);
    };
    refused(
        "[trainer]\ncommand = 'train'\nlogs = '{name}'",
        "plan.toml:11: trainer.command is 'train'; expected a command with {job}",
    );
    refused(
        "[trainer]\ncommand = 'train {job}'\nlogs = 'log'",
        "trainer.logs is 'log'; expected a path with {name}",
    );
    refused(
        "[trainer]\ncommand = '{job}'\nlogs = '{name}'\nattempts = 0",
        "trainer.attempts is 0; expected at least 1",
    );
    refused(
        "[trainer]\ncommand = '{job}'\nlogs = '{name}'\nexports = ['nobody']",
        "trainer.exports[0] is 'nobody'; expected one of",
    );
    refused(
        "[trainer]\ncommand = '{job}'\nlogs = '{name}'\nmap = ['colour=red']",
        "trainer.map[0] is 'colour=red'; expected ROLE=COLUMN",
    );
    let answer = lehr(&["sweep", "job", "fixtures/trainers/toy.py"]);
    assert!(answer.code == 1 && answer.err.contains("expected a job file of a sweep"), "{}", answer.err);
}
