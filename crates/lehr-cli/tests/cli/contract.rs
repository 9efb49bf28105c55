//! What the command prints is what the schemas of its documents say, and what they say is printed.

use crate::json_schema::faults;
use crate::support::{RUNS, at, lehr, root};
use lehr_app::documents::DocumentKind;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Documents that no command line below prints, and why.
const NOT_PRINTED: [(&str, &str); 1] =
    [("lehr.explore/2", "the server answers it; `serve::answers_are_documents_of_their_schemas` reads it")];

/// Types that no document below holds, fields that none has, and what it would take.
const NOT_SEEN: [(&str, &str); 11] = [
    ("ArchitectureGap", "cells of both architectures with both optima inside what was measured"),
    ("Budget.tokens", "a second joint search, at fixed tokens"),
    ("Carried", "cells of several horizons or sizes"),
    ("Limit", "an optimum at the edge of what was measured"),
    ("LossKind.ema", "a log of moving averages"),
    ("LossKind.interval_mean", "a log of means"),
    ("NoImprovement", "a job whose loss rises slowly"),
    ("Parametrisation.base_width", "a model of the other parametrisation"),
    ("Parametrisation.mup", "a model of the other parametrisation"),
    ("Schedule.rates", "a schedule that no segments describe"),
    ("Validated", "an experiment that trains runs of its own"),
];

/// A schema under which a field that is not described is an error.
fn strict(schema: &Value) -> Value {
    /// `alone`: the object is described in this place, not in pieces by what surrounds it.
    fn close(schema: &mut Value, alone: bool) {
        let Value::Object(fields) = schema else { return };
        let whole = fields.contains_key("properties");
        for (key, value) in fields.iter_mut() {
            match (key.as_str(), value) {
                ("properties" | "$defs", Value::Object(values)) => {
                    values.values_mut().for_each(|value| close(value, true));
                }
                ("oneOf" | "anyOf" | "allOf", Value::Array(forms)) => {
                    forms.iter_mut().for_each(|form| close(form, alone && !whole));
                }
                ("prefixItems", Value::Array(items)) => items.iter_mut().for_each(|item| close(item, true)),
                ("items" | "additionalProperties", value) => close(value, true),
                _ => {}
            }
        }
        if whole && alone && !fields.contains_key("additionalProperties") {
            fields.insert("unevaluatedProperties".to_owned(), json!(false));
        }
    }
    let mut schema = schema.clone();
    close(&mut schema, true);
    schema
}

/// What of a document is not as its schema says, or not described there.
pub fn against_its_schema(document: &Value) -> Vec<String> {
    let kinds = lehr_cli::documents::all();
    let Some(kind) = kinds.iter().find(|kind| document["schema"] == kind.name) else {
        return vec![format!("{} is no document of documents::all", document["schema"])];
    };
    faults(document, &strict(&kind.schema()))
        .into_iter()
        .map(|fault| format!("{}: {fault}", kind.name))
        .collect()
}

/// Collects `type.field` of every field of the value that the schema describes, and the types that occur. `owner` is the type
/// or document in which the value stands.
fn see(value: &Value, schema: &Value, types: &Value, owner: &str, seen: &mut BTreeSet<String>) {
    if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
        return see(value, &types[name], types, name, seen);
    }
    for form in ["oneOf", "anyOf"].iter().filter_map(|key| schema[*key].as_array()).flatten() {
        if fits(value, form, types) {
            see(value, form, types, owner, seen);
        }
    }
    seen.insert(owner.to_owned());
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if let Some(field) = schema["properties"].get(name) {
                    seen.insert(format!("{owner}.{name}"));
                    see(value, field, types, owner, seen);
                } else if let Some(field) = schema.get("additionalProperties") {
                    see(value, field, types, owner, seen);
                }
            }
        }
        Value::Array(values) => {
            for (i, value) in values.iter().enumerate() {
                if let Some(item) = schema["prefixItems"].get(i).or_else(|| schema.get("items")) {
                    see(value, item, types, owner, seen);
                }
            }
        }
        _ => {}
    }
}

/// Whether a value is of this form of several.
fn fits(value: &Value, form: &Value, types: &Value) -> bool {
    let mut whole = form.clone();
    whole["$defs"] = types.clone();
    faults(value, &whole).is_empty()
}

/// `type.field` of every field that must be there, and the types, of a schema.
fn promised(schema: &Value, owner: &str, types: &Value, out: &mut BTreeSet<String>) {
    match schema {
        Value::Object(fields) => {
            if let Some(name) = schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/"))
                && out.insert(name.to_owned())
            {
                promised(&types[name], name, types, out);
            }
            for name in schema["required"].as_array().into_iter().flatten() {
                out.insert(format!("{owner}.{}", name.as_str().unwrap()));
            }
            for (_, part) in fields.iter().filter(|(key, _)| *key != "$defs") {
                promised(part, owner, types, out);
            }
        }
        Value::Array(parts) => parts.iter().for_each(|part| promised(part, owner, types, out)),
        _ => {}
    }
}

