//! nanotron: `optimizer.learning_rate_scheduler`.

use super::plan::{Plan, factor, plain, shape_note};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use crate::import::nanotron;
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "nanotron",
    aliases: &[],
    title: "nanotron",
    shapes: "linear, cosine; 1-sqrt in its repository",
    remark: "first update 0",
    evidence: Evidence::Executed(
        "nanotron 0.4 `lr_scheduler_builder`; 1-sqrt from documentation, not executed",
    ),
    resume: "set checkpoints.resume_checkpoint_path; the scheduler is rebuilt from these values",
    load: "checkpoints.resume_checkpoint_path: CHECKPOINTS/{step}",
    log: Some(&nanotron::Stdout),
    write: Write::Phases(|plan| Ok(write(plan))),
};

/// What the newest release knows; 1-sqrt is in its repository only and is used where it is asked for.
const SHAPES: [Shape; 2] = [Shape::Linear, Shape::Cosine];

/// Rates of `lr_scheduler_builder`: n updates done, `[warm-up, start of decay, decay]`.
fn model(plan: &Plan<'_>, shape: Shape, arguments: &[i64]) -> Option<Vec<f64>> {
    let [w, start, d] = [arguments[0], arguments[1], arguments[2]];
    // Without warm-up and decay the trainer returns the rate where a factor belongs.
    if d < 1 {
        return None;
    }
    Some(plan.by_done(|n| {
        if n <= w {
            // No warm-up is written as style 'constant': 'linear' over 0 updates would start with a rate of 0.
            if w == 0 { plan.peak } else { plan.peak * n as f64 / w as f64 }
        } else if n < start {
            plan.peak
        } else if n < start + d {
            plan.last + (plan.peak - plan.last) * factor(shape, (n - start) as f64 / d as f64)
        } else {
            plan.last
        }
    }))
}

fn write(plan: &Plan<'_>) -> Draft {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let start = if d == 0 { [(w - 1).max(0), t, 1] } else { [(w - 1).max(0), (t - d - 1).max(0), d] };
    let asked = [Shape::OneMinusSqrt];
    let shapes = if plan.shape == asked[0] && d > 0 { &asked[..] } else { &SHAPES[..] };
    let found = nearest_shape(plan, shapes, &start, |shape, arguments| model(plan, shape, arguments));
    let (arguments, rates, shape) = match found {
        Some(found) => (found.arguments, found.rates, found.shape),
        None => (start.to_vec(), vec![plan.peak; plan.total as usize], Shape::Linear),
    };
    let style = match shape {
        Shape::Cosine => "cosine",
        Shape::OneMinusSqrt => "1-sqrt",
        _ => "linear",
    };
    let text = format!(
        "# nanotron: part of the configuration (tokens.train_steps: {t})\noptimizer:\n  learning_rate_scheduler:\n    \
         learning_rate: {}\n    lr_warmup_steps: {}\n    lr_warmup_style: {}\n    lr_decay_starting_step: {}\n    \
         lr_decay_steps: {}\n    lr_decay_style: {style}\n    min_decay_lr: {}\n",
        plain(plan.peak),
        arguments[0],
        if arguments[0] == 0 { "constant" } else { "linear" },
        arguments[1],
        arguments[2],
        plain(plan.last),
    );
    let mut draft = Draft::text("nanotron.yaml", text, rates);
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, shape, "nanotron"));
        draft = draft.note(
            "lr_decay_steps is given: left out, the trainer would take the warm-up off it and end too early",
        );
    }
    if arguments[0] > 0 {
        draft = draft.note("the first update uses a rate of 0: the warm-up counts updates done");
    }
    if shape == Shape::OneMinusSqrt && d > 0 {
        draft.executed = false;
        draft = draft.note("1-sqrt is in nanotron's repository; release 0.4 knows linear and cosine only");
    }
    draft.note(format!("after update {t} the rate is {:e}", plan.last))
}
