//! A job that is running: where it stands, when to anneal, what it will reach.

use crate::support::{RUNS, at, conversation, lehr, masked};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

fn recommended(words: &[&str]) -> Value {
    let (fit, job) = (at("small.json"), at("job.csv"));
    lehr(&[&["recommend", &fit, "--running", &job, "--json"][..], words].concat()).expect(0).json()
}

#[test]
fn a_running_job_is_told_where_it_stands_and_when_to_anneal() {
    let (fit, job) = (at("small.json"), at("job.csv"));
    let answer =
        lehr(&["recommend", &fit, "--running", &job, "--steps", "20k", "--anneal-from", "12k"]).expect(0);
    insta::assert_snapshot!("running-recommend", masked(&answer.out));
    let found = recommended(&["--steps", "20k"]);
    let standing = &found["standing"];
    assert_eq!((&standing["update"], &standing["annealing"]), (&9_000.into(), &false.into()));
    assert_eq!((&standing["inside"], &standing["fitted"]), (&true.into(), &false.into()));
    // The simulation's run-to-run noise is about 1 mnat.
    assert!(number(&standing["residual"]).abs() < 3e-3, "{standing}");
    // The best ratio of the simulation at this rate and horizon is 0.44 … 0.5, so that 9,000 … 11,200 is the best start.
    let start = number(&found["starts"]["start"]);
    assert!((9_000.0..=12_000.0).contains(&start), "{start}");
    let curve = found["starts"]["curve"].as_array().unwrap();
    assert_eq!((&curve[0]["start"], &curve[curve.len() - 1]["start"]), (&9_000.into(), &20_000.into()));
    let lowest = curve.iter().map(|point| number(&point["loss"])).fold(f64::INFINITY, f64::min);
    assert!((lowest - number(&found["starts"]["loss"]["value"])).abs() < 2e-4);
    // A longer budget reaches a lower loss and anneals later.
    let longer = found["longer"].as_array().unwrap();
    assert_eq!(longer[3]["total"], 40_000);
    assert!(longer.windows(2).all(|two| number(&two[0]["gain"]) < number(&two[1]["gain"])
        && number(&two[0]["start"]) < number(&two[1]["start"])));
}

#[test]
fn annealing_now_and_later_are_held_against_each_other() {
    let found = recommended(&["--steps", "20k", "--anneal-steps", "1k,11k"]);
    let rows = found["anneal"].as_array().unwrap();
    assert_eq!((&rows[0]["now"]["start"], &rows[0]["now"]["end"]), (&9_000.into(), &10_000.into()));
    assert_eq!((&rows[0]["wait"]["start"], &rows[0]["wait"]["end"]), (&19_000.into(), &20_000.into()));
    let loss = |ending: &Value| number(&ending["loss"]["value"]);
    let gain = loss(&rows[0]["now"]) - loss(&rows[0]["wait"]);
    assert!((number(&rows[0]["gain"]) - gain).abs() < 1e-12 && gain > 0.02, "{gain}");
    assert_eq!((&rows[1]["now"]["end"], &rows[1]["wait"]), (&20_000.into(), &Value::Null));
}

#[test]
fn the_forecast_of_a_job_is_the_law_moved_by_the_share_of_its_offset_that_lasts() {
    let (fit, job) = (at("small.json"), at("job.csv"));
    let found =
        lehr(&["forecast", &fit, "--running", &job, "--anneal-steps", "5k", "--json"]).expect(0).json();
    assert_eq!(found["update"].as_array().unwrap().last().unwrap(), 14_000);
    let share = number(&found["carry"]["share"]);
    assert!((0.0..=1.0).contains(&share) && number(&found["carry"]["runs"]) >= 5.0, "{share}");
    let moved =
        number(&found["law"]["value"]) * (share * number(&found["standing"]["offset"]["value"])).exp();
    assert!((number(&found["final"]["value"]) - moved).abs() < 1e-9);
    // The interval never widens by more than the offset's own uncertainty.
    let width = |low: &Value, high: &Value| (number(high) / number(low)).ln();
    let (law, corrected) = (
        width(&found["law"]["lower"], &found["law"]["upper"]),
        width(&found["final"]["lower"], &found["final"]["upper"]),
    );
    assert!(corrected < 1.3 * law, "{corrected} {law}");
}

