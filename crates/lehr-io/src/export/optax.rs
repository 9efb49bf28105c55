//! optax: a Python snippet that joins its schedules.

use super::plan::plain;
use super::{Draft, Evidence, Exporter, Request, Write};
use lehr::{Segment, Shape};

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "optax",
    aliases: &["jax"],
    title: "jax",
    shapes: "any schedule",
    remark: "",
    evidence: Evidence::Executed("optax 0.2.8, jax 0.10.2 (single precision, 1e-7)"),
    resume: "the rate is a function of the optimizer state's count, which the checkpoint restores",
    load: "restore the optimizer state of update {step} (its count is {step}) and go on",
    log: None,
    write: Write::Any(|request| Ok(write(request))),
};

/// A segment as an optax schedule of the count since `n = 0`, where its first update has n = 1.
fn schedule_of(segment: &Segment) -> String {
    let (a, b, n) = (plain(segment.from), plain(segment.to), segment.whole);
    if segment.from == segment.to {
        return format!("optax.constant_schedule({a})");
    }
    let p = format!("jnp.minimum(n / {n}, 1.0)");
    match segment.shape {
        Shape::Linear => format!("optax.linear_schedule({a}, {b}, {n})"),
        Shape::Cosine if segment.from > segment.to => {
            format!("optax.cosine_decay_schedule({a}, {n}, alpha={b} / {a})")
        }
        Shape::Cosine => format!("lambda n: {b} + ({a} - {b}) * 0.5 * (1.0 + jnp.cos(jnp.pi * {p}))"),
        Shape::OneMinusSqrt => format!("lambda n: {b} + ({a} - {b}) * (1.0 - jnp.sqrt({p}))"),
        Shape::Exponential => format!("lambda n: {b} + ({a} - {b}) * (2.0 * 0.5 ** {p} - 1.0)"),
        Shape::Geometric => format!("lambda n: {a} * ({b} / {a}) ** {p}"),
        Shape::Inverse => format!("lambda n: 1.0 / ((1.0 - {p}) / {a} + {p} / {b})"),
        Shape::Power(beta) => format!("lambda n: {b} + ({a} - {b}) * (1.0 - {p}) ** {}", plain(beta)),
    }
}

fn write(request: &Request<'_>) -> Draft {
    let Request { schedule, wanted, .. } = *request;
    let mut text = format!(
        "# {}\n# optax counts from 0: update t uses schedule(t - 1).\nimport jax.numpy as jnp\nimport optax\n\n",
        schedule.describe()
    );
    match schedule.segments() {
        Some(segments) => {
            let mut before = 0_u64;
            let (mut pieces, mut boundaries) = (Vec::new(), Vec::new());
            for segment in &segments {
                let piece = schedule_of(segment);
                if before > 0 {
                    boundaries.push(before.to_string());
                }
                // Count 0 since the boundary is the segment's update 1.
                pieces.push(format!("lambda count: ({piece})(count + 1)"));
                before += segment.updates.0;
            }
            text += &format!(
                "schedule = optax.join_schedules(\n    [\n        {},\n    ],\n    [{}],\n)\n",
                pieces.join(",\n        "),
                boundaries.join(", ")
            );
        }
        None => {
            let rates: Vec<String> = wanted.iter().map(|rate| plain(*rate)).collect();
            text += &format!(
                "RATES = jnp.array([\n    {},\n])\n\n\ndef schedule(count):\n    return RATES[jnp.minimum(count, {})]\n",
                rates.chunks(8).map(|line| line.join(", ")).collect::<Vec<_>>().join(",\n    "),
                wanted.len() - 1
            );
        }
    }
    text += "# optimizer = optax.adamw(learning_rate=schedule, ...)\n";
    Draft::text("schedule_optax.py", text, wanted.to_vec())
        .note("jax computes in single precision unless jax_enable_x64 is set: rates are right to about 1e-7 of the peak")
        .note("after the last update the final rate stays")
}
