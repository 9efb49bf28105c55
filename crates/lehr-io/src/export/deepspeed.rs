//! DeepSpeed: it has no warm-up–stable–decay of its own, but takes a scheduler made by the caller.

use super::{Draft, ExportOptions, torch};
use lehr::Schedule;

pub(super) fn write(schedule: &Schedule, options: &ExportOptions) -> Draft {
    let done = options.from_step.map_or(0, |from| from.0);
    let text = torch::snippet(schedule, done)
        + "\n\n# Remove the \"scheduler\" block from the DeepSpeed configuration and pass the function itself:\n\
           # engine, optimizer, _, scheduler = deepspeed.initialize(\n\
           #     model=model, model_parameters=model.parameters(), config=config, lr_scheduler=make_scheduler\n\
           # )\n";
    Draft::text("schedule.py", text, schedule.rates())
        .note("DeepSpeed steps the scheduler once an update (a gradient-accumulation boundary), not once a micro-batch")
        .note("its own WarmupLR, WarmupDecayLR, WarmupCosineLR and OneCycle have no stable phase")
        .note("the snippet was executed with PyTorch's LambdaLR; deepspeed.initialize itself was not")
}