/// Documents of command lines that together show every field.
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
        vec!["inspect", &trained, "--accept-caveats"],
        vec!["inspect", &all_curves, "--accept-caveats"],
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
        vec!["forecast", &small, "--steps", "20k", "--peak-lr", "1e-3,2e-3", "--ratio", "0.2,0.5"],
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
    let mut documents: Vec<Value> =
        lines.iter().map(|line| lehr(&[&line[..], &["--json"]].concat()).expect(0).json()).collect();
    documents.push(lehr(&["inspect", "no/such/folder", "--json"]).expect(1).json());
    documents.push(serde_json::from_str(&std::fs::read_to_string(at("fit.json")).unwrap()).unwrap());
    documents
}

#[test]
fn every_document_is_printed_as_its_schema_says() {
    let kinds: BTreeMap<&str, DocumentKind> =
        lehr_cli::documents::all().into_iter().map(|kind| (kind.name, kind)).collect();
    let schemas: BTreeMap<&str, Value> = kinds.iter().map(|(name, kind)| (*name, kind.schema())).collect();
    let (mut wrong, mut seen) = (BTreeSet::new(), BTreeSet::new());
    let mut printed: BTreeSet<&str> = BTreeSet::new();
    for document in documents() {
        let name = document["schema"].as_str().unwrap_or_else(|| panic!("no schema: {document}"));
        let (name, schema) =
            schemas.get_key_value(name).unwrap_or_else(|| panic!("{name} is no document of documents::all"));
        printed.insert(name);
        wrong.extend(against_its_schema(&document));
        see(&document, schema, &schema["$defs"], name, &mut seen);
    }
    assert!(wrong.is_empty(), "printed against their schemas: {wrong:#?}");
    let not_printed: BTreeSet<&str> = NOT_PRINTED.iter().map(|(name, _)| *name).collect();
    let silent: BTreeSet<&str> = kinds.keys().copied().filter(|name| !printed.contains(name)).collect();
    assert_eq!(
        silent, not_printed,
        "documents that no command line of this test prints, and those that NOT_PRINTED lists"
    );

    // What a schema promises must be there too.
    let mut wanted = BTreeSet::new();
    for (name, schema) in schemas.iter().filter(|(name, _)| printed.contains(*name)) {
        promised(schema, name, &schema["$defs"], &mut wanted);
    }
    let absent: BTreeSet<&str> = wanted
        .difference(&seen)
        .map(|path| match path.rsplit_once('.') {
            Some((owner, _)) if !seen.contains(owner) => owner,
            _ => path,
        })
        .collect();
    let not_seen: BTreeSet<&str> = NOT_SEEN.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        absent, not_seen,
        "types and fields that are described but never printed, and those that NOT_SEEN lists"
    );
}

#[test]
fn what_a_schema_does_not_describe_is_found() {
    let good =
        json!({ "schema": "lehr.sweep-export/1", "store": "s", "runs": [], "points": 1, "left_out": [] });
    assert_eq!(against_its_schema(&good), Vec::<String>::new());
    for (pointer, bad) in [
        ("/more", json!(1)),
        ("/points", json!(-1)),
        ("/runs", json!([1])),
        ("/left_out", json!([{ "id": "a" }])),
        ("/left_out", json!([{ "id": "a", "why": "b", "more": 1 }])),
        ("/schema", json!("lehr.sweep-export/0")),
    ] {
        let mut document = good.clone();
        document[&pointer[1..]] = bad;
        assert!(!against_its_schema(&document).is_empty(), "{document}");
    }
}

#[test]
fn every_type_that_is_a_document_is_in_the_registry() {
    let mut found = BTreeSet::new();
    let mut folders = vec![root().join("crates")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let types = text.lines().filter_map(|line| line.strip_prefix("impl Document for "));
                found.extend(types.map(|rest| rest.split([' ', '{', '<']).next().unwrap().to_owned()));
            }
        }
    }
    let known: BTreeSet<String> =
        lehr_cli::documents::all().iter().map(|kind| kind.rust_type().to_owned()).collect();
    assert_eq!(found, known, "`impl Document for` in crates, and lehr_cli::documents::all");
}

#[test]
fn the_fit_file_is_the_document_of_fit_and_how_it_was_made() {
    let mut file: Value = serde_json::from_str(&std::fs::read_to_string(at("fit.json")).unwrap()).unwrap();
    // How the file was made is no part of the answer.
    let made = file.as_object_mut().unwrap().shift_remove("made").unwrap();
    let document = lehr(&["fit", RUNS, "--starts", "4", "--json"]).expect(0).json();
    assert_eq!(file, document);
    assert_eq!(file["format"], 5);
    let inputs = made["inputs"].as_array().unwrap();
    let curves = inputs.iter().find(|input| input["path"] == "fixtures/runs/curves.csv").unwrap();
    assert_eq!(curves["bytes"], std::fs::metadata(root().join("fixtures/runs/curves.csv")).unwrap().len());
    assert_eq!(curves["sha256"].as_str().unwrap().len(), 64);
    assert!(made["command"].as_str().unwrap().starts_with("lehr fit fixtures/runs --starts 4 -o "), "{made}");
}
