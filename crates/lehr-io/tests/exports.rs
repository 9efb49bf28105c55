//! What the exporters promise, against rates recorded from the trainers' own scheduler code.

use lehr::{Schedule, Steps};
use lehr_io::export::{
    Contents, EXPORTERS, Evidence, Export, ExportError, ExportOptions, export, find, guide_table, names,
};
use serde_json::Value;
use std::path::PathBuf;

fn fixtures() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/reference/exports"))
}

fn read(text: &str) -> Schedule {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn made(target: &str, schedule: &str) -> Export {
    export(target, &read(schedule), &ExportOptions::default())
        .unwrap_or_else(|error| panic!("{target}: {error}"))
}

fn text(export: &Export) -> &str {
    match &export.contents {
        Contents::Text(text) => text,
        Contents::Bytes(_) => panic!("{} is binary", export.target),
    }
}

/// Trainers on jax compute in single precision; the others add a few roundings in double precision.
fn tolerance(target: &str) -> f64 {
    if matches!(target, "levanter" | "maxtext" | "optax") { 3e-7 } else { 1e-14 }
}

#[test]
fn every_executed_target_keeps_its_promise_at_every_update() {
    let mut checked = 0;
    for target in names() {
        let path = fixtures().join(format!("{target}.json"));
        let Ok(file) = std::fs::read_to_string(&path) else {
            // Neither lingua nor nanochat is in a registry; npy is read, and Lightning's snippet compared, in their own tests.
            let elsewhere = match find(target).unwrap().evidence {
                Evidence::Documentation => true,
                Evidence::ReadBack => target == "npy",
                _ => target == "lightning",
            };
            assert!(elsewhere, "{} is missing", path.display());
            continue;
        };
        let record: Value = serde_json::from_str(&file).unwrap();
        for case in record["cases"].as_array().unwrap() {
            let spec = case["schedule"].as_str().unwrap();
            let options = ExportOptions::default();
            if case["refused"] == true {
                let refused = export(target, &read(spec), &options);
                assert!(
                    matches!(refused, Err(ExportError::Inexpressible { .. })),
                    "{target} {spec}: {refused:?}"
                );
                continue;
            }
            let export = made(target, spec);
            assert!(export.executed, "{target} {spec}");
            assert_eq!(
                text(&export),
                case["text"].as_str().unwrap(),
                "{target} {spec}: record the rates again"
            );
            let executed: Vec<f64> =
                case["rates"].as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
            assert_eq!(executed.len(), export.promised_rates.len());
            let peak = executed.iter().copied().fold(0.0, f64::max);
            for (i, (rate, promise)) in executed.iter().zip(&export.promised_rates).enumerate() {
                assert!(
                    (rate - promise).abs() <= tolerance(target) * peak,
                    "{target} {spec}: update {} uses {rate}, promised {promise}",
                    i + 1
                );
            }
            checked += 1;
        }
    }
    assert!(checked >= 130, "only {checked} recordings were compared");
}

#[test]
fn the_deviation_is_that_of_the_promised_rates() {
    let schedule = read("wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2");
    let wanted = schedule.rates();
    for target in names() {
        let export = made(target, &schedule.to_string());
        let differences: Vec<f64> =
            export.promised_rates.iter().zip(&wanted).map(|(a, b)| (a - b).abs()).collect();
        let max = differences.iter().copied().fold(0.0, f64::max);
        assert_eq!(export.deviation.max, max, "{target}");
        assert!((export.deviation.sum - differences.iter().sum::<f64>()).abs() <= 1e-15, "{target}");
        // A line down to 0 is in every trainer's reach but lingua's, up to one update of warm-up and one of annealing.
        let bound = if target == "lingua" { 0.25 } else { 0.0101 };
        assert!(export.deviation.max_of_peak <= bound, "{target}: {}", export.deviation.max_of_peak);
    }
}

#[test]
fn exact_targets_are_exact_for_the_shapes_they_know() {
    for (target, shapes) in [
        ("torch", ["linear", "cosine", "1-sqrt", "exponential"].as_slice()),
        ("megatron", ["linear", "cosine", "1-sqrt", "exponential"].as_slice()),
        ("megatron-bridge", ["linear", "cosine", "1-sqrt", "exponential"].as_slice()),
        ("torchtitan", ["linear", "cosine", "1-sqrt"].as_slice()),
        ("olmo-core", ["linear", "cosine"].as_slice()),
        ("nemo", ["linear", "1-sqrt"].as_slice()),
    ] {
        for shape in shapes {
            let export = made(
                target,
                &format!("wsd:peak=3e-4,total=2400,warmup=216,anneal=400,shape={shape},final=0"),
            );
            assert!(export.deviation.max_of_peak < 1e-9, "{target} {shape}: {:?}", export.deviation);
        }
    }
}

#[test]
fn a_shape_that_the_trainer_lacks_is_said_and_replaced_by_the_nearest() {
    let export = made("hf", "wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2,shape=exponential,final=0");
    assert!(
        export.notes.iter().any(|note| note.contains("transformers has no exponential annealing")),
        "{:?}",
        export.notes
    );
    assert!(export.deviation.max_of_peak < 0.1, "{:?}", export.deviation);
    let refused = refusal("megatron", "two-stage:peak=3e-4,drop=1e-4,at=50,total=100");
    assert!(refused.contains("megatron cannot express a two-stage schedule"), "{refused}");
    assert!(refusal("tensorflow", "constant:peak=1,total=9").contains("expected one of torch, hf, megatron"));
}

fn refusal(target: &str, spec: &str) -> String {
    export(target, &read(spec), &ExportOptions::default()).expect_err(target).to_string()
}

#[test]
fn resuming_names_the_flag_and_ignores_what_is_done() {
    let schedule = read("wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2");
    let options = ExportOptions { from_step: Some(Steps(800)) };
    let flags = export("megatron", &schedule, &options).unwrap();
    assert!(text(&flags).contains("--override-opt-param-scheduler"));
    // The warm-up, where transformers differs, is over.
    let hf = export("hf", &schedule, &options).unwrap();
    assert!(hf.deviation.max_of_peak < 1e-12, "{:?}", hf.deviation);
    let late = export("hf", &schedule, &ExportOptions { from_step: Some(Steps(801)) }).unwrap_err();
    assert!(late.to_string().contains("annealing starts after update 800"), "{late}");
    let beyond = export("hf", &schedule, &ExportOptions { from_step: Some(Steps(1000)) }).unwrap_err();
    assert!(beyond.to_string().contains("ends with update 1000"), "{beyond}");
}

#[test]
fn targets_that_cannot_be_executed_say_so() {
    for target in ["lingua", "nanochat"] {
        let export = made(target, "wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2,final=3e-5");
        assert!(!export.executed);
        assert!(export.notes.iter().any(|note| note.starts_with("from documentation, not executed")));
    }
}

#[test]
fn the_numpy_file_has_a_header_that_numpy_reads_and_the_rates() {
    let export = made("npy", "wsd:peak=3e-4,total=100,warmup=10,ratio=0.2");
    let Contents::Bytes(bytes) = &export.contents else { panic!("no bytes") };
    assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
    let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
    assert_eq!((10 + header) % 64, 0);
    let dictionary = std::str::from_utf8(&bytes[10..10 + header]).unwrap();
    assert!(
        dictionary.starts_with("{'descr': '<f8', 'fortran_order': False, 'shape': (100,), }")
            && dictionary.ends_with('\n')
    );
    let rates: Vec<f64> =
        bytes[10 + header..].chunks(8).map(|eight| f64::from_le_bytes(eight.try_into().unwrap())).collect();
    assert_eq!(rates, export.promised_rates);
}

#[test]
fn odd_schedules_are_written_or_refused_without_a_panic() {
    for spec in [
        "wsd:peak=1e-3,total=1,ratio=0",
        "wsd:peak=1e-3,total=1,ratio=1",
        "wsd:peak=1e-3,total=1,warmup=1,ratio=0",
        "wsd:peak=1e-3,total=2,warmup=1,ratio=0.5",
        "wsd:peak=1e-3,total=3,warmup=1,ratio=0.33,final=1e-3",
        "wsd:peak=1e-3,total=50,warmup=50,ratio=0",
        "wsd:peak=1e-3,total=50,warmup=0,ratio=1,shape=1-sqrt",
        "linear:peak=1e-3,total=50,warmup=49",
        "cosine:peak=1e-3,total=50,warmup=1,start=1e-3",
        "piecewise:1@0,20@0..1e-3,30@1e-3,10@1e-3..0",
        "piecewise:10@1e-3,10@1e-3..0,10@0",
        "piecewise:5@0..0",
        "sampled:0x3",
    ] {
        for target in names() {
            if let Ok(export) = export(target, &read(spec), &ExportOptions::default()) {
                assert_eq!(export.promised_rates.len() as u64, read(spec).total().0, "{target} {spec}");
                assert!(export.promised_rates.iter().all(|rate| rate.is_finite()), "{target} {spec}");
            }
        }
    }
}

#[test]
fn every_target_has_one_file_and_one_entry() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/export");
    let mut files: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| std::fs::read_to_string(path).unwrap().contains("const EXPORTER: Exporter"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().replace('_', "-"))
        .collect();
    files.sort();
    let mut entries: Vec<&str> = names().collect();
    entries.sort_unstable();
    assert_eq!(
        entries, files,
        "a file without an entry in EXPORTERS, or an entry under another name than its file"
    );
}

