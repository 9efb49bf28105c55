//! Lightning: the PyTorch snippet, stepped once an update.

use super::{Draft, Evidence, Exporter, Request, Write, torch};

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "lightning",
    aliases: &["pytorch-lightning"],
    title: "Lightning",
    shapes: "any schedule",
    remark: "",
    evidence: Evidence::Executed("the snippet of `torch`; `lightning.Trainer` itself was not"),
    resume: "trainer.fit(..., ckpt_path=...) restores the counter and base_lrs, the checkpoint's peak rate: keep the trunk's peak; the new function decides the shape",
    load: "trainer.fit(model, ckpt_path='CHECKPOINTS/step={step}.ckpt')",
    log: None,
    write: Write::Any(|request| Ok(write(request))),
};

fn write(request: &Request<'_>) -> Draft {
    let text = torch::snippet(request.schedule, request.from)
        + &format!(
            "\n\n# In the LightningModule, with Trainer(max_steps={}, max_epochs=-1):\n\
             # def configure_optimizers(self):\n\
             #     optimizer = ...\n\
             #     scheduler = {{\"scheduler\": make_scheduler(optimizer), \"interval\": \"step\", \"frequency\": 1}}\n\
             #     return {{\"optimizer\": optimizer, \"lr_scheduler\": scheduler}}\n",
            request.schedule.total()
        );
    Draft::text("schedule.py", text, request.wanted.to_vec())
        .note("\"interval\": \"step\" is needed: left out, Lightning steps a scheduler once an epoch")
        .note("with accumulate_grad_batches Lightning steps it once an update, not once a batch")
        .note("the snippet was executed with PyTorch's LambdaLR; lightning.Trainer itself was not")
}
