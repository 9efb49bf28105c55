//! `lehr report`: what is in the files, and that strangers' names stay text.

use crate::support::{at, lehr};

const RUNS: &str = "fixtures/runs";
const TARGET: [&str; 4] = ["--peak-lr", "2e-3", "--steps", "20k"];

#[test]
fn a_report_is_one_file_that_names_nothing_outside_of_itself() {
    let (fit, page) = (at("fit.json"), at("one.html"));
    let line = ["report", &fit, RUNS, "-o", &page, "--accept-caveats", "--starts", "2"];
    let said = lehr(&[&line[..], &TARGET].concat()).expect(0);
    assert!(said.out.starts_with("anneal over the last "), "{}", said.out);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.len() < 1_000_000, "{} bytes", text.len());
    for outside in ["src=", "href=\"http", "url(", "@import", "<link", "<iframe"] {
        assert!(!text.contains(outside), "{outside}");
    }
    let recommended =
        lehr(&[&["recommend", &fit, "--json", "--accept-caveats"][..], &TARGET].concat()).expect(0).json();
    assert!(
        text.contains(&format!("<strong>{:.4}</strong>", recommended["loss"]["value"].as_f64().unwrap()))
    );
    for id in
        ["forecast", "ratio", "explore", "residuals", "laws", "coefficients", "data", "exports", "provenance"]
    {
        assert!(text.contains(&format!("<section id=\"{id}\"")), "no section {id}");
    }
    for target in ["torch", "hf", "megatron", "optax"] {
        assert!(text.contains(&format!("data-copy=\"x-{target}\"")), "no snippet for {target}");
    }
}

#[test]
fn a_report_without_runs_says_what_is_missing() {
    let (fit, page) = (at("fit.json"), at("bare.html"));
    lehr(&[&["report", &fit, "-o", &page, "--accept-caveats"][..], &TARGET].concat()).expect(0);
    let text = std::fs::read_to_string(&page).unwrap();
    assert!(text.contains("The runs were not given"), "no word about the runs");
    assert!(!text.contains("<section id=\"residuals\""));
}

#[test]
fn names_of_runs_stay_text() {
    let folder = at("hostile-names");
    std::fs::create_dir_all(&folder).unwrap();
    let hostile = "<img src=x onerror=alert(1)>\u{202e}</script><script>alert(2)</script>";
    for (i, end) in [0.0, 0.2, 0.5, 0.8].iter().enumerate() {
        let mut log = String::from("run,step,lr,loss\n");
        for t in (10..=2000).step_by(10) {
            let rate =
                if t as f64 > 2000.0 * (1.0 - end) { (2000.0 - f64::from(t)) / (2000.0 * end) } else { 1.0 };
            let loss = 2.0 + 3.0 / f64::from(t).sqrt() + 0.02 * rate;
            log += &format!("\"{hostile}{i}\",{t},{:e},{loss:.5}\n", 1e-3 * rate);
        }
        std::fs::write(format!("{folder}/run{i}.csv"), log).unwrap();
    }
    let fit = ["--starts", "2", "--accept-caveats", "--skip-laws"];
    let target = ["--peak-lr", "1e-3", "--steps", "4000"];
    let (page, notes) = (at("hostile.html"), at("hostile.md"));
    for out in [&page, &notes] {
        lehr(&[&["report", &folder, "-o", out][..], &fit, &target].concat()).expect(0);
        let text = std::fs::read_to_string(out).unwrap();
        assert!(text.contains("&lt;img src=x onerror=alert(1)&gt;"), "the name is not there as text");
        assert!(
            !text.contains("<img src=x") && !text.contains("<script>alert") && !text.contains('\u{202e}'),
            "{out}"
        );
    }
}

#[test]
fn a_folder_holds_figures_and_tables_for_a_paper() {
    let (fit, folder) = (at("fit.json"), at("paper"));
    let line = ["report", &fit, RUNS, "-o", &folder, "--accept-caveats", "--skip-laws"];
    lehr(&[&line[..], &TARGET].concat()).expect(0);
    let read = |name: &str| {
        std::fs::read(format!("{folder}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    assert!(read("figures/forecast.svg").starts_with(b"<svg"));
    assert!(read("figures/ratio.png").starts_with(b"\x89PNG"));
    let rules = String::from_utf8(read("tables/rules.csv")).unwrap();
    assert!(rules.starts_with("rule,schedule,final loss (nats),costs (mnat)"), "{rules}");
    assert_eq!(rules.lines().count(), 8, "{rules}");
    assert!(String::from_utf8(read("tables/coefficients.tex")).unwrap().contains("\\toprule"));
    assert!(String::from_utf8(read("report.md")).unwrap().contains("](figures/residuals.svg)"));
}

#[test]
fn where_a_report_goes_is_checked_before_any_work() {
    let fit = at("fit.json");
    let answer = lehr(&["report", &fit, "-o", "report.pdf"]).expect(2);
    assert!(answer.err.contains("a report is no .pdf file"), "{}", answer.err);
    let answer = lehr(&["report", &fit, &fit, "-o", &at("two.html")]).expect(2);
    assert!(answer.err.contains("one fit at a time"), "{}", answer.err);
    lehr(&["report", &fit, "-o", &at("nowhere/report.html")]).expect(1);
}
