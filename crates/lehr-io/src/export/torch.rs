//! PyTorch: a self-contained snippet with one `LambdaLR`.

use super::plan::plain;
use super::{Draft, Evidence, Exporter, Request, Write};
use lehr::{Schedule, Shape};

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "torch",
    aliases: &["pytorch"],
    title: "PyTorch",
    shapes: "any schedule",
    remark: "",
    evidence: Evidence::Executed("torch 2.15.0 `LambdaLR`"),
    resume: "make_scheduler(optimizer, updates_done) continues there; load the optimizer's state first, do not load the trunk's scheduler state",
    load: "checkpoint = torch.load(CHECKPOINT); optimizer.load_state_dict(checkpoint['optimizer']); scheduler = make_scheduler(optimizer, updates_done={step})",
    log: None,
    write: Write::Any(|request| Ok(write(request))),
};

/// Name and body of the Python function of a shape: from a, to b, p share done.
fn function(shape: Shape) -> (String, String) {
    match shape {
        Shape::Linear => ("linear".into(), "b + (a - b) * (1 - p)".into()),
        Shape::Cosine => ("cosine".into(), "b + (a - b) * 0.5 * (1 + math.cos(math.pi * p))".into()),
        Shape::OneMinusSqrt => ("one_minus_sqrt".into(), "b + (a - b) * (1 - math.sqrt(p))".into()),
        Shape::Exponential => ("exponential".into(), "b + (a - b) * (2 * 0.5**p - 1)".into()),
        Shape::Geometric => ("geometric".into(), "a * (b / a) ** p".into()),
        Shape::Inverse => ("inverse".into(), "1 / ((1 - p) / a + p / b)".into()),
        Shape::Power(beta) => (
            format!("power_{}", plain(beta).replace('.', "_")),
            format!("b + (a - b) * (1 - p) ** {}", plain(beta)),
        ),
    }
}

/// The snippet: `lr(step)` and `make_scheduler(optimizer, updates_done=0)`.
pub(super) fn snippet(schedule: &Schedule, updates_done: u64) -> String {
    let mut text = format!(
        "# {}\n# {}\n# lr(step) is the rate of update `step`, counted from 1; after the last update the final rate stays.\n\
         # scheduler = make_scheduler(optimizer); call scheduler.step() after every optimizer.step().\n\
         import math\n\nPEAK = {}\n",
        schedule.describe(),
        if schedule.to_string().len() < 200 { schedule.to_string() } else { "given by its rates".to_owned() },
        plain(schedule.peak_lr()),
    );
    // The beginning of a longer curve has no line in the table of segments: its rates are given one by one.
    let whole =
        |segments: &Vec<lehr::Segment>| segments.iter().all(|segment| segment.whole == segment.updates);
    match schedule.segments().filter(whole) {
        Some(segments) => {
            let mut shapes: Vec<Shape> = Vec::new();
            for segment in segments.iter().filter(|segment| segment.from != segment.to) {
                if !shapes.contains(&segment.shape) {
                    shapes.push(segment.shape);
                }
            }
            text += "\n\n# From rate a to rate b, p of the way done.\n";
            for shape in shapes {
                let (name, body) = function(shape);
                text += &format!("def {name}(a, b, p):\n    return {body}\n\n\n");
            }
            text += "# (updates, rate before the first of them, rate of the last of them, how it moves)\nSEGMENTS = [\n";
            for segment in segments {
                let name = if segment.from == segment.to { "None".into() } else { function(segment.shape).0 };
                text += &format!(
                    "    ({}, {}, {}, {name}),\n",
                    segment.updates,
                    plain(segment.from),
                    plain(segment.to)
                );
            }
            text += "]\n\n\ndef lr(step):\n    k = max(1, int(step))\n    for updates, start, end, shape in SEGMENTS:\n        \
                     if k <= updates:\n            return end if shape is None or k == updates else shape(start, end, k / updates)\n        \
                     k -= updates\n    return SEGMENTS[-1][2]\n";
        }
        None => {
            text += "\nRATES = [\n";
            for rates in schedule.rates().chunks(8) {
                let line: Vec<String> = rates.iter().map(|rate| plain(*rate)).collect();
                text += &format!("    {},\n", line.join(", "));
            }
            text += "]\n\n\ndef lr(step):\n    return RATES[min(max(1, int(step)), len(RATES)) - 1]\n";
        }
    }
    text += &format!(
        "\n\ndef make_scheduler(optimizer, updates_done={updates_done}):\n    \
         \"\"\"One LambdaLR. Parameter groups with rates of their own keep their proportion to the largest.\"\"\"\n    \
         from torch.optim.lr_scheduler import LambdaLR\n\n    \
         largest = max(float(group[\"lr\"]) for group in optimizer.param_groups)\n    \
         for group in optimizer.param_groups:\n        \
         group[\"lr\"] = group[\"initial_lr\"] = PEAK * (float(group[\"lr\"]) / largest if largest > 0 else 1.0)\n    \
         return LambdaLR(optimizer, lambda done: lr(done + 1) / PEAK, last_epoch=updates_done - 1)\n"
    );
    text
}

fn write(request: &Request<'_>) -> Draft {
    Draft::text("schedule.py", snippet(request.schedule, request.from), request.wanted.to_vec())
        .note("one closed-form LambdaLR rather than SequentialLR: resuming a SequentialLR whose phases changed gives wrong rates")
        .note("after the last update the final rate stays")
}
