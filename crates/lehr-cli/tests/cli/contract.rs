//! `docs/formats/json.md` and `docs/formats/fit.md` say what every key of every document is, and nothing that is not there.

use crate::support::{RUNS, at, lehr, root};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Fields of a section by path; a field that is an object or a list of them names the section of its fields.
type Sections = BTreeMap<String, BTreeMap<String, Field>>;

struct Field {
    /// Section that describes what lies below, if any.
    below: Option<String>,
    /// Whether it may be missing.
    optional: bool,
}

/// Reads the tables of a document: under a heading with `NAME` in backticks, rows "| `path` | type | meaning |", where a
/// type may say "→ NAME".
fn sections(names: &[&str]) -> Sections {
    let mut sections = Sections::new();
    for name in names {
        let text = std::fs::read_to_string(root().join("docs/formats").join(name)).unwrap();
        let mut section = String::new();
        for line in text.lines() {
            if line.starts_with('#') {
                section = line.split('`').nth(1).unwrap_or_default().to_owned();
            } else if let Some(rest) = line.strip_prefix("| `") {
                let (path, rest) = rest.split_once('`').unwrap();
                let kind = rest.split('|').nth(1).unwrap_or_default();
                let meaning = rest.split('|').nth(2).unwrap_or_default();
                assert!(!meaning.trim().is_empty(), "{name}: {section}: '{path}' has no meaning");
                let below = kind.split("→ ").nth(1).map(|to| to.trim().trim_matches('`').to_owned());
                let field = Field { below, optional: kind.contains("optional") };
                let known = sections.entry(section.clone()).or_default().insert(path.to_owned(), field);
                assert!(known.is_none(), "{name}: {section}: '{path}' is described twice");
            }
        }
    }
    sections
}

/// Walks a value: every key must be a field of the section; those seen are collected.
fn walk(
    value: &Value,
    section: &str,
    path: &str,
    sections: &Sections,
    seen: &mut BTreeSet<(String, String)>,
    missing: &mut BTreeSet<String>,
) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                let known = sections.get(section).unwrap_or_else(|| panic!("no section `{section}`"));
                // A map from names to values is described once, as `field.*`.
                let any = path.rfind('.').map(|end| format!("{}.*", &path[..end]));
                let found = [Some(path.clone()), any].into_iter().flatten().find(|p| known.contains_key(p));
                let Some(name) = found else {
                    missing.insert(format!("{section}: {path}"));
                    continue;
                };
                seen.insert((section.to_owned(), name.clone()));
                match &known[&name].below {
                    Some(to) => walk(value, to, "", sections, seen, missing),
                    None => walk(value, section, &name, sections, seen, missing),
                }
            }
        }
        Value::Array(values) => {
            for value in values {
                // Fields of the things in a list: `list[].field`.
                let inside = if path.is_empty() { String::new() } else { format!("{path}[]") };
                walk(value, section, &inside, sections, seen, missing);
            }
        }
        _ => {}
    }
}

