//! `lehr sweep` as a person meets it: the guide, interruptions, refusals, and what other verbs make of its curves.

use crate::support::{command, lehr, lehr_in, root};
use std::process::Stdio;
use std::time::{Duration, Instant};

/// Text with something to learn in it.
pub fn text() -> String {
    let words = ["glass", "is", "annealed", "in", "a", "lehr", "slowly", "until", "it", "rests"];
    let mut state = 1_u64;
    let mut text = String::new();
    while text.len() < 60_000 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.push_str(words[(state >> 33) as usize % words.len()]);
        text.push(if state >> 60 == 0 { '\n' } else { ' ' });
    }
    text
}

/// The plan in the guide.
pub fn plan() -> String {
    let guide = std::fs::read_to_string(root().join("docs/guides/sweeps.md")).unwrap();
    guide.split("```toml\n").nth(1).unwrap().split("```").next().unwrap().to_owned()
}

/// A folder with the guide's plan and text.
fn place(plan: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("plan.toml"), plan).unwrap();
    std::fs::write(folder.path().join("text.txt"), text()).unwrap();
    folder
}

#[test]
fn the_guide_does_what_it_says() {
    let folder = place(&plan());
    let guide = std::fs::read_to_string(root().join("docs/guides/sweeps.md")).unwrap();
    let lines: Vec<&str> = guide.lines().filter_map(|line| line.strip_prefix("$ lehr ")).collect();
    assert!(lines.len() >= 8, "{lines:?}");
    for line in lines {
        let line = line.replace('\'', "");
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = lehr_in(folder.path(), &words).expect(0);
        match words[..] {
            ["sweep", _, "--dry-run"] => {
                assert!(answer.out.contains("2 trunks, 18 branches, 1 runs alone"), "{}", answer.out);
                assert!(answer.out.contains("sharing saves a factor of"), "{}", answer.out);
                assert!(!folder.path().join("plan.sweep").exists(), "a dry run leaves nothing");
            }
            ["sweep", "status", _] => assert!(answer.out.contains("21 of 21 jobs"), "{}", answer.out),
            ["sweep", "export", ..] => assert!(answer.out.contains("21 runs"), "{}", answer.out),
            ["transfer", ..] => assert!(answer.out.contains("measured"), "{}", answer.out),
            _ => {}
        }
    }
    // The other split of the same store.
    let runs = lehr_in(folder.path(), &["inspect", "store", "--split", "train", "--json"]).expect(0).json();
    let runs = runs["runs"].as_array().unwrap();
    assert_eq!(runs.len(), 21);
    assert!(runs.iter().all(|run| run["split"] == "train" && run["loss_kind"]["interval_mean"] == 4));
    let runs = lehr_in(folder.path(), &["inspect", "store", "--json"]).expect(0).json();
    let branches = runs["runs"].as_array().unwrap().iter().filter(|run| run["branch"]["trunk"].is_string());
    assert_eq!(branches.count(), 18);
    // Twice the same: a run store does not depend on when it was written.
    let bytes = |store: &str| std::fs::read(folder.path().join(store).join("points.parquet")).unwrap();
    lehr_in(folder.path(), &["sweep", "export", "sweep", "-o", "again", "--thin", "4"]).expect(0);
    assert_eq!(bytes("store"), bytes("again"));
}

#[test]
fn a_killed_sweep_is_resumed_and_its_store_is_the_same_to_the_last_bit() {
    let plan = plan().replace("snapshot_seconds = 10", "snapshot_seconds = 0.01");
    let folder = place(&plan);
    let quiet = ["--no-measure", "--json"];
    lehr_in(folder.path(), &[&["sweep", "plan.toml", "--dir", "whole"][..], &quiet].concat()).expect(0);
    lehr_in(folder.path(), &["sweep", "export", "whole", "-o", "expected"]).expect(0);
    let mut words = [&["sweep", "plan.toml", "--dir", "cut"][..], &quiet].concat();
    let (mut kills, since) = (0, Instant::now());
    loop {
        let mut driver = command()
            .current_dir(folder.path())
            .args(&words)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + 90 * kills));
        if kills < 6 && driver.try_wait().unwrap().is_none() {
            driver.kill().unwrap();
            driver.wait().unwrap();
            kills += 1;
            if folder.path().join("cut/sweep.json").exists() {
                words = vec!["sweep", "resume", "cut", "--json"];
            }
            // An export of what there is never fails for another reason than that there is nothing.
            let answer = lehr_in(folder.path(), &["sweep", "export", "cut", "-o", "part"]);
            assert!(
                answer.code == 0
                    || answer.err.contains("no run of the sweep")
                    || answer.err.contains("sweep.json"),
                "{}",
                answer.err
            );
            continue;
        }
        if driver.wait().unwrap().success() {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(300));
    }
    assert!(kills >= 2, "{kills}");
    lehr_in(folder.path(), &["sweep", "export", "cut", "-o", "found"]).expect(0);
    let read = |store: &str| {
        lehr_in(folder.path(), &["inspect", store, "--json"]).expect(0).out.replace(store, "STORE")
    };
    assert_eq!(read("found"), read("expected"));
    let points = |store: &str| {
        // The names of the sources are in the file's copy of the manifest; the journals hold every bit.
        let mut all = Vec::new();
        let mut files: Vec<_> =
            std::fs::read_dir(folder.path().join(store).join("points")).unwrap().flatten().collect();
        files.sort_by_key(std::fs::DirEntry::file_name);
        for file in files {
            all.push((file.file_name(), std::fs::read(file.path()).unwrap()));
        }
        all
    };
    let journals =
        points("cut").iter().filter(|(name, _)| !name.to_string_lossy().ends_with(".experts")).count();
    assert_eq!(journals, 21);
    assert_eq!(points("cut"), points("whole"));
}

