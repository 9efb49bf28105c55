//! Hugging Face Trainer; axolotl and LLaMA-Factory hand their arguments to it.

use super::plan::{Plan, factor, plain, shape_note};
use super::solve::{Found, better, nearest_shape};
use super::{Draft, Evidence, Exporter, Write};
use crate::import::hf_trainer::TrainerState;
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "hf",
    aliases: &["huggingface", "transformers"],
    title: "Hugging Face Trainer",
    shapes: "linear, cosine, 1-sqrt",
    remark: "first update 0; a floor also lifts the warm-up",
    evidence: Evidence::Executed("transformers 5.23.0 `get_scheduler`"),
    resume: "resume_from_checkpoint restores the scheduler's counter only; the new arguments decide the rates",
    load: "trainer.train(resume_from_checkpoint='OUTPUT/checkpoint-{step}')",
    log: Some(&TrainerState),
    write: Write::Phases(|plan| Ok(write(plan))),
};

const SHAPES: [Shape; 3] = [Shape::Linear, Shape::Cosine, Shape::OneMinusSqrt];

/// Rates of `get_wsd_schedule` from transformers: n updates done, `[warm-up, stable, decay]`.
fn model(plan: &Plan<'_>, shape: Shape, floor: f64, arguments: &[i64]) -> Vec<f64> {
    let [w, s, d] = [arguments[0], arguments[1], arguments[2]];
    plan.by_done(|n| {
        let factor = if n < w {
            n as f64 / w.max(1) as f64 * (1.0 - floor) + floor
        } else if n < w + s {
            1.0
        } else if n < w + s + d {
            factor(shape, (n - w - s) as f64 / d.max(1) as f64) * (1.0 - floor) + floor
        } else {
            floor
        };
        plan.peak * factor.max(0.0)
    })
}

/// The arguments of `get_wsd_schedule`.
pub(super) struct Arguments {
    warmup: i64,
    stable: i64,
    decay: i64,
    shape: &'static str,
    floor: f64,
    rates: Vec<f64>,
    notes: Vec<String>,
}

/// The arguments whose rates come closest to the plan's.
pub(super) fn solve(plan: &Plan<'_>) -> Arguments {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    let warmup = (w - 1).max(0);
    let start = if d == 0 { [warmup, t, 0] } else { [warmup, (t - d - 1 - warmup).max(0), d] };
    let floor = plan.floor();
    let with_floor =
        nearest_shape(plan, &SHAPES, &start, |shape, arguments| Some(model(plan, shape, floor, arguments)));
    // A straight line may also aim at 0 and be cut short by the horizon; then the warm-up starts at 0, not at the floor.
    let cut_short = (plan.shape == Shape::Linear && floor > 0.0 && floor < 1.0)
        .then(|| {
            let longer = [start[0], start[1], (d as f64 / (1.0 - floor)).round() as i64];
            nearest_shape(plan, &SHAPES[..1], &longer, |shape, arguments| {
                Some(model(plan, shape, 0.0, arguments))
            })
        })
        .flatten();
    let (cut, found) = match better(with_floor, cut_short) {
        Some(found) => found,
        // The model refuses no arguments, so there is always a finding.
        None => (false, Found::from_rates(start.to_vec(), model(plan, SHAPES[0], floor, &start))),
    };
    let floor = if cut || d == 0 { 0.0 } else { floor };
    let rates = model(plan, found.shape, floor, &found.arguments);
    let mut notes = Vec::new();
    notes.extend(shape_note(plan.shape, found.shape, "transformers").filter(|_| d > 0));
    if rates[0] < plan.wanted[0] {
        notes
            .push(format!("the first update uses a rate of {:e}: the warm-up counts updates done", rates[0]));
    }
    if floor > 0.0 && found.arguments[0] > 0 {
        notes.push("the warm-up starts at min_lr_ratio, not at 0".to_owned());
    }
    if cut {
        notes.push(format!(
            "the line aims at 0 after {} updates and is cut by max_steps at the final rate asked for, because min_lr_ratio would also lift the warm-up",
            found.arguments[2]
        ));
    }
    if d > 0 {
        notes.push(format!(
            "after update {t} the rate is {:e}",
            if cut { rates[rates.len() - 1] } else { plan.last }
        ));
    }
    notes.push(
        "num_stable_steps is given outright: with it the Trainer's own count of updates does not enter"
            .to_owned(),
    );
    Arguments {
        warmup: found.arguments[0],
        stable: found.arguments[1],
        decay: found.arguments[2],
        shape: match found.shape {
            Shape::Cosine => "cosine",
            Shape::OneMinusSqrt => "1-sqrt",
            _ => "linear",
        },
        floor,
        rates,
        notes,
    }
}

/// What is written, with the arguments' rates and notes.
pub(super) fn draft(file_name: &'static str, text: String, arguments: Arguments) -> Draft {
    let mut draft = Draft::text(file_name, text, arguments.rates);
    draft.notes = arguments.notes;
    draft
}

fn write(plan: &Plan<'_>) -> Draft {
    let arguments = solve(plan);
    let Arguments { warmup, stable, decay, shape, floor, .. } = &arguments;
    let text = format!(
        "# Hugging Face Trainer (transformers 5): TrainingArguments(output_dir=..., **arguments)\n\
         arguments = {{\n    \"learning_rate\": {},\n    \"max_steps\": {},\n    \
         \"lr_scheduler_type\": \"warmup_stable_decay\",\n    \"warmup_steps\": {warmup},\n    \
         \"lr_scheduler_kwargs\": {{\n        \"num_stable_steps\": {stable},\n        \"num_decay_steps\": {decay},\n        \
         \"decay_type\": \"{shape}\",\n        \"warmup_type\": \"linear\",\n        \"min_lr_ratio\": {},\n    }},\n}}\n\
         # Without the Trainer:\n\
         # transformers.get_wsd_schedule(\n#     optimizer, num_warmup_steps={warmup}, num_stable_steps={stable}, num_decay_steps={decay},\n\
         #     decay_type=\"{shape}\", min_lr_ratio={},\n# )\n",
        plain(plan.peak),
        plan.total,
        plain(*floor),
        plain(*floor),
    );
    draft("hf_arguments.py", text, arguments)
}

/// The arguments as YAML after `head`.
pub(super) fn yaml(plan: &Plan<'_>, arguments: &Arguments, head: &str) -> String {
    let Arguments { warmup, stable, decay, shape, floor, .. } = arguments;
    format!(
        "{head}learning_rate: {}\nmax_steps: {}\nwarmup_steps: {warmup}\nlr_scheduler_kwargs:\n  num_stable_steps: {stable}\n  \
         num_decay_steps: {decay}\n  decay_type: {shape}\n  min_lr_ratio: {}\n",
        plain(plan.peak),
        plan.total,
        plain(*floor),
    )
}
