//! Every mistake that a user can make is answered with what was found, what to do, and an exit code.

use crate::support::{conversation, lehr};

#[test]
fn mistakes_in_reading() {
    insta::assert_snapshot!(conversation(&[
        "inspect nowhere",
        "inspect 'nowhere/*.csv'",
        "inspect",
        "inspect DIR/hollow",
        "inspect DIR/empty.csv",
        "inspect DIR/fit.json",
        "fit fixtures/runs/curves.csv --map loss=ce",
        "fit fixtures/runs --map loss",
        "fit fixtures/runs --map colour=red",
        "fit fixtures/runs --run nothing",
        "fit fixtures/runs --split train",
        "fit fixtures/runs --params 0",
        "fit fixtures/runs --params many",
        "fit fixtures/runs --params-column width",
        "fit fixtures/runs --manifest nowhere.csv",
    ]));
}

#[test]
fn mistakes_in_fitting() {
    insta::assert_snapshot!(conversation(&[
        "fit",
        "fit fixtures/runs --law crystal-ball",
        "fit fixtures/runs --fix alpha",
        "fit fixtures/runs --fix alpha=much",
        "fit fixtures/runs --fix alpha=inf",
        "fit fixtures/runs --fix beta=1",
        "fit fixtures/runs --fix kappa=-1",
        "fit fixtures/runs --fix l0=1,a=1,alpha=1,b=1,kappa=1,s0=1,e_c=1,q=1,delta=1,p=1",
        "fit fixtures/runs --free beta",
        "fit fixtures/runs --bound alpha=0.1",
        "fit fixtures/runs --bound alpha=2..1",
        "fit fixtures/runs --bound beta=1..2",
        "fit fixtures/runs --bound kappa=-1..1",
        "fit fixtures/runs --prior q=0.6",
        "fit fixtures/runs --prior q=0.6±0",
        "fit fixtures/runs --prior beta=0.6±0.1",
        "fit fixtures/runs --points 1",
        "fit fixtures/runs --points few",
        "fit fixtures/runs --huber -1",
        "fit fixtures/runs --huber nan",
        "fit fixtures/runs --level 0",
        "fit fixtures/runs --level 90",
        "fit fixtures/runs --level -0.5",
        "fit fixtures/runs --starts 0",
        "fit fixtures/runs --threads 0",
        "fit fixtures/runs --skip-warmup -1",
        "fit fixtures/runs --first-update 1M",
        "fit fixtures/runs --momentum often",
        "fit fixtures/runs --momentum 0",
        "fit fixtures/runs --residual cubic",
        "fit fixtures/runs -o DIR/nowhere/fit.json",
        "fit fixtures/runs -o DIR/hollow",
        "fit DIR/table.csv --law multi-power",
        "fit fixtures/runs --no-such-flag",
    ]));
}

#[test]
fn mistakes_in_judging() {
    insta::assert_snapshot!(conversation(&[
        "validate fixtures/runs --train nothing",
        "validate fixtures/runs --train '*'",
        "validate fixtures/runs --train '*T10000*' --test '*T1e9*'",
        "validate fixtures/runs --test '*T20000*'",
        "validate fixtures/runs --leave-out size",
        "validate fixtures/runs --leave-out colour",
        "validate fixtures/runs --leave-out run --train '*T10000*'",
        "validate fixtures/runs --law crystal-ball --train '*T10000*'",
        "compare fixtures/runs --laws nr,crystal-ball --train '*T10000*'",
        "compare fixtures/runs --train nothing",
        "compare fixtures/runs --plot picture.gif --train '*T10000*'",
        "compare fixtures/runs --laws nr,cmmt --train '*T10000*' --fix lambda=3",
    ]));
}

#[test]
fn mistakes_with_fits() {
    let files = [
        "nowhere.json",
        "table.csv",
        "cut.json",
        "other-format.json",
        "no-format.json",
        "no-law.json",
        "unknown-law.json",
        "other-law.json",
        "one-short.json",
        "renamed.json",
        "text-value.json",
        "short-refit.json",
        "no-runs.json",
        "wrong-level.json",
    ];
    let lines: Vec<String> = files
        .iter()
        .map(|file| format!("forecast DIR/{file} --peak-lr 1e-3 --steps 20k --warmup 300"))
        .chain(
            files
                .iter()
                .take(6)
                .map(|file| format!("recommend DIR/{file} --peak-lr 1e-3 --steps 20k --warmup 300")),
        )
        .chain(["transfer fixtures/runs --fit DIR/renamed.json".to_owned()])
        .collect();
    insta::assert_snapshot!(conversation(&lines.iter().map(String::as_str).collect::<Vec<_>>()));
}

#[test]
fn mistakes_in_forecasting() {
    insta::assert_snapshot!(conversation(&[
        "forecast",
        "forecast DIR/fit.json",
        "forecast DIR/fit.json --peak-lr 1e-3",
        "forecast DIR/fit.json --peak-lr -1e-3 --steps 20k",
        "forecast DIR/fit.json --peak-lr fast --steps 20k",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 0",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 1e30",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 30k",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --ratio 2",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --ratio -0.1",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --ratio 0.99",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --shape wavy",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --final-lr 1",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --schedule cosine:peak=1e-3,total=20k",
        "forecast DIR/fit.json --schedule zigzag",
        "forecast DIR/fit.json --schedule wsd:peak=1e-3",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --at 30k",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --at 0",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --level 1",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --params 0",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --arch sparse",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --plot picture.gif",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --plot DIR/nowhere/picture.svg",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k -o DIR/nowhere/forecast.csv",
        "forecast DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --measured nowhere",
    ]));
}

