//! Logs as people really have them: synthetic files with the structure of public ones, and their right answers.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

#[path = "real_logs/jobs.rs"]
mod jobs;
#[path = "real_logs/layouts.rs"]
mod layouts;
#[path = "real_logs/splits.rs"]
mod splits;
#[path = "real_logs/units.rs"]
mod units;

use lehr::schedule::Family;
use lehr::{LossKind, Split, Steps};
use lehr_io::{LoadedRun, ReadError, ReadOptions, Source, SplitChoice, Summary, for_each_run};
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs");

/// The files of a fixture, under the names that they have as seen from its folder.
fn files(name: &str) -> Vec<(String, Vec<u8>)> {
    let path = Path::new(FIXTURES).join(name);
    if path.is_file() {
        return vec![(
            path.file_name().unwrap().to_string_lossy().into_owned(),
            std::fs::read(&path).unwrap(),
        )];
    }
    let mut paths: Vec<PathBuf> =
        std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
        .into_iter()
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(&path).unwrap()))
        .collect()
}

fn load(sources: &[Source], options: &ReadOptions) -> Result<(Vec<LoadedRun>, Summary), ReadError> {
    let mut runs = Vec::new();
    let summary = for_each_run::<ReadError>(sources, options, &mut |_| {}, &mut |run| {
        runs.push(run);
        Ok(())
    })?;
    Ok((runs, summary))
}

fn sources(name: &str) -> Vec<Source> {
    files(name).into_iter().map(|(file, bytes)| Source::bytes(format!("{name}/{file}"), bytes)).collect()
}

fn text(files: &[(&str, String)]) -> Vec<Source> {
    files.iter().map(|(name, text)| Source::bytes(*name, text.clone().into_bytes())).collect()
}

fn one(sources: &[Source], options: &ReadOptions) -> LoadedRun {
    let (mut runs, _) = load(sources, options).unwrap();
    assert_eq!(runs.len(), 1, "{:?}", runs.iter().map(|run| &run.curve.meta().id).collect::<Vec<_>>());
    runs.remove(0)
}

/// Warm-up 100, then constant, then linear over the last fifth of 2000.
fn rate(t: u64) -> f64 {
    match t {
        0..=100 => 1e-5 * t as f64,
        101..=1600 => 1e-3,
        _ => 1e-3 * (2000 - t.min(2000)) as f64 / 400.0,
    }
}

fn loss(t: u64) -> f64 {
    2.5 + 6.0 * (t as f64).powf(-0.35)
}

fn assert_wsd(run: &LoadedRun) {
    let schedule = run.curve.schedule();
    assert_eq!(schedule.total().0, 2000);
    assert_eq!(schedule.family(), Family::Wsd, "{:?}", run.schedule);
    for t in [10, 100, 1000, 1600, 1800, 1990] {
        assert!((schedule.lr(t) - rate(t)).abs() < 2e-6, "{t}: {}", schedule.lr(t));
    }
}

#[test]
fn a_folder_reads_alike_however_it_is_written() {
    for name in ["hf-no-evaluation", "tensorboard-csv"] {
        for (prefix, cwd) in [("./", "/w/x"), ("", "/w/x"), ("../x/", "/w/x"), ("/w/x/", "/else")] {
            let sources: Vec<Source> = files(name)
                .into_iter()
                .map(|(file, bytes)| Source::bytes(format!("{prefix}{file}"), bytes).under(cwd))
                .collect();
            let run = one(&sources, &ReadOptions::default());
            let id = if name == "tensorboard-csv" { "exp1" } else { "x" };
            assert_eq!(run.curve.meta().id, id, "{prefix}");
            assert_eq!(run.curve.schedule().total().0, 2000);
        }
    }
}

#[test]
fn means_over_an_interval_stay_means_without_validation() {
    let run = one(&sources("hf-no-evaluation"), &ReadOptions::default());
    assert_eq!(run.curve.meta().loss_kind, LossKind::IntervalMean(Steps(10)));
    let log = &sources("megatron-dialects")[0..1];
    let run = one(log, &ReadOptions { split: SplitChoice::Auto, ..ReadOptions::default() });
    assert_eq!(run.curve.meta().loss_kind, LossKind::IntervalMean(Steps(10)));
}

#[test]
fn tags_saved_from_the_tensorboard_page_are_joined() {
    let run = one(&sources("tensorboard-csv"), &ReadOptions::default());
    assert_wsd(&run);
    assert_ne!(run.curve.meta().split, Split::Validation);
    let renamed = text(&[("exp7.csv", "Wall time,Step,Value\n1.0,10,5.0\n2.0,20,4.0\n".to_owned())]);
    let error = load(&renamed, &ReadOptions::default()).unwrap_err();
    assert!(error.hint().unwrap().contains("run-RUN-tag-TAG.csv"), "{error}");
}

