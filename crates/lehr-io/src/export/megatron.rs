//! Megatron-LM and Megatron-Bridge, which share one scheduler.

use super::Draft;
use super::plan::{Plan, factor, plain, shape_note, short};
use super::solve::nearest_shape;
use lehr::Shape;

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

struct Arguments {
    warmup: i64,
    end: i64,
    anneal: i64,
    init: f64,
    style: &'static str,
    rates: Vec<f64>,
    notes: Vec<String>,
}

fn solve(plan: &Plan<'_>) -> Arguments {
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

pub(super) fn flags(plan: &Plan<'_>) -> Draft {
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

pub(super) fn bridge(plan: &Plan<'_>) -> Draft {
    let a = solve(plan);
    let wsd = if plan.anneal == 0 {
        "    lr_decay_style=\"constant\",\n".to_owned()
    } else {
        format!(
            "    lr_decay_style=\"WSD\",\n    lr_wsd_decay_style=\"{}\",\n    lr_wsd_decay_iters={},\n",
            a.style, a.anneal
        )
    };
    let text = format!(
        "# Megatron-Bridge: config.scheduler, the rates of config.optimizer, and config.train.train_iters\n\
         scheduler = dict(\n{wsd}    lr_warmup_iters={},\n    lr_warmup_init={},\n    lr_decay_iters={},\n    \
         override_opt_param_scheduler={},\n)\noptimizer = dict(lr={}, min_lr={})\ntrain_iters = {}\n\
         # config.scheduler = SchedulerConfig(**scheduler)\n",
        a.warmup,
        plain(a.init),
        a.end,
        if plan.from > 0 { "True" } else { "False" },
        plain(plan.peak),
        plain(if plan.anneal == 0 { 0.0 } else { plan.last }),
        plan.total,
    );
    let mut draft = Draft::text("megatron_bridge.py", text, a.rates);
    draft.notes = a.notes;
    draft
        .note("lr_wsd_decay_iters left out would become lr_decay_iters: no stable phase at all")
        .note("the scheduler is Megatron-Core's, which was executed")
}
