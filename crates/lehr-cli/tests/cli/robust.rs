//! Files, devices, locks and signals: nothing is lost, and every error is a document where documents are asked for.

use crate::support::{RUNS, at, command, lehr};
use std::fs::File;
use std::path::Path;
use std::process::Stdio;

#[test]
fn an_error_is_a_document_where_documents_are_asked_for() {
    let fit = at("fit.json");
    let lines: [(&[&str], i32, &str); 6] = [
        (&["fit", "nowhere", "--json"], 1, "nowhere: no such file"),
        (&["--json", "inspect", &at("empty.csv")], 1, "empty.csv"),
        (&["forecast", &fit, "--peak-lr", "1e-3", "--json"], 2, "--steps"),
        (&["forecast", &fit, "--peak-lr", "x", "--steps", "9", "--json"], 2, "--peak-lr"),
        (&["no-such-verb", "--json"], 2, "no-such-verb"),
        (&["schedule", "--wsd", "peak=3e-4", "-o", &at(""), "--json"], 2, "total"),
    ];
    for (line, code, words) in lines {
        let answer = lehr(line).expect(code);
        let document = answer.json();
        assert_eq!(document["schema"], "lehr.error/1", "{line:?}");
        assert_eq!(document["exit_code"], code, "{line:?}");
        assert!(document["error"].as_str().unwrap().contains(words), "{line:?}: {document}");
        assert_eq!(document.as_object().unwrap().len(), 4);
        assert!(!answer.err.is_empty(), "people are told, too");
        // Without the flag nothing but talk.
        let plain: Vec<&str> = line.iter().copied().filter(|word| *word != "--json").collect();
        let answer = lehr(&plain).expect(code);
        assert!(answer.out.is_empty() && answer.err.contains(words), "{plain:?}: {}", answer.err);
    }
}

#[test]
fn a_caveat_that_blocks_leaves_the_answer_alone_on_stdout() {
    let fit = at("fit.json");
    let answer = lehr(&["forecast", &fit, "--peak-lr", "1e-3", "--steps", "40k", "--params", "1B", "--json"])
        .expect(3);
    assert_eq!(answer.json()["schema"], "lehr.forecast/2");
}