#[test]
fn rows_in_turns_are_sorted_and_all_kept() {
    let run = one(&sources("rows-in-turns"), &ReadOptions::default());
    assert_eq!(run.curve.step(), (1..=200).map(|k| 10 * k).collect::<Vec<_>>());
    assert!(run.notes.iter().any(|note| note.message.contains("sorted")), "{:?}", run.notes);
}

#[test]
fn the_dialects_of_megatron_are_one() {
    for log in sources("megatron-dialects") {
        let options = ReadOptions { split: SplitChoice::Train, ..ReadOptions::default() };
        let run = one(std::slice::from_ref(&log), &options);
        assert_eq!(run.curve.step().len(), 200, "{}", log.name());
        assert_wsd(&run);
    }
    let last =
        sources("megatron-dialects").into_iter().find(|log| log.name().contains("final-eval")).unwrap();
    let run = one(&[last], &ReadOptions { split: SplitChoice::Validation, ..ReadOptions::default() });
    assert_eq!(run.curve.step().len(), 7);
    assert!((run.curve.loss()[6] - 2.9571).abs() < 1e-4, "{:?}", run.curve.loss());
}

#[test]
fn two_jobs_of_one_run_are_joined() {
    let run = one(&sources("megatron-two-jobs"), &ReadOptions::default());
    assert_eq!(run.curve.step(), (1..=480).map(|k| 50 * k).collect::<Vec<_>>());
    assert!(run.notes.iter().any(|note| note.code == "jobs-joined"), "{:?}", run.notes);
    let schedule = run.curve.schedule();
    assert!((schedule.lr(1250) - 2e-3).abs() < 4e-6);
    assert!((schedule.lr(2500) - 4e-3).abs() < 4e-6);
    assert!((schedule.lr(19_200) - 4e-3).abs() < 4e-6);
    assert!((schedule.lr(21_600) - 2e-3).abs() < 1e-5);
    // The second alone is not given a beginning.
    let second = &sources("megatron-two-jobs")[1..];
    let error = load(second, &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("begins at update 12050"), "{error}");
}

#[test]
fn a_chart_over_epochs_or_tokens_uses_the_steps_beside_it() {
    for name in ["wandb-export-epoch", "wandb-export-tokens"] {
        let (runs, _) = load(&sources(name), &ReadOptions::default()).unwrap();
        assert_eq!(runs.len(), 2, "{name}");
        for run in runs {
            assert_eq!(run.curve.step().last(), Some(&2000), "{name}");
            assert_eq!(run.curve.schedule().total().0, 2000, "{name}");
        }
    }
    let header = "\"epoch\",\"a - lr\",\"a - lr__MIN\",\"a - lr__MAX\"\n1,0.1,0.1,0.1\n";
    let error = load(&text(&[("x/lr.csv", header.to_owned())]), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("'epoch'"), "{error}");
}

#[test]
fn printed_dicts_are_refused_with_the_file_to_read() {
    for log in sources("printed-dicts") {
        let error = load(&[log], &ReadOptions::default()).unwrap_err();
        assert!(matches!(error, ReadError::Refused { .. }), "{error}");
        assert!(error.hint().unwrap().contains("trainer_state.json"));
    }
}

fn rows(row: impl Fn(u64) -> String) -> Vec<String> {
    (1..=200).map(|k| row(10 * k)).collect()
}

#[test]
fn json_of_other_layouts_gives_the_run_back() {
    let record = |t| format!("{{\"step\": {t}, \"loss\": {}, \"lr\": {}}}", loss(t), rate(t));
    let array = format!("[{}]", rows(record).join(","));
    let metrics = rows(|t| {
        format!(
            "{{\"step\": {t}, \"name\": \"loss\", \"value\": {}}}\n{{\"step\": {t}, \"name\": \"lr\", \"value\": {}}}",
            loss(t),
            rate(t)
        )
    });
    let fairseq = rows(|t| {
        format!(
            "3: 2022-01-01 00:00:00 | INFO | train_inner | {{\"epoch\": 1, \"num_updates\": \"{t}\", \"loss\": \"{}\", \"lr\": \"{}\"}}",
            loss(t),
            rate(t)
        )
    });
    for (name, content) in
        [("a.json", array), ("a.jsonl", metrics.join("\n") + "\n"), ("a.log", fairseq.join("\n") + "\n")]
    {
        let run = one(&text(&[(name, content)]), &ReadOptions::default());
        assert_eq!(run.curve.step().len(), 200, "{name}");
        assert!((run.curve.loss()[99] - loss(1000)).abs() < 1e-9, "{name}");
        assert_wsd(&run);
    }
}

fn table(rate: impl Fn(u64) -> f64) -> String {
    let rows = rows(|t| format!("{t},{},{}", loss(t), rate(t)));
    format!("step,loss,lr\n{}\n", rows.join("\n"))
}

