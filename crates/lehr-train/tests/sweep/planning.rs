//! What a plan becomes, and how a wrong one is refused.

use crate::support::{PLAN, graph};
use lehr_train::sweep::estimate::JobCounts;
use lehr_train::sweep::plan::{PlanFile, json_schema};
use lehr_train::sweep::{Graph, Kind, Speeds, estimate};

fn refusal(from: &str, to: &str) -> String {
    let plan = PLAN.replacen(from, to, 1);
    assert_ne!(plan, PLAN, "nothing was replaced: {from}");
    let error = PlanFile::parse("plan.toml", &plan).and_then(|plan| Graph::new(&plan, 32));
    error.map(|_| String::new()).unwrap_err().to_string()
}

#[test]
fn all_annealings_of_a_cell_branch_from_one_trunk() {
    let graph = graph(PLAN);
    let names: Vec<&str> = graph.jobs.iter().map(|job| job.id.as_str()).collect();
    let kinds: Vec<&Kind> = graph.jobs.iter().map(|job| &job.kind).collect();
    let dense = "dense-lr1e-2-b2-s1-w5";
    assert_eq!(
        names[..8],
        [
            format!("{dense}-constant"),
            format!("{dense}-T60-r0.35-linear"),
            format!("{dense}-T60-r0.35-1-sqrt"),
            format!("{dense}-T60-r0.35-power2"),
            format!("{dense}-T60-r0.1-linear"),
            format!("{dense}-T100-r0.35-linear"),
            format!("{dense}-T100-r0.1-linear"),
            format!("{dense}-T60-cosine"),
        ]
    );
    assert_eq!(*kinds[0], Kind::Trunk { snapshots: vec![39, 54, 65, 90], requested: true });
    assert_eq!(*kinds[1], Kind::Branch { trunk: format!("{dense}-constant"), at: 39 });
    assert_eq!(*kinds[7], Kind::Alone);
    assert_eq!(names.len(), 8 + 5);
}

#[test]
fn sharing_saves_what_the_trunk_does_once() {
    let graph = graph(PLAN);
    let mut speeds = Speeds::default();
    for job in &graph.jobs {
        speeds.spend(job, 36, 3600.0);
    }
    let estimate = estimate(&graph, &speeds, 1);
    assert_eq!(estimate.jobs, JobCounts { trunks: 2, branches: 10, alone: 1 });
    // Dense: trunk 90, annealings 21·3 + 6 + 35 + 10, cosine 60; experts: trunk 90, annealings 21 + 6 + 35 + 10.
    assert_eq!(estimate.shared.updates, 90 + 114 + 60 + 90 + 72);
    // Each from the start: dense 4·60 + 2·100, cosine 60, the constant run that was asked for; experts 2·60 + 2·100.
    assert_eq!(estimate.unshared.updates, 440 + 60 + 90 + 320);
    assert!(estimate.saving > 2.0 && estimate.saving < 2.3, "{}", estimate.saving);
    // 100 seconds an update, one job at a time.
    let hours = estimate.shared.hours.unwrap();
    assert!((hours - 426.0 * 100.0 / 3600.0).abs() < 1e-9, "{hours}");
    // One trunk at a time: its four snapshots and its own.
    let sparse = graph.jobs.last().unwrap().config.model.parameters().total;
    assert_eq!(estimate.peak_snapshot_bytes, 12 * sparse * 5);
}

#[test]
fn two_jobs_at_a_time_take_half_as_long_where_nothing_waits() {
    let graph = graph(PLAN);
    let mut speeds = Speeds::default();
    for job in &graph.jobs {
        speeds.spend(job, 1, 1.0);
    }
    let one = estimate(&graph, &speeds, 1).shared.hours.unwrap();
    let two = estimate(&graph, &speeds, 2).shared.hours.unwrap();
    assert!(two >= one / 2.0 && two < one * 0.65, "{one} {two}");
}

