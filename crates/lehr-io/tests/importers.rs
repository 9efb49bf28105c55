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
    assert!(run.caveats.iter().any(|caveat| caveat.code() == "guessed-batch"));
    // The batch is half of what lies between the rows: every second update is logged.
    let half = ReadOptions { samples_per_step: Some(100), ..ReadOptions::default() };
    let run = read("deepspeed", &half).unwrap().remove(0);
    assert_eq!(run.curve.step(), (1..=100).map(|k| 2 * k).collect::<Vec<_>>());
    assert_eq!(run.curve.schedule().total().0, 200);
    assert!(run.caveats.iter().all(|caveat| caveat.code() != "guessed-batch"), "{:?}", run.caveats);
    assert!(run.notes.iter().any(|note| note.code == "samples-as-steps"), "{:?}", run.notes);
    let none = ReadOptions { samples_per_step: Some(33), ..ReadOptions::default() };
    assert!(read("deepspeed", &none).is_err());
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

#[test]
fn mlflow_database_with_two_runs() {
    let runs =
        read("mlflow-db", &ReadOptions { split: SplitChoice::Train, ..ReadOptions::default() }).unwrap();
    assert_eq!(
        runs.iter().map(|run| run.curve.meta().id.as_str()).collect::<Vec<_>>(),
        ["known-run", "second-run"]
    );
    for (run, offset) in runs.iter().zip([0.0, 0.1]) {
        assert_eq!(run.format, "MLflow database");
        let meta = run.curve.meta();
        assert_eq!((meta.params, meta.seed), (Some(Params(124_000_000)), Some(7)));
        assert_eq!(meta.tokens_per_step, Some(Tokens(102_400)));
        assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>());
        assert_losses(&run.curve, 1e-12, |t| loss(t) + offset);
        assert_schedule(run);
    }
    let one = read("mlflow-db", &ReadOptions { runs: vec!["second*".to_owned()], ..ReadOptions::default() })
        .unwrap();
    assert_eq!(one.len(), 1);
    assert_losses(&one[0].curve, 1e-12, |t| loss(t) + 0.15);
}

#[test]
fn trackio_database_with_rows_in_its_write_ahead_log() {
    let run = one("trackio", SplitChoice::Train);
    assert_eq!((run.format.as_str(), run.curve.meta().id.as_str()), ("Trackio database", "known-run"));
    assert_eq!(run.curve.meta().params, Some(Params(124_000_000)));
    assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>());
    assert_losses(&run.curve, 1e-12, loss);
    assert_schedule(&run);
    // Without the log, or with an emptied one, only what is in the database itself: the first half.
    let database = std::fs::read(Path::new(FIXTURES).join("trackio/annealing.db")).unwrap();
    let mut last = 0;
    for_each_run::<ReadError>(
        &[
            Source::bytes("annealing.db", database),
            Source::bytes("annealing.db-journal", vec![0; 512]),
            Source::bytes("annealing.db-shm", 3_007_000_u32.to_le_bytes().to_vec()),
            Source::bytes("annealing.db-wal", Vec::new()),
        ],
        &ReadOptions { split: SplitChoice::Train, ..ReadOptions::default() },
        &mut |_| {},
        &mut |run| {
            last = run.curve.last().0;
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(last, 50);
}

#[test]
fn an_interrupted_transaction_is_refused_not_read() {
    let database = std::fs::read(Path::new(FIXTURES).join("mlflow-db/mlflow.db")).unwrap();
    let journal = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7, 0, 0, 0, 1];
    let sources =
        [Source::bytes("a/mlflow.db", database), Source::bytes("a/mlflow.db-journal", journal.to_vec())];
    let error = for_each_run::<ReadError>(&sources, &ReadOptions::default(), &mut |_| {}, &mut |_| Ok(()))
        .unwrap_err();
    assert!(matches!(&error, ReadError::Refused { why, .. } if why.contains("interrupted")), "{error}");
}

#[test]
fn the_names_of_other_trainers_are_known() {
    for name in ["olmo-core", "levanter", "composer", "nanogpt", "nemo", "torchtitan-events", "wandb-parquet"]
    {
        let run = one(name, SplitChoice::Train);
        assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>(), "{name}");
        assert_losses(&run.curve, 1e-6, loss);
        assert_schedule(&run);
        if ["olmo-core", "levanter", "composer"].contains(&name) {
            assert_eq!(run.curve.meta().tokens_per_step, Some(Tokens(102_400)), "{name}");
        }
        if name != "olmo-core" {
            assert_losses(&one(name, SplitChoice::Validation).curve, 1e-6, |t| loss(t) + 0.05);
        }
    }
    let run = one("maxtext.jsonl", SplitChoice::Auto);
    assert_eq!(run.curve.meta().id, "known-run");
    assert_losses(&run.curve, 1e-12, loss);
}

