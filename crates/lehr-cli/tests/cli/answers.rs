//! Every verb answers on the simulated runs, in text and in JSON.

use crate::support::{RUNS, at, lehr, masked};
use serde_json::Value;

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

/// Whether a number is close to what is known of the simulation.
fn near(value: &Value, wanted: f64, tolerance: f64) {
    assert!((number(value) - wanted).abs() <= tolerance, "{value}, expected {wanted} ± {tolerance}");
}

#[test]
fn inspect_shows_every_run() {
    let answer = lehr(&["inspect", RUNS]).expect(0);
    insta::assert_snapshot!("inspect", answer.out);
    let document = lehr(&["inspect", RUNS, "--json"]).expect(0).json();
    assert_eq!(document["runs"].as_array().unwrap().len(), 25);
    assert_eq!(document["twins"].as_array().unwrap().len(), 1);
}

#[test]
fn fit_says_what_was_fitted_and_how_well() {
    let answer = lehr(&["fit", RUNS, "--starts", "4"]).expect(0);
    insta::assert_snapshot!("fit", masked(&answer.out));
    insta::assert_snapshot!("fit-talk", masked(&answer.err));
    let document = lehr(&["fit", RUNS, "--starts", "4", "--json"]).expect(0).json();
    // The truth of fixtures/runs/README.md; run-to-run noise moves the coefficients this much.
    for (name, truth, tolerance) in [("l0", 2.9, 0.02), ("a", 0.6, 0.02), ("alpha", 0.45, 0.01)] {
        let coefficients = document["coefficients"].as_array().unwrap();
        let found = coefficients.iter().find(|c| c["name"] == name).unwrap();
        near(&found["value"], truth, tolerance);
    }
    assert_eq!(document["runs"].as_array().unwrap().len(), 25);
    // The runs' noise of 1 mnat is 0.03 % of the loss.
    assert!(number(&document["metrics"]["mape"]) < 5e-4);
}

#[test]
fn fit_takes_the_coefficients_and_points_that_it_is_told() {
    let words =
        ["--fix", "alpha=0.45,s0=0.1", "--bound", "b=0.1..0.2", "--prior", "q=0.5±0.05", "--points", "all"];
    let document = lehr(&[&["fit", RUNS, "--starts", "2", "--json"][..], &words].concat()).expect(0).json();
    let coefficient = |name: &str| {
        document["coefficients"].as_array().unwrap().iter().find(|c| c["name"] == name).unwrap().clone()
    };
    assert_eq!(coefficient("alpha")["value"], 0.45);
    assert_eq!(coefficient("alpha")["free"], false);
    assert_eq!(coefficient("q")["prior"], true);
    // 3700 rows without those of the warm-up: 3 of 100 and, × 1.3, the one at update 300.
    assert_eq!(document["solution"]["observations"], 3700 - 25 * 3);
    let few = lehr(&["fit", RUNS, "--starts", "2", "--points", "10", "--json"]).expect(0).json();
    assert_eq!(few["solution"]["observations"], 250);
}

#[test]
fn fit_profiles_and_bootstraps_on_demand() {
    let words = ["fit", RUNS, "--run", "*2e-3-T10000*", "--starts", "2", "--profile", "--bootstrap", "4"];
    let answer = lehr(&[&words[..], &["--accept-caveats"]].concat()).expect(0);
    assert!(answer.out.contains("block bootstrap (lower bound)"), "{}", answer.out);
    assert!(answer.out.contains("profile interval (90 %)"), "{}", answer.out);
}