#[test]
fn mistakes_in_recommending() {
    insta::assert_snapshot!(conversation(&[
        "recommend DIR/fit.json",
        "recommend DIR/blind.json --peak-lr 1e-3 --steps 20k --warmup 300",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --ratio-range 0.5",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --ratio-range 0.5..0.2",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --ratio-range -1..2",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --ratio-range 0.5..0.9 --max-anneal-steps 100",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --tolerance -1",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 30k",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --shape geometric",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --warmup 300 --final-lr 1",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k --plot picture",
        "recommend DIR/fit.json --peak-lr 1e-3 --steps 20k -o DIR/nowhere/r.json",
    ]));
}

#[test]
fn mistakes_in_transferring_and_in_schedules() {
    insta::assert_snapshot!(conversation(&[
        "transfer fixtures/runs --run '*constant'",
        "transfer fixtures/runs --peak-lr 1e-3",
        "transfer fixtures/runs --level 3",
        "transfer fixtures/runs --plot picture.gif",
        "transfer fixtures/runs --fit nowhere.json",
        "transfer fixtures/runs --peak-lr 1e-3 --steps 20k --arch moe",
        "schedule",
        "schedule --wsd peak=3e-4",
        "schedule --wsd peak=3e-4,total=24k,warmup=2160,ratio=1.2",
        "schedule --wsd peak=3e-4,total=24k,warmup=2160,ratio=0.95",
        "schedule --wsd peak=3e-4,total=24k,pace=2",
        "schedule --cosine peak=fast,total=24k",
        "schedule --spec zigzag:1",
        "schedule --wsd peak=3e-4,total=24k,ratio=0.2 -o rates.xlsx",
        "schedule --from-log nowhere.csv",
        "schedule --from-log DIR/empty.csv",
        "laws crystal-ball",
        "completions tcsh",
        "conjure",
    ]));
}

#[test]
fn a_fit_is_written_and_its_answers_exit_with_3_unless_the_caveat_is_accepted() {
    let cases: [(&[&str], &str); 3] = [
        (&["--run", "sim-peak2e-3-T20000-cosine", "--starts", "2"], "whole-run-annealing"),
        (&["--run", "*constant", "--starts", "2"], "no-annealing"),
        (&["--max-iterations", "1", "--starts", "2"], "not-converged"),
    ];
    for (words, code) in cases {
        let fit = crate::support::at(&format!("{code}.json"));
        let words = [&["fit", "fixtures/runs", "-o", &fit][..], words].concat();
        lehr(&words).expect(0);
        let ask = ["recommend", &fit, "--peak-lr", "2e-3", "--steps", "20k", "--warmup", "300"];
        let refused = lehr(&ask).expect(3);
        assert!(refused.err.contains("CAVEAT: "), "{}", refused.err);
        assert!(refused.err.contains("hint: --accept "), "{}", refused.err);
        assert!(refused.out.contains("Anneal (decay) over the last"), "the answer is printed all the same");
        // What blocks is said once, and what it is called is named.
        let accepted = lehr(&[&ask[..], &["--accept-caveats", "--json"]].concat()).expect(0).json();
        let found = accepted["caveats"].as_array().unwrap();
        assert!(found.iter().any(|c| c["code"] == code && c["blocking"] == true), "{code}: {found:?}");
        let all: Vec<&str> =
            found.iter().filter(|c| c["blocking"] == true).map(|c| c["code"].as_str().unwrap()).collect();
        lehr(&[&ask[..], &["--accept", &all.join(",")]].concat()).expect(0);
        if all.len() > 1 {
            lehr(&[&ask[..], &["--accept", all[0]]].concat()).expect(3);
        }
    }
    lehr(&["fit", "fixtures/runs", "--accept", "spikes"]).expect(2);
}

#[test]
fn targets_that_the_runs_say_nothing_about_block() {
    let fit = crate::support::at("fit.json");
    for (words, code) in [(["--params", "1.3B"], "unseen-size"), (["--arch", "moe"], "other-architecture")] {
        for verb in ["forecast", "recommend"] {
            let target = [verb, &fit, "--peak-lr", "1e-3", "--steps", "20k", "--warmup", "300"];
            let words = [&target[..], &words].concat();
            let refused = lehr(&words).expect(3);
            assert!(refused.err.contains(&format!("blocking caveat '{code}'")), "{}", refused.err);
            lehr(&[&words[..], &["--accept-caveats"]].concat()).expect(0);
        }
    }
}

#[test]
fn one_peak_rate_says_nothing_about_another() {
    let fit = crate::support::at("one-rate.json");
    let runs = ["fit", "fixtures/runs", "--run", "*2e-3-T10000*", "--starts", "2", "--accept-caveats"];
    lehr(&[&runs[..], &["-o", &fit]].concat()).expect(0);
    let target = ["forecast", &fit, "--peak-lr", "5e-4", "--steps", "10k", "--warmup", "300"];
    let refused = lehr(&target).expect(3);
    assert!(refused.err.contains("blocking caveat 'unseen-peak-rate'"), "{}", refused.err);
}
