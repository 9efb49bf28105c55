//! nanotron's standard output: refused, because its numbers are rounded for people.

use super::megatron::plain;
use super::{Importer, Log};
use crate::error::ReadError;
use crate::mapping::MapOverrides;
use crate::source::Source;

/// Recognises nanotron's standard output.
#[derive(Debug)]
pub struct Stdout;

impl Importer for Stdout {
    fn name(&self) -> &'static str {
        "nanotron output"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let is_one = head.split(|&byte| byte == b'\n').any(|line| {
            std::str::from_utf8(line).is_ok_and(|line| {
                let line = plain(line);
                line.contains("iteration: ")
                    && line.contains("| consumed_tokens: ")
                    && line.contains("| lm_loss: ")
            })
        });
        is_one.then(|| source.name().to_owned())
    }

    fn open(&self, sources: &[Source], _map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        Err(ReadError::Refused {
            file: sources.first().map(|source| source.name().to_owned()).unwrap_or_default(),
            why: "nanotron writes losses to its output with three digits (3.45), which is coarser than what a schedule changes"
                .to_owned(),
            hint: "read the run's W&B file (run-*.wandb) or its TensorBoard events, which hold every digit".to_owned(),
        })
    }
}