#[test]
fn a_job_that_the_law_does_not_know_blocks() {
    let log = std::fs::read_to_string(at("job.csv")).unwrap();
    let moved: String = log
        .lines()
        .map(|line| {
            let Some((start, loss)) = line.rsplit_once(',') else { return format!("{line}\n") };
            loss.parse::<f64>()
                .map_or_else(|_| format!("{line}\n"), |loss| format!("{start},{:.6}\n", loss + 0.1))
        })
        .collect();
    std::fs::write(at("moved.csv"), moved).unwrap();
    let words = ["recommend", &at("small.json"), "--running", &at("moved.csv"), "--steps", "20k", "--json"];
    let found = lehr(&words).expect(3).json();
    assert_eq!(found["standing"]["inside"], false);
    assert!((number(&found["standing"]["residual"]) - 0.1).abs() < 3e-3);
    let codes: Vec<&Value> = found["caveats"].as_array().unwrap().iter().map(|c| &c["code"]).collect();
    assert!(codes.contains(&&"job-unknown-to-law".into()), "{codes:?}");
}

#[test]
fn a_job_that_anneals_by_its_plan_is_shown_the_end_of_the_plan_beside_the_best() {
    // A cosine of 20,000 updates, seen as far as 9,000.
    let rows = std::fs::read_to_string(crate::support::root().join("fixtures/runs/curves.csv")).unwrap();
    let mut log = String::from("step,lr,loss\n");
    let mut last = 0.0;
    for row in rows.lines().filter_map(|row| row.strip_prefix("sim-peak2e-3-T20000-cosine,val,")) {
        last = row.rsplit(',').next().unwrap().parse().unwrap();
        if row.split(',').next().unwrap().parse::<u64>().unwrap() <= 9_000 {
            log += &format!("{row}\n");
        }
    }
    std::fs::write(at("cosine.csv"), log).unwrap();
    let words = ["recommend", &at("small.json"), "--running", &at("cosine.csv"), "--json"];
    let found = lehr(&words).expect(0).json();
    assert_eq!(found["standing"]["annealing"], true);
    // The end of the cosine is read off its rows, to their rounding.
    let end = found["planned"]["end"].as_u64().unwrap();
    assert!(end.abs_diff(20_000) <= 20, "{end}");
    let planned = number(&found["planned"]["loss"]["value"]);
    // What the run really reached; its noise is 1 mnat.
    assert!((planned - last).abs() < 4e-3, "{planned}, measured {last}");
    assert!(number(&found["starts"]["loss"]["value"]) <= planned + 1e-4);
}

#[test]
fn a_plan_that_cannot_follow_is_refused_with_what_to_do() {
    let lines = [
        "recommend DIR/small.json --running DIR/job.csv",
        "recommend DIR/small.json --running DIR/job.csv --steps 8k",
        "recommend DIR/small.json --running DIR/job.csv --steps 20k --anneal-steps 12k",
        "recommend DIR/small.json --running DIR/job.csv --steps 20k --peak-lr 1e-3",
        "recommend DIR/small.json --running DIR/empty.csv --steps 20k",
        "recommend DIR/small.json --steps 20k --peak-lr 1e-3 --anneal-steps 3k",
        "recommend DIR/blind.json --running DIR/job.csv --steps 20k",
        "forecast DIR/small.json --running DIR/job.csv --anneal-from 8k --steps 20k",
        "forecast DIR/small.json --running DIR/job.csv --anneal-from 12k --anneal-steps 3k --steps 20k",
        "forecast DIR/small.json --running DIR/job.csv --steps 20k --ratio 0.9",
        "forecast DIR/small.json --peak-lr 1e-3 --steps 20k --anneal-from 21k",
    ];
    insta::assert_snapshot!("running-errors", conversation(&lines));
    let several = lehr(&["recommend", &at("small.json"), "--running", RUNS, "--steps", "20k"]).expect(2);
    assert!(several.err.contains("25 runs were found there"), "{}", several.err);
    let job = ["--running", RUNS, "--run", "*peak2e-3-T20000-constant", "--steps", "30k"];
    lehr(&[&["recommend", &at("small.json")][..], &job].concat()).expect(0);
}

/// A log with its losses from an update on moved by a function of the update.
fn changed_log(name: &str, change: impl Fn(u64, f64) -> f64) -> String {
    let log = std::fs::read_to_string(at("job.csv")).unwrap();
    let mut out = String::from("step,lr,loss\n");
    for line in log.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let (t, loss) = (cells[0].parse().unwrap(), cells[2].parse().unwrap());
        out += &format!("{},{},{:.6}\n", cells[0], cells[1], change(t, loss));
    }
    std::fs::write(at(name), out).unwrap();
    at(name)
}