/// Command lines whose documents together show every field.
fn documents() -> Vec<Value> {
    let (small, job) = (at("small.json"), at("job.csv"));
    let (saved, saved_of_runs) = (at("saved.jsonl"), at("saved-of-runs.jsonl"));
    let line = r#"{"time":"2026-11-26T10:00:00Z","job":"sim-peak2e-3-T20000-constant","update":9000,"steps":20000,"loss":3.286,"lower":3.28,"upper":3.29,"level":0.9,"law":"noise-relaxation"}"#;
    std::fs::write(&saved_of_runs, line).unwrap();
    let (fit, blind, log, store) = (at("fit.json"), at("blind.json"), at("rates.csv"), at("store"));
    let schedule = ["schedule", "--wsd", "peak=3e-4,total=2k,warmup=100,ratio=0.2,final=3e-5"];
    std::fs::write(&log, lehr(&[&schedule[..], &["--rates"]].concat()).expect(0).out).unwrap();
    let target = ["--peak-lr", "2e-3", "--steps", "20k"];
    let fast = ["--starts", "2", "--accept-caveats"];
    let (plan, sweep, curves) = (at("plan.toml"), at("sweep"), at("curves"));
    std::fs::write(&plan, crate::sweep::plan()).unwrap();
    let (text, trained) = (at("text.txt"), at("trained"));
    std::fs::write(&text, crate::sweep::text()).unwrap();
    std::fs::write(at("tiny.toml"), crate::train::TINY).unwrap();
    let (tiny_toml, quick) = (at("tiny.toml"), at("quickstart"));
    let tiny = ["train", &tiny_toml];
    let (outside, sweep_outside) = (at("outside.toml"), at("outside"));
    let (curves_outside, adopted) = (at("curves-outside"), at("adopted"));
    std::fs::write(&outside, crate::outside::own_engine()).unwrap();
    let (report_page, next_plan, few) = (at("page.html"), at("next.toml"), at("few-plan.json"));
    let (report, batches, all_curves) = (at("report"), at("batches"), at("all-curves"));
    let lines: Vec<Vec<&str>> = vec![
        [&tiny[..], &["--dry-run"]].concat(),
        [&tiny[..], &["-o", &trained]].concat(),
        [&tiny[..], &["-o", &trained, "--constant", "peak=900,total=9", "--run", "hot", "--accept-caveats"]]
            .concat(),
        [
            &tiny[..],
            &["--data", &text, "--preset", "moe-8x0.03m", "--constant", "peak=1e-3,total=2", "-o", &trained],
        ]
        .concat(),
        vec!["sweep", &plan, "--dry-run"],
        vec!["sweep", &plan, "--dir", &sweep],
        vec!["sweep", "status", &sweep],
        vec!["sweep", "export", &sweep, "-o", &curves, "--run", "small*"],
        vec!["sweep", &outside, "--dir", &sweep_outside],
        vec!["sweep", "export", &sweep_outside, "-o", &curves_outside],
        vec!["sweep", "adopt", &outside, &curves_outside, "--dir", &adopted],
        vec!["quickstart", "--dir", &quick],
        vec!["sweep", "export", &sweep, "-o", &all_curves],
        vec!["reproduce", "ratios", "--store", &all_curves, "--dir", &report],
        vec!["reproduce", "laws", "--store", &curves, "--dir", &report],
        vec!["reproduce", "shapes", "--store", &curves, "--dir", &report],
        vec!["reproduce", "batches", "--size", "tiny", "--dir", &batches],
        vec!["inspect", RUNS],
        vec!["inspect", &log, "--map", "loss=lr"],
        vec!["import", RUNS, "-o", &store],
        [&["fit", RUNS, "--profile", "--bootstrap", "4"][..], &fast].concat(),
        [&["fit", RUNS, "--fix", "alpha=0.4", "--bound", "a=0.1..0.5", "--prior", "q=0.5±0.1"][..], &fast]
            .concat(),
        [&["fit", RUNS, "--huber", "0", "--law", "asmt", "--run", "*constant"][..], &fast].concat(),
        [&["fit", RUNS, "--law", "chinchilla-steps"][..], &fast].concat(),
        [&["fit", RUNS, "fixtures/logs/bad-diverged.csv"][..], &fast].concat(),
        [&["validate", RUNS, "--train", "*T10000*", "--coverage"][..], &fast].concat(),
        [&["compare", RUNS, "--train", "*T10000*", "--laws", "nr,chinchilla"][..], &fast].concat(),
        [&["forecast", &fit, "--params", "1B", "--accept-caveats"][..], &target].concat(),
        [&["forecast", &blind, "--accept-caveats"][..], &target].concat(),
        [&["recommend", &fit, "--optimise-shape", "--free-schedule", "--measured", RUNS][..], &target]
            .concat(),
        [&["recommend", &fit, "--max-anneal-steps", "1k"][..], &target].concat(),
        vec![
            "recommend",
            &small,
            "--running",
            &job,
            "--steps",
            "20k",
            "--anneal-from",
            "12k",
            "--export",
            "hf",
        ],
        vec!["watch", &job, "--fit", &small, "--steps", "20k", "--once", "--save", &saved],
        vec!["watch", RUNS, "--run", "*T20000*", "--fit", &small, "--once", "--accept-caveats"],
        vec!["watch", RUNS, "--run", "*2e-3-T20000-constant", "--score", &saved_of_runs],
        vec!["recommend", &small, "--steps", "20k", "--peak-lr", "1e-3,2e-3", "--shape", "linear,1-sqrt"],
        vec!["fit", RUNS, "--run", "*2e-3-T10000-constant,*2e-3-T10000-r0.1", "--starts", "2", "-o", &few],
        [
            &["plan", &few, "--draws", "2", "--budget", "1e18flops", "-o", &next_plan][..],
            &["--model", "proxy", "--batch", "8"],
            &target,
        ]
        .concat(),
        vec![
            "recommend",
            &small,
            "--optimise",
            "peak-lr,ratio",
            "--peak-lr-range",
            "1e-3..2e-3",
            "--steps",
            "20k",
        ],
        vec!["forecast", &small, "--running", &job, "--anneal-steps", "5k"],
        [&["transfer", RUNS, "--fit", &fit, "--arch", "moe", "--across-architectures"][..], &target].concat(),
        [&["report", &fit, RUNS, "-o", &report_page, "--accept-caveats"][..], &fast[..2], &target].concat(),
        schedule.to_vec(),
        vec!["schedule", "--piecewise", "100@0..1e-3~linear,900@1e-3"],
        vec!["schedule", "--from-log", &log],
        [&schedule[..], &["--export", "hf"]].concat(),
        vec!["laws"],
        vec!["laws", "asmt"],
    ];
    lines.iter().map(|line| lehr(&[&line[..], &["--json"]].concat()).expect(0).json()).collect()
}