#[test]
fn a_last_rate_of_an_ended_scheduler_is_named_and_left_out() {
    let constant = |t: u64| if t == 2000 { 0.0 } else { rate(t).max(if t > 100 { 1e-3 } else { 0.0 }) };
    let run = one(&text(&[("trunk.csv", table(constant))]), &ReadOptions::default());
    assert!(run.caveats.iter().any(|caveat| caveat.code() == "stray-rates"), "{:?}", run.caveats);
    assert_eq!(run.curve.schedule().lr(2000), 1e-3);
    let whole = one(&text(&[("wsd.csv", table(rate))]), &ReadOptions::default());
    assert!(!whole.caveats.iter().any(|caveat| caveat.code() == "stray-rates"));
    assert_wsd(&whole);
}

#[test]
fn the_same_points_under_two_names_are_one_run() {
    let (runs, summary) =
        load(&text(&[("a.csv", table(rate)), ("b.csv", table(rate))]), &ReadOptions::default()).unwrap();
    assert_eq!(runs.len(), 1);
    assert!(summary.notes.iter().any(|note| note.code == "same-points" && note.about == "b"));
}

#[test]
fn defaults_alone_speak_for_every_run() {
    let manifest = "[defaults]\nparams = 25000000\n".to_owned();
    let files = [("manifest.toml", manifest), ("a.csv", table(rate))];
    let run = one(&text(&files), &ReadOptions::default());
    assert_eq!(run.curve.meta().params, Some(lehr::Params(25_000_000)));
    let moe = "[defaults]\narch = \"moe\"\n".to_owned();
    let error = load(&text(&[("manifest.toml", moe), ("a.csv", table(rate))]), &ReadOptions::default());
    assert!(error.unwrap_err().to_string().contains("experts"));
}

#[test]
fn a_log_that_begins_in_the_middle_is_asked_about() {
    let late: String = table(rate)
        .lines()
        .enumerate()
        .filter(|(i, _)| *i == 0 || *i > 100)
        .fold(String::new(), |text, (_, line)| text + line + "\n");
    let error = load(&text(&[("branch.csv", late.clone())]), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("begins at update 1010 of 2000"), "{error}");
    let stated = ReadOptions { warmup: Some(100), ..ReadOptions::default() };
    assert_wsd(&one(&text(&[("branch.csv", late)]), &stated));
    // Within the annealing a warm-up says nothing about the peak.
    let falling: String = table(rate)
        .lines()
        .enumerate()
        .filter(|(i, _)| *i == 0 || *i > 180)
        .fold(String::new(), |text, (_, line)| text + line + "\n");
    for options in [ReadOptions::default(), stated] {
        let error = load(&text(&[("tail.csv", falling.clone())]), &options).unwrap_err();
        let said = format!("{error} {:?}", error.hint());
        assert!(
            said.contains("begins at update 1810 of 2000") && !said.contains("state the warm-up"),
            "{said}"
        );
    }
}

/// The rows of a table from an update on, the first line kept.
fn from(text: &str, first: u64) -> String {
    let after = text.lines().skip(1).filter(|line| {
        line.split(',').next().and_then(|step| step.parse::<u64>().ok()).is_some_and(|step| step >= first)
    });
    text.lines().take(1).chain(after).map(|line| format!("{line}\n")).collect()
}

#[test]
fn a_branch_is_linked_to_the_run_that_it_left() {
    // The trunk stays at its peak; the branch leaves it after update 1000 and falls from 1600 on.
    let trunk = table(|t| if t <= 100 { 1e-5 * t as f64 } else { 1e-3 });
    let branch = from(&table(rate), 1010);
    for order in [["branch.csv", "trunk.csv"], ["z.csv", "trunk.csv"]] {
        let files = [(order[0], branch.clone()), (order[1], trunk.clone())];
        let (runs, _) = load(&text(&files), &ReadOptions::default()).unwrap();
        let run = runs.iter().find(|run| run.curve.meta().id != "trunk").unwrap();
        assert_wsd(run);
        assert_eq!(run.curve.meta().branch.as_ref().map(|branch| branch.trunk.as_str()), Some("trunk"));
        assert!(run.notes.iter().any(|note| note.code == "branch-linked"));
    }
    let manifest = "run,branch_from,branch_at_step\nbranch,trunk,1000\ntrunk,,\n".to_owned();
    let files = [("manifest.csv", manifest), ("branch.csv", branch), ("trunk.csv", trunk)];
    let (runs, _) = load(&text(&files), &ReadOptions::default()).unwrap();
    let run = runs.iter().find(|run| run.curve.meta().id == "branch").unwrap();
    assert_wsd(run);
    assert_eq!(run.curve.meta().branch.as_ref().map(|branch| branch.at), Some(Steps(1000)));
}
