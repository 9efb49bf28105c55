//! torchtitan: `LRSchedulersContainer.Config`.

use super::plan::{Plan, factor, plain, shape_note, share};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use crate::import::torchtitan;
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "torchtitan",
    aliases: &[],
    title: "torchtitan",
    shapes: "linear, cosine, 1-sqrt",
    remark: "",
    evidence: Evidence::Executed("torchtitan 0.3.0 `LRSchedulersContainer.Config`"),
    resume: "the checkpoint holds the scheduler's counter only; the new values decide the rates",
    load: "--checkpoint.enable --checkpoint.load_step {step}",
    log: Some(&torchtitan::Stdout),
    write: Write::Phases(|plan| Ok(write(plan))),
};

const SHAPES: [Shape; 3] = [Shape::Linear, Shape::Cosine, Shape::OneMinusSqrt];

/// Rates of `linear_warmup_stable_decay`: n updates done, `[warm-up, total, annealing]`.
fn model(plan: &Plan<'_>, shape: Shape, floor: f64, arguments: &[i64]) -> Option<Vec<f64>> {
    let [w, total, d] = [arguments[0], arguments[1], arguments[2]];
    // Beyond these bounds the trainer shortens what it was given.
    if total < 1 || w + d > total {
        return None;
    }
    let stable_end = total + 1 - d;
    // Beyond its end the factor goes on below its floor.
    if d > 0 && plan.total as i64 - stable_end > d {
        return None;
    }
    Some(plan.by_done(|n| {
        let factor = if n < w {
            (n + 1) as f64 / w as f64
        } else if n < stable_end {
            1.0
        } else {
            floor + (1.0 - floor) * factor(shape, (n + 1 - stable_end) as f64 / d.max(1) as f64)
        };
        plan.peak * factor
    }))
}

fn write(plan: &Plan<'_>) -> Draft {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let floor = if d == 0 { 0.0 } else { plan.floor() };
    // The trainer adds a virtual last update, so its total is one less than the horizon.
    let start = [w, if d == 0 { t } else { (t - 1).max(1) }, d];
    let found = nearest_shape(plan, &SHAPES, &start, |shape, arguments| {
        let total = arguments[1];
        // Only what survives round(total · ratio) can be asked for.
        let back = (total as f64 * share(arguments[2], total)).round_ties_even() as i64;
        (back == arguments[2]).then(|| model(plan, shape, floor, arguments)).flatten()
    });
    let (arguments, rates, shape) = match found {
        Some(found) => (found.arguments, found.rates, found.shape),
        // Too short for any valid lengths: a constant rate is all there is.
        None => (vec![0, t, 0], vec![plan.peak; plan.total as usize], Shape::Linear),
    };
    let decay_type = match shape {
        Shape::Cosine => "cosine",
        Shape::OneMinusSqrt => "sqrt",
        _ => "linear",
    };
    let ratio = plain(share(arguments[2], arguments[1]));
    let text = format!(
        "# torchtitan: optimizer.lr = {}, training.steps = {t}\n\
         lr_scheduler = dict(\n    warmup_steps={},\n    total_steps={},\n    decay_ratio={ratio},\n    \
         decay_type=\"{decay_type}\",\n    min_lr_factor={},\n)\n\
         # LRSchedulersContainer.Config(**lr_scheduler); on the command line:\n\
         # --lr_scheduler.warmup_steps {} --lr_scheduler.total_steps {} --lr_scheduler.decay_ratio {ratio}\n\
         # --lr_scheduler.decay_type {decay_type} --lr_scheduler.min_lr_factor {}\n",
        plain(plan.peak),
        arguments[0],
        arguments[1],
        plain(floor),
        arguments[0],
        arguments[1],
        plain(floor),
    );
    let mut draft = Draft::text("torchtitan.py", text, rates);
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, shape, "torchtitan"));
        draft = draft.note(format!(
            "decay_ratio is a share of total_steps = {}, rounded to {} updates; total_steps is not {t} because the trainer adds a virtual last update",
            arguments[1], arguments[2]
        ));
        draft = draft.note("training beyond the horizon is not safe: the factor goes on below its floor");
    }
    draft
}