fn watched(log: &str, more: &[&str], code: i32) -> Value {
    let words = ["watch", log, "--fit", &at("small.json"), "--steps", "20k", "--once", "--json", "--fail-on"];
    let events = "diverged,leaves-band,no-improvement";
    lehr(&[&words[..], &[events], more].concat()).expect(code).json()
}

fn events(found: &Value) -> Vec<&str> {
    found["events"].as_array().unwrap().iter().map(|event| event["event"].as_str().unwrap()).collect()
}

#[test]
fn a_clean_job_raises_nothing_and_a_sick_one_ends_with_4() {
    let clean = watched(&at("job.csv"), &[], 0);
    assert_eq!(events(&clean), Vec::<&str>::new());
    let job = &clean["jobs"][0];
    assert_eq!((&job["id"], &job["update"], &job["steps"]), (&"job".into(), &9_000.into(), &20_000.into()));
    assert_eq!((&job["band"]["left"], &job["problem"]), (&false.into(), &Value::Null));
    // Off its law by 2 % from update 5,000 on: no band holds it.
    let off = changed_log("off.csv", |t, loss| if t > 5_000 { 1.02 * loss } else { loss });
    assert!(events(&watched(&off, &["--accept-caveats"], 4)).contains(&"leaves-band"));
    let rising = changed_log("rising.csv", |t, loss| loss + 1e-4 * t.saturating_sub(7_000) as f64);
    assert!(events(&watched(&rising, &["--accept-caveats"], 4)).contains(&"no-improvement"));
    let burst = changed_log("burst.csv", |t, loss| if t > 8_000 { loss + 2.0 } else { loss });
    assert!(events(&watched(&burst, &["--accept-caveats"], 4)).contains(&"diverged"));
}

#[test]
fn forecasts_are_kept_with_their_time_and_scored_against_what_happened() {
    let saved = at("kept.jsonl");
    drop(std::fs::remove_file(&saved));
    let fit = at("small.json");
    // The simulated runs themselves, as far as 9,000 of their updates: a constant run and its plan of 20,000.
    let words = ["watch", &at("job.csv"), "--fit", &fit, "--steps", "20k", "--once", "--save", &saved];
    lehr(&words).expect(0);
    lehr(&words).expect(0);
    let text = std::fs::read_to_string(&saved).unwrap();
    assert_eq!(text.lines().count(), 2);
    let first: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&first["job"], &first["update"], &first["steps"]),
        (&"job".into(), &9_000.into(), &20_000.into())
    );
    assert!(first["time"].as_str().unwrap().ends_with('Z'));
    // The run that annealed over its last half, as it ended.
    let rows = std::fs::read_to_string(crate::support::root().join("fixtures/runs/curves.csv")).unwrap();
    let mut log = String::from("step,lr,loss\n");
    for row in rows.lines().filter_map(|row| row.strip_prefix("sim-peak2e-3-T20000-r0.5,val,")) {
        log += row;
        log.push('\n');
    }
    std::fs::create_dir_all(at("ended")).unwrap();
    std::fs::write(at("ended/job.csv"), log).unwrap();
    let score = lehr(&["watch", &at("ended/job.csv"), "--score", &saved, "--json"]).expect(0).json();
    let forecasts = score["forecasts"].as_array().unwrap();
    assert_eq!((forecasts.len(), &score["open"]), (2, &0.into()));
    // Measured 3.1838; run-to-run noise is 1 mnat.
    assert!((number(&forecasts[0]["measured"]) - 3.1838).abs() < 1e-3);
    assert!(number(&forecasts[0]["error"]).abs() < 4e-3, "{}", forecasts[0]);
    std::fs::write(at("no-forecasts.jsonl"), "{\"time\": 3}\n").unwrap();
    let bad = lehr(&["watch", &at("job.csv"), "--score", &at("no-forecasts.jsonl")]).expect(1);
    assert!(bad.err.contains("no-forecasts.jsonl:1: no saved forecast"), "{}", bad.err);
}

#[cfg(unix)]
#[test]
fn a_command_is_told_of_an_event_in_json_that_no_shell_reads() {
    let told = at("told.json");
    let odd = at("o'd d.csv");
    std::fs::copy(changed_log("off2.csv", |t, loss| if t > 5_000 { 1.02 * loss } else { loss }), &odd)
        .unwrap();
    let command = format!("printf '%s' {{json}} > {told}");
    let words = ["watch", &odd, "--fit", &at("small.json"), "--steps", "20k", "--once", "--accept-caveats"];
    lehr(&[&words[..], &["--on", "leaves-band", &command]].concat()).expect(0);
    let event: Value = serde_json::from_str(&std::fs::read_to_string(&told).unwrap()).unwrap();
    assert_eq!((&event["event"], &event["job"]), (&"leaves-band".into(), &"o'd d".into()));
    let wrong = lehr(&[&words[..], &["--on", "earthquake", "true"]].concat()).expect(2);
    assert!(wrong.err.contains("'earthquake' is no event; expected one of diverged"), "{}", wrong.err);
}

