//! nanochat: flags of its base training script.

use super::plan::{Plan, factor, plain, shape_note, share};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "nanochat",
    aliases: &[],
    title: "nanochat",
    shapes: "linear",
    remark: "",
    evidence: Evidence::Documentation,
    resume: "its --resume-from-step sets the counter, and the flags alone decide the rates",
    load: "base_train --resume-from-step={step} with these flags",
    log: None,
    write: Write::Phases(|plan| Ok(write(plan))),
};

/// Rates of `get_lr_multiplier`: n updates done, `[warm-up, warm-down]`, times the peak.
fn model(plan: &Plan<'_>, floor: f64, arguments: &[i64]) -> Option<Vec<f64>> {
    let (t, [w, d]) = (plan.total as i64, [arguments[0], arguments[1]]);
    let back = (t as f64 * share(d, t)).round_ties_even() as i64;
    if d > t || back != d || (d == 0 && plan.anneal > 0) {
        return None;
    }
    Some(plan.by_done(|n| {
        let factor = if n < w {
            (n + 1) as f64 / w as f64
        } else if n <= t - d {
            1.0
        } else {
            floor + (1.0 - floor) * factor(Shape::Linear, 1.0 - (t - n) as f64 / d as f64)
        };
        plan.peak * factor
    }))
}

fn write(plan: &Plan<'_>) -> Draft {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let floor = if d == 0 { 0.0 } else { plan.floor() };
    let start = [w, if d == 0 { 0 } else { (d + 1).min(t) }];
    let found = nearest_shape(plan, &[Shape::Linear], &start, |_, arguments| model(plan, floor, arguments));
    let (arguments, rates) = match found {
        Some(found) => (found.arguments, found.rates),
        None => (vec![0, 0], vec![plan.peak; plan.total as usize]),
    };
    let text = format!(
        "--num-iterations {t} \\\n--warmup-steps {} \\\n--warmdown-ratio {} \\\n--final-lr-frac {}\n",
        arguments[0],
        plain(share(arguments[1], t)),
        plain(floor),
    );
    let mut draft = Draft::text("nanochat_flags.txt", text, rates);
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, Shape::Linear, "nanochat"));
        draft = draft.note("the final rate would be reached one update after the last");
    }
    draft
        .note("the flags scale every parameter group's own rate; set the rates themselves with its --*-lr flags")
        .note("Muon's momentum and the weight decay follow the same window")
}
