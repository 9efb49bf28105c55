//! Event files and W&B files that grow: what is followed reads as the whole file does, and a poll reads what is new.

#![expect(clippy::unwrap_used, reason = "a test: a broken expectation must stop it")]

use lehr::Curve;
use lehr_app::Files;
use lehr_app::follow::Follower;
use lehr_io::{ReadError, ReadOptions, Source, SplitChoice, for_each_run};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};

const LOGS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/logs");

/// The runs of sources, or why there are none.
fn runs(sources: &[Source]) -> Result<Vec<Curve>, ReadError> {
    let mut curves = Vec::new();
    for_each_run::<ReadError>(sources, &ReadOptions::default(), &mut |_| {}, &mut |run| {
        curves.push(run.curve);
        Ok(())
    })?;
    Ok(curves)
}

fn followed(follower: &Follower, paths: &[PathBuf]) -> Result<Vec<Curve>, ReadError> {
    runs(&follower.sources(&Files::Disk, paths).unwrap())
}

fn whole(paths: &[PathBuf]) -> Result<Vec<Curve>, ReadError> {
    runs(&Files::Disk.sources(paths).unwrap())
}

fn append(path: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).create(true).open(path).unwrap().write_all(bytes).unwrap();
}

/// Every file below a folder, its path from there on.
fn below(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(below(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

#[test]
fn a_file_that_grows_by_any_pieces_reads_as_the_whole_file_does() {
    let logs = [
        ("tensorboard", 211),
        ("tensorboard-tensors", 331),
        ("tensorboard-siblings", 401),
        ("tensorboard-scalars", 193),
        ("nemo", 577),
        ("torchtitan-events", 499),
        ("wandb", 1999),
        ("nanogpt/run-nanogpt.wandb", 2203),
        ("composer", 2411),
        ("olmo-core", 2803),
        ("bad-events-cut-off", 307),
        ("bad-wandb-cut-off.wandb", 401),
    ];
    for (name, piece) in logs {
        let from = Path::new(LOGS).join(name);
        let files = if from.is_dir() { below(&from) } else { vec![from.clone()] };
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().join("run")];
        let mut follower = Follower::default();
        let mut looks = 0;
        for file in &files {
            let inside = if from.is_dir() { file.strip_prefix(&from).unwrap() } else { Path::new(name) };
            let path = paths[0].join(inside.file_name().map_or(inside, |_| inside));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            for bytes in std::fs::read(file).unwrap().chunks(piece) {
                append(&path, bytes);
                assert!(follower.poll(&Files::Disk, &paths).unwrap(), "{name}");
                match (followed(&follower, &paths), whole(&paths)) {
                    (Ok(followed), Ok(whole)) => {
                        looks += usize::from(!whole.is_empty());
                        assert_eq!(followed, whole, "{name}");
                    }
                    // Too little so far; places are counted otherwise in what is followed.
                    (Err(_), Err(_)) => {}
                    (followed, whole) => panic!("{name}: followed {followed:?}, whole {whole:?}"),
                }
            }
        }
        assert!(looks > 3, "{name}: {looks} looks at runs");
    }
}

/// An event of numbers, as a record.
fn event(step: u64, values: &[(&str, f32)]) -> Vec<u8> {
    let mut summary = Vec::new();
    for (tag, value) in values {
        let mut one = field(1, tag.as_bytes());
        one.push(2 << 3 | 5);
        one.extend_from_slice(&value.to_le_bytes());
        summary.extend(field(1, &one));
    }
    let mut event = vec![1 << 3 | 1];
    event.extend_from_slice(&(1.7e9 + step as f64).to_le_bytes());
    event.push(2 << 3);
    event.extend(varint(step));
    event.extend(field(5, &summary));
    framed(&event)
}

fn framed(event: &[u8]) -> Vec<u8> {
    let masked =
        |bytes: &[u8]| crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes();
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked(&length), event, &masked(event)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value > 127 {
        bytes.push((value & 127 | 128) as u8);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A W&B file of whole records, as W&B writes it.
#[derive(Default)]
struct Wandb(Vec<u8>);

impl Wandb {
    fn new() -> Self {
        Self(b":W&B\xe1\xbe\x00".to_vec())
    }

    fn history(&mut self, items: &[(&str, String)]) {
        let mut history = Vec::new();
        for (name, json) in items {
            let mut item = field(1, name.as_bytes());
            item.extend([0x82, 0x01]);
            item.extend(varint(json.len() as u64));
            item.extend_from_slice(json.as_bytes());
            history.extend(field(1, &item));
        }
        self.record(&field(2, &history));
    }

    fn record(&mut self, mut data: &[u8]) {
        let mut begun = false;
        loop {
            let left = 32_768 - self.0.len() % 32_768;
            if left < 7 {
                self.0.extend(vec![0; left]);
                continue;
            }
            let (piece, rest) = data.split_at(data.len().min(left - 7));
            let kind = [[1, 2], [4, 3]][usize::from(begun)][usize::from(!rest.is_empty())];
            let checked = [&[kind], piece].concat();
            self.0.extend(crc32fast::hash(&checked).to_le_bytes());
            self.0.extend((piece.len() as u16).to_le_bytes());
            self.0.extend(checked);
            (data, begun) = (rest, true);
            if data.is_empty() {
                return;
            }
        }
    }
}

/// What a run logs at an update.
fn loss(step: u64) -> f32 {
    (2.0 + 3.0 / (step as f64 + 1.0).sqrt()) as f32
}

/// The name of a file and its bytes from one update to another: an event or row at each, larger than a block now and then.
fn written(name: &str, from: &[u8], updates: std::ops::Range<u64>) -> Vec<u8> {
    let notes = "x".repeat(40_000);
    if name.ends_with(".wandb") {
        let mut file = Wandb(from.to_vec());
        for step in updates {
            let note = if step % 500 == 0 { format!("\"{notes}\"") } else { "\"-\"".to_owned() };
            let text = |value: f32| format!("{value:.6}");
            let step_json = step.to_string();
            file.history(&[
                ("_step", step_json),
                ("loss", text(loss(step))),
                ("lr", text(1e-3)),
                ("note", note),
            ]);
        }
        file.0
    } else {
        let mut file = from.to_vec();
        for step in updates {
            file.extend(event(step, &[("train/loss", loss(step)), ("lr", 1e-3)]));
        }
        file
    }
}

const NAMES: [&str; 2] = ["events.out.tfevents.1700000000.host", "run-a.wandb"];

fn begun(name: &str) -> Vec<u8> {
    if name.ends_with(".wandb") { Wandb::new().0 } else { Vec::new() }
}

#[test]
fn the_bytes_of_a_poll_are_those_appended_and_the_record_that_waits() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let paths = [path.clone()];
        let mut follower = Follower::default();
        let mut file = written(name, &begun(name), 1..20_001);
        std::fs::write(&path, &file).unwrap();
        assert!(follower.poll(&Files::Disk, &paths).unwrap());
        let first = follower.bytes_read();
        assert!(first >= file.len() as u64 && first < file.len() as u64 + 200, "{name}: {first} bytes");
        assert!(!follower.poll(&Files::Disk, &paths).unwrap());
        assert_eq!(follower.bytes_read(), first, "{name}: nothing is read where nothing is new");
        // A record of the file is shorter than this; a piece of W&B's may be a block long.
        let longest = if name.ends_with(".wandb") { 32_768 } else { 100 };
        let (mut updates, mut read, mut appended) = (20_001, 0, 0);
        for count in [1, 10, 100, 1_000] {
            for cut in [0, 3, 17, 41] {
                let more = written(name, &file, updates..updates + count);
                // What was cut off before comes first.
                let there = std::fs::metadata(&path).unwrap().len() as usize;
                let new = &more[there..more.len() - cut];
                let before = follower.bytes_read();
                append(&path, new);
                assert!(follower.poll(&Files::Disk, &paths).unwrap());
                let now = follower.bytes_read() - before;
                // Twice 64 bytes before the cursor, to know the file again.
                assert!(now <= new.len() as u64 + longest + 128, "{name}: {now} bytes for {}", new.len());
                (read, appended) = (read + now, appended + new.len() as u64);
                (file, updates) = (more, updates + count);
            }
        }
        let there = std::fs::metadata(&path).unwrap().len() as usize;
        append(&path, &file[there..]);
        follower.poll(&Files::Disk, &paths).unwrap();
        let last = followed(&follower, &paths).unwrap()[0].last().0;
        assert_eq!(last, updates - 1, "{name}");
        assert_eq!(std::fs::read(&path).unwrap(), file);
        println!("{name}: {first} bytes at first, then {read} for {appended} appended in 16 polls");
    }
}

#[test]
fn a_record_without_its_end_waits() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let paths = [path.clone()];
        let mut follower = Follower::default();
        let file = written(name, &begun(name), 1..101);
        let more = written(name, &file, 101..102);
        let last = |follower: &Follower| followed(follower, &paths).unwrap()[0].last().0;
        std::fs::write(&path, &file).unwrap();
        follower.poll(&Files::Disk, &paths).unwrap();
        assert_eq!(last(&follower), 100, "{name}");
        for i in file.len()..more.len() {
            append(&path, &more[i..=i]);
            follower.poll(&Files::Disk, &paths).unwrap();
            assert_eq!(last(&follower), if i + 1 < more.len() { 100 } else { 101 }, "{name}, byte {i}");
        }
    }
}

