//! OLMo-core: `WSD`, or a `ComposableScheduler` of linear and cosine stages for everything else.

use super::plan::{Plan, plain};
use super::{Draft, Evidence, ExportError, Exporter, Request, Write};
use lehr::{Schedule, Segment, Shape, Steps};

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "olmo-core",
    aliases: &["olmo"],
    title: "OLMo-core",
    shapes: "linear, cosine exactly; the rest in 32 straight stages; jumps and re-rises too",
    remark: "",
    evidence: Evidence::Executed("ai2-olmo-core 3.0.0 `WSD`, `ComposableScheduler`"),
    resume: "set load_path with trainer state; the scheduler itself stores nothing",
    load: "TrainerConfig(load_path='CHECKPOINTS/step{step}', load_strategy='always')",
    log: None,
    write: Write::Any(write),
};

/// Straight pieces that stand for one update range of a shape that is neither linear nor cosine.
const PIECES: u64 = 32;

/// One stage of `ComposableScheduler`.
#[derive(Clone, Copy)]
struct Stage {
    duration: u64,
    cosine: bool,
    start: f64,
    end: f64,
}

/// Stages whose rates are those of the segments: update t is `current = t`, a stage covers start ≤ t < start + duration.
fn stages(segments: &[Segment]) -> Vec<Stage> {
    let mut stages: Vec<Stage> = Vec::new();
    let mut rate = segments[0].from;
    for (i, segment) in segments.iter().enumerate() {
        let mut updates = segment.updates.0;
        let mut from = segment.from;
        if i > 0 && from != rate {
            // A stage's first rate belongs to the update that ends the one before: that rate is held for one more.
            stages.push(Stage { duration: 1, cosine: false, start: rate, end: rate });
            from = segment.lr(1);
            updates -= 1;
        }
        rate = segment.last_lr();
        if updates == 0 {
            continue;
        }
        let skipped = segment.updates.0 - updates;
        let straight = matches!(segment.shape, Shape::Linear) || segment.from == segment.to;
        if straight || (segment.shape == Shape::Cosine && skipped == 0 && segment.whole == segment.updates) {
            let cosine = segment.shape == Shape::Cosine && !straight;
            stages.push(Stage { duration: updates, cosine, start: from, end: segment.last_lr() });
            continue;
        }
        // Nodes dense near the start, where 1 − √p is steep.
        let node = |j: u64| ((j as f64 / PIECES as f64).powi(2) * updates as f64).round() as u64;
        let (mut before, mut start) = (0, from);
        for j in 1..=PIECES {
            let upto = node(j).max(before);
            if upto > before {
                let end = segment.lr(skipped + upto);
                stages.push(Stage { duration: upto - before, cosine: false, start, end });
                (before, start) = (upto, end);
            }
        }
    }
    stages
}

/// Rates of `ComposableScheduler.get_lr`.
fn composed(stages: &[Stage], total: u64) -> Vec<f64> {
    let mut rates = Vec::with_capacity(total as usize);
    let (mut before, mut i) = (0, 0);
    for t in 1..=total {
        while i < stages.len() && t >= before + stages[i].duration {
            before += stages[i].duration;
            i += 1;
        }
        rates.push(match stages.get(i) {
            None => stages[stages.len() - 1].end,
            Some(stage) => {
                let p = (t - before) as f64 / stage.duration as f64;
                let shape = if stage.cosine { Shape::Cosine } else { Shape::Linear };
                shape.between(stage.start, stage.end, p)
            }
        });
    }
    rates
}

fn write(request: &Request<'_>) -> Result<Draft, ExportError> {
    let Request { schedule, wanted, from } = *request;
    let family = schedule.family().to_string();
    let why = "its stages are linear or cosine, not a table of rates";
    let segments =
        schedule.segments().ok_or(ExportError::Inexpressible { target: "olmo-core", family, why })?;
    let peak = schedule.peak_lr();
    let start = match schedule {
        Schedule::Wsd(wsd) if wsd.warmup > Steps(0) => wsd.warmup_lr,
        _ => 0.0,
    };
    if let (Schedule::Wsd(wsd), Ok(plan)) = (schedule, Plan::new("olmo-core", schedule, wanted, from))
        && wsd.rise == Shape::Linear
        && wsd.late.0 == 0
        && plan.shape == Shape::Linear
        && plan.anneal > 0
        && plan.last < plan.peak
        && start < plan.peak
    {
        let text = format!(
            "# OLMo-core: the optimizer's lr is {}, the trainer's max_duration is {} steps\n\
             scheduler = dict(\n    units=\"steps\",\n    warmup={},\n    warmup_min_lr={},\n    decay={},\n    \
             decay_fraction=None,\n    decay_min_lr={},\n)\n# WSD(**scheduler)\n",
            plain(peak),
            plan.total,
            plan.warmup,
            plain(wsd.warmup_lr),
            plan.anneal,
            plain(plan.last),
        );
        return Ok(Draft::text("olmo_core.py", text, wanted.to_vec())
            .note("decay_fraction=None is needed next to decay: its default is 0.1 and both together are refused")
            .note("the step counter starts at 1: the first update already uses a rate above 0"));
    }
    let stages = stages(&segments);
    let mut text = format!(
        "# OLMo-core: the optimizer's lr is {}, the trainer's max_duration is {} steps\nstages = [\n",
        plain(peak),
        schedule.total()
    );
    for stage in &stages {
        text += &format!(
            "    dict(duration={}, shape=\"{}\", start_lr={}, end_lr={}),\n",
            stage.duration,
            if stage.cosine { "cosine" } else { "linear" },
            plain(stage.start),
            plain(stage.end)
        );
    }
    text += "]\n# ComposableScheduler(stages=[ComposableSchedulerStage(**stage) for stage in stages])\n";
    let draft = Draft::text("olmo_core.py", text, composed(&stages, schedule.total().0))
        .note("the stages count updates from the run's beginning and do not rescale with the horizon; after them the last rate stays");
    let bent = segments
        .iter()
        .any(|segment| segment.from != segment.to && !matches!(segment.shape, Shape::Linear | Shape::Cosine));
    Ok(if bent {
        draft.note(format!(
            "a shape that is neither linear nor cosine is drawn with up to {PIECES} straight stages"
        ))
    } else {
        draft
    })
}