#[test]
fn nanochat_counts_from_0_multiplies_and_averages() {
    let options = ReadOptions { lr_scale: Some(1e-3), ..ReadOptions::default() };
    let run = read("nanochat", &options).unwrap().remove(0);
    assert_eq!(run.curve.meta().loss_kind, LossKind::Instant);
    assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>());
    assert_losses(&run.curve, 1e-9, loss);
    assert_schedule(&run);
    for code in ["average-undone", "counted-from-0", "lr-scale"] {
        assert!(run.notes.iter().any(|note| note.code == code), "{code}: {:?}", run.notes);
    }
    // Without being told, the rate of the matrices in the run's configuration is taken, with a caveat.
    let run = one("nanochat", SplitChoice::Auto);
    assert!((run.curve.schedule().peak_lr() - 0.02).abs() < 1e-9);
    assert!(
        run.caveats
            .iter()
            .any(|caveat| caveat.code() == "lr-multiplier" && caveat.message().contains("matrix_lr"))
    );
}

#[test]
fn compressed_tables_and_logs_are_expanded_while_they_are_read() {
    let all =
        read("compressed", &ReadOptions { split: SplitChoice::Auto, ..ReadOptions::default() }).unwrap();
    // Three of the four files hold the same rows: together they are one run.
    assert_eq!(all.len(), 2);
    let mut names: Vec<String> = std::fs::read_dir(Path::new(FIXTURES).join("compressed"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    let runs: Vec<LoadedRun> =
        names.iter().map(|name| one(&format!("compressed/{name}"), SplitChoice::Auto)).collect();
    let mut ids: Vec<&str> = runs.iter().map(|run| run.curve.meta().id.as_str()).collect();
    ids.sort_unstable();
    assert_eq!(ids, ["known", "megatron", "members", "rows"]);
    for run in runs.iter().filter(|run| run.curve.meta().id != "megatron") {
        assert_losses(&run.curve, 1e-12, loss);
        assert_schedule(run);
    }
}

fn table(name: &str, text: &str, options: &ReadOptions) -> Result<LoadedRun, ReadError> {
    let mut runs = Vec::new();
    for_each_run::<ReadError>(&[Source::bytes(name, text.into())], options, &mut |_| {}, &mut |run| {
        runs.push(run);
        Ok(())
    })?;
    Ok(runs.remove(0))
}

#[test]
fn what_expands_beyond_measure_is_refused_in_bounded_memory() {
    // 256 MiB of line ends become some ten kilobytes.
    let mut bomb = zstd::Encoder::new(Vec::new(), 3).unwrap();
    std::io::Write::write_all(&mut bomb, b"step,lr,loss\n").unwrap();
    for _ in 0..256 {
        std::io::Write::write_all(&mut bomb, &[b'\n'; 1 << 20]).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 17);
    let read = for_each_run::<ReadError>(
        &[Source::bytes("a.csv.zst", bomb)],
        &ReadOptions::default(),
        &mut |_| {},
        &mut |_| Ok(()),
    );
    let error = read.unwrap_err();
    assert!(matches!(error, ReadError::Compressed { .. }), "{error}");
    assert!(error.to_string().contains("200 times") && error.hint().unwrap().contains("zstd -d"), "{error}");
}

#[test]
fn tokens_and_samples_are_brought_to_updates() {
    let rows = |name: &str, per: u64| {
        std::iter::once(format!("{name},lr,train_loss\n"))
            .chain((1..=100).map(|t| {
                format!("{},{},{}\n", t * per, if t <= 80 { 1e-3 } else { 5e-5 * (100 - t) as f64 }, loss(t))
            }))
            .collect::<String>()
    };
    let error = table("a.csv", &rows("tokens_seen", 4096), &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, ReadError::Axis { what: "tokens", .. }), "{error}");
    let options = ReadOptions { tokens_per_step: Some(4096), ..ReadOptions::default() };
    let run = table("a.csv", &rows("tokens_seen", 4096), &options).unwrap();
    assert_eq!(run.curve.step(), (1..=100).collect::<Vec<_>>());
    assert!(run.notes.iter().any(|note| note.code == "tokens-as-steps"));
    let options = ReadOptions { samples_per_step: Some(32), ..ReadOptions::default() };
    assert_eq!(table("a.csv", &rows("consumed_samples", 32), &options).unwrap().curve.last().0, 100);
    let options = ReadOptions { samples_per_step: Some(33), ..ReadOptions::default() };
    let error = table("a.csv", &rows("consumed_samples", 32), &options).unwrap_err();
    assert!(error.to_string().contains("multiple of the 33 samples"), "{error}");
}

#[test]
fn a_growing_batch_is_a_caveat_and_a_constant_one_is_known() {
    let rows = |grows: bool| {
        let mut tokens = 0;
        std::iter::once("step,tokens,lr,loss\n".to_owned())
            .chain((1..=60_u64).map(|t| {
                tokens += if grows && t <= 20 { 1000 } else { 4000 };
                format!("{t},{tokens},1e-3,{}\n", loss(t))
            }))
            .collect::<String>()
    };
    let steady = table("a.csv", &rows(false), &ReadOptions::default()).unwrap();
    assert_eq!(steady.curve.meta().tokens_per_step, Some(Tokens(4000)));
    assert!(steady.caveats.iter().all(|caveat| caveat.code() != "batch-ramp"));
    let growing = table("a.csv", &rows(true), &ReadOptions::default()).unwrap();
    assert!(growing.caveats.iter().any(|caveat| caveat.code() == "batch-ramp"), "{:?}", growing.caveats);
    assert_eq!(growing.curve.meta().tokens_per_step, None);
}

#[test]
fn losses_of_two_digits_are_a_blocking_caveat() {
    let text = std::iter::once("step,lr,loss\n".to_owned())
        .chain((1..=60_u64).map(|t| format!("{t},1e-3,{:.2}\n", loss(t))))
        .collect::<String>();
    let run = table("a.csv", &text, &ReadOptions::default()).unwrap();
    let caveat = run.caveats.iter().find(|caveat| caveat.code() == "rounded-losses").unwrap();
    assert!(caveat.blocking());
}

#[test]
fn hugging_face_uses_the_rate_of_the_update_before() {
    // transformers 5.23: the row of update 5 holds what the warm-up of 10 gives for 4.
    let schedule = one("hf", SplitChoice::Train).curve.schedule().clone();
    for (t, rate) in
        [(5, 4e-4), (10, 9e-4), (15, 9.951_340_343_707_852e-4), (100, 3.045_864_904_521_189_5e-7)]
    {
        assert!((schedule.lr(t) - rate).abs() < 1e-9, "update {t}: {}, expected {rate}", schedule.lr(t));
    }
    // With a stable phase in the log, every update's rate comes back.
    let before = |t: u64| 1e-3 * (t as f64 / 10.0).min(1.0).min((100 - t) as f64 / 20.0);
    let rows: Vec<String> = (1..=20)
        .map(|k| {
            format!(
                r#"{{"step": {}, "loss": {}, "learning_rate": {}}}"#,
                5 * k,
                loss(5 * k),
                before(5 * k - 1)
            )
        })
        .collect();
    let state = format!(r#"{{"global_step": 100, "max_steps": 100, "log_history": [{}]}}"#, rows.join(", "));
    let run = table("trainer_state.json", &state, &ReadOptions::default()).unwrap();
    for t in 1..=100 {
        let rate = run.curve.schedule().lr(t);
        assert!((rate - before(t - 1)).abs() < 1e-12, "update {t}: {rate}, expected {}", before(t - 1));
    }
}

/// Every binary log, cut anywhere or with any byte turned over, gives an answer: runs or an error, no panic.
#[test]
fn broken_binary_logs_are_answered() {
    for (name, least) in [
        ("wandb/run-known.wandb", 100),
        ("tensorboard/events.out.tfevents.1700000000.host", 100),
        ("compressed/known.csv.gz", 100),
        ("compressed/rows.jsonl.zst", 100),
        ("wandb-parquet/0000.parquet", 60),
        // Most of its pages hold what is not read.
        ("mlflow-db/mlflow.db", 20),
    ] {
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
        assert!(errors > least, "{name}: only {errors} faults were found");
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

/// The page of sources is written from the facts beside the registry, every reader has some, and every kept log that they name exists.
#[test]
fn the_page_of_sources_is_what_the_readers_say() {
    use lehr_io::import::{IMPORTERS, facts};
    for importer in IMPORTERS {
        let described = facts::SOURCES.iter().any(|facts| facts.readers.contains(&importer.name()));
        assert!(described, "no facts about '{}': add a row to import/facts.rs", importer.name());
    }
    for facts in &facts::SOURCES {
        for reader in facts.readers {
            assert!(IMPORTERS.iter().any(|importer| importer.name() == *reader), "no importer '{reader}'");
        }
        for name in facts.fixture.split('`').skip(1).step_by(2) {
            let path = Path::new(FIXTURES).join(name);
            assert!(path.exists(), "{}: {} is not there", facts.source, path.display());
        }
    }
    let path = Path::new(FIXTURES).join("../../docs/formats/logs.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (begin, end) =
        ("<!-- sources: written from `lehr_io::import::facts` -->\n\n", "\n<!-- end of the sources -->");
    let (head, rest) = page.split_once(begin).unwrap();
    let (table, tail) = rest.split_once(end).unwrap();
    if std::env::var_os("LEHR_WRITE_REFERENCE").is_some() {
        std::fs::write(&path, format!("{head}{begin}{}{end}{tail}", facts::table())).unwrap();
        return;
    }
    assert_eq!(
        table,
        facts::table(),
        "LEHR_WRITE_REFERENCE=1 cargo test --workspace --test importers writes the page"
    );
}
