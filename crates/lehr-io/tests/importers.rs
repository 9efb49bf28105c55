//! Logs of one known run, written by the real libraries (`tools/make_log_fixtures.py`), give that run back.

use lehr::{Curve, LossKind, Params, Split, Steps, Tokens};
use lehr_io::{LoadedRun, ReadError, ReadOptions, Source, SplitChoice, for_each_run};
use std::fs::File;
use std::path::{Path, PathBuf};

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs");

fn walk(path: &Path, depth: usize, found: &mut Vec<Source>) {
    if path.is_dir() {
        let mut entries: Vec<PathBuf> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        entries.iter().for_each(|path| walk(path, depth + 1, found));
        return;
    }
    let length = path.metadata().unwrap().len();
    let name = path.strip_prefix(FIXTURES).unwrap().to_string_lossy().into_owned();
    let path = path.to_path_buf();
    found.push(Source::new(name, length, depth.max(1), depth > 0, move || Ok(Box::new(File::open(&path)?))));
}

fn read(name: &str, options: &ReadOptions) -> Result<Vec<LoadedRun>, ReadError> {
    let mut sources = Vec::new();
    walk(&Path::new(FIXTURES).join(name), 0, &mut sources);
    let mut runs = Vec::new();
    for_each_run::<ReadError>(&sources, options, &mut |_| {}, &mut |run| {
        runs.push(run);
        Ok(())
    })?;
    Ok(runs)
}

fn one(name: &str, split: SplitChoice) -> LoadedRun {
    let mut runs = read(name, &ReadOptions { split, ..ReadOptions::default() }).unwrap();
    assert_eq!(runs.len(), 1, "{:?}", runs.iter().map(|run| run.curve.meta().id.clone()).collect::<Vec<_>>());
    runs.remove(0)
}

/// The known run's loss at update t.
fn loss(t: u64) -> f64 {
    2.5 + 6.0 * (t as f64).powf(-0.35)
}

fn assert_losses(curve: &Curve, tolerance: f64, expected: impl Fn(u64) -> f64) {
    for (&t, &value) in curve.step().iter().zip(curve.loss()) {
        assert!((value - expected(t)).abs() < tolerance, "update {t}: {value}, expected {}", expected(t));
    }
}

/// The known schedule: warm-up 10, constant, linear over the last 20 of 100.
fn assert_schedule(run: &LoadedRun) {
    let schedule = run.curve.schedule();
    for (t, rate) in [(1, 1e-4), (5, 5e-4), (10, 1e-3), (50, 1e-3), (80, 1e-3), (90, 5e-4), (99, 5e-5)] {
        assert!((schedule.lr(t) - rate).abs() < 2e-8, "update {t}: {}, expected {rate}", schedule.lr(t));
    }
    assert!(run.schedule.residual.unwrap() < 1e-5, "{:?}", run.schedule);
}

#[test]
fn wandb_offline_file() {
    let run = one("wandb", SplitChoice::Train);
    assert_eq!(run.format, "W&B run file");
    let meta = run.curve.meta();
    assert_eq!(meta.id, "known-run");
    assert_eq!(meta.params, Some(Params(124_000_000)));
    assert_eq!(meta.seed, Some(7));
    assert_eq!(meta.tokens_per_step, Some(Tokens(102_400)));
    assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>());
    assert_losses(&run.curve, 1e-12, loss);
    assert_schedule(&run);
    let validation = one("wandb", SplitChoice::Auto);
    assert_eq!(validation.curve.meta().split, Split::Validation);
    assert_eq!(validation.curve.step().len(), 10);
    assert_losses(&validation.curve, 1e-12, |t| loss(t) + 0.05);
}

#[test]
fn tensorboard_events_of_both_kinds_with_a_restart() {
    for (name, tolerance) in [("tensorboard", 1e-6), ("tensorboard-tensors", 1e-6)] {
        let run = one(name, SplitChoice::Train);
        assert_eq!(run.curve.meta().id, name);
        assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>());
        assert_losses(&run.curve, tolerance, loss);
        assert_schedule(&run);
        assert!(run.notes.iter().any(|note| note.code == "stitched"), "{:?}", run.notes);
        assert_losses(&one(name, SplitChoice::Validation).curve, tolerance, |t| loss(t) + 0.05);
    }
}

#[test]
fn hugging_face_trainer_state() {
    let run = one("hf", SplitChoice::Train);
    assert_eq!(run.curve.meta().loss_kind, LossKind::IntervalMean(Steps(5)));
    assert_eq!(run.curve.step(), (1..=20).map(|k| 5 * k).collect::<Vec<_>>());
    assert_losses(&run.curve, 2e-4, |t| (t - 4..=t).map(loss).sum::<f64>() / 5.0);
    assert_eq!(run.curve.schedule().total().0, 100);
    assert!((run.curve.schedule().peak_lr() - 1e-3).abs() < 1e-5);
    assert!(run.notes.iter().any(|note| note.code == "checkpoints"));
    let validation = one("hf", SplitChoice::Validation);
    assert_eq!(validation.curve.step(), [20, 40, 60, 80, 100]);
    assert_eq!(validation.curve.meta().loss_kind, LossKind::Instant);
}