#[test]
fn every_key_of_every_document_is_described() {
    let sections = sections(&["json.md", "fit.md"]);
    let (mut seen, mut missing) = (BTreeSet::new(), BTreeSet::new());
    let mut schemas = BTreeSet::new();
    for document in documents() {
        let schema =
            document["schema"].as_str().unwrap_or_else(|| panic!("no schema: {document}")).to_owned();
        walk(&document, &schema, "", &sections, &mut seen, &mut missing);
        schemas.insert(schema);
    }
    assert!(missing.is_empty(), "not in docs/formats: {missing:#?}");
    // What is described must be there too, in the documents of the schemas that were seen.
    let mut wanted: BTreeSet<String> = schemas;
    loop {
        let more: BTreeSet<String> = wanted
            .iter()
            .filter_map(|name| sections.get(name))
            .flat_map(|fields| fields.values().filter_map(|field| field.below.clone()))
            .collect();
        if more.is_subset(&wanted) {
            break;
        }
        wanted.extend(more);
    }
    let absent: Vec<String> = wanted
        .iter()
        .flat_map(|section| {
            let seen = &seen;
            sections.get(section).into_iter().flatten().filter_map(move |(path, field)| {
                let known = field.optional || seen.contains(&(section.clone(), path.clone()));
                (!known).then(|| format!("{section}: {path}"))
            })
        })
        .collect();
    assert!(absent.is_empty(), "described in docs/formats, but in no document: {absent:#?}");
}

#[test]
fn the_fit_file_is_the_document_of_fit_without_its_schema() {
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(at("fit.json")).unwrap()).unwrap();
    // How the file was made is no part of the answer.
    let made = file.as_object_mut().unwrap().shift_remove("made").unwrap();
    let mut document = lehr(&["fit", RUNS, "--starts", "4", "--json"]).expect(0).json();
    document.as_object_mut().unwrap().shift_remove("schema");
    assert_eq!(file, document);
    assert_eq!(file["format"], 3);
    let inputs = made["inputs"].as_array().unwrap();
    let curves = inputs.iter().find(|input| input["path"] == "fixtures/runs/curves.csv").unwrap();
    assert_eq!(curves["bytes"], std::fs::metadata(root().join("fixtures/runs/curves.csv")).unwrap().len());
    assert_eq!(curves["sha256"].as_str().unwrap().len(), 64);
    assert!(made["command"].as_str().unwrap().starts_with("lehr fit fixtures/runs --starts 4 -o "), "{made}");
}
