//! axolotl, which hands its arguments to the Hugging Face Trainer.

use super::hf::{draft, solve, yaml};
use super::plan::Plan;
use super::{Draft, Evidence, Exporter, Write};
use crate::import::hf_trainer::TrainerState;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "axolotl",
    aliases: &[],
    title: "axolotl",
    shapes: "linear, cosine, 1-sqrt",
    remark: "as `hf`",
    evidence: Evidence::Executed("transformers 5.23.0 `get_scheduler`; axolotl itself was not"),
    resume: "resume_from_checkpoint restores the scheduler's counter only; the new arguments decide the rates",
    load: "resume_from_checkpoint: OUTPUT/checkpoint-{step}",
    log: Some(&TrainerState),
    write: Write::Phases(|plan| Ok(write(plan))),
};

fn write(plan: &Plan<'_>) -> Draft {
    let arguments = solve(plan);
    let text =
        yaml(plan, &arguments, "# axolotl: part of the configuration\nlr_scheduler: warmup_stable_decay\n");
    draft("axolotl.yaml", text, arguments)
        .note("axolotl hands these to the Hugging Face Trainer, whose scheduler was executed")
}
