//! Layouts that trainers and trackers produce, and rows that stand apart.

use super::{assert_wsd, from, load, loss, one, rate, rows, table, text};
use lehr::{CaveatKind, Schedule, Split};
use lehr_io::{ReadOptions, Source};

/// Every update's line.
fn lines(line: impl Fn(u64) -> String) -> String {
    (1..=2000).map(|t| line(t) + "\n").collect()
}

#[test]
fn the_nanogpt_family_gives_losses_and_takes_the_rate_from_a_stated_schedule() {
    let schedule: Schedule = "wsd:peak=1e-3,total=2000,warmup=100,ratio=0.2".parse().unwrap();
    let stated = ReadOptions { schedule: Some(schedule), ..ReadOptions::default() };
    let modded = lines(|t| {
        let validation = if t % 125 == 0 {
            format!("step:{t}/2000 val_loss:{:.4} train_time:9ms\n", loss(t))
        } else {
            String::new()
        };
        format!("{validation}step:{t}/2000 train_time:9ms step_avg:1.00ms")
    });
    let modded = format!(
        "import os\nprint0(f\"step:{{step}}/{{n}} val_loss:{{v:.4f}}\")\n{}\n{modded}",
        "=".repeat(100)
    );
    let main = lines(|t| {
        let validation = if t % 125 == 0 {
            format!("\ns:{t} tel:{:.4}\ns:{t} eval:0.2900", loss(t))
        } else {
            String::new()
        };
        format!("s:{} trl:{:.4}{validation}", t - 1, loss(t) + 0.01)
    });
    let nanogpt = lines(|t| {
        let validation = if t % 125 == 0 {
            format!("\nstep {t}: train loss 2.0000, val loss {:.4}", loss(t))
        } else {
            String::new()
        };
        format!("iter {}: loss {:.4}, time 135.03ms, mfu 40.12%{validation}", t - 1, loss(t) + 0.01)
    });
    let build = lines(|t| {
        let validation =
            if t % 125 == 0 { format!("\n{t} val {:.4}\n{t} hella 0.2912", loss(t)) } else { String::new() };
        format!("{} train {:.6}{validation}", t - 1, loss(t) + 0.01)
    });
    for (name, content) in
        [("modded.txt", modded), ("main.log", main), ("out.log", nanogpt), ("log.txt", build)]
    {
        let sources = text(&[(name, content)]);
        let run = one(&sources, &stated);
        assert_eq!((run.curve.meta().split, run.curve.step().len()), (Split::Validation, 16), "{name}");
        assert_eq!(run.curve.last(), (2000, (loss(2000) * 1e4).round() / 1e4), "{name}");
        assert_wsd(&run);
        let error = load(&sources, &ReadOptions::default()).unwrap_err();
        assert!(error.hint().unwrap().contains("[[stated_schedule]]"), "{name}: {:?}", error.hint());
    }
}

#[test]
fn llm_c_on_the_terminal_holds_the_rate() {
    let content = lines(|t| {
        let validation = if t % 250 == 0 { format!("\nval loss {:.6}", loss(t)) } else { String::new() };
        format!(
            "step {t:4}/2000 | loss {:.6} (+0.1z)| norm 1.0000 (+nanz)| lr {:.2e} | 200.00 ms | 50% bf16 MFU | 1 tok/s{validation}",
            loss(t) + 0.01,
            rate(t)
        )
    });
    let run = one(&text(&[("out.log", content)]), &ReadOptions::default());
    assert_eq!(run.curve.step(), (1..=8).map(|k| 250 * k).collect::<Vec<_>>());
    let schedule = run.curve.schedule();
    assert_eq!((schedule.total().0, schedule.warmup().map(|warmup| warmup.0)), (2000, Some(100)));
    assert!((schedule.ratio().unwrap() - 0.2).abs() < 1e-9);
}

