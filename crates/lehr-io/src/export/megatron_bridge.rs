//! Megatron-Bridge: `SchedulerConfig` with Megatron-Core's scheduler.

use super::megatron::solve;
use super::plan::{Plan, plain};
use super::{Draft, Evidence, Exporter, Write};
use crate::import::megatron::Stdout;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "megatron-bridge",
    aliases: &[],
    title: "Megatron-Bridge",
    shapes: "linear, cosine, exponential, 1-sqrt",
    remark: "",
    evidence: Evidence::Executed("megatron-bridge 0.3.1 `SchedulerConfig`, megatron-core 0.16.1"),
    resume: "override_opt_param_scheduler=True takes these values over the checkpoint's",
    load: "checkpoint.load = 'CHECKPOINTS' and checkpoint.ckpt_step = {step}",
    log: Some(&Stdout),
    write: Write::Phases(|plan| Ok(write(plan))),
};

fn write(plan: &Plan<'_>) -> Draft {
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