#[test]
fn several_targets_are_a_row_each_and_a_file_is_what_its_ending_says() {
    let fit = at("small.json");
    let words = ["recommend", &fit, "--steps", "20k", "--peak-lr", "1e-3,2e-3", "--shape", "linear,1-sqrt"];
    let found = lehr(&[&words[..], &["--json"]].concat()).expect(0).json();
    let rows = found["rows"].as_array().unwrap();
    let ratio = |i: usize| number(&rows[i]["ratio"]);
    assert_eq!((&rows[1]["shape"], &rows[2]["peak_lr"]), (&"1-sqrt".into(), &2e-3.into()));
    // A higher peak rate wants more annealing; 1 - sqrt wants less than linear.
    assert!(ratio(0) < ratio(2) && ratio(1) < ratio(0), "{rows:?}");
    let alone = lehr(&["recommend", &fit, "--steps", "20k", "--peak-lr", "2e-3", "--json"]).expect(0).json();
    assert_eq!((&rows[2]["ratio"], &rows[2]["loss"]), (&alone["ratio"], &alone["loss"]));
    for (name, start) in
        [("rows.csv", "N,peak rate,shape"), ("rows.md", "| N | peak rate"), ("rows.tex", "% needs")]
    {
        lehr(&[&words[..], &["-o", &at(name)]].concat()).expect(0);
        let text = std::fs::read_to_string(at(name)).unwrap();
        assert!(text.starts_with(start) && text.lines().count() >= 5, "{name}: {text}");
    }
    let wrong = lehr(&[&words[..], &["-o", &at("rows.xlsx")]].concat()).expect(2);
    assert!(wrong.err.contains("end the name in .json"), "{}", wrong.err);
    lehr(&[&words[..], &["--plot", &at("rows.svg")]].concat()).expect(2);
}

#[test]
fn a_horizon_may_be_tokens_or_compute_and_a_checkpoint_limits_the_ratio() {
    let fit = at("small.json");
    let recommend = |words: &[&str]| {
        lehr(&[&["recommend", &fit, "--peak-lr", "2e-3", "--json", "--accept-caveats"][..], words].concat())
    };
    // The simulated runs have 131,072 tokens an update and 18.87M parameters.
    let steps = |words: &[&str]| recommend(words).expect(0).json()["steps"].clone();
    assert_eq!(steps(&["--tokens", "2621440000"]), 20_000);
    assert_eq!(steps(&["--tokens", "2B", "--tokens-per-step", "100k"]), 20_000);
    assert_eq!(steps(&["--compute", "1.2e18", "--params", "20M", "--tokens-per-step", "500k"]), 20_000);
    assert!(recommend(&["--tokens", "20B", "--steps", "20k"]).expect(2).out.contains("cannot be used with"));
    let late = recommend(&["--steps", "20k", "--from-step", "15k"]).expect(0).json();
    assert!(number(&late["ratio"]) <= 0.25 && number(&late["start_step"]) >= 15_000.0, "{late}");
    assert!(
        recommend(&["--steps", "20k", "--from-step", "20k"])
            .expect(2)
            .out
            .contains("leaves nothing to anneal")
    );
}

#[test]
fn several_trainers_get_a_file_each_with_what_loads_the_checkpoint() {
    let (fit, folder) = (at("small.json"), at("exports"));
    let words = ["recommend", &fit, "--peak-lr", "2e-3", "--steps", "20k", "--export", "megatron,hf,torch"];
    let refused = lehr(&words).expect(2);
    assert!(refused.err.contains("name a folder for them with --export-dir"), "{}", refused.err);
    let answer = lehr(&[&words[..], &["--export-dir", &folder, "--from-step", "9k"]].concat()).expect(0);
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["hf-hf_arguments.py", "megatron-megatron_flags.txt", "torch-schedule.py"]);
    assert!(answer.err.contains("--ckpt-step 9000"), "{}", answer.err);
    assert!(answer.err.contains("resume_from_checkpoint='OUTPUT/checkpoint-9000'"), "{}", answer.err);
}

