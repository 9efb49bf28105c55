//! LLM-foundry and Composer: `inv_sqrt_with_warmup` with its middle made constant.

use super::plan::{Plan, factor, plain, shape_note};
use super::solve::nearest_shape;
use super::{Draft, Evidence, Exporter, Write};
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "llm-foundry",
    aliases: &["composer"],
    title: "LLM-foundry, Composer",
    shapes: "linear",
    remark: "first update 0",
    evidence: Evidence::Executed("llm-foundry 0.22.0, composer 0.32.1"),
    resume: "set load_path without load_weights_only; the timestamp is restored and decides the rate",
    load: "load_path: CHECKPOINTS/ba{step}-rank{rank}.pt",
    log: None,
    write: Write::Phases(|plan| Ok(write(plan))),
};

/// Rates of `InverseSquareRootWithWarmupScheduler` with `alpha_f_decay` 1: n updates done, `[warm-up, t_max, cooldown]`.
fn model(plan: &Plan<'_>, shape: Shape, floor: f64, arguments: &[i64]) -> Option<Vec<f64>> {
    let [w, end, d] = [arguments[0], arguments[1], arguments[2]];
    if end < 1 || (d == 0 && plan.anneal > 0) {
        return None;
    }
    let start = (end - d).max(w);
    Some(plan.by_done(|n| {
        let factor = if n < w {
            n as f64 / w as f64
        } else if n < start || d == 0 {
            1.0
        } else {
            let p = ((n - start) as f64 / d as f64).min(1.0);
            floor + (1.0 - floor) * factor(shape, p)
        };
        plan.peak * factor
    }))
}

fn write(plan: &Plan<'_>) -> Draft {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let floor = plan.floor();
    let start = [(w - 1).max(0), if d == 0 { t } else { (t - 1).max(1) }, d];
    let found = nearest_shape(plan, &[Shape::Linear], &start, |shape, arguments| {
        model(plan, shape, floor, arguments)
    });
    let (arguments, rates) = match found {
        Some(found) => (found.arguments, found.rates),
        None => (vec![0, t, 0], vec![plan.peak; plan.total as usize]),
    };
    let text = format!(
        "# LLM-foundry: part of the configuration (max_duration: {t}ba)\noptimizer:\n  lr: {}\nscheduler:\n  \
         name: inv_sqrt_with_warmup\n  t_warmup: {}ba\n  t_scale: 1ba\n  t_cooldown: {}ba\n  t_max: {}ba\n  \
         alpha_f_decay: 1.0\n  alpha_f_cooldown: {}\n",
        plain(plan.peak),
        arguments[0],
        arguments[2],
        arguments[1],
        plain(floor),
    );
    let mut draft = Draft::text("llm_foundry.yaml", text, rates)
        .note("alpha_f_decay: 1.0 makes the inverse-square-root part constant: the stable phase")
        .note("times are in batches (ba) and must have the unit of max_duration");
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, Shape::Linear, "LLM-foundry"));
        draft = draft.note(format!("after update {t} the rate is {:e}", plan.last));
    }
    draft
}