#[cfg(target_os = "linux")]
#[test]
fn what_cannot_be_written_is_a_failure() {
    let fit = at("fit.json");
    for line in [
        &["--help"][..],
        &["fit", "--help"],
        &["--version"],
        &["laws"],
        &["laws", "--json"],
        &["completions", "bash"],
        &["forecast", &fit, "--peak-lr", "1e-3", "--steps", "40k"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = command().args(line).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{line:?}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("No space left"), "{line:?}");
        // A closed pipe is no failure.
        let mut child = command().args(line).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{line:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[cfg(target_os = "linux")]
#[test]
fn answers_go_through_links_and_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str| folder.path().join(name).to_string_lossy().into_owned();
    let fit = at("fit.json");
    let target = ["forecast", &fit, "--peak-lr", "1e-3", "--steps", "40k", "-o"];
    std::os::unix::fs::symlink("real.csv", place("link.csv")).unwrap();
    lehr(&[&target[..], &[&place("link.csv")]].concat()).expect(0);
    let csv = std::fs::read_to_string(place("real.csv")).unwrap();
    assert!(csv.lines().next().unwrap().contains("lr,") && csv.ends_with('\n'), "{csv}");
    assert!(std::fs::symlink_metadata(place("link.csv")).unwrap().is_symlink());
    // `-o /dev/stdout > file`: what is there goes on being open, and everything arrives.
    let file = File::create(place("out.txt")).unwrap();
    let status =
        command().args(target).arg("/dev/stdout").stdout(file).stderr(Stdio::null()).status().unwrap();
    assert_eq!(status.code(), Some(0));
    let out = std::fs::read_to_string(place("out.txt")).unwrap();
    assert!(out.contains(&csv), "{out}");
    let names: Vec<_> =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 3, "{names:?}");
}

/// Names of the runs of a store; empty where there is none.
fn runs(store: &Path) -> Vec<String> {
    let answer = lehr(&["inspect", &store.to_string_lossy(), "--json"]);
    if answer.code != 0 {
        assert!(answer.err.contains("no run was found"), "the store cannot be read: {}", answer.err);
        return Vec::new();
    }
    let document = answer.json();
    document["runs"].as_array().unwrap().iter().map(|run| run["id"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn four_writers_at_once_and_killed_ones_lose_no_import() {
    let (killed, refused) = four_writers(12, 20_261_126);
    assert!(killed > 0 && refused > 0, "{killed} {refused}");
}

/// `cargo test --workspace --test cli -- --ignored --nocapture two_hundred`.
#[test]
#[ignore = "minutes: what `docs/results/robustness.md` counts"]
fn two_hundred_killed_imports_lose_no_import() {
    let (mut rounds, mut killed, mut refused) = (0, 0, 0);
    let mut seed = 1;
    while killed < 200 {
        let found = four_writers(40, seed);
        (rounds, killed, refused, seed) = (rounds + 40, killed + found.0, refused + found.1, seed + 1);
    }
    println!(
        "{rounds} rounds of four imports into {} stores: {killed} killed, {refused} refused, none lost",
        seed - 1
    );
}

/// Rounds of four imports at once into one store, some killed at a random moment: how many were killed and how many refused.
fn four_writers(rounds: usize, seed: u64) -> (usize, usize) {
    let folder = tempfile::tempdir().unwrap();
    let log = |name: &str| {
        let path = folder.path().join(format!("{name}.csv"));
        let mut text = "step,lr,loss\n".to_owned();
        // No two alike: equal points under two names would be one run.
        let own =
            name.bytes().fold(7_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into())) % 100_003;
        for k in 1..=300 {
            text += &format!("{},1e-3,{}\n", 10 * k, 3.0 + f64::from(own) * 1e-6 + 1.0 / f64::from(k));
        }
        std::fs::write(&path, text).unwrap();
        path
    };
    let store = folder.path().join("a store\nwith 'odd' name");
    let mut dice = seed;
    let mut roll = |below: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % below
    };
    let mut kept: Vec<String> = Vec::new();
    let (mut killed, mut refused) = (0, 0);
    for round in 0..rounds {
        let mut children = Vec::new();
        for writer in 0..4 {
            let name = format!("run-{round}-{writer}");
            let mut import = command();
            import.arg("import").arg(log(&name)).args(["--params", "1M", "-o"]).arg(&store);
            let child = import.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
            children.push((name, child));
        }
        std::thread::sleep(std::time::Duration::from_millis(roll(20)));
        let victim = roll(8) as usize;
        if let Some((_, child)) = children.get_mut(victim) {
            // One that has ended already is not counted.
            if child.try_wait().unwrap().is_none() {
                drop(child.kill());
                killed += 1;
            }
        }
        let mut may_be_there = Vec::new();
        for (name, child) in children {
            let output = child.wait_with_output().unwrap();
            match output.status.code() {
                Some(0) => kept.push(name),
                Some(1) => {
                    let said = String::from_utf8_lossy(&output.stderr).into_owned();
                    assert!(said.contains("another lehr is writing to this store"), "{said}");
                    refused += 1;
                }
                // Killed: before or after its rename.
                None => may_be_there.push(name),
                other => panic!("{name} ended with {other:?}"),
            }
        }
        let found = runs(&store);
        for name in &kept {
            assert!(found.contains(name), "round {round}: {name} is lost of {found:?}");
        }
        for name in &found {
            assert!(
                kept.contains(name) || may_be_there.contains(name),
                "round {round}: {name} came from nowhere"
            );
        }
        kept = found;
    }
    assert!(kept.len() >= 8, "{kept:?}");
    // Every run has its N: the manifest and its copy say the same.
    std::fs::remove_file(store.join("manifest.toml")).unwrap();
    let document = lehr(&["inspect", &store.to_string_lossy(), "--json"]).expect(0).json();
    let runs = document["runs"].as_array().unwrap();
    assert_eq!(runs.len(), kept.len());
    assert!(runs.iter().all(|run| run["params"] == 1_000_000));
    (killed, refused)
}

#[cfg(unix)]
#[test]
fn ctrl_c_leaves_nothing_half_written() {
    let folder = tempfile::tempdir().unwrap();
    let fit = folder.path().join("fit.json");
    for wait in [30, 90, 200, 400] {
        let mut child = command()
            .args(["fit", RUNS, "--bootstrap", "4000", "-o"])
            .arg(&fit)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(std::time::Duration::from_millis(wait));
        let sent =
            std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        // Before the handler is there, the signal itself ends the process.
        assert!(matches!(child.wait().unwrap().code(), Some(130) | None), "after {wait} ms");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "after {wait} ms");
    }
}
