//! Megatron-LM; Megatron-Bridge shares its scheduler.

use super::plan::{Plan, factor, plain, shape_note, short};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use crate::import::megatron::Stdout;
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "megatron",
    aliases: &["megatron-lm"],
    title: "Megatron-LM",
    shapes: "linear, cosine, exponential, 1-sqrt",
    remark: "",
    evidence: Evidence::Executed("megatron-core 0.16.1 `OptimizerParamScheduler`"),
    resume: "--override-opt-param-scheduler takes these arguments over the checkpoint's; the decay length is not stored in a checkpoint and is taken from here in any case",
    load: "pretrain_gpt.py --load CHECKPOINTS --ckpt-step {step} with these flags",
    log: Some(&Stdout),
    write: Write::Phases(|plan| Ok(write(plan))),
};

const SHAPES: [Shape; 4] = [Shape::Linear, Shape::Cosine, Shape::Exponential, Shape::OneMinusSqrt];

/// Rates of `OptimizerParamScheduler`: n updates done, `[warm-up, decay end, annealing]` in updates.
fn model(plan: &Plan<'_>, shape: Shape, init: f64, arguments: &[i64]) -> Option<Vec<f64>> {
    let [w, end, d] = [arguments[0], arguments[1], arguments[2]];
    if w >= end || (d == 0 && plan.anneal > 0) {
        return None;
    }
    let start = end - d;
    Some(plan.by_done(|n| {
        if w > 0 && n <= w {
            init + (plan.peak - init) * n as f64 / w as f64
        } else if plan.anneal == 0 {
            plan.peak
        } else if n > end {
            plan.last
        } else {
            let coefficient = if n <= start { 1.0 } else { factor(shape, (n - start) as f64 / d as f64) };
            plan.last + coefficient * (plan.peak - plan.last)
        }
    }))
}

/// The arguments of `OptimizerParamScheduler`.
pub(super) struct Arguments {
    pub warmup: i64,
    pub end: i64,
    pub anneal: i64,
    pub init: f64,
    pub style: &'static str,
    pub rates: Vec<f64>,
    pub notes: Vec<String>,
}

/// The arguments whose rates come closest to the plan's.
pub(super) fn solve(plan: &Plan<'_>) -> Arguments {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    // The first update uses the warm-up's initial rate, so the line can be that of the schedule itself.
    let init = if w > 1 { short(plan.wanted[0].min(plan.peak)) } else { 0.0 };
    let start = [(w - 1).max(0), if d == 0 { t } else { (t - 1).max(1) }, d];
    let found = nearest_shape(plan, &SHAPES, &start, |shape, arguments| model(plan, shape, init, arguments));
    let (arguments, rates, shape) = match found {
        Some(found) => (found.arguments, found.rates, found.shape),
        // Only a schedule of one or two updates leaves no valid lengths; a constant rate is then all there is.
        None => (vec![0, t.max(1), d.max(1)], vec![plan.peak; plan.total as usize], Shape::Linear),
    };
    let mut notes: Vec<String> =
        shape_note(plan.shape, shape, "Megatron").filter(|_| d > 0).into_iter().collect();
    if w > 1 {
        notes.push(format!(
            "lr-warmup-init {:e} makes the first update use that rate; left out, it would use 0",
            init
        ));
    }
    if d > 0 {
        notes.push(format!(
            "lr-decay-iters is {}, not {t}: the scheduler counts updates done, so update {t} sees {}; after it the rate is {:e}",
            arguments[1],
            t - 1,
            plan.last
        ));
        notes.push("the scheduler counts samples (iterations × global batch size): with a batch-size ramp the annealing starts late and never finishes".to_owned());
    }
    Arguments {
        warmup: arguments[0],
        end: arguments[1],
        anneal: arguments[2],
        init,
        style: match shape {
            Shape::Cosine => "cosine",
            Shape::Exponential => "exponential",
            Shape::OneMinusSqrt => "minus_sqrt",
            _ => "linear",
        },
        rates,
        notes,
    }
}

fn write(plan: &Plan<'_>) -> Draft {
    let a = solve(plan);
    let mut lines = vec![
        format!("--lr {}", plain(plan.peak)),
        format!("--min-lr {}", plain(if plan.anneal == 0 { 0.0 } else { plan.last })),
        format!("--train-iters {}", plan.total),
        format!("--lr-warmup-iters {}", a.warmup),
        format!("--lr-decay-iters {}", a.end),
    ];
    if a.init > 0.0 {
        lines.push(format!("--lr-warmup-init {}", plain(a.init)));
    }
    if plan.anneal == 0 {
        lines.push("--lr-decay-style constant".to_owned());
    } else {
        lines.push("--lr-decay-style WSD".to_owned());
        lines.push(format!("--lr-wsd-decay-style {}", a.style));
        lines.push(format!("--lr-wsd-decay-iters {}", a.anneal));
    }
    if plan.from > 0 {
        lines.push("--override-opt-param-scheduler".to_owned());
    }
    let mut draft = Draft::text("megatron_flags.txt", lines.join(" \\\n") + "\n", a.rates);
    draft.notes = a.notes;
    draft
}