#[test]
fn one_metric_a_line_is_read_as_a_table_of_runs() {
    let mut content = "run_id,step,key,value\n".to_owned();
    for run in ["a", "b"] {
        for t in (10..=2000).step_by(10) {
            let off = if run == "a" { 0.0 } else { 0.5 };
            content += &format!(
                "{run},{t},train_loss,{}\n{run},{t},lr,{}\n{run},{t},host,x\n",
                loss(t) + off,
                rate(t)
            );
        }
    }
    let (runs, _) = load(&text(&[("metrics.csv", content)]), &ReadOptions::default()).unwrap();
    assert_eq!(runs.iter().map(|run| run.curve.meta().id.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    for run in &runs {
        assert_eq!(run.curve.step().len(), 200);
        assert_wsd(run);
    }
}

#[test]
fn tags_saved_under_other_names_are_joined_in_their_folder() {
    let tag = |value: fn(u64) -> f64| {
        format!("Wall time,Step,Value\n{}\n", rows(|t| format!("1.0,{t},{}", value(t))).join("\n"))
    };
    let files = [("x/run9/train_loss.csv", tag(loss)), ("x/run9/learning_rate.csv", tag(rate))];
    let run = one(&text(&files), &ReadOptions::default());
    assert_eq!(run.curve.meta().id, "run9");
    assert_wsd(&run);
}

#[test]
fn folders_of_one_run_are_one_run() {
    for (name, id) in
        [("tensorboard-scalars", "tensorboard-scalars"), ("tensorboard-siblings", "tensorboard-siblings")]
    {
        let run = one(&folder(name), &ReadOptions::default());
        assert_eq!(run.curve.meta().id, id);
        assert_eq!((run.curve.meta().split, run.curve.step().len()), (Split::Validation, 10), "{name}");
        assert!((run.curve.last().1 - (2.5 + 6.0 * 100_f64.powf(-0.35) + 0.05)).abs() < 1e-6, "{name}");
        assert_eq!(run.curve.schedule().total().0, 100);
        assert!((run.curve.schedule().ratio().unwrap() - 0.2).abs() < 1e-9, "{name}");
    }
}

/// All files below a fixture's folder.
fn folder(name: &str) -> Vec<Source> {
    fn walk(path: &std::path::Path, name: &str, found: &mut Vec<Source>) {
        let mut entries: Vec<_> =
            std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for entry in entries {
            let below = format!("{name}/{}", entry.file_name().unwrap().to_string_lossy());
            if entry.is_dir() {
                walk(&entry, &below, found);
            } else {
                found.push(Source::bytes(below, std::fs::read(&entry).unwrap()));
            }
        }
    }
    let mut found = Vec::new();
    walk(&std::path::Path::new(super::FIXTURES).join(name), name, &mut found);
    found
}

#[test]
fn attempts_are_put_in_the_order_of_the_clock() {
    // The table is sorted by step: rows 510 … 1000 stand there twice, and the clock says which attempt was later.
    let mut rows: Vec<(u64, u64, f64)> = (1..=100).map(|k| (10 * k, k, loss(10 * k) + 0.5)).collect();
    rows.extend((51..=200).map(|k| (10 * k, 100 + k, loss(10 * k))));
    rows.sort_unstable_by_key(|&(t, ..)| t);
    let body: Vec<String> =
        rows.iter().map(|&(t, clock, loss)| format!("{t},{clock}.5,{loss},{}", rate(t))).collect();
    let content = format!("_step,_timestamp,train/loss,lr\n{}\n", body.join("\n"));
    let run = one(&text(&[("history.csv", content)]), &ReadOptions::default());
    assert_eq!(run.curve.step().len(), 200);
    assert!((run.curve.loss()[49] - loss(500) - 0.5).abs() < 1e-12);
    assert!((run.curve.loss()[50] - loss(510)).abs() < 1e-12);
    assert!(run.notes.iter().any(|note| note.code == "by-wall-time"), "{:?}", run.notes);
}

#[test]
fn a_row_or_two_with_rates_that_fit_no_schedule_are_named() {
    for (name, strays) in [("one.csv", vec![700]), ("two.csv", vec![700, 1200]), ("end.csv", vec![2000])] {
        let content = table(|t| if strays.contains(&t) { 7e-4 } else { rate(t) });
        let run = one(&text(&[(name, content)]), &ReadOptions::default());
        assert_wsd(&run);
        let found = run.caveats.iter().find_map(|caveat| match caveat.kind() {
            CaveatKind::StrayRates { rows, .. } => Some(rows.iter().map(|row| row.0).collect::<Vec<_>>()),
            _ => None,
        });
        assert_eq!(found, Some(strays), "{name}");
    }
    let trunk = table(|t| if t >= 1990 { 0.0 } else { rate(t).max(if t > 100 { 1e-3 } else { 0.0 }) });
    let run = one(&text(&[("trunk.csv", trunk)]), &ReadOptions::default());
    assert_eq!((run.curve.schedule().lr(2000), run.curve.last().0), (1e-3, 2000));
}

#[test]
fn a_last_point_of_another_kind_and_a_break_of_level_are_named_with_their_place() {
    let validation = |off: fn(u64) -> f64| {
        let rows: Vec<String> = (1..=40)
            .map(|k| (50 * k, if k % 2 == 0 { 8e-4 } else { -8e-4 }))
            .map(|(t, ripple)| format!("{t},{},{}", loss(t) + ripple + off(t), rate(t)))
            .collect();
        text(&[("a.csv", format!("step,val_loss,lr\n{}\n", rows.join("\n")))])
    };
    let codes = |sources: &[Source]| -> Vec<&'static str> {
        one(sources, &ReadOptions::default()).caveats.iter().map(lehr::Caveat::code).collect()
    };
    assert_eq!(codes(&validation(|_| 0.0)), [] as [&str; 0]);
    assert_eq!(codes(&validation(|t| if t == 2000 { 0.036 } else { 0.0 })), ["last-point-jumps"]);
    assert_eq!(codes(&validation(|t| if t == 2000 { -0.05 } else { 0.0 })), ["last-point-jumps"]);
    assert_eq!(codes(&validation(|t| if t > 1000 { 0.15 } else { 0.0 })), ["level-break"]);
    // A log cut off in the middle is none of these.
    let late = from(&table(rate), 10);
    assert_eq!(codes(&text(&[("b.csv", late)])), [] as [&str; 0]);
}

#[test]
fn a_stated_final_that_stands_apart_is_a_caveat_of_all_runs() {
    let mut manifest = "run,final_val_loss\n".to_owned();
    let mut files = Vec::new();
    for (i, name) in ["a", "b", "c", "d", "e"].into_iter().enumerate() {
        let off = 0.01 * i as f64;
        let stated = loss(2000) + off + if name == "c" { 0.2 } else { 0.002 };
        manifest += &format!("{name},{stated}\n");
        let body = rows(|t| format!("{t},{},{}", loss(t) + off, rate(t))).join("\n");
        files.push((format!("{name}.csv"), format!("step,val_loss,lr\n{body}\n")));
    }
    files.push(("manifest.csv".to_owned(), manifest));
    let sources: Vec<Source> =
        files.into_iter().map(|(name, content)| Source::bytes(name, content.into_bytes())).collect();
    let (_, summary) = load(&sources, &ReadOptions::default()).unwrap();
    assert_eq!(summary.caveats.len(), 1, "{:?}", summary.caveats);
    assert!(matches!(summary.caveats[0].kind(), CaveatKind::StatedFinalApart { run, .. } if run == "c"));
}
