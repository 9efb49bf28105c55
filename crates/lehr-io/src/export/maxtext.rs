//! MaxText: keys of the configuration.

use super::plan::{Plan, factor, plain, shape_note, truncated_share};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "maxtext",
    aliases: &[],
    title: "MaxText",
    shapes: "linear, cosine",
    remark: "first update 0",
    evidence: Evidence::Executed("maxtext 0.2.5 `create_learning_rate_schedule`"),
    resume: "set load_full_state_path or keep run_name; the rate is a function of the step counter alone",
    load: "load_full_state_path=CHECKPOINTS/{step}/items",
    log: None,
    write: Write::Phases(|plan| Ok(write(plan))),
};

const SHAPES: [Shape; 2] = [Shape::Linear, Shape::Cosine];

/// Rates of `create_learning_rate_schedule`: n updates done, `[warm-up, decay]`.
fn model(plan: &Plan<'_>, shape: Shape, floor: f64, arguments: &[i64]) -> Option<Vec<f64>> {
    let (t, [w, d]) = (plan.total as i64, [arguments[0], arguments[1]]);
    // A linear decay over one update divides by zero in the trainer.
    if d == 1 || w + d > t || (d == 0 && plan.anneal > 0) {
        return None;
    }
    Some(plan.by_done(|n| {
        if n < w {
            plan.peak * n as f64 / w as f64
        } else if n < t - d || d == 0 {
            plan.peak
        } else {
            let f = factor(shape, (n - (t - d)) as f64 / (d - 1) as f64);
            plan.peak * (floor + (1.0 - floor) * f)
        }
    }))
}

fn write(plan: &Plan<'_>) -> Draft {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let floor = plan.floor();
    // The decay spans one update less than its length, so one more gives the line asked for.
    let start = if d == 0 { [(w - 1).max(0), 0] } else { [(w - 1).max(0), (d + 1).min(t)] };
    let found = nearest_shape(plan, &SHAPES, &start, |shape, arguments| model(plan, shape, floor, arguments));
    let (arguments, rates, shape) = match found {
        Some(found) => (found.arguments, found.rates, found.shape),
        None => (vec![0, 0], vec![plan.peak; plan.total as usize], Shape::Linear),
    };
    let text = format!(
        "# MaxText: part of the configuration\nsteps: {t}\nlearning_rate_schedule_steps: {t}\nlearning_rate: {}\n\
         lr_schedule_type: wsd\nwarmup_steps_fraction: {}\nwsd_decay_steps_fraction: {}\nwsd_decay_style: {}\n\
         learning_rate_final_fraction: {}\n",
        plain(plan.peak),
        plain(truncated_share(arguments[0], plan.total)),
        plain(truncated_share(arguments[1], plan.total)),
        if shape == Shape::Cosine { "cosine" } else { "linear" },
        plain(floor),
    );
    let mut draft = Draft::text("maxtext.yaml", text, rates);
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, shape, "MaxText"));
    }
    draft
        .note(format!(
            "the fractions come out as {} warm-up and {} annealing updates after the trainer's int()",
            arguments[0], arguments[1]
        ))
        .note("the first update uses a rate of 0 where there is a warm-up; beyond learning_rate_schedule_steps the rate is 0; rates are computed in single precision")
}
