//! The public curves next to the project load with no option at all.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test: a broken expectation must stop it, a skip must be seen"
)]

use lehr::{Curve, ParamCount, Schedule, Split};
use lehr_io::{LoadedRun, ReadError, ReadOptions, Source, SplitChoice, Summary, for_each_run, twins};
use std::fs::File;
use std::path::{Path, PathBuf};

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/curves")).join(name);
    if path.exists() {
        return Some(path);
    }
    eprintln!("skipped: {} is not there", path.display());
    None
}

fn walk(directory: &Path, depth: usize, found: &mut Vec<Source>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() {
            walk(&path, depth + 1, found);
        } else {
            let length = path.metadata().unwrap().len();
            let name = path.to_string_lossy().into_owned();
            found.push(Source::new(name, length, depth, true, move || Ok(Box::new(File::open(&path)?))));
        }
    }
}

fn load(directory: &Path, options: &ReadOptions) -> (Vec<LoadedRun>, Summary) {
    let mut sources = Vec::new();
    walk(directory, 1, &mut sources);
    let mut runs = Vec::new();
    let summary = for_each_run::<ReadError>(&sources, options, &mut |_| {}, &mut |run| {
        runs.push(run);
        Ok(())
    })
    .unwrap();
    (runs, summary)
}

#[test]
fn plain_tables_of_two_sizes_are_eighteen_runs() {
    let Some(directory) = shared("multi-power-law") else { return };
    let (runs, summary) = load(&directory, &ReadOptions::default());
    assert_eq!(runs.len(), 18);
    assert_eq!(summary.runs, 18);
    for run in &runs {
        let meta = run.curve.meta();
        let (size, schedule) = meta.id.split_once('/').unwrap();
        let params = if size == "25M" { 25_000_000 } else { 100_000_000 };
        assert_eq!(meta.params.unwrap().0, params, "{}", meta.id);
        assert_eq!(meta.split, Split::Unstated);
        // The rates of every logged row are met, and the warm-up is one value for all.
        assert!(run.schedule.residual.unwrap() < 1e-3, "{}: {:?}", meta.id, run.schedule);
        let whole = run.curve.schedule();
        assert!((whole.lr(1080) - 1.5e-4).abs() < 2e-6, "{}: {}", meta.id, whole.lr(1080));
        assert!((whole.lr(2160) - 3e-4).abs() < 1e-9, "{}: {}", meta.id, whole.lr(2160));
        if schedule.starts_with("wsdcon_") {
            assert!(whole.lr(whole.total().0) < 2e-4);
        }
    }
    let assumed = |run: &LoadedRun| run.notes.iter().any(|note| note.code == "assumed-warmup");
    assert!(runs.iter().any(assumed));
}

#[test]
fn a_table_with_a_manifest_is_seventy_runs_with_their_whole_schedules() {
    let Some(directory) = shared("slimpajama-124m") else { return };
    let (runs, _) = load(&directory, &ReadOptions::default());
    assert_eq!(runs.len(), 70);
    let manifest = std::fs::read_to_string(directory.join("manifest.csv")).unwrap();
    let mut lines = csv::Reader::from_reader(manifest.as_bytes());
    let header = lines.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|found| found == name).unwrap();
    let (id, loss, total) = (column("run_id"), column("final_val_loss"), column("total_steps"));
    for row in lines.records() {
        let row = row.unwrap();
        let run = runs.iter().find(|run| run.curve.meta().id == row[id]).unwrap();
        let meta = run.curve.meta();
        assert_eq!(meta.final_loss, row[loss].parse().ok(), "{}", meta.id);
        assert_eq!(run.curve.schedule().total().0, row[total].parse::<u64>().unwrap());
        assert_eq!(meta.counted, ParamCount::NonEmbedding);
        assert_eq!(meta.params.unwrap().0, 84_953_856);
        assert_eq!(meta.split, Split::Validation);
        // Cosines to zero stop at 1e-7 in the log, which is 0.1 % of the smallest peak rate.
        assert!(run.schedule.residual.unwrap() < 1.01e-3, "{}: {:?}", meta.id, run.schedule);
        assert!(run.caveats.is_empty(), "{:?}", run.caveats);
        if let Some(branch) = &meta.branch {
            assert!(run.curve.step()[0] >= branch.at.0 && branch.at.0 > 0);
        }
    }
}

#[test]
fn twin_runs_are_recognised() {
    let Some(directory) = shared("slimpajama-124m") else { return };
    let (runs, _) = load(&directory, &ReadOptions::default());
    let curves: Vec<Curve> = runs.into_iter().map(|run| run.curve).collect();
    let twins = twins(&curves);
    assert_eq!(twins.len(), 8);
    assert!(twins.iter().all(|pair| pair.len() == 2 && pair.iter().any(|id| id.ends_with("-2"))));
}

#[test]
fn restarted_runs_are_stitched_to_one_row_an_update() {
    let Some(directory) = shared("slimpajama-124m") else { return };
    let options = ReadOptions {
        split: SplitChoice::Train,
        runs: vec!["wsd-lr0.002-T15000-r0.6-linear".into()],
        ..Default::default()
    };
    let (runs, _) = load(&directory, &options);
    assert_eq!(runs.len(), 1);
    assert_eq!(runs[0].curve.step().len(), 300);
    assert!(runs[0].notes.iter().any(|note| note.code == "stitched" && note.message.contains("19 rows")));
}

#[test]
fn a_branch_takes_its_past_from_the_manifest() {
    let Some(directory) = shared("slimpajama-124m") else { return };
    let options = ReadOptions { runs: vec!["wsd-lr0.0005-T15000-r0.2-linear".into()], ..Default::default() };
    let (runs, _) = load(&directory, &options);
    let Schedule::Wsd(wsd) = runs[0].curve.schedule() else { panic!("{:?}", runs[0].curve.schedule()) };
    assert_eq!((wsd.warmup.0, wsd.anneal.0, wsd.total.0), (300, 3000, 15000));
    assert!((wsd.warmup_lr - 5e-6).abs() < 1e-12, "{}", wsd.warmup_lr);
}