#[test]
fn an_error_names_file_line_key_value_and_range() {
    let cases = [
        ("ratio = [0.1, 0.35]", "ratio = [0.1, 1.35]"),
        ("peak_lr = [1e-2]", "peak_lr = [-1e-2]"),
        ("total = [60, 100]", "total = [60, 5]"),
        ("total = [60, 100]", "total = [60, 1000000000]"),
        ("batch = [2]", "batch = [0]"),
        ("batch = [2]", "batch = []"),
        ("shape = ['1-sqrt', 'power:2']", "shape = ['1-sqrt', 'wavy']"),
        ("family = ['wsd', 'cosine', 'constant']", "family = ['wsd', 'sine']"),
        ("models = ['dense', 'sparse']", "models = ['dense', 'spars']"),
        ("width = 8", "width = 9"),
        ("heads = 2", "heads = 2\nheds = 3"),
        ("top_k = 2", "top_k = 9"),
        ("warmup = 5", "warmup = 5\nfinal_share = 1.5"),
        ("warmup = 5", "warmup = '5'"),
        ("[models.dense]", "[optimiser]\nbeta2 = 1.0\n[models.dense]"),
        ("total = [60]\nratio = [0.35]", "total = [60]\nratio = [0.001]"),
        ("total = [60]\nratio = [0.35]", "total = [60]\nratio = [0.95]"),
        ("ratio = [0.1, 0.35]\n", ""),
        ("[[grid]]", "[[grid]"),
    ];
    let mut text = String::new();
    for (from, to) in cases {
        let said = refusal(from, to);
        // The presets are listed after this.
        let said = said.split(" or one of dense-").next().unwrap();
        text.push_str(&format!("{to}\n  {}\n", said.replace('\n', "\n  ")));
    }
    insta::assert_snapshot!(text);
}

#[test]
fn a_preset_may_be_changed_key_by_key() {
    let text = "[models.wide]\npreset = 'dense-0.8m'\nwidth = 192\n[[grid]]\nmodels = ['wide', 'dense-0.8m']\n\
                peak_lr = [1e-3]\ntotal = [10]\nfamily = ['cosine']\nbatch = [1]\n";
    let graph = Graph::new(&PlanFile::parse("plan.toml", text).unwrap(), 300).unwrap();
    let models: Vec<_> = graph.jobs.iter().map(|job| &job.config.model).collect();
    assert_eq!((models[0].width, models[1].width), (192, 128));
    assert_eq!((models[0].layers, models[0].vocabulary), (models[1].layers, 300));
}

#[test]
fn the_json_schemas_in_the_documents_are_those_of_plan_and_job_file() {
    for (name, schema) in [("sweep", json_schema()), ("job", lehr_train::sweep::job_schema())] {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/formats");
        let file = format!("{folder}/{name}.schema.json");
        if std::env::var_os("LEHR_WRITE_REFERENCE").is_some() {
            std::fs::write(&file, &schema).unwrap();
        }
        let written = std::fs::read_to_string(file).unwrap_or_default();
        assert_eq!(
            written, schema,
            "run LEHR_WRITE_REFERENCE=1 cargo test -p lehr-train --test sweep planning"
        );
    }
}

#[test]
fn every_kept_input_of_the_fuzz_targets_is_answered() {
    use lehr_train::TrainFile;
    use lehr_train::sweep::folder::Settings;
    use lehr_train::sweep::{Speeds, State};
    let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut seen = 0;
    for target in ["plan", "train_config", "job_files"] {
        for entry in std::fs::read_dir(corpus.join(target)).unwrap() {
            let whole = std::fs::read(entry.unwrap().path()).unwrap();
            // Whole, and cut off anywhere.
            for end in (0..=whole.len()).rev().step_by(1 + whole.len() / 97) {
                let bytes = &whole[..end];
                let text = String::from_utf8_lossy(bytes);
                match target {
                    "plan" => {
                        let made = PlanFile::parse("plan.toml", &text).and_then(|plan| Graph::new(&plan, 32));
                        assert!(end < whole.len() || made.is_ok(), "{made:?}");
                    }
                    "train_config" => {
                        drop(TrainFile::parse("train.toml", &text).and_then(|file| file.run(32)))
                    }
                    _ => {
                        drop(serde_json::from_slice::<Settings>(bytes));
                        drop(serde_json::from_slice::<Speeds>(bytes));
                        let state = serde_json::from_slice::<State>(bytes);
                        assert_eq!(state.is_ok(), end == whole.len());
                    }
                }
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "the corpus is part of the repository");
}