#[test]
fn a_file_that_shrank_or_was_replaced_is_read_anew() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let paths = [path.clone()];
        let mut follower = Follower::default();
        let mut put = |what: &str, bytes: &[u8], first: u64, last: u64| {
            std::fs::write(&path, bytes).unwrap();
            assert!(follower.poll(&Files::Disk, &paths).unwrap(), "{name}: {what}");
            let runs = followed(&follower, &paths).unwrap();
            assert_eq!((runs[0].step()[0], runs[0].last().0), (first, last), "{name}: {what}");
            assert_eq!(runs, whole(&paths).unwrap(), "{name}: {what}");
        };
        let hundred = written(name, &begun(name), 1..101);
        put("at first", &hundred, 1, 100);
        put("shorter", &written(name, &begun(name), 1..51), 1, 50);
        put("longer, and another", &written(name, &begun(name), 7..301), 7, 300);
        put("longer, and another", &written(name, &begun(name), 1..301), 1, 300);
        // The same first 256 bytes, and other records of the same lengths before the cursor.
        let same = written(name, &begun(name), 1..200);
        assert!(same.len() > 256);
        put("the same beginning, another end", &written(name, &same, 230..460), 1, 459);
    }
}

#[test]
fn a_fault_is_told_as_of_the_whole_file_and_is_over_when_it_is_mended() {
    for name in NAMES {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let paths = [path.clone()];
        let mut follower = Follower::default();
        let (short, long) = (written(name, &begun(name), 1..51), written(name, &begun(name), 1..101));
        std::fs::write(&path, &short).unwrap();
        follower.poll(&Files::Disk, &paths).unwrap();
        let mut faulty = long.clone();
        faulty[short.len() + 30] ^= 1;
        std::fs::write(&path, &faulty).unwrap();
        follower.poll(&Files::Disk, &paths).unwrap();
        let (told, wanted) = (followed(&follower, &paths).unwrap_err(), whole(&paths).unwrap_err());
        assert_eq!(told.to_string(), wanted.to_string());
        assert!(told.to_string().contains("checksum"), "{told}");
        let mended = written(name, &long, 101..103);
        std::fs::write(&path, &mended).unwrap();
        follower.poll(&Files::Disk, &paths).unwrap();
        assert_eq!(followed(&follower, &paths).unwrap(), whole(&paths).unwrap(), "{name}");
    }
}

