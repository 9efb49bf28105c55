//! Runs in several files, branches beside their trunk, and what a folder says when nothing in it can be used.

use super::{assert_wsd, from, load, loss, one, rate, rows, table, text};
use lehr::{CaveatKind, Steps};
use lehr_io::{LoadedRun, ReadError, ReadOptions, Source};

/// The lines of a table up to an update, the first line kept.
fn until(text: &str, last: u64) -> String {
    let before = text.lines().skip(1).filter(|line| {
        line.split(',').next().and_then(|step| step.parse::<u64>().ok()).is_some_and(|step| step <= last)
    });
    text.lines().take(1).chain(before).map(|line| format!("{line}\n")).collect()
}

fn ids(runs: &[LoadedRun]) -> Vec<&str> {
    runs.iter().map(|run| run.curve.meta().id.as_str()).collect()
}

#[test]
fn files_of_any_kind_that_go_on_in_each_other_are_one_run() {
    let csv = table(rate);
    let json = |from: u64, to: u64| -> String {
        (from / 10..=to / 10)
            .map(|k| {
                format!("{{\"step\": {}, \"loss\": {}, \"lr\": {}}}\n", 10 * k, loss(10 * k), rate(10 * k))
            })
            .collect()
    };
    let llm_c = |from: u64, to: u64| -> String {
        (from..=to)
            .map(|t| {
                format!(
                    "step {t}/2000 | loss {:.6} (+0.1z)| norm 1.0 | lr {:.6e} | 200 ms\n",
                    loss(t),
                    rate(t)
                )
            })
            .collect()
    };
    for (names, first, second) in [
        (["h/part1.csv", "h/part2.csv"], until(&csv, 1000), from(&csv, 1010)),
        // In the middle of the annealing, each job in a folder of its own.
        (["v/version_0/metrics.csv", "v/version_1/metrics.csv"], until(&csv, 1700), from(&csv, 1710)),
        (["a.jsonl", "b.jsonl"], json(10, 1200), json(1210, 2000)),
        (["j1.log", "j2.log"], llm_c(1, 1200), llm_c(1201, 2000)),
    ] {
        let run = one(&text(&[(names[0], first), (names[1], second)]), &ReadOptions::default());
        assert_wsd(&run);
        assert_eq!(run.curve.last().0, 2000, "{names:?}");
        assert_eq!(run.curve.step()[0] / 10 * 10, run.curve.step()[0] - run.curve.step()[0] % 10);
        let note = run.notes.iter().find(|note| note.code == "jobs-joined").unwrap();
        assert!(note.message.contains(names[1]), "{}", note.message);
    }
    // Two runs of one beginning: their names say which goes on in which.
    let flat = table(|t| rate(t.min(1000)));
    let files = [
        ("j/flat_1.csv", until(&flat, 1000)),
        ("j/flat_2.csv", from(&flat, 1010)),
        ("j/wsd_1.csv", until(&csv, 1000)),
        ("j/wsd_2.csv", from(&csv, 1010).replace(&format!("1500,{}", loss(1500)), "1500,2.9")),
    ];
    let (runs, _) = load(&text(&files), &ReadOptions::default()).unwrap();
    assert_eq!(ids(&runs), ["flat_1", "wsd_1"]);
    assert_wsd(&runs[1]);
    assert_eq!(runs[0].curve.schedule().ratio(), Some(0.0));
    // Three files, whatever their order.
    let parts =
        [("c.csv", until(&csv, 500)), ("a.csv", from(&until(&csv, 1300), 510)), ("b.csv", from(&csv, 1310))];
    let run = one(&text(&parts), &ReadOptions::default());
    assert_eq!((run.curve.meta().id.as_str(), run.curve.step().len()), ("c", 200));
    assert_wsd(&run);
}

#[test]
fn a_fault_in_the_second_file_is_named_there() {
    let csv = table(rate);
    let broken = from(&csv, 1010).replace(&format!("1500,{}", loss(1500)), "1500,NaN");
    let files = [("part1.csv", until(&csv, 1000)), ("part2.csv", broken)];
    let error = load(&text(&files), &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().starts_with("part2.csv:51:"), "{error}");
}

