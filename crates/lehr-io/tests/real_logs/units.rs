//! Units, names of columns, moving averages.

use super::{load, loss, one, rate, rows, text};
use lehr::{CaveatKind, LossKind, Split};
use lehr_io::{LossUnit, ReadOptions, Source};
use std::f64::consts::LN_2;

fn csv(columns: &str, row: impl Fn(u64) -> String) -> Vec<Source> {
    text(&[(
        "a.csv",
        format!("step,{columns},lr\n{}\n", rows(|t| format!("{t},{},{}", row(t), rate(t))).join("\n")),
    )])
}

fn in_bits(t: u64) -> f64 {
    loss(t) / LN_2
}

/// The loss of update 1000 comes out in nats.
fn assert_nats(sources: &[Source], options: &ReadOptions) {
    let run = one(sources, options);
    let at = run.curve.step().iter().position(|&t| t == 1000).unwrap();
    assert!((run.curve.loss()[at] - loss(1000)).abs() < 2e-3, "{}", run.curve.loss()[at]);
}

#[test]
fn bits_beside_a_perplexity_or_in_the_name_become_nats() {
    let plain = ReadOptions::default();
    assert_nats(&csv("loss,ppl", |t| format!("{},{:.2}", in_bits(t), loss(t).exp())), &plain);
    assert_nats(&csv("loss,ppl", |t| format!("{},{:.2}", loss(t), loss(t).exp())), &plain);
    assert_nats(&csv("loss_bits", |t| in_bits(t).to_string()), &plain);
    assert_nats(&csv("train/bits_per_token", |t| in_bits(t).to_string()), &plain);
    let fairseq = rows(|t| {
        format!(
            "0: 2022-01-01 00:00:00 | INFO | train_inner | {{\"loss\": \"{:.3}\", \"ppl\": \"{:.2}\", \"num_updates\": \"{t}\", \"lr\": \"{}\"}}",
            in_bits(t),
            loss(t).exp(),
            rate(t)
        )
    });
    assert_nats(&text(&[("metaseq.log", fairseq.join("\n") + "\n")]), &plain);
    // The validation loss is written by the same logger, although no perplexity stands beside it.
    let both = csv("train_loss,ppl,val_loss", |t| {
        let validation = if t % 100 == 0 { in_bits(t).to_string() } else { String::new() };
        format!("{},{:.2},{validation}", in_bits(t), loss(t).exp())
    });
    assert_eq!(one(&both, &plain).curve.meta().split, Split::Validation);
    assert_nats(&both, &plain);
    assert_nats(
        &csv("loss", |t| in_bits(t).to_string()),
        &ReadOptions { unit: Some(LossUnit::Bits), ..ReadOptions::default() },
    );
}

#[test]
fn a_perplexity_that_agrees_with_no_unit_is_said() {
    let run =
        one(&csv("loss,ppl", |t| format!("{},{}", loss(t), (1.4 * loss(t)).exp())), &ReadOptions::default());
    let found = run.caveats.iter().find_map(|caveat| match caveat.kind() {
        CaveatKind::UnknownUnit { ratio, .. } => Some(*ratio),
        _ => None,
    });
    assert!((found.unwrap() - 1.4).abs() < 1e-9);
    assert!((run.curve.loss()[99] - loss(1000)).abs() < 1e-12);
}

#[test]
fn losses_a_byte_and_a_token_do_not_go_together() {
    let table = |columns: &str, scale: f64| {
        format!(
            "step,{columns},lr\n{}\n",
            rows(|t| format!("{t},{},{}", scale * loss(t), rate(t))).join("\n")
        )
    };
    let files = [("a.csv", table("train/bpb", 0.4)), ("b.csv", table("loss", 1.0))];
    let (runs, summary) = load(&text(&files), &ReadOptions::default()).unwrap();
    assert!((runs[0].curve.loss()[99] - 0.4 * LN_2 * loss(1000)).abs() < 1e-12);
    assert!(runs[0].caveats.iter().any(|caveat| caveat.code() == "loss-per-byte"));
    assert!(summary.caveats.iter().any(|caveat| caveat.code() == "mixed-units" && caveat.blocking()));
    let (_, one_unit) = load(&text(&files[..1]), &ReadOptions::default()).unwrap();
    assert_eq!(one_unit.caveats, []);
}

