//! lingua: `optim` of the configuration.

use super::plan::{Plan, plain, shape_note, truncated_share};
use super::solve::nearest_shape;
use super::{Draft, Evidence, ExportError, Exporter, Write};
use lehr::Shape;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "lingua",
    aliases: &[],
    title: "lingua",
    shapes: "inverse only",
    remark: "",
    evidence: Evidence::Documentation,
    resume: "keep dump_dir; the scheduler is rebuilt from these values and its counter restored",
    load: "keep dump_dir, whose checkpoints/ ends with {step10}",
    log: None,
    write: Write::Phases(write),
};

/// Rates of `lr_wsd` with one cycle: n updates done, `[warm-up, decay]`; it knows the inverse shape only.
fn model(plan: &Plan<'_>, floor: f64, arguments: &[i64]) -> Option<Vec<f64>> {
    let (t, [w, d]) = (plan.total as i64, [arguments[0], arguments[1]]);
    if d > t || (d == 0 && plan.anneal > 0) {
        return None;
    }
    Some(plan.by_done(|n| {
        let factor = if n < w {
            n as f64 / w as f64
        } else if n <= t - d || d == 0 {
            1.0
        } else {
            Shape::Inverse.between(1.0, floor, (n - (t - d)) as f64 / d as f64)
        };
        plan.peak * factor
    }))
}

fn write(plan: &Plan<'_>) -> Result<Draft, ExportError> {
    let (t, w, d) = (plan.total as i64, plan.warmup as i64, plan.anneal as i64);
    // A floor of 0 divides by zero in the trainer: the nearest it can do ends at a hundredth of the peak, or lower
    // where the inverse shape then comes closer to what was asked.
    let floors: &[f64] = if plan.last > 0.0 { &[plan.floor()] } else { &[0.2, 0.1, 0.05, 0.02, 0.01, 0.001] };
    let start = if d == 0 { [(w - 1).max(0), 0] } else { [(w - 1).max(0), (d + 1).min(t)] };
    let distance = |rates: &[f64]| rates.iter().zip(plan.wanted).map(|(a, b)| (a - b).abs()).sum::<f64>();
    let found = floors
        .iter()
        .filter_map(|&floor| {
            nearest_shape(plan, &[Shape::Inverse], &start, |_, arguments| model(plan, floor, arguments))
                .map(|found| (floor, found))
        })
        .min_by(|a, b| distance(&a.1.rates).total_cmp(&distance(&b.1.rates)));
    let Some((floor, found)) = found else {
        return Err(ExportError::Inexpressible {
            target: "lingua",
            family: "wsd".to_owned(),
            why: "no decay length fits its horizon",
        });
    };
    let text = format!(
        "# lingua: part of the configuration\nsteps: {t}\noptim:\n  lr: {}\n  scheduler: wsd\n  warmup: {}\n  \
         decay_fraction: {}\n  cycle_length: 1.0\n  lr_min_ratio: {}\n",
        plain(plan.peak),
        found.arguments[0],
        plain(truncated_share(found.arguments[1], plan.total)),
        plain(floor),
    );
    let mut draft = Draft::text("lingua.yaml", text, found.rates);
    if d > 0 {
        draft.notes.extend(shape_note(plan.shape, Shape::Inverse, "lingua"));
        if plan.last == 0.0 {
            draft = draft.note(format!(
                "lr_min_ratio must be above 0 (the trainer divides by it); {floor} brings the rates closest"
            ));
        }
        draft = draft.note(
            "the area under its decay is small: 0.256 of the rectangle at lr_min_ratio 0.1, where a straight line has 0.55",
        );
    }
    Ok(draft.note("the first update uses a rate of 0 where there is a warm-up"))
}