#[test]
fn what_does_not_go_on_or_is_a_run_of_its_own_is_not_joined() {
    let csv = table(rate);
    let second = from(&csv, 1010);
    // Another rate.
    let other = second.replace(",0.001\n", ",0.002\n");
    let joined = |files: &[(&str, String)]| {
        load(&text(files), &ReadOptions::default()).is_ok_and(|(runs, _)| {
            runs.iter().any(|run| run.notes.iter().any(|note| note.code == "jobs-joined"))
        })
    };
    assert!(!joined(&[("a.csv", until(&csv, 1000)), ("b.csv", other)]));
    // A gap.
    assert!(!joined(&[("a.csv", until(&csv, 1000)), ("b.csv", from(&csv, 1110))]));
    // The manifest names both.
    let manifest = "run,seed\na,1\nb,1\n".to_owned();
    assert!(!joined(&[("manifest.csv", manifest), ("a.csv", until(&csv, 1000)), ("b.csv", second.clone())]));
    // Two annealings that begin where the trunk's log ends are branches of it.
    let files =
        [("trunk.csv", until(&csv, 1000)), ("b1.csv", second.clone()), ("b2.csv", until(&second, 1990))];
    let (runs, _) = load(&text(&files), &ReadOptions::default()).unwrap();
    assert_eq!(ids(&runs), ["trunk", "b1", "b2"]);
    assert_wsd(&runs[1]);
    let branch = runs[2].curve.meta().branch.as_ref().unwrap();
    assert_eq!((branch.trunk.as_str(), branch.at), ("trunk", Steps(1000)));
}

#[test]
fn an_early_branch_beside_its_trunk_takes_the_past_from_there() {
    let trunk = table(|t| if t <= 100 { 1e-5 * t as f64 } else { 1e-3 });
    let branch = from(&table(rate), 310);
    let (runs, _) =
        load(&text(&[("b.csv", branch.clone()), ("trunk.csv", trunk)]), &ReadOptions::default()).unwrap();
    let run = runs.iter().find(|run| run.curve.meta().id == "b").unwrap();
    assert_wsd(run);
    assert_eq!(run.curve.schedule().warmup(), Some(Steps(100)));
    assert!(run.notes.iter().any(|note| note.code == "branch-linked"), "{:?}", run.notes);
    // Alone, or beside a run of another rate, a warm-up is assumed, and that is said.
    let other = table(|t| if t <= 100 { 2e-5 * t as f64 } else { 2e-3 });
    for files in [vec![("b.csv", branch.clone())], vec![("b.csv", branch.clone()), ("other.csv", other)]] {
        let (runs, _) = load(&text(&files), &ReadOptions::default()).unwrap();
        let run = runs.iter().find(|run| run.curve.meta().id == "b").unwrap();
        assert_eq!(run.curve.schedule().warmup(), Some(Steps(310)));
        assert!(run.notes.iter().any(|note| note.code == "assumed-warmup"), "{:?}", run.notes);
    }
}

