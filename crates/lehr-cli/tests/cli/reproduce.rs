//! `lehr reproduce`: from nothing to a report, at the size for tests.

use crate::support::{lehr, lehr_in};
use serde_json::Value;
use std::path::Path;

/// Rows of the tables of a report whose first cell is not a heading or a rule.
fn rows(report: &str) -> Vec<Vec<String>> {
    report
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"))
        .map(|line| line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect())
        .collect()
}

/// Trains an experiment at size tiny in `folder/EXPERIMENT`; its document and its report, checked for what all have.
fn tiny(folder: &Path, experiment: &str) -> (Value, String) {
    let words = ["reproduce", experiment, "--size", "tiny", "--dir", experiment, "--json"];
    let document = lehr_in(folder, &words).expect(0).json();
    assert_eq!(document["experiment"], experiment);
    let report = std::fs::read_to_string(folder.join(experiment).join("REPORT.md")).unwrap();
    for command in document["commands"].as_array().unwrap() {
        assert!(report.contains(command.as_str().unwrap()), "{command}: {report}");
    }
    for caveat in document["caveats"].as_array().unwrap() {
        assert!(report.contains(caveat["message"].as_str().unwrap()), "{caveat}: {report}");
    }
    let pictures = document["pictures"].as_array().unwrap();
    assert!(!pictures.is_empty());
    for picture in pictures {
        let path = Path::new(picture.as_str().unwrap());
        assert!(report.contains(&format!("({})", path.file_name().unwrap().to_string_lossy())), "{report}");
        assert!(std::fs::read_to_string(folder.join(path)).unwrap().starts_with("<svg"));
    }
    assert!(!document["summary"].as_array().unwrap().is_empty());
    (document, report)
}

#[test]
fn ratios_are_measured_from_nothing_and_a_second_call_trains_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (document, report) = tiny(folder.path(), "ratios");
    let groups = document["ratios"]["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2, "dense and mixture of experts");
    for group in groups {
        let cells = group["cells"].as_array().unwrap();
        assert_eq!(cells.len(), 4, "two peak rates, two horizons");
        for cell in cells {
            assert_eq!(cell["points"].as_array().unwrap().len(), 4);
            let ratio = format!("{:.3}", cell["ratio"].as_f64().unwrap());
            let row = rows(&report).into_iter().find(|row| row.get(4).is_some_and(|r| r.starts_with(&ratio)));
            assert!(row.is_some(), "{ratio}: {report}");
        }
    }
    // Runs at the predicted ratios were trained besides, and are reported as they ended.
    for run in document["ratios"]["validation"].as_array().unwrap() {
        let group = groups.iter().find(|group| group["arch"] == run["arch"]).unwrap();
        let same = |cell: &&Value| cell["peak_lr"] == run["peak_lr"] && cell["total"] == run["total"];
        let cell = group["cells"].as_array().unwrap().iter().find(same).unwrap();
        assert_eq!(cell["ratio"], run["measured"]);
        let loss = run["loss"].as_f64().unwrap();
        assert!((loss - cell["loss"].as_f64().unwrap() - run["cost"].as_f64().unwrap()).abs() < 1e-9);
        // A run of the cell's own seed lies among its runs.
        let losses: Vec<f64> =
            cell["points"].as_array().unwrap().iter().map(|p| p[1].as_f64().unwrap()).collect();
        let (low, high) = losses.iter().fold((f64::MAX, 0.0_f64), |(l, h), &x| (l.min(x), h.max(x)));
        assert!(loss > low - 0.05 && loss < high + 0.05, "{run} {losses:?}");
        assert!(report.contains(&format!("{loss:.4}")), "{report}");
    }
    assert_eq!(document["trained"]["jobs"], 36);
    assert_eq!(document["runs"], 36);
    // What was trained is not trained again, and the answer is the same.
    let journal = folder.path().join("ratios/sweep/points");
    let times = || -> Vec<_> {
        let mut files: Vec<_> = std::fs::read_dir(&journal)
            .unwrap()
            .flatten()
            .map(|file| (file.file_name(), file.metadata().unwrap().modified().unwrap()))
            .collect();
        files.sort();
        files
    };
    let before = times();
    let words = ["reproduce", "ratios", "--size", "tiny", "--dir", "ratios"];
    let again = lehr_in(folder.path(), &words).expect(0);
    assert_eq!(times(), before);
    assert!(again.out.contains("REPORT.md"), "{}", again.out);
    assert!(!again.err.lines().any(|line| line.starts_with("start ")), "{}", again.err);
    assert_eq!(std::fs::read_to_string(folder.path().join("ratios/REPORT.md")).unwrap(), report);
    // The folder of one experiment is not that of another.
    let words = ["reproduce", "laws", "--size", "tiny", "--dir", "ratios"];
    let refused = lehr_in(folder.path(), &words).expect(1);
    assert!(refused.err.contains("another experiment, size or version"), "{}", refused.err);
    // The same runs as a store give the same optima.
    let words = ["reproduce", "ratios", "--store", "ratios/store", "--dir", "other", "--json"];
    let other = lehr_in(folder.path(), &words).expect(0).json();
    let mut ratios = document["ratios"].clone();
    ratios.as_object_mut().unwrap().remove("validation");
    assert_eq!(other["ratios"], ratios);
    assert_eq!(other["trained"], Value::Null);
}

