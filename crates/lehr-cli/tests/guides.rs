//! The guides in `docs/guides`: every command is run as printed, and every printed line must occur in what it says.

#![allow(clippy::unwrap_used, reason = "a broken test should say where it broke")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Step, rate and validation loss of one simulated run up to `last`.
fn log(folder: &Path, name: &str, run: &str, last: u64) {
    let table = std::fs::read_to_string(root().join("fixtures/runs/curves.csv")).unwrap();
    let mut text = "step,lr,val_loss\n".to_owned();
    for line in table.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        if fields[0] == run && fields[2].parse::<u64>().unwrap() <= last {
            writeln!(text, "{},{},{}", fields[2], fields[3], fields[4]).unwrap();
        }
    }
    assert!(text.lines().count() > 10, "no run {run}");
    std::fs::write(folder.join(name), text).unwrap();
}

/// What one command answered.
struct Said {
    line: String,
    code: i32,
    text: String,
}

/// Runs a guide in an empty folder that `prepare` has filled. `codes` are the exit codes of its commands, in order.
fn follow(guide: &str, codes: &[i32], prepare: impl Fn(&Path)) -> (tempfile::TempDir, Vec<Said>) {
    let folder = tempfile::tempdir().unwrap();
    prepare(folder.path());
    let page = std::fs::read_to_string(root().join("docs/guides").join(guide)).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_lehr")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut said: Vec<Said> = Vec::new();
    let mut block = "";
    for line in page.lines() {
        if let Some(kind) = line.strip_prefix("```") {
            block = kind;
            continue;
        }
        match block {
            "console" => {
                let Some(command) = line.strip_prefix("$ ") else { panic!("{guide}: {line}") };
                let mut shell = Command::new("sh");
                let output = shell.args(["-c", command]).env("PATH", &path).current_dir(folder.path());
                let output = output.output().unwrap();
                let mut text = String::from_utf8(output.stdout).unwrap();
                text += &String::from_utf8(output.stderr).unwrap();
                if let Some((_, file)) = command.split_once("> ") {
                    text += &std::fs::read_to_string(folder.path().join(file)).unwrap();
                }
                let code = output.status.code().unwrap();
                let wanted = codes.get(said.len()).copied();
                assert_eq!(Some(code), wanted, "{guide}: {command}\n{text}");
                said.push(Said { line: command.to_owned(), code, text });
            }
            "text" => {
                // What is printed may have been said by any of the commands above it.
                let found = said.iter().rev().any(|said| said.text.contains(line.trim_end()));
                assert!(found, "{guide}: no command above says {line:?}\n{}", said.last().unwrap().text);
            }
            _ => {}
        }
    }
    assert_eq!(said.len(), codes.len(), "{guide} has another number of commands");
    (folder, said)
}

/// The recommended ratio in an answer.
fn ratio(said: &Said) -> f64 {
    let line = said.text.lines().find_map(|line| line.strip_prefix("Anneal (decay) over the last "));
    let line = line.unwrap_or_else(|| panic!("{}: no ratio in\n{}", said.line, said.text));
    line.split_whitespace().next().unwrap().parse::<f64>().unwrap() / 100.0
}

fn proxies(folder: &Path) {
    copy(&root().join("fixtures/runs"), &folder.join("proxies"));
}

#[test]
fn from_a_wandb_folder_to_megatron_flags() {
    let (_folder, said) = follow("wandb-to-megatron.md", &[0, 0, 0], |folder| {
        copy(&root().join("fixtures/guides/wandb"), &folder.join("wandb"));
    });
    // No run's schedule is read as a heap of pieces.
    assert!(!said[0].text.contains("pieces"), "{}", said[0].text);
    let flags = said[2].text.lines().filter(|line| line.starts_with("--")).count();
    assert!(flags >= 8, "{}", said[2].text);
}

#[test]
fn the_step_at_which_a_running_job_begins_to_anneal() {
    let (folder, said) = follow("when-to-anneal.md", &[0, 0, 0, 0, 0], |folder| {
        proxies(folder);
        log(folder, "running.csv", "sim-peak2e-3-T20000-constant", 9_000);
    });
    assert!(folder.path().join("job.svg").exists());
    // The simulation's best ratio at this rate and horizon is 0.44 … 0.5: start 10,000 … 11,200.
    let line = said[2].text.lines().find(|line| line.starts_with("start annealing after update")).unwrap();
    let start: f64 = line.split_whitespace().nth(4).unwrap().parse().unwrap();
    assert!((9_000.0..=12_000.0).contains(&start), "{line}");
    assert!(said[2].text.contains("inside"), "{}", said[2].text);
}

#[test]
fn the_runs_to_train_next() {
    let (folder, said) = follow("which-runs-next.md", &[0, 0, 0, 0, 0, 0, 0], |folder| {
        copy(&root().join("fixtures/runs"), &folder.join("runs"));
    });
    for at in [1, 2, 3, 4, 5] {
        assert!(said[at].text.contains("expected regret"), "{}", said[at].text);
    }
    let plan = std::fs::read_to_string(folder.path().join("next.toml")).unwrap();
    assert!(plan.contains("models = [\"dense-12m\"]") && plan.contains("batch = [256]"), "{plan}");
}

