//! LLaMA-Factory, which hands its arguments to the Hugging Face Trainer.

use super::hf::{draft, solve, yaml};
use super::plan::Plan;
use super::{Draft, Evidence, Exporter, Write};
use crate::import::hf_trainer::TrainerState;

/// The registry's entry.
pub(super) const EXPORTER: Exporter = Exporter {
    name: "llama-factory",
    aliases: &["llamafactory"],
    title: "LLaMA-Factory",
    shapes: "linear, cosine, 1-sqrt",
    remark: "as `hf`",
    evidence: Evidence::Executed("transformers 5.23.0; llamafactory 0.9.5 `create_custom_scheduler`"),
    resume: "resume_from_checkpoint restores the scheduler's counter only; the new arguments decide the rates",
    load: "resume_from_checkpoint: OUTPUT/checkpoint-{step}",
    log: Some(&TrainerState),
    write: Write::Phases(|plan| Ok(write(plan))),
};

fn write(plan: &Plan<'_>) -> Draft {
    let arguments = solve(plan);
    let text = yaml(
        plan,
        &arguments,
        "# LLaMA-Factory: part of the configuration\nlr_scheduler_type: warmup_stable_decay\n",
    );
    draft("llama_factory.yaml", text, arguments)
        .note(
            "without both lengths LLaMA-Factory makes a third of the updates stable and two thirds annealing",
        )
        .note("its Megatron path ignores these lengths and anneals over all updates")
}
