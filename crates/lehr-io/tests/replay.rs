//! Every fixture and every input that fuzzing kept is answered, whole and damaged: a run or an error, never a panic.
//!
//! The targets of `fuzz/` need a nightly compiler; this replays what they found with the stable one, in every test run.

#![expect(clippy::unwrap_used, reason = "a test: a broken expectation must stop it")]

use lehr::Curve;
use lehr_io::import::framed::FramedTail;
use lehr_io::{LoadedRun, MapOverrides, ReadError, ReadOptions, Source, for_each_run};
use std::path::{Path, PathBuf};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn files(below: &Path, found: &mut Vec<PathBuf>) {
    let mut entries: Vec<PathBuf> =
        std::fs::read_dir(below).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

/// Reads bytes under a name; what comes out must hold together.
fn answer(name: &str, bytes: Vec<u8>) {
    let options = ReadOptions { drop_nan: true, stitch: true, ..ReadOptions::default() };
    for options in [ReadOptions::default(), options] {
        let sources = [Source::bytes(name, bytes.clone())];
        let read = for_each_run::<ReadError>(&sources, &options, &mut |_| {}, &mut |run: LoadedRun| {
            assert!(run.curve.step().windows(2).all(|pair| pair[0] < pair[1]), "{name}");
            Ok(())
        });
        if let Err(error) = read {
            assert!(!error.to_string().is_empty());
        }
    }
}

/// The same sequence in every run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, n: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % n.max(1)
    }
}

fn damaged(bytes: &[u8], chance: &mut Chance) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let n = bytes.len();
    let at = chance.below(n);
    match chance.below(5) {
        0 => bytes.truncate(at),
        1 if n > 0 => bytes[at] ^= 1 << chance.below(8),
        2 if n > 0 => bytes[at] = [0, 0xff, b'-', b'9', b'\n', b'"', b'{', b','][chance.below(8)],
        3 => {
            let end = at + chance.below(n - at);
            let piece = bytes[at..end].to_vec();
            let to = chance.below(bytes.len());
            bytes.splice(to..to, piece);
        }
        _ => {
            let end = at + chance.below((n - at).min(64));
            bytes.drain(at..end);
        }
    }
    bytes
}

/// The runs of bytes under a name.
fn curves(name: &str, bytes: Vec<u8>) -> Result<Vec<Curve>, ReadError> {
    let mut curves = Vec::new();
    for_each_run::<ReadError>(
        &[Source::bytes(name, bytes)],
        &ReadOptions::default(),
        &mut |_| {},
        &mut |run| {
            curves.push(run.curve);
            Ok(())
        },
    )?;
    Ok(curves)
}

/// A file of records as it is followed, in pieces: `None` where it is of another kind or has a fault.
fn followed(name: &str, bytes: &[u8], chance: &mut Chance) -> Option<Vec<u8>> {
    let mut tail = FramedTail::of(name, &bytes[..bytes.len().min(256)], &MapOverrides::default())?;
    let mut records = Vec::new();
    let mut end = 0;
    while end < bytes.len() {
        end = (end + 1 + chance.below(3_000)).min(bytes.len());
        let at = usize::try_from(tail.at()).unwrap();
        let taken = tail.take(&bytes[at..end], &mut |record| records.push(record.bytes)).ok()?;
        assert_eq!(usize::try_from(tail.at()).unwrap(), at + taken, "{name}");
    }
    Some(tail.join(records.iter().map(Vec::as_slice)))
}

#[test]
fn what_is_followed_of_a_damaged_file_of_records_reads_as_the_file() {
    let mut found = Vec::new();
    files(&Path::new(ROOT).join("fixtures/logs"), &mut found);
    let mut chance = Chance(7);
    let (mut kept, mut damaged_kept) = (0, 0);
    for path in found {
        let whole = std::fs::read(&path).unwrap();
        let name = path.strip_prefix(ROOT).unwrap_or(&path).to_string_lossy().into_owned();
        for i in 0..60 {
            let bytes = if i == 0 { whole.clone() } else { damaged(&whole, &mut chance) };
            let Some(joined) = followed(&name, &bytes, &mut chance) else { continue };
            match (curves(&name, joined), curves(&name, bytes)) {
                (Ok(followed), Ok(whole)) => assert_eq!(followed, whole, "{name}, {i}"),
                (Err(_), Err(_)) => {}
                (followed, whole) => panic!("{name}, {i}: {followed:?} and {whole:?}"),
            }
            if i == 0 {
                kept += 1;
            } else {
                damaged_kept += 1;
            }
        }
    }
    assert!(kept > 20 && damaged_kept > 200, "{kept} whole, {damaged_kept} damaged");
}