/// The toy trainer, the plans of the page, and a stable run with its checkpoint after update 45.
fn own_trainer(folder: &Path) {
    let page = std::fs::read_to_string(root().join("docs/guides/your-trainer.md")).unwrap();
    for block in page.split("```toml\n# ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        std::fs::write(folder.join(name), rest.split("```").next().unwrap()).unwrap();
    }
    std::fs::copy(root().join("fixtures/trainers/toy.py"), folder.join("train.py")).unwrap();
    let rates: Vec<String> = (1..=54).map(|t| (5e-2 * f64::from(t.min(4)) / 4.0).to_string()).collect();
    let at = |name: &str| folder.join(name).display().to_string();
    let job = format!(
        r#"{{"name":"stable","settings":{{}},"seed":0,"batch":4,"last":54,"rates":[{}],"resume":null,
            "save":[{{"update":45,"path":"{}"}}],"scratch":"{}","log":"{}","validate_every":5}}"#,
        rates.join(","),
        at("stable-45"),
        at("scratch"),
        at("stable.jsonl")
    );
    std::fs::write(folder.join("stable.json"), job).unwrap();
    let python = Command::new("python3").args(["train.py", "stable.json"]).current_dir(folder).status();
    assert!(python.unwrap().success());
}

#[test]
fn a_training_script_of_ones_own_a_stable_run_and_a_cluster() {
    if Command::new("python3").arg("--version").output().is_err() {
        println!("skipped: no python3");
        return;
    }
    let (folder, said) = follow("your-trainer.md", &[0; 10], own_trainer);
    assert!(said[3].text.contains("small-lr5e-2-b4-s0-w4-T60-r0.25-linear"), "{}", said[3].text);
    assert!(folder.path().join("stable-45").exists());
    // Of the second plan the branch alone was trained.
    assert_eq!(std::fs::read_dir(folder.path().join("branches")).unwrap().count(), 1);
}

#[test]
fn jobs_are_watched_told_of_and_scored() {
    let (folder, said) = follow("watching.md", &[0, 0, 0, 0, 0], |folder| {
        proxies(folder);
        log(folder, "running.csv", "sim-peak2e-3-T20000-constant", 9_000);
    });
    let saved = std::fs::read_to_string(folder.path().join("forecasts.jsonl")).unwrap();
    assert_eq!(saved.lines().count(), 1);
    assert!(said[4].text.contains("0 forecasts judged, 1 still open"), "{}", said[4].text);
}

#[test]
fn one_run_alone_two_and_three() {
    let (_folder, said) = follow("one-run.md", &[0, 3, 0, 0, 0, 3], |folder| {
        log(folder, "cosine.csv", "sim-peak2e-3-T20000-cosine", 20_000);
        log(folder, "stable.csv", "sim-peak2e-3-T20000-constant", 20_000);
        log(folder, "annealed.csv", "sim-peak2e-3-T20000-r0.2", 20_000);
    });
    assert_eq!(said[1].code, 3);
    let near = ratio(&said[3]);
    assert!((0.35..=0.7).contains(&near), "three runs recommend {near}");
}

#[test]
fn resuming_from_a_stable_checkpoint() {
    let (folder, said) = follow("resume-from-checkpoint.md", &[0, 0, 0, 1], proxies);
    assert!(said[3].text.contains("15000"), "{}", said[3].text);
    // The exported rates begin to fall after the checkpoint.
    let program = "import sys; sys.path.insert(0, '.'); import schedule as s; \
                   print(s.lr(9001), s.lr(20000), min(t for t in range(9001, 20001) if s.lr(t) < s.lr(9001)))";
    let output = Command::new("python3").args(["-c", program]).current_dir(folder.path()).output().unwrap();
    if output.status.success() {
        let text = String::from_utf8(output.stdout).unwrap();
        let numbers: Vec<f64> = text.split_whitespace().map(|word| word.parse().unwrap()).collect();
        assert!(numbers[0] == 2e-3 && numbers[1] == 0.0 && numbers[2] > 9_001.0, "{text}");
    } else {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(text.contains("torch"), "{text}");
    }
}

#[test]
fn an_experiment_from_nothing_to_a_report() {
    let (folder, said) = follow("reproduce.md", &[0, 0], |_| {});
    let report = |name: &str| std::fs::read_to_string(folder.path().join(name).join("REPORT.md")).unwrap();
    let optima = |text: &str| -> Vec<String> {
        text.lines()
            .filter(|line| line.starts_with("| 2e-2 ") || line.starts_with("| 4e-2 "))
            .map(str::to_owned)
            .collect()
    };
    let trained = optima(&report("ratios"));
    assert!(trained.len() >= 8, "{}", said[0].text);
    assert_eq!(trained, optima(&report("again")), "the store says the same");
    assert!(folder.path().join("ratios/ratios.svg").exists());
}

#[test]
fn a_report_in_three_forms() {
    let (folder, _said) = follow("report.md", &[0, 0, 0, 0], |folder| {
        copy(&root().join("fixtures/runs"), &folder.join("runs"));
    });
    for file in
        ["report.html", "report.md", "report_files/ratio.svg", "paper/report.json", "paper/tables/runs.tex"]
    {
        assert!(folder.path().join(file).exists(), "{file} is missing");
    }
}