#[test]
fn validate_prints_the_contract() {
    let words = ["validate", RUNS, "--law", "noise-relaxation", "--train", "*T10000*", "--starts", "4"];
    insta::assert_snapshot!("validate", masked(&lehr(&words).expect(0).out));
    let document = lehr(&[&words[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(document["law"], "noise-relaxation");
    assert!(document["n_coefficients"].as_u64().unwrap() >= 9);
    for key in ["r2", "mae", "rmse", "mape", "worst", "final"] {
        assert!(document["train"][key].is_number() && document["test"][key].is_number(), "{key}");
    }
    // Fractions, averaged per curve and then over curves.
    let runs: Vec<&Value> =
        document["per_run"].as_array().unwrap().iter().filter(|run| run["part"] == "test").collect();
    assert_eq!(runs.len(), 12);
    for key in ["mape", "worst", "final"] {
        let mean = runs.iter().map(|run| number(&run[key])).sum::<f64>() / runs.len() as f64;
        near(&document["test"][key], mean, 1e-12);
        assert!(mean > 0.0 && mean < 0.01, "{key} = {mean}");
    }
}

#[test]
fn validate_leaves_out_what_it_is_told() {
    for (what, splits) in [("peak-lr", 2), ("horizon", 2), ("schedule", 12)] {
        let words = ["validate", RUNS, "--leave-out", what, "--starts", "2", "--json"];
        let document = lehr(&words).expect(0).json();
        let judged = document["per_run"].as_array().unwrap().iter().filter(|run| run["part"] == "test");
        assert_eq!(judged.count(), 25, "{what}: every run is judged once");
        let names: std::collections::BTreeSet<String> = document["per_run"]
            .as_array()
            .unwrap()
            .iter()
            .map(|run| run["fold"].as_str().unwrap().to_owned())
            .collect();
        assert!(names.len() >= 2 && names.len() <= splits, "{what}: {names:?}");
    }
}

#[test]
fn compare_puts_the_best_law_first() {
    let words =
        ["compare", RUNS, "--laws", "cmmt,nr,chinchilla-steps", "--train", "*T10000*", "--starts", "4"];
    insta::assert_snapshot!("compare", masked(&lehr(&words).expect(0).out));
    let document = lehr(&[&words[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(document["winner"], "noise-relaxation");
    let errors: Vec<f64> =
        document["laws"].as_array().unwrap().iter().map(|law| number(&law["test"]["mape"])).collect();
    assert!(errors.is_sorted(), "{errors:?}");
}

#[test]
fn forecast_answers_with_an_interval() {
    let fit = at("fit.json");
    let words = ["forecast", &fit, "--peak-lr", "1e-3", "--steps", "40k", "--ratio", "0.2"];
    let answer = lehr(&words).expect(0);
    insta::assert_snapshot!("forecast", masked(&answer.out));
    assert!(answer.err.contains("extrapolates ×2.0 in updates"), "{}", answer.err);
    let document = lehr(&[&words[..], &["--json"]].concat()).expect(0).json();
    // The simulation itself, at a peak and a horizon that no run has: 3.1289 without noise.
    near(&document["final"]["value"], 3.129, 0.01);
    assert!(number(&document["final"]["lower"]) < number(&document["final"]["value"]));
    let lists = ["update", "lr", "loss", "lower", "upper"];
    let lengths: Vec<usize> = lists.iter().map(|key| document[key].as_array().unwrap().len()).collect();
    assert!(lengths.iter().all(|&n| n == lengths[0] && n > 100), "{lengths:?}");
}

#[test]
fn forecast_takes_a_schedule_as_text_and_writes_a_table() {
    let (fit, table) = (at("fit.json"), at("forecast.csv"));
    let words = ["--schedule", "cosine:peak=1e-3,total=20k,warmup=300", "--at", "5k,20k", "-o", &table];
    let answer = lehr(&[&["forecast", &fit][..], &words].concat()).expect(0);
    insta::assert_snapshot!("forecast-at", masked(&answer.out));
    let text = std::fs::read_to_string(&table).unwrap();
    assert_eq!(text.lines().next(), Some("update,lr,loss,lower,upper"));
    assert_eq!(text.lines().count(), 3);
    assert!(answer.err.contains("wrote "), "{}", answer.err);
}

#[test]
fn recommend_prints_the_contract() {
    let fit = at("fit.json");
    let words = ["recommend", &fit, "--params", "18874368", "--peak-lr", "2e-3", "--steps", "20000"];
    let answer = lehr(&words).expect(0);
    insta::assert_snapshot!("recommend", masked(&answer.out));
    let document = lehr(&[&words[..], &["--json"]].concat()).expect(0).json();
    // The best ratio of the simulation without noise is 0.50 (fixtures/runs/README.md).
    near(&document["ratio"], 0.5, 0.05);
    // The answer stands first, and it is short.
    assert!(answer.out.starts_with("Anneal (decay) over the last "), "{}", answer.out);
    assert!(answer.out.lines().count() <= 18, "{}", answer.out);
    for key in ["interval", "plateau"] {
        let (low, high) = (number(&document[key][0]), number(&document[key][1]));
        let ratio = number(&document["ratio"]);
        assert!(low <= ratio && ratio <= high, "{key}: {low} {ratio} {high}");
    }
    assert_eq!(document["start_step"].as_u64().unwrap() + document["anneal_steps"].as_u64().unwrap(), 20_000);
    assert!(document["rules"]["20%"]["regret"].is_number());
    assert!(document["caveats"].is_array());
    near(&document["loss"]["value"], 3.184, 0.01);
}

#[test]
fn recommend_obeys_its_limits() {
    let fit = at("fit.json");
    let words = ["recommend", &fit, "--peak-lr", "2e-3", "--steps", "20k", "--json"];
    let limited = lehr(&[&words[..], &["--max-anneal-steps", "2k"]].concat()).expect(0).json();
    assert!(limited["anneal_steps"].as_u64().unwrap() <= 2000);
    assert!(limited["caveats"].as_array().unwrap().iter().any(|c| c["code"] == "ratio-at-limit"));
    let ranged = lehr(&[&words[..], &["--ratio-range", "0.6..0.9"]].concat()).expect(0).json();
    assert!(number(&ranged["ratio"]) >= 0.6);
    assert!(number(&ranged["plateau"][0]) >= 0.6);
}

#[test]
fn recommend_finds_shapes_and_schedules_and_holds_itself_against_measured_runs() {
    let fit = at("fit.json");
    let words = ["--optimise-shape", "--free-schedule", "--measured", RUNS, "--json"];
    let target = ["recommend", &fit, "--peak-lr", "2e-3", "--steps", "20k"];
    let document = lehr(&[&target[..], &words].concat()).expect(0).json();
    assert!(number(&document["shape"]["gain"]) >= -1e-6);
    assert!(number(&document["free_schedule"]["gain"]) >= 0.0);
    // A plateau as wide as this one costs next to nothing anywhere near its middle.
    assert!(number(&document["measured"][0]["regret"]) < 2e-3);
    assert_eq!(document["asked"]["peak_lr"], 2e-3);
    assert_eq!(document["asked"]["steps"], 20_000);
    // The runs of this peak rate and horizon, and no others, beside what the law says of each: their noise is 1 mnat.
    let runs = document["measured_runs"].as_array().unwrap();
    assert!(runs.len() >= 4, "{runs:?}");
    for run in runs {
        assert!(run["run"].as_str().unwrap().starts_with("sim-peak2e-3-T20000"), "{run}");
        let difference = number(&run["loss"]) - number(&run["forecast"]);
        near(&run["difference"], difference, 1e-12);
        assert!(difference.abs() < 5e-3, "{run}");
    }
}

#[test]
fn measured_runs_that_are_not_beside_the_target_are_named_with_the_reason() {
    let fit = at("fit.json");
    let words = ["recommend", &fit, "--peak-lr", "2e-3", "--steps", "20k", "--measured", RUNS, "-v"];
    let answer = lehr(&words).expect(0);
    assert!(answer.err.contains("its horizon is 10000 updates, not 20000"), "{}", answer.err);
    assert!(answer.err.contains("its peak rate is 5e-4, not 2e-3"), "{}", answer.err);
    assert!(answer.out.contains("measured run"), "{}", answer.out);
    // Two ratios measure no optimum, which is said; they are compared all the same.
    let few =
        lehr(&[&words[..], &["--run", "*peak2e-3-T20000-r0.2*,*peak2e-3-T20000-r0.5*"]].concat()).expect(0);
    assert!(few.err.contains("no optimum is measured: it takes four ratios"), "{}", few.err);
    assert!(few.err.contains("there are 2"), "{}", few.err);
    assert!(few.out.contains("sim-peak2e-3-T20000-r0.2"), "{}", few.out);
}

#[test]
fn costs_and_losses_of_rules_and_ratios_say_the_same() {
    let fit = at("fit.json");
    let document =
        lehr(&["recommend", &fit, "--peak-lr", "2e-3", "--steps", "20k", "--json"]).expect(0).json();
    let best = number(&document["loss"]["value"]);
    for (name, rule) in document["rules"].as_object().unwrap() {
        near(&rule["loss"], best + number(&rule["regret"]), 1e-12);
        // Who loses nothing need not train longer, and who loses must.
        if !rule["equal_updates"].is_null() {
            assert_eq!(
                number(&rule["regret"]) > 1e-5,
                number(&rule["equal_updates"]) > 0.0,
                "{name}: {rule}"
            );
        }
    }
    assert_eq!(document["rules"]["20%"]["ratio"], 0.2);
    assert!(document["rules"]["cosine"]["ratio"].is_null());
}

#[test]
fn a_choice_of_runs_is_that_of_the_logs_to_fit_where_no_others_are_named() {
    let words = ["recommend", RUNS, "--peak-lr", "2e-3", "--steps", "10k", "--no-cache", "--json"];
    let chosen = ["--run", "sim-peak2e-3-T[1]0000-*"];
    let document = lehr(&[&words[..], &chosen].concat()).expect(0).json();
    assert_eq!(document["asked"]["runs_fitted"], 6);
    let twice = lehr(&[&words[..7], &chosen, &["--fit-run", "*"]].concat()).expect(2);
    assert!(twice.err.contains("--run and --fit-run both choose the logs to fit"), "{}", twice.err);
    // A fit has no runs to choose among.
    let fit = at("fit.json");
    let refused = lehr(&["recommend", &fit, "--peak-lr", "2e-3", "--steps", "10k", "--run", "*"]).expect(2);
    assert!(refused.err.contains("choose what is fitted, and "), "{}", refused.err);
    // One pattern of several that names nothing is said.
    let said = lehr(&["inspect", RUNS, "--run", "*r0.2,nosuch*"]).expect(0).err;
    assert!(said.contains("nosuch*: no run has this name"), "{said}");
}

#[test]
fn cosines_alone_leave_the_ratio_open_from_end_to_end() {
    let fit = at("cosines.json");
    lehr(&["fit", RUNS, "--run", "*-cosine", "--starts", "4", "-o", &fit]).expect(0);
    let words = ["recommend", &fit, "--peak-lr", "2e-3", "--steps", "20k", "--json"];
    let document = lehr(&words).expect(3).json();
    assert_eq!(number(&document["interval"][0]), 0.0);
    near(&document["interval"][1], 1.0, 0.03);
}

#[test]
fn a_fit_in_place_of_logs_is_named_as_one() {
    let fit = at("fit.json");
    for words in [vec!["fit", &fit], vec!["inspect", &fit], vec!["transfer", &fit]] {
        let refused = lehr(&words).expect(1);
        assert!(refused.err.contains("this is a fit, and logs are expected here"), "{}", refused.err);
        assert!(refused.err.contains("`lehr recommend "), "{}", refused.err);
    }
}

#[test]
fn transfer_fits_power_laws_and_answers_the_four_questions() {
    let fit = at("fit.json");
    let words = ["transfer", RUNS, "--fit", &fit, "--peak-lr", "1e-3", "--steps", "20k"];
    insta::assert_snapshot!("transfer", masked(&lehr(&words).expect(0).out));
    let document = lehr(&[&words[..], &["--json"]].concat()).expect(0).json();
    assert_eq!(document["measured"].as_array().unwrap().len(), 4);
    assert_eq!(document["stability"].as_array().unwrap().len(), 4);
    let ratio = number(&document["prediction"]["ratio"]);
    assert!(ratio > 0.2 && ratio < 0.6, "{ratio}");
}

#[test]
fn transfer_between_architectures_is_refused_unless_asked_for() {
    let words = ["transfer", RUNS, "--peak-lr", "1e-3", "--steps", "20k", "--arch", "moe"];
    let refused = lehr(&words).expect(1);
    assert!(refused.err.contains("--across-architectures"), "{}", refused.err);
    let allowed = lehr(&[&words[..], &["--across-architectures", "--json"]].concat()).expect(0).json();
    assert_eq!(allowed["caveats"][0]["code"], "across-architectures");
}

#[test]
fn schedule_describes_every_family() {
    let families = [
        "wsd:peak=3e-4,total=24k,warmup=2160,ratio=0.2,shape=1-sqrt",
        "cosine:peak=3e-4,total=24k,warmup=2160,final=10%",
        "constant:peak=3e-4,total=24k,warmup=2160",
        "linear:peak=3e-4,total=24k",
        "two-stage:peak=3e-4,drop=0.9e-4,at=8000,total=16k,warmup=2160",
        "multi-stage:rates=3e-4/1e-4,ends=8k,total=16k",
        "wsd-s:peak=3e-4,warmup=100,cycles=8k+2k/10k+2k",
        "piecewise:100@0..1e-3~linear,900@1e-3",
    ];
    let text: Vec<String> =
        families.iter().map(|spec| lehr(&["schedule", "--spec", spec]).expect(0).out).collect();
    insta::assert_snapshot!("schedule", text.join("\n"));
    let rates = lehr(&["schedule", "--wsd", "peak=1e-3,total=10,warmup=2,ratio=0.5", "--rates"]).expect(0);
    assert_eq!(rates.out.lines().count(), 11);
}

#[test]
fn laws_are_listed_and_shown() {
    insta::assert_snapshot!("laws", lehr(&["laws"]).expect(0).out);
    let list = lehr(&["laws", "--json"]).expect(0).json();
    for law in list["laws"].as_array().unwrap() {
        let name = law["name"].as_str().unwrap();
        let page = lehr(&["laws", name]).expect(0).out;
        assert!(page.contains("what it cannot do") && page.contains("source:"), "{page}");
        let detail = lehr(&["laws", name, "--json"]).expect(0).json();
        assert_eq!(detail["coefficients"].as_array().unwrap().len() as u64, law["n_coefficients"]);
    }
}

#[test]
fn pictures_are_written_in_the_format_of_their_name() {
    let fit = at("fit.json");
    for (name, begin) in [("a.svg", &b"<svg"[..]), ("a.png", &b"\x89PNG"[..]), ("a.txt", &b""[..])] {
        let file = at(name);
        let target = ["--peak-lr", "1e-3", "--steps", "20k", "--plot", &file];
        for verb in ["forecast", "recommend"] {
            lehr(&[&[verb, &fit][..], &target].concat()).expect(0);
            assert!(std::fs::read(&file).unwrap().starts_with(begin), "{verb} {name}");
        }
    }
    let (transfer, compare) = (at("t.svg"), at("c.svg"));
    lehr(&["transfer", RUNS, "--plot", &transfer]).expect(0);
    let split = ["--laws", "nr,cmmt", "--train", "*T10000*", "--starts", "2", "--plot", &compare];
    lehr(&[&["compare", RUNS][..], &split].concat()).expect(0);
    assert!(std::fs::read(transfer).unwrap().starts_with(b"<svg"));
    assert!(std::fs::read(compare).unwrap().starts_with(b"<svg"));
}

#[test]
fn logs_in_place_of_a_fit_are_fitted_once_and_again_when_they_change() {
    let (runs, cache) = (at("one-shot"), at("one-shot-cache"));
    std::fs::create_dir_all(&runs).unwrap();
    let table = std::fs::read_to_string(crate::support::root().join("fixtures/runs/curves.csv")).unwrap();
    let few: Vec<&str> =
        table.lines().filter(|line| line.starts_with("run_id") || line.contains("2e-3-T10000")).collect();
    let file = std::path::Path::new(&runs).join("curves.csv");
    std::fs::write(&file, few.join("\n") + "\n").unwrap();
    let ask = |more: &[&str]| {
        let words = [&["recommend", &runs, "--peak-lr", "2e-3", "--steps", "10k"][..], more].concat();
        let output = crate::support::command().args(&words).env("LEHR_CACHE", &cache).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(output.stderr.clone()));
        (text(output.stdout), text(output.stderr))
    };
    let (first, said) = ask(&[]);
    assert!(said.contains("the fit is kept there"), "{said}");
    let (again, said) = ask(&[]);
    assert!(said.contains("kept there from before"), "{said}");
    assert_eq!(first, again);
    // The same answer as from a fit file.
    let fit = at("one-shot.json");
    lehr(&["fit", &runs, "-o", &fit]).expect(0);
    let apart = lehr(&["recommend", &fit, "--peak-lr", "2e-3", "--steps", "10k"]).expect(0);
    assert_eq!(apart.out, first);
    // One digit of one loss makes another fit.
    let mut changed = few.join("\n") + "\n";
    let at = changed.len() - 2;
    let digit = if &changed[at..=at] == "1" { "2" } else { "1" };
    changed.replace_range(at..=at, digit);
    std::fs::write(&file, changed).unwrap();
    assert!(ask(&[]).1.contains("the fit is kept there"));
    assert!(ask(&["--no-cache"]).1.contains("fitted "), "nothing is read from the cache");
    assert_eq!(std::fs::read_dir(std::path::Path::new(&cache).join("fits")).unwrap().count(), 2);
}

#[test]
fn the_quick_start_is_short_and_ends_with_a_command_that_works() {
    let dir = at("quick-start");
    let answer = lehr(&["quickstart", "--dir", &dir]).expect(0);
    let lines = answer.out.lines().count();
    assert!(lines <= 60, "{lines} lines:\n{}", answer.out);
    let answered = answer.out.lines().nth(1).unwrap();
    assert!(answered.starts_with("Anneal (decay) over the last "), "{}", answer.out);
    // What the folder's own page names is there.
    let page = std::fs::read_to_string(format!("{dir}/README.md")).unwrap();
    let rows =
        page.lines().filter(|line| line.starts_with("| `")).map(|line| line.split('|').nth(1).unwrap());
    let named: Vec<&str> =
        rows.flat_map(|cell| cell.split(", ")).map(|name| name.trim().trim_matches('`')).collect();
    assert_eq!(named, ["report.md", "atlas/", "fit.json", "forecast.svg", "ratio.svg"]);
    for name in named {
        assert!(std::path::Path::new(&dir).join(name).exists(), "{name}");
    }
    let hint = answer.out.lines().rev().find(|line| line.contains("lehr recommend runs/")).unwrap();
    let words: Vec<&str> =
        hint.split_whitespace().skip(1).map(|word| if word == "runs/" { RUNS } else { word }).collect();
    let output = crate::support::command()
        .args(&words)
        .arg("--accept-caveats")
        .env("LEHR_CACHE", at("quick-start-cache"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn shares_in_percent_and_the_names_of_other_programs_are_taken() {
    let fit = at("fit.json");
    let plain = lehr(&["forecast", &fit, "--peak-lr", "1e-3", "--steps", "20k", "--ratio", "0.3"]).expect(0);
    for words in [["--lr", "--max-steps", "--decay"], ["--peak-lr", "--steps", "--cooldown"]] {
        let line = ["forecast", &fit, words[0], "1e-3", words[1], "20k", words[2], "30%"];
        assert_eq!(lehr(&line).expect(0).out, plain.out);
    }
    let wrong = lehr(&["forecast", &fit, "--lr", "1e-3", "--steps", "20k", "--ratio", "30"]).expect(2);
    assert!(wrong.err.contains("'30' is not a share between 0 and 1 such as 0.3 or 30%"), "{}", wrong.err);
}
