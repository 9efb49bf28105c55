//! Levanter and Marin: `optimizer` of the configuration.

use super::plan::{Plan, factor, plain, shape_note};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "levanter",
    aliases: &["marin"],
    title: "Levanter, Marin",
    shapes: "linear, cosine",
    remark: "first update 0",
    evidence: Evidence::Executed("levanter 1.2.dev1644 `OptimizerConfig.lr_scheduler`"),
    resume: "set trainer.initialize_from or the checkpoint path; the rate is a function of the step counter alone",
    load: "trainer.load_checkpoint_path: CHECKPOINTS/step-{step}",
    log: None,
    write: Write::Phases(|plan| Ok(write(plan))),
};

const SHAPES: [Shape; 2] = [Shape::Linear, Shape::Cosine];

/// Rates of `OptimizerConfig.lr_scheduler`: n updates done, `[warm-up, decay]`, one cycle over the whole horizon.
fn model(plan: &Plan<'_>, shape: Shape, floor: f64, arguments: &[i64]) -> Option<Vec<f64>> {
    let (t, [w, d]) = (plan.total as i64, [arguments[0], arguments[1]]);
    // 1 would be read as the whole cycle.
    if w == 1 || d == 1 || w + d > t || (d == 0 && plan.anneal > 0) {
        return None;
    }
    Some(plan.by_done(|n| {
        if n < w {
            plan.peak * n as f64 / w as f64
        } else if n < t - d || d == 0 {
            plan.peak
        } else {
            let f = factor(shape, (n - (t - d)) as f64 / d as f64);
            plan.peak * (floor + (1.0 - floor) * f)
        }
    }))
}

fn write(plan: &Plan<'_>) -> Draft {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let floor = plan.floor();
    let start = if d == 0 { [(w - 1).max(0), 0] } else { [(w - 1).max(0), (d + 1).min(t)] };
    let found = nearest_shape(plan, &SHAPES, &start, |shape, arguments| model(plan, shape, floor, arguments));
    let (arguments, rates, shape) = match found {
        Some(found) => (found.arguments, found.rates, found.shape),
        None => (vec![0, 0], vec![plan.peak; plan.total as usize], Shape::Linear),
    };
    let schedule = match shape {
        _ if d == 0 => "constant",
        Shape::Cosine => "cosine",
        _ => "linear",
    };
    let text = format!(
        "# Levanter: part of the configuration\ntrainer:\n  num_train_steps: {t}\noptimizer:\n  learning_rate: {}\n  \
         lr_schedule: {schedule}\n  warmup: {}\n  decay: {}\n  min_lr_ratio: {}\n",
        plain(plan.peak),
        arguments[0],
        arguments[1],
        plain(floor),
    );
    let last = rates[rates.len() - 1];
    let mut draft = Draft::text("levanter.yaml", text, rates);
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, shape, "Levanter"));
        draft = draft.note(format!(
            "the annealing would reach {:e} one update after the last; update {t} uses {last:e}, and decay is {} rather than {d} to stay closest",
            plan.last, arguments[1]
        ));
        draft = draft.note("min_lr_ratio is given: left out it is 0.1");
    }
    draft.note("warmup and decay above 1 are updates, up to 1 they are shares of the cycle; rates are computed in single precision")
}