#[test]
fn of_a_long_file_rare_losses_stay_whole_and_losses_keep_their_rates() {
    let name = NAMES[0];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let paths = [path.clone()];
    let mut file = Vec::new();
    for step in 1..=60_000 {
        file.extend(event(step, &[("train/loss", loss(step))]));
        file.extend(event(step, &[("lr", 1e-3)]));
        for layer in 0..4 {
            file.extend(event(step, &[(&format!("grad/layer{layer}"), 0.5)]));
        }
        if step % 1_000 == 0 {
            file.extend(event(step, &[("val/loss", loss(step))]));
        }
    }
    std::fs::write(&path, &file).unwrap();
    let mut follower = Follower::default();
    follower.poll(&Files::Disk, &paths).unwrap();
    let sources = follower.sources(&Files::Disk, &paths).unwrap();
    assert!(sources[0].len() < 512 << 10, "{} of {} bytes are held", sources[0].len(), file.len());
    let curve = runs(&sources).unwrap().remove(0);
    assert_eq!(curve.step(), (1..=60).map(|k| 1_000 * k).collect::<Vec<u64>>(), "validation losses");
    let options = ReadOptions { split: SplitChoice::Train, ..ReadOptions::default() };
    let mut train = None;
    for_each_run::<ReadError>(&sources, &options, &mut |_| {}, &mut |run| {
        train = Some(run.curve);
        Ok(())
    })
    .unwrap();
    let train = train.unwrap();
    let step = train.step();
    assert!(step.len() > 1_500, "{} training losses", step.len());
    assert_eq!((step[0], step[step.len() - 1]), (1, 60_000));
    let neighbours = step.windows(2).filter(|pair| pair[1] == pair[0] + 1).count();
    assert!(neighbours * 10 > step.len() * 9, "{neighbours} of {} have their neighbour", step.len());
}

#[test]
fn a_record_too_large_to_hold_numbers_is_passed_over() {
    let name = NAMES[0];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    let paths = [path.clone()];
    let mut follower = Follower::default();
    let mut file = written(name, &begun(name), 1..51);
    let image = framed(&field(5, &vec![0; 65 << 20]));
    let half = file.len() + image.len() / 2;
    file.extend(image);
    file.extend(written(name, &begun(name), 51..101));
    std::fs::write(&path, &file[..half]).unwrap();
    follower.poll(&Files::Disk, &paths).unwrap();
    assert_eq!(followed(&follower, &paths).unwrap()[0].last().0, 50);
    let before = follower.bytes_read();
    append(&path, &file[half..]);
    follower.poll(&Files::Disk, &paths).unwrap();
    assert!(
        follower.bytes_read() - before <= (file.len() - half) as u64 + 128,
        "its first half is not read again"
    );
    assert_eq!(followed(&follower, &paths).unwrap(), whole(&paths).unwrap());
}