#[test]
fn rows_before_the_stated_branching_point_count_from_there_or_are_refused() {
    let trunk = table(|t| if t <= 100 { 1e-5 * t as f64 } else { 1e-3 });
    // Other losses than those of the trunk, which would be the same run.
    let whole = table(rate).replace(&format!("1500,{}", loss(1500)), "1500,2.9");
    let counted: String = std::iter::once("step,loss,lr\n".to_owned())
        .chain((101..=200).map(|k| 10 * k).map(|t| format!("{},{},{}\n", t - 1000, loss(t), rate(t))))
        .collect();
    let load = |branch: &str, at: u64| {
        let manifest = format!("run,branch_from,branch_at_step\nb,trunk,{at}\ntrunk,,\n");
        let files = [("manifest.csv", manifest), ("b.csv", branch.to_owned()), ("trunk.csv", trunk.clone())];
        load(&text(&files), &ReadOptions::default())
            .map(|(runs, _)| runs.into_iter().find(|run| run.curve.meta().id == "b").unwrap())
    };
    let run = load(&counted, 1000).unwrap();
    assert_wsd(&run);
    assert_eq!((run.curve.step()[0], run.curve.last().0), (1010, 2000));
    assert!(run.notes.iter().any(|note| note.code == "counted-from-branch"), "{:?}", run.notes);
    // A log that copies the trunk's rows says the same from its first update on.
    let run = load(&whole, 1000).unwrap();
    assert_wsd(&run);
    assert_eq!(run.curve.step()[0], 10);
    let error = load(&until(&whole, 900), 1000).unwrap_err();
    assert!(matches!(&error, ReadError::Refused { why, .. } if why.contains("after update 1000")), "{error}");
    // Rows of another run are neither.
    let other = counted.replace(",0.001\n", ",0.0005\n");
    assert!(load(&other, 1000).is_err());
}

#[test]
fn rates_of_0_after_the_end_or_before_the_beginning_are_left_out() {
    // Half of the peak is left at the end.
    let floor = |t: u64| if t > 1600 { 0.5 * (1e-3 + rate(t)) } else { rate(t) };
    let left_out = |run: &LoadedRun| {
        run.caveats.iter().find_map(|caveat| match caveat.kind() {
            CaveatKind::StrayRates { rows, .. } => Some(rows.len() as u64),
            _ => None,
        })
    };
    for zeros in [1, 2, 3, 10] {
        let content = table(|t| if t > 2000 - 10 * zeros { 0.0 } else { floor(t) });
        let run = one(&text(&[("a.csv", content)]), &ReadOptions::default());
        assert_eq!(left_out(&run), Some(zeros));
        assert_eq!(run.curve.schedule().warmup(), Some(Steps(100)));
        assert_eq!((run.curve.schedule().total().0, run.curve.last().0), (2000, 2000));
    }
    for zeros in [1, 2] {
        let content = table(|t| if t <= 10 * zeros { 0.0 } else { rate(t) });
        let run = one(&text(&[("a.csv", content)]), &ReadOptions::default());
        assert_eq!(left_out(&run), Some(zeros));
        assert_wsd(&run);
        assert_eq!(run.curve.schedule().warmup(), Some(Steps(100)));
    }
}

#[test]
fn dicts_of_a_logger_are_refused_and_a_folder_of_refused_logs_says_what_helps() {
    let prefixed = rows(|t| {
        format!("[2026-01-01 10:00:00,123] [INFO] {{'loss': '{:.4}', 'learning_rate': '1e-3'}}", loss(t))
    });
    let stepped = rows(|t| format!("{{'step': {t}, 'loss': {:.4}, 'learning_rate': 1e-3}}", loss(t)));
    let error = |name: &str, lines: &[String]| {
        load(&text(&[(name, lines.join("\n") + "\n")]), &ReadOptions::default()).unwrap_err()
    };
    let plain = error("a.log", &prefixed);
    assert!(plain.to_string().contains("without steps: found '{'loss'"), "{plain}");
    assert!(plain.hint().unwrap().contains("trainer_state.json"));
    let with_steps = error("b.log", &stepped);
    assert!(!with_steps.to_string().contains("without steps"), "{with_steps}");
    assert!(with_steps.hint().unwrap().contains("json.dumps"));
    let found = |name: &str, content: String| {
        let length = content.len() as u64;
        Source::new(name, length, 2, true, move || {
            Ok(Box::new(std::io::Cursor::new(content.clone().into_bytes())))
        })
    };
    let folder = [
        found("x/a.log", prefixed.join("\n")),
        found("x/b.log", stepped.join("\n")),
        found("x/c.csv", from(&table(rate), 1010)),
    ];
    let error = load(&folder, &ReadOptions::default()).unwrap_err();
    assert!(matches!(error, ReadError::NoRun { .. }), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("trainer_state.json") && hint.contains("branch_at_step"), "{hint}");
}
