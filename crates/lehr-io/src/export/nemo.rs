//! NeMo: `WarmupHoldAnnealLinear` and `WarmupHoldAnnealOneMinusSquareRoot`.

use super::plan::{Plan, plain, shape_note};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "nemo",
    aliases: &[],
    title: "NeMo",
    shapes: "linear, 1-sqrt",
    remark: "1-sqrt is cut at the floor",
    evidence: Evidence::Executed("nemo_toolkit 3.0.0 `WarmupHoldAnneal…`"),
    resume: "restore with resume_if_exists; the scheduler's counter is restored, the new values decide the rates",
    load: "resume.resume_from_path = 'CHECKPOINTS/STEP={step}', resume.resume_if_exists = True",
    log: None,
    write: Write::Phases(|plan| Ok(write(plan))),
};

const SHAPES: [Shape; 2] = [Shape::Linear, Shape::OneMinusSqrt];

/// Rates of the two policies: n updates done, `[warm-up, hold, max_steps]`; hold does not include the warm-up.
fn model(plan: &Plan<'_>, shape: Shape, arguments: &[i64]) -> Option<Vec<f64>> {
    let [w, hold, end] = [arguments[0], w_plus(arguments), arguments[2]];
    if end <= hold {
        return None;
    }
    Some(plan.by_done(|n| {
        if w > 0 && n <= w {
            plan.peak * (n + 1) as f64 / (w + 1) as f64
        } else if n < hold {
            plan.peak
        } else if n > end {
            plan.last
        } else {
            let p = (n - hold) as f64 / (end - hold) as f64;
            match shape {
                Shape::OneMinusSqrt => plan.last.max(plan.peak * (1.0 - p.sqrt())),
                _ => plan.peak - (plan.peak - plan.last) * p,
            }
        }
    }))
}

fn w_plus(arguments: &[i64]) -> i64 {
    arguments[0] + arguments[1]
}

fn write(plan: &Plan<'_>) -> Draft {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let warmup = (w - 1).max(0);
    let start = if d == 0 {
        [warmup, t, t + warmup + 1]
    } else {
        [warmup, (t - d - 1 - warmup).max(0), (t - 1).max(1)]
    };
    let found = nearest_shape(plan, &SHAPES, &start, |shape, arguments| model(plan, shape, arguments));
    let (arguments, rates, shape) = match found {
        Some(found) => (found.arguments, found.rates, found.shape),
        None => (start.to_vec(), vec![plan.peak; plan.total as usize], Shape::Linear),
    };
    let name = if shape == Shape::OneMinusSqrt {
        "WarmupHoldAnnealOneMinusSquareRoot"
    } else {
        "WarmupHoldAnnealLinear"
    };
    let text = format!(
        "# NeMo: part of the configuration (trainer.max_steps: {t})\noptim:\n  lr: {}\n  sched:\n    name: {name}\n    \
         warmup_steps: {}\n    hold_steps: {}\n    max_steps: {}\n    min_lr: {}\n",
        plain(plan.peak),
        arguments[0],
        arguments[1],
        arguments[2],
        plain(plan.last),
    );
    let mut draft = Draft::text("nemo.yaml", text, rates)
        .note("hold_steps does not include the warm-up; sched.max_steps is given because it would default to trainer.max_steps");
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, shape, "NeMo"));
        if shape == Shape::OneMinusSqrt && plan.last > 0.0 {
            draft = draft.note("its 1-sqrt falls towards 0 and is cut at min_lr, so the rate lies on the floor before the end");
        }
        draft = draft.note(format!("after update {t} the rate is {:e}", plan.last));
    }
    draft
}