#[test]
fn laws_are_judged_on_the_other_schedule() {
    let folder = tempfile::tempdir().unwrap();
    let (document, report) = tiny(folder.path(), "laws");
    let splits = document["laws"]["folds"].as_array().unwrap();
    assert_eq!(splits.len(), 6, "three splits, dense and mixture of experts");
    for split in splits {
        let laws = split["laws"].as_array().unwrap();
        let fitted: Vec<&Value> = laws.iter().filter(|law| law["test"].is_object()).collect();
        assert!(fitted.len() >= 5, "{split}");
        for law in fitted {
            let error = law["test"]["mae"].as_f64().unwrap();
            let row = rows(&report).into_iter().find(|row| {
                row[0] == law["law"].as_str().unwrap() && row.get(3) == Some(&format!("{:.2}", error * 1e3))
            });
            assert!(row.is_some(), "{law}: {report}");
        }
    }
    // `lehr compare` on the same runs and the same split says the same, to the last digit.
    let split = splits.iter().find(|split| split["arch"] == "dense" && split["fold"] == "cosine → WSD");
    let words = "compare laws/store --run dense* --train *-cosine --test *-linear --starts 6 --json";
    let words: Vec<&str> = words.split(' ').collect();
    let compared = lehr_in(folder.path(), &words).expect(0).json();
    assert_eq!(compared["laws"], split.unwrap()["laws"]);
}

#[test]
fn shapes_are_judged_by_laws_of_linear_annealing() {
    let folder = tempfile::tempdir().unwrap();
    let (document, report) = tiny(folder.path(), "shapes");
    let groups = document["shapes"]["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 2);
    for group in groups {
        for law in group["laws"].as_array().unwrap() {
            let shapes: Vec<&str> =
                law["shapes"].as_array().unwrap().iter().map(|s| s["shape"].as_str().unwrap()).collect();
            assert_eq!(shapes, ["1-sqrt", "cosine", "cosine over the whole run", "power:0.5", "power:2"]);
        }
    }
    assert!(report.contains("power:0.5 (4 runs)"), "{report}");
}

#[test]
fn batches_are_compared_at_equal_updates_and_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let (document, report) = tiny(folder.path(), "batches");
    let groups = document["batches"]["groups"].as_array().unwrap();
    assert_eq!(groups.len(), 4, "annealed and constant, dense and mixture of experts");
    for group in groups {
        assert_eq!(group["runs"].as_array().unwrap().len(), 3);
        let tokens =
            |run: &Value| run["tokens_per_step"].as_u64().unwrap() * run["updates"].as_u64().unwrap();
        assert!(group["runs"].as_array().unwrap().iter().all(|run| tokens(run) == 10_240), "{group}");
        let statistic = group["collapse"]["statistic"].as_f64().unwrap();
        assert!(report.contains(&format!("statistic {statistic:.3}")), "{report}");
        for run in group["noise"].as_array().unwrap() {
            let stretches = run["stretches"].as_array().unwrap();
            assert_eq!(stretches.len(), 6, "{run}");
            assert!(stretches.iter().all(|s| s["variance"].as_f64().unwrap() > 0.0), "{run}");
            let told: Vec<f64> = stretches.iter().filter_map(|s| s["tokens"].as_f64()).collect();
            assert!(!told.is_empty() && told.iter().all(|&b| b > 0.0), "{run}");
        }
        assert_eq!(group["noise"].as_array().unwrap().len(), 3, "a scale for every run");
    }
}

#[test]
fn mistakes_are_answered() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let missing = lehr(&["reproduce", "ratios", "--store", &at("nothing"), "--dir", &at("report")]).expect(1);
    assert!(missing.err.contains("no such file or directory"), "{}", missing.err);
    assert!(missing.err.contains("hint: name a run store"), "{}", missing.err);
    assert!(!folder.path().join("report").exists());
    lehr(&["reproduce", "ratios", "--store", "x", "--size", "tiny"]).expect(2);
    lehr(&["reproduce", "everything"]).expect(2);
    // Runs that cannot answer the question.
    let runs = ["reproduce", "batches", "--store", "fixtures/runs", "--dir", &at("report")];
    let refused = lehr(&runs).expect(1);
    assert!(refused.err.contains("differ in the batch"), "{}", refused.err);
}