#[test]
fn lightning_metrics_with_rates_in_other_rows() {
    let run = one("lightning", SplitChoice::Auto);
    assert_eq!(run.format, "CSV");
    assert_eq!(run.curve.step().len(), 20);
    assert!((run.curve.schedule().peak_lr() - 1e-3).abs() < 1e-9);
}

#[test]
fn megatron_output() {
    let run = one("megatron.log", SplitChoice::Train);
    let meta = run.curve.meta();
    assert_eq!(meta.loss_kind, LossKind::IntervalMean(Steps(5)));
    assert_eq!(meta.tokens_per_step, Some(Tokens(102_400)));
    assert_eq!(meta.seed, Some(7));
    assert_losses(&run.curve, 1e-5, |t| (t - 4..=t).map(loss).sum::<f64>() / 5.0);
    assert_schedule(&run);
    let validation = one("megatron.log", SplitChoice::Validation);
    assert_losses(&validation.curve, 1e-5, |t| loss(t) + 0.05);
}

#[test]
fn torchtitan_output_needs_a_schedule() {
    assert!(matches!(read("torchtitan.log", &ReadOptions::default()), Err(ReadError::NoRate { .. })));
    let schedule = "wsd:peak=1e-3,total=100,warmup=10,anneal=20,shape=linear,final=0".parse().ok();
    let runs = read("torchtitan.log", &ReadOptions { schedule, ..ReadOptions::default() }).unwrap();
    assert_losses(&runs[0].curve, 6e-5, loss);
}

#[test]
fn nanotron_output_is_refused_with_the_reason() {
    let error = read("nanotron.log", &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, ReadError::Refused { .. }), "{error}");
    assert!(error.hint().unwrap().contains(".wandb"));
}

#[test]
fn lingua_metrics() {
    let run = one("lingua.jsonl", SplitChoice::Auto);
    assert_losses(&run.curve, 1e-12, loss);
    assert_schedule(&run);
}

#[test]
fn deepspeed_counts_samples() {
    let run = one("deepspeed", SplitChoice::Auto);
    assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>());
    assert_losses(&run.curve, 1e-12, loss);
    assert_schedule(&run);
    assert!(run.caveats.iter().any(|caveat| caveat.code == "samples-as-steps"));
}

#[test]
fn wandb_chart_exports_of_loss_and_rate_belong_together() {
    let runs = read("wandb-export", &ReadOptions::default()).unwrap();
    assert_eq!(runs.len(), 2);
    for (i, run) in runs.iter().enumerate() {
        assert_eq!(run.curve.meta().id, format!("run-{}", i + 1));
        assert_losses(&run.curve, 1e-12, |t| loss(t) * (1.0 + 0.01 * (i + 1) as f64));
        assert_schedule(run);
    }
}

#[test]
fn mlflow_file_store() {
    let run = one("mlruns", SplitChoice::Train);
    let meta = run.curve.meta();
    assert_eq!(meta.id, "known-run");
    assert_eq!(meta.params, Some(Params(124_000_000)));
    assert_losses(&run.curve, 1e-12, loss);
    assert_schedule(&run);
}

/// Every binary log, cut anywhere or with any byte turned over, gives an answer: runs or an error, no panic.
#[test]
fn broken_binary_logs_are_answered() {
    for name in ["wandb/run-known.wandb", "tensorboard/events.out.tfevents.1700000000.host"] {
        let bytes = std::fs::read(Path::new(FIXTURES).join(name)).unwrap();
        let mut errors = 0;
        let mut answer = |bytes: Vec<u8>| {
            let sources = [Source::bytes(name, bytes)];
            let read =
                for_each_run::<ReadError>(&sources, &ReadOptions::default(), &mut |_| {}, &mut |_| Ok(()));
            errors += usize::from(read.is_err());
        };
        for cut in (0..bytes.len()).step_by(bytes.len() / 60) {
            answer(bytes[..cut].to_vec());
        }
        for at in (0..bytes.len()).step_by(bytes.len() / 150) {
            let mut broken = bytes.clone();
            broken[at] ^= 0x55;
            answer(broken);
        }
        assert!(errors > 100, "{name}: only {errors} faults were found");
    }
}

#[test]
fn a_wrong_checksum_is_named_with_its_place() {
    let mut bytes =
        std::fs::read(Path::new(FIXTURES).join("tensorboard/events.out.tfevents.1700000000.host")).unwrap();
    let last = bytes.len() - 6;
    bytes[last] ^= 1;
    let read = for_each_run::<ReadError>(
        &[Source::bytes("events.out.tfevents.1", bytes)],
        &ReadOptions::default(),
        &mut |_| {},
        &mut |_| Ok(()),
    );
    let message = read.unwrap_err().to_string();
    assert!(message.contains("checksum") && message.contains("byte"), "{message}");
}