#[test]
fn a_name_or_alias_leads_to_one_target() {
    let mut all: Vec<&str> = EXPORTERS
        .iter()
        .flat_map(|exporter| std::iter::once(exporter.name).chain(exporter.aliases.iter().copied()))
        .collect();
    let count = all.len();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), count, "{all:?}");
    let schedule = "wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2";
    for exporter in EXPORTERS {
        assert!(
            !exporter.title.is_empty() && !exporter.shapes.is_empty() && !exporter.resume.is_empty(),
            "{exporter:?}"
        );
        for alias in exporter.aliases {
            assert_eq!(made(alias, schedule), made(exporter.name, schedule), "{alias}");
        }
    }
    assert_eq!(made("pytorch", schedule).target, "torch");
    assert!(find("Torch").is_none() && find("").is_none());
}

#[test]
fn every_target_writes_what_no_other_writes() {
    let schedule = "wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2";
    let exports: Vec<Export> = names().map(|target| made(target, schedule)).collect();
    for (i, a) in exports.iter().enumerate() {
        for b in &exports[..i] {
            assert_ne!(a.contents, b.contents, "{} and {}", a.target, b.target);
        }
    }
}

#[test]
fn the_lightning_module_is_the_snippet_that_was_executed_stepped_once_an_update() {
    let schedule = "wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2";
    let (torch, lightning) = (made("torch", schedule), made("lightning", schedule));
    let added = text(&lightning).strip_prefix(text(&torch)).expect("the snippet comes first");
    assert!(added.contains("\"interval\": \"step\"") && added.contains("max_steps=1000"), "{added}");
    assert!(added.lines().all(|line| line.is_empty() || line.starts_with('#')), "{added}");
    assert_eq!(lightning.promised_rates, torch.promised_rates);
}

/// The guide's table stands between these lines.
const TABLE: (&str, &str) =
    ("<!-- begin: table of targets, generated -->\n", "<!-- end: table of targets -->");

#[test]
fn the_guide_lists_every_target_as_it_is() {
    let path = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/guides/exporters.md"));
    let guide = std::fs::read_to_string(&path).unwrap();
    let begin = guide.find(TABLE.0).expect("the table's beginning") + TABLE.0.len();
    let end = guide.find(TABLE.1).expect("the table's end");
    let table = guide_table(
        &read("wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2"),
        &read("wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2,shape=1-sqrt,final=3e-5"),
    )
    .unwrap();
    if std::env::var("INSTA_UPDATE").as_deref() == Ok("always") {
        std::fs::write(&path, format!("{}{table}{}", &guide[..begin], &guide[end..])).unwrap();
        return;
    }
    assert_eq!(
        &guide[begin..end],
        table,
        "docs/guides/exporters.md is not what the registry says; INSTA_UPDATE=always cargo test -p lehr-io --test exports"
    );
}