#[test]
fn columns_are_found_by_their_words() {
    for name in ["Metrics/loss", "Loss/train", "Train Loss", "interval_loss", "cross_entropy"] {
        let run = one(&csv(name, |t| loss(t).to_string()), &ReadOptions::default());
        assert_ne!(run.curve.meta().split, Split::Validation, "{name}");
        assert!((run.curve.loss()[99] - loss(1000)).abs() < 1e-12, "{name}");
    }
    for name in ["Validation Loss", "Loss/val", "eval/c4_en-validation/CrossEntropyLoss", "heldout_ce"] {
        let both = csv(&format!("train_loss,{name}"), |t| {
            format!("{},{}", loss(t), if t % 100 == 0 { (loss(t) + 0.01).to_string() } else { String::new() })
        });
        let run = one(&both, &ReadOptions::default());
        assert_eq!((run.curve.meta().split, run.curve.step().len()), (Split::Validation, 20), "{name}");
    }
    // Rows without a validation that hold NaN, as some writers of tables do.
    let written = csv("train_loss,val_loss", |t| {
        format!("{},{}", loss(t), if t % 100 == 0 { (loss(t) + 0.01).to_string() } else { "NaN".to_owned() })
    });
    assert_eq!(one(&written, &ReadOptions::default()).curve.step().len(), 20);
}

/// Losses of every update with independent noise of 40 mnat, averaged.
fn averaged(decay: f64) -> impl Fn(u64) -> f64 {
    let mut state = 11_u64;
    let (mut average, mut all) = (0.0, vec![0.0]);
    for t in 1..=6000_u64 {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let uniform = (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5;
        average = decay * average + (1.0 - decay) * (loss(t) + 0.04 * 12.0_f64.sqrt() * uniform);
        all.push(average / (1.0 - decay.powf(t as f64)));
    }
    move |t| all[t as usize]
}

#[test]
fn a_moving_average_is_undone_or_named_with_its_effect() {
    let every = |name: &str, decay: f64| {
        let value = averaged(decay);
        let rows: Vec<String> = (1..=6000).map(|t| format!("{t},{},{}", value(t), 1e-3)).collect();
        text(&[("a.csv", format!("step,{name},lr\n{}\n", rows.join("\n")))])
    };
    let undone = one(&every("loss_ema_0.98", 0.98), &ReadOptions::default());
    assert!(undone.notes.iter().any(|note| note.code == "average-undone"), "{:?}", undone.notes);
    assert!((undone.health.noise.unwrap() - 0.04).abs() < 0.01, "{:?}", undone.health.noise);
    let unknown = one(&every("loss", 0.98), &ReadOptions::default());
    let lag = unknown.caveats.iter().find_map(|caveat| match caveat.kind() {
        CaveatKind::SmoothedLoss { lag, effect, .. } => lag.zip(*effect),
        _ => None,
    });
    let (lag, effect) = lag.unwrap();
    // The average of decay 0.98 lags 49 updates behind.
    assert!((30.0..75.0).contains(&lag), "{lag}");
    let slope = (loss(5700) - loss(6000)) / 300.0;
    assert!((effect / (slope * lag)).ln().abs() < 1.5, "{effect}, {}", slope * lag);
    let plain = one(&every("loss", 0.0), &ReadOptions::default());
    assert!(!plain.caveats.iter().any(|caveat| caveat.code() == "smoothed-loss"));
    let named = one(&every("smoothed_loss", 0.0), &ReadOptions::default());
    assert!(named.caveats.iter().any(|caveat| caveat.code() == "smoothed-loss"));
    let stated = ReadOptions { loss_kind: Some(LossKind::Ema(0.98)), ..ReadOptions::default() };
    let stated = one(&every("loss", 0.98), &stated);
    assert!(stated.notes.iter().any(|note| note.code == "average-undone"));
}