#[test]
fn every_fixture_is_answered_whole_and_damaged() {
    let mut found = Vec::new();
    files(&Path::new(ROOT).join("fixtures/logs"), &mut found);
    assert!(found.len() > 80);
    let mut chance = Chance(1);
    for path in found {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.strip_prefix(ROOT).unwrap_or(&path).to_string_lossy().into_owned();
        answer(&name, bytes.clone());
        // Large files are damaged less often: all of it is to take seconds.
        for _ in 0..(200_000 / (bytes.len() + 2_000)).clamp(3, 40) {
            answer(&name, damaged(&bytes, &mut chance));
        }
    }
}

/// Targets whose input `lehr-io` does not read.
const ELSEWHERE: [&str; 6] = ["plan", "train_config", "job_files", "fit_file", "schedule_text", "recognise"];

/// Under which name a target of `fuzz/` reads its input, and how it wraps it.
fn wrapped(target: &str, bytes: &[u8]) -> (&'static str, Vec<u8>) {
    match target {
        "wandb_file" => ("run-1.wandb", bytes.to_vec()),
        "wandb_record" => {
            let data = &bytes[..bytes.len().min(32_000)];
            let body = [&[1][..], data].concat();
            let length = (data.len() as u16).to_le_bytes();
            let file =
                [b":W&B\xe1\xbe\x00", &crc32fast::hash(&body).to_le_bytes()[..], &length, &body].concat();
            ("run-1.wandb", file)
        }
        "event_file" => ("events.out.tfevents.1", bytes.to_vec()),
        "event_record" => {
            let masked = |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8);
            let record = |data: &[u8]| {
                let length = (data.len() as u64).to_le_bytes();
                [&length[..], &masked(&length).to_le_bytes(), data, &masked(data).to_le_bytes()].concat()
            };
            ("events.out.tfevents.1", bytes.split(|&byte| byte == 0xFF).flat_map(record).collect())
        }
        "trainer_state" => ("trainer_state.json", bytes.to_vec()),
        "text_log" => ("train.log", bytes.to_vec()),
        "csv_table" => ("run.csv", bytes.to_vec()),
        "json_lines" => ("run.jsonl", bytes.to_vec()),
        "parquet_table" => ("run.parquet", bytes.to_vec()),
        "deepspeed_csv" => ("log/Train_Samples_train_loss.csv", bytes.to_vec()),
        "mlflow_metric" => ("mlruns/0/run/metrics/loss", bytes.to_vec()),
        "manifest" => ("manifest.csv", bytes.to_vec()),
        "run_store" => ("store/points.parquet", bytes.to_vec()),
        "tracker_db" => ("mlflow.db", bytes.to_vec()),
        "compressed" => ("run.csv.gz", bytes.to_vec()),
        other => panic!("fuzz/corpus/{other} belongs to no target that is replayed; add it to `wrapped`"),
    }
}

#[test]
fn every_kept_input_of_the_fuzz_targets_is_answered() {
    let corpus = Path::new(ROOT).join("fuzz/corpus");
    let mut found = Vec::new();
    files(&corpus, &mut found);
    assert!(found.len() > 15, "the corpus is part of the repository");
    let mut chance = Chance(2);
    for path in found {
        let target =
            path.strip_prefix(&corpus).unwrap().iter().next().unwrap().to_string_lossy().into_owned();
        // Read by other crates, which replay them.
        if ELSEWHERE.contains(&target.as_str()) {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for round in 0..3 {
            let input = if round == 0 { bytes.clone() } else { damaged(&bytes, &mut chance) };
            let (name, file) = wrapped(&target, &input);
            answer(name, file);
        }
    }
}

#[test]
fn a_line_without_end_is_refused_in_bounded_memory() {
    for (name, begin) in [
        ("a.csv", "step,lr,loss\n1,"),
        ("a.jsonl", "{\"step\": "),
        ("a.log", "iteration 1/ 2 | learning rate: "),
    ] {
        let mut bytes = begin.as_bytes().to_vec();
        bytes.resize(40 << 20, b'1');
        let read = for_each_run::<ReadError>(
            &[Source::bytes(name, bytes)],
            &ReadOptions::default(),
            &mut |_| {},
            &mut |_| Ok(()),
        );
        let message = read.unwrap_err().to_string();
        assert!(message.contains("MiB") || message.contains("not a log"), "{name}: {message}");
    }
}
