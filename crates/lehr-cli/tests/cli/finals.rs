//! Tables of final losses, and peak rate and batch chosen from them.

use crate::support::{at, lehr};

/// Cosine runs of one size at four rates, three batches and two budgets, from a formula with a best rate and batch.
fn table() -> String {
    let mut text = String::from(
        "run_id,params_non_embedding,tokens_per_step,peak_lr,final_lr,warmup_steps,total_steps,schedule,final_val_loss\n",
    );
    for tokens in [1e9, 4e9] {
        for batch in [125_000_u64, 250_000, 500_000] {
            for rate in [5e-4, 1e-3, 2e-3, 4e-3] {
                let total = (tokens / batch as f64) as u64;
                let (rate_off, batch_off) = ((rate / 1.5e-3_f64).ln(), (batch as f64 / 2.5e5).ln());
                let loss = 2.2
                    + 0.6 * (tokens / 1e9).powf(-0.2)
                    + 0.02 * rate_off * rate_off
                    + 0.01 * batch_off * batch_off;
                text += &format!(
                    "d{tokens:.0e}-b{batch}-lr{rate},2e8,{batch},{rate},1e-5,200,{total},cosine,{loss:.4}\n"
                );
            }
        }
    }
    text + "hot,2e8,250000,0.02,1e-5,200,4000,cosine,9.0\nshort,2e8,250000,1e-3,1e-5,200,150,cosine,5.0\n"
}

#[test]
fn final_losses_are_fitted_by_laws_that_see_the_schedule_and_rate_and_batch_are_chosen() {
    let folder = at("finals");
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(format!("{folder}/manifest.csv"), table()).unwrap();
    let fit = at("finals.json");
    let made = lehr(&["fit", &folder, "--starts", "2", "--accept-caveats", "-o", &fit]).expect(0);
    assert!(made.err.contains("26 runs are final losses alone"), "{}", made.err);
    assert!(made.err.contains("'hot' is left out because it never learned"), "{}", made.err);
    assert!(made.err.contains("'short'"), "{}", made.err);
    let text = std::fs::read_to_string(&fit).unwrap();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(document["runs"].as_array().unwrap().len(), 24);
    assert!(document["metrics"]["mape"].as_f64().unwrap() < 0.02, "{}", document["metrics"]);

    let ask = ["recommend", &fit, "--optimise", "peak-lr,batch,ratio", "--accept-caveats", "--json"];
    let chosen = lehr(&[&ask[..], &["--tokens", "2B"]].concat()).expect(0).json();
    let (rate, batch) = (&chosen["best"]["peak_lr"], &chosen["best"]["tokens_per_step"]);
    assert!((5e-4..=4e-3).contains(&rate.as_f64().unwrap()), "{rate}");
    assert!((125_000..=500_000).contains(&batch.as_u64().unwrap()), "{batch}");
    assert_eq!(chosen["fixed"]["tokens"], 2_000_000_000_u64);
    let updates = chosen["best"]["total"].as_u64().unwrap();
    assert_eq!(updates, 2_000_000_000 / batch.as_u64().unwrap());
    // 6·N·D operations are the same budget.
    let compute = lehr(&[&ask[..], &["--compute", "2.4e18", "--params", "200M"]].concat()).expect(0).json();
    assert_eq!(compute["best"], chosen["best"]);
}

#[test]
fn patterns_leave_runs_out() {
    let runs = |more: &[&str]| {
        let list = lehr(&[&["inspect", "fixtures/runs", "--json"][..], more].concat()).expect(0).json();
        list["runs"].as_array().unwrap().len()
    };
    let (all, constant) = (runs(&[]), runs(&["--run", "*constant"]));
    assert!(constant > 0 && constant < all);
    assert_eq!(runs(&["--exclude", "*constant"]), all - constant);
    assert_eq!(runs(&["--run", "!*constant"]), all - constant);
}

#[test]
fn a_joint_choice_that_contradicts_itself_is_refused() {
    let fit = at("fit.json");
    for (more, wanted) in [
        (&["--peak-lr", "1e-3", "--optimise", "peak-lr", "--steps", "10k"][..], "--optimise is to choose it"),
        (&["--optimise", "batch", "--steps", "10k"], "the peak rate is missing"),
        (&["--optimise", "peak-lr", "--peak-lr-range", "2e-3..1e-3", "--steps", "10k"], "2e-4..4e-3"),
        (&["--optimise", "peak-lr", "--plot", "x.svg", "--steps", "10k"], "yet to choose"),
        (&["--peak-lr", "1e-3", "--batch-range", "1k..2k", "--steps", "10k"], "--optimise"),
    ] {
        let said = lehr(&[&["recommend", &fit][..], more].concat()).expect(2).err;
        assert!(said.contains(wanted), "{more:?}: {said}");
    }
}
