//! DeepSpeed: it has no warm-up–stable–decay of its own, but takes a scheduler made by the caller.

use super::{Draft, Evidence, Exporter, Request, Write, torch};
use crate::import::deepspeed::CsvMonitor;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "deepspeed",
    aliases: &[],
    title: "DeepSpeed",
    shapes: "any schedule",
    remark: "",
    evidence: Evidence::Executed("the snippet of `torch`; `deepspeed.initialize` itself was not"),
    resume: "make_scheduler(optimizer, updates_done) continues there; load the optimizer's state first, do not load the trunk's scheduler state",
    load: "engine.load_checkpoint('CHECKPOINTS', tag='global_step{step}', load_lr_scheduler_states=False)",
    log: Some(&CsvMonitor),
    write: Write::Any(|request| Ok(write(request))),
};

fn write(request: &Request<'_>) -> Draft {
    let text = torch::snippet(request.schedule, request.from)
        + "\n\n# Remove the \"scheduler\" block from the DeepSpeed configuration and pass the function itself:\n\
           # engine, optimizer, _, scheduler = deepspeed.initialize(\n\
           #     model=model, model_parameters=model.parameters(), config=config, lr_scheduler=make_scheduler\n\
           # )\n";
    Draft::text("schedule.py", text, request.wanted.to_vec())
        .note("DeepSpeed steps the scheduler once an update (a gradient-accumulation boundary), not once a micro-batch")
        .note("its own WarmupLR, WarmupDecayLR, WarmupCosineLR and OneCycle have no stable phase")
        .note("the snippet was executed with PyTorch's LambdaLR; deepspeed.initialize itself was not")
}