#[test]
fn inputs_that_have_changed_since_the_fit_are_said() {
    let folder = at("changing");
    std::fs::create_dir_all(&folder).unwrap();
    for name in ["curves.csv", "manifest.csv"] {
        let from = crate::support::root().join("fixtures/runs").join(name);
        std::fs::copy(from, format!("{folder}/{name}")).unwrap();
    }
    let fit = at("changing.json");
    lehr(&["fit", &folder, "--run", "*T10000*", "--starts", "2", "-o", &fit]).expect(0);
    let words = ["recommend", &fit, "--peak-lr", "2e-3", "--steps", "15k"];
    assert!(!lehr(&words).expect(0).err.contains("have changed"));
    let manifest = format!("{folder}/manifest.csv");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(&manifest, text + "\n").unwrap();
    let said = lehr(&words).expect(0).err;
    assert!(said.contains("1 of the 2 files of which the fit was made have changed since"), "{said}");
    // A fit travels without its logs.
    std::fs::remove_dir_all(&folder).unwrap();
    assert!(!lehr(&words).expect(0).err.contains("have changed"));
}

#[cfg(unix)]
#[test]
fn a_watch_follows_a_log_that_grows_is_cut_and_begins_again() {
    use std::io::{BufRead, BufReader, Write};
    let log = at("growing.csv");
    let whole = std::fs::read_to_string(at("job.csv")).unwrap();
    let lines: Vec<&str> = whole.lines().collect();
    let upto = |update: u64| -> String {
        let kept =
            |line: &&&str| line.split(',').next().unwrap().parse::<u64>().map_or(true, |t| t <= update);
        lines.iter().filter(kept).map(|line| format!("{line}\n")).collect()
    };
    std::fs::write(&log, upto(6_000)).unwrap();
    let mut child = crate::support::command()
        .args(["watch", &log, "--fit", &at("small.json"), "--steps", "20k", "--every", "1", "--json"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut updates = || -> u64 {
        let document: Value = serde_json::from_str(&out.next().unwrap().unwrap()).unwrap();
        document["jobs"][0]["update"].as_u64().unwrap()
    };
    assert_eq!(updates(), 6_000);
    // More lines; the last one is not finished yet.
    let more = upto(7_000);
    let mut file = std::fs::OpenOptions::new().append(true).open(&log).unwrap();
    file.write_all(&more.as_bytes()[upto(6_000).len()..more.len() - 3]).unwrap();
    assert_eq!(updates(), 6_900);
    file.write_all(&more.as_bytes()[more.len() - 3..]).unwrap();
    drop(file);
    assert_eq!(updates(), 7_000);
    // Written anew, shorter.
    std::fs::write(&log, upto(5_000)).unwrap();
    assert_eq!(updates(), 5_000);
    let pid = child.id().to_string();
    assert!(std::process::Command::new("kill").args(["-INT", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_job_without_rates_or_names_of_columns_is_read_as_it_is_told() {
    let log = std::fs::read_to_string(at("job.csv")).unwrap();
    let rows: String = log.lines().skip(1).fold("when,what\n".to_owned(), |rows, line| {
        let cells: Vec<&str> = line.split(',').collect();
        rows + &format!("{},{}\n", cells[0], cells[2])
    });
    std::fs::write(at("bare.csv"), rows).unwrap();
    let words = ["recommend", &at("small.json"), "--running", &at("bare.csv"), "--steps", "20k", "--json"];
    let told =
        ["--map", "step=when,loss=what", "--stated-schedule", "constant:peak=2e-3,total=9k,warmup=300"];
    let found = lehr(&[&words[..], &told].concat()).expect(0).json();
    let usual = recommended(&["--steps", "20k"]);
    assert_eq!(found["starts"]["start"], usual["starts"]["start"]);
    assert!(lehr(&[&words[..], &told[..2]].concat()).expect(1).err.contains("--stated-schedule"));
}

#[test]
fn comparisons_and_validations_are_tables_too() {
    let fast = ["--train", "*T10000*", "--starts", "2", "-o"];
    let compare = ["compare", RUNS, "--laws", "nr,chinchilla"];
    lehr(&[&compare[..], &fast, &[&at("laws.csv")]].concat()).expect(0);
    let laws = std::fs::read_to_string(at("laws.csv")).unwrap();
    let rows: Vec<&str> = laws.lines().collect();
    assert!(
        rows[0].starts_with("law,free coefficients,") && rows[1].starts_with("noise-relaxation,"),
        "{laws}"
    );
    lehr(&[&["validate", RUNS][..], &fast, &[&at("runs.md")]].concat()).expect(0);
    let runs = std::fs::read_to_string(at("runs.md")).unwrap();
    assert_eq!(
        (runs.lines().count(), runs.lines().next().unwrap().starts_with("| run | part |")),
        (27, true)
    );
}
