//! What a desk promises: the same answer whatever the files are made of, each file once, limits, cancellation.

use lehr::Shape;
use lehr::fit::FitOptions;
use lehr::forecast::Setting;
use lehr_app::fit::FitRequest;
use lehr_app::forecast::ForecastRequest;
use lehr_app::target::{Annealing, Plan};
use lehr_app::{Desk, Event, FailureKind, Files, Limits, Observer, Reading, documents, fit, laws};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Three runs of one peak rate with the shape of a loss curve: constant, r = 0.2, r = 0.5.
fn logs() -> Vec<(String, Vec<u8>)> {
    [0.0, 0.2, 0.5]
        .into_iter()
        .map(|ratio| {
            let (total, warmup) = (2000.0_f64, 100.0_f64);
            let mut text = String::from("step,lr,loss\n");
            let mut progress = 0.0;
            for t in 1..=2000 {
                let t = f64::from(t);
                let start = total * (1.0 - ratio);
                let rate = 1e-3
                    * (t / warmup).min(1.0)
                    * if t > start { (total - t) / (total - start) } else { 1.0 };
                progress += rate;
                if t % 10.0 == 0.0 {
                    let loss = 2.5 + 0.8 * (progress + 0.05_f64).powf(-0.4) + 30.0 * rate;
                    text += &format!("{t},{rate:.9},{loss:.6}\n");
                }
            }
            (format!("runs/r{ratio}.csv"), text.into_bytes())
        })
        .collect()
}

fn on_disk() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("runs")).expect("a folder in it");
    for (name, bytes) in logs() {
        std::fs::write(folder.path().join(name), bytes).expect("a log");
    }
    let runs = folder.path().join("runs");
    (folder, runs)
}

fn request(reading: Reading) -> FitRequest {
    FitRequest {
        reading,
        law: laws::named("forward-momentum").expect("the law of the starting paper"),
        options: FitOptions { starts: 4, ..FitOptions::default() },
        profile: false,
        bootstrap: None,
    }
}

fn forecast(fit: lehr::fit::Fit, total: u64) -> ForecastRequest {
    ForecastRequest {
        fit: fit.into(),
        plan: Plan::Wsd {
            peak_lr: 1e-3,
            total,
            warmup: None,
            annealing: Annealing::Share(0.3, Shape::Linear),
            final_lr: 0.0,
        },
        setting: Setting::default(),
        at: Vec::new(),
        level: None,
        measured: None,
    }
}

#[test]
fn files_in_memory_and_on_the_disk_give_the_same_fit() {
    let (_folder, runs) = on_disk();
    let disk = Desk::new(Files::Disk).fit(&request(Reading::of([runs]))).expect("a fit");
    let memory = Desk::new(Files::memory(logs())).fit(&request(Reading::of(["runs"]))).expect("a fit");
    assert_eq!(disk.value.fit, memory.value.fit);
    let text = fit::to_file(&disk.value.fit).expect("text");
    assert_eq!(fit::parse_fit("fit.json", &text).expect("the same fit"), disk.value.fit);
}

#[test]
fn the_number_of_threads_changes_no_bit() {
    let files = || Files::memory(logs());
    let one = Desk::new(files()).threads(1).expect("a thread").fit(&request(Reading::of(["runs"])));
    let two = Desk::new(files()).threads(2).expect("two threads").fit(&request(Reading::of(["runs"])));
    assert_eq!(one.expect("a fit").value.fit, two.expect("a fit").value.fit);
    assert_eq!(Desk::new(files()).threads(0).expect_err("none").kind(), FailureKind::Request);
}

#[test]
fn an_interval_without_an_end_is_refused() {
    let desk = Desk::new(Files::memory(logs()));
    let mut fit = desk.fit(&request(Reading::of(["runs"]))).expect("a fit").value.fit;
    for held in &mut fit.uncertainty.held_out {
        held.final_error = 800.0;
    }
    let total = fit.runs[0].total;
    let error = desk.forecast(&forecast(fit, total)).expect_err("no end");
    assert!(error.message().contains("has no interval"), "{error}");
    assert!(error.remedy().is_some());
}