#[test]
fn a_sweep_that_runs_refuses_a_second_driver_and_shows_itself() {
    let plan = plan().replace("total = [40, 80]", "total = [400, 800]");
    let folder = place(&plan);
    let mut driver = command()
        .current_dir(folder.path())
        .args(["sweep", "plan.toml", "--dir", "sweep", "--no-measure"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    let status = loop {
        let answer = lehr_in(folder.path(), &["sweep", "status", "sweep", "--json"]);
        if answer.code == 0 && answer.json()["running"].as_u64() > Some(0) {
            break answer.json();
        }
        assert!(since.elapsed() < Duration::from_secs(60), "{}", answer.err);
    };
    assert_eq!(status["active"], true);
    let refused = lehr_in(folder.path(), &["sweep", "resume", "sweep"]).expect(1);
    assert!(refused.err.contains("in use by another process"), "{}", refused.err);
    driver.kill().unwrap();
    driver.wait().unwrap();
    // The workers end with their driver.
    let since = Instant::now();
    loop {
        let status = lehr_in(folder.path(), &["sweep", "status", "sweep", "--json"]).expect(0).json();
        if status["running"] == 0 && status["active"] == false {
            break;
        }
        assert!(since.elapsed() < Duration::from_secs(20), "{status}");
    }
}

#[test]
fn refusals_say_what_to_do() {
    let folder = place(&plan());
    let other = plan().replace("peak_lr = [1e-2]", "peak_lr = [2e-2]");
    std::fs::write(folder.path().join("other.toml"), &other).unwrap();
    std::fs::write(folder.path().join("bad.toml"), other.replace("ratio = [0.2]", "ratio = [20]")).unwrap();
    std::fs::write(folder.path().join("nodata.toml"), other.replace("text.txt", "nothing.txt")).unwrap();
    lehr_in(folder.path(), &["sweep", "plan.toml", "--dir", "sweep", "--no-measure", "--json"]).expect(0);
    let cases: [&[&str]; 8] = [
        &["sweep"],
        &["sweep", "bad.toml"],
        &["sweep", "nodata.toml", "--dry-run"],
        &["sweep", "missing.toml"],
        &["sweep", "other.toml", "--dir", "sweep"],
        &["sweep", "plan.toml", "--dir", "sweep", "--lanes", "2"],
        &["sweep", "status", "."],
        &["sweep", "export", "sweep", "-o", "store", "--run", "nothing*"],
    ];
    let mut text = String::new();
    for case in cases {
        let answer = lehr_in(folder.path(), case);
        let said = answer.err.replace(&*folder.path().to_string_lossy(), "DIR");
        text.push_str(&format!("$ lehr {}\n{said}[exit {}]\n\n", case.join(" "), answer.code));
    }
    insta::assert_snapshot!(text);
    // Another machine or program, as its bits say.
    let file = folder.path().join("sweep/sweep.json");
    let mut settings: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let bits = settings["arithmetic"].as_str().unwrap();
    assert_eq!(bits.split('-').filter(|word| word.len() == 16).count(), 4, "{bits}");
    settings["arithmetic"] = bits.replacen(char::is_numeric, "x", 1).into();
    std::fs::write(&file, settings.to_string()).unwrap();
    let refused = lehr_in(folder.path(), &["sweep", "resume", "sweep"]).expect(1);
    assert!(refused.err.contains("rounds otherwise"), "{}", refused.err);
    lehr_in(folder.path(), &["sweep", "resume", "sweep", "--other-arithmetic"]).expect(0);
    let hidden = lehr(&["sweep", "--help"]).expect(0).out;
    assert!(!hidden.contains("worker"), "{hidden}");
}