#[cfg(unix)]
#[test]
fn a_file_reached_by_two_paths_is_one_run() {
    let (folder, runs) = on_disk();
    std::os::unix::fs::symlink(&runs, runs.join("itself")).expect("a link");
    std::os::unix::fs::symlink(runs.join("r0.csv"), runs.join("latest.csv")).expect("a link");
    let reading = Reading::of([runs.clone(), runs.join("r0.csv"), folder.path().join(".").join("runs")]);
    let read = Desk::new(Files::Disk).runs(&reading).expect("runs");
    let names: Vec<&str> = read.curves.iter().map(|curve| curve.meta().id.as_str()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(names.iter().all(|name| !name.contains("latest") && !name.contains("itself")), "{names:?}");
}

#[test]
fn a_pattern_passes_over_what_is_no_log_as_a_folder_does() {
    let (_folder, runs) = on_disk();
    for (name, bytes) in [("ckpt.pt", &b"PK\x03\x04..."[..]), ("empty.csv", b""), (".hidden", b"\0")] {
        std::fs::write(runs.join(name), bytes).expect("another file");
    }
    let read = |path: PathBuf| Desk::new(Files::Disk).runs(&Reading::of([path]));
    let names = |path: PathBuf| -> Vec<String> {
        let found = read(path).expect("three runs");
        let passed = found.notes.iter().filter(|note| note.code == "skipped-file").count();
        assert_eq!(passed, 2, "{:?}", found.notes);
        found.curves.iter().map(|curve| curve.meta().id.clone()).collect()
    };
    let of_folder = names(runs.clone());
    assert_eq!(of_folder.len(), 3);
    assert_eq!(names(runs.join("*")), of_folder);
    // What is named itself is not passed over.
    assert!(read(runs.join("ckpt.pt")).is_err());
}

#[test]
fn a_horizon_beyond_the_limit_is_refused() {
    let desk = Desk::new(Files::memory(logs())).limited(Limits { horizon: 10_000 });
    let fitted = desk.fit(&request(Reading::of(["runs"]))).expect("a fit").value.fit;
    let answer = desk.forecast(&forecast(fitted.clone(), 10_000)).expect("a forecast");
    assert_eq!(answer.value.update.last(), Some(&10_000));
    assert!(answer.notes.iter().any(|note| note.code == "usual-warmup" && note.message.starts_with("100 ")));
    let error = desk.forecast(&forecast(fitted, 1_000_000_000)).expect_err("too far");
    assert_eq!(error.kind(), FailureKind::Request);
    assert!(error.message().contains("1000000000 updates is beyond the 10000"), "{error}");
}

/// Stops after so many words.
struct Impatient(AtomicUsize);

impl Observer for Impatient {
    fn hear(&self, _: Event) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
    fn cancelled(&self) -> bool {
        // Below 0 it wraps to the largest number.
        self.0.load(Ordering::SeqCst) > usize::MAX / 2
    }
}

#[test]
fn an_observer_stops_the_work() {
    for patience in 0..5 {
        let desk = Desk::new(Files::memory(logs())).observed(Arc::new(Impatient(AtomicUsize::new(patience))));
        let error = desk.fit(&request(Reading::of(["runs"]))).expect_err("stopped");
        assert_eq!(error.kind(), FailureKind::Interrupted, "after {patience} words: {error}");
    }
}

#[test]
fn a_document_begins_with_its_schema() {
    let text = documents::text(&laws::list()).expect("text");
    assert!(text.starts_with("{\n  \"schema\": \"lehr.laws/1\",\n  \"laws\": ["), "{text}");
}

#[test]
fn what_is_no_fit_is_refused_by_name_and_line() {
    for (text, said) in [
        ("{\n\"format\": ", "fit.json, line 2: not a fit"),
        ("{}", "fit.json: not a fit: it has no 'format'"),
        ("{\"format\": 0}", "fit.json: a fit of format 0; this version reads format"),
        ("[1]", "fit.json: not a fit: it has no 'format'"),
    ] {
        let error = fit::parse_fit("fit.json", text).expect_err(text);
        assert!(error.message().starts_with(said), "{error}");
        assert!(error.remedy().is_some());
    }
    let error = Desk::new(Files::Disk).read_fit(Path::new(".")).expect_err("a directory");
    assert!(error.message().contains("this is a directory"), "{error}");
}

/// The kept fits, with the final loss, lower and upper end that `lehr forecast … --at 20000` gave when each was made.
const KEPT: [(&str, [f64; 3]); 3] = [
    ("format-3.json", [3.188_757_717_679_293_6, 3.179_535_508_590_386_7, 3.198_006_675_688_050_3]),
    ("format-4.json", [3.188_758_573_121_248, 3.179_539_786_515_028_8, 3.198_004_088_761_289]),
    ("format-5.json", [3.195_112_837_674_731_3, 3.191_676_455_448_537_3, 3.198_552_919_750_509]),
];

/// A fit of the present format and those of the formats before are kept: later versions must read them and forecast the same.
#[test]
fn committed_fits_are_read_and_forecast_what_they_did() {
    for (name, kept) in KEPT {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/fits").join(name);
        a_committed_fit_is_read(&path, kept);
    }
}

fn a_committed_fit_is_read(path: &Path, kept: [f64; 3]) {
    let desk = Desk::new(Files::Disk);
    let fit = desk.read_fit(path).expect("a fit of this format");
    // The warm-up W of every run; format 3 holds W − 1.
    assert!(fit.runs.iter().all(|run| run.warmup == 300), "{:?}", fit.runs[0]);
    assert_eq!((fit.format, fit.law.as_str()), (lehr::fit::FIT_FORMAT, "noise-relaxation"));
    let schedule =
        "wsd:peak=0.002,total=20000,warmup=500,ratio=0.2,shape=linear,final=0".parse().expect("a schedule");
    let found =
        lehr::forecast::forecast(&fit, &schedule, &Setting::default(), &[20_000]).expect("a forecast");
    let ends = [found.r#final.value, found.r#final.lower, found.r#final.upper];
    for (found, kept) in ends.iter().zip(kept) {
        // Other processors may round the last digits otherwise.
        assert!((found / kept - 1.0).abs() < 1e-12, "{ends:?} for {kept:?}");
    }
    // The format before, and a law that nobody has.
    let text = std::fs::read_to_string(path).expect("the fixture");
    let former = text
        .replacen("\"format\": 5", "\"format\": 2", 1)
        .replacen("\"format\": 4", "\"format\": 2", 1)
        .replacen("\"format\": 3", "\"format\": 2", 1);
    let error = fit::parse_fit("old.json", &former).expect_err("the former format");
    assert_eq!(error.message(), "old.json: a fit of format 2; this version reads formats 3 to 5");
    assert_eq!(error.remedy(), Some("fit again with this version"));
    let place = tempfile::tempdir().expect("a folder");
    let other = place.path().join("other.json");
    std::fs::write(&other, text.replacen("\"noise-relaxation\"", "\"nobodys\"", 1)).expect("written");
    let error = desk.read_fit(&other).expect_err("an unknown law");
    assert!(error.message().contains("law 'nobodys', which this version does not know"), "{error}");
}
