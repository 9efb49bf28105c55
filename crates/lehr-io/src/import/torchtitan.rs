//! torchtitan's standard output: `step: 10  loss: 8.1234  grad_norm: …`; it has no learning rate.

use super::megatron::plain;
use super::sparse::Sparse;
use super::{Importer, Log};
use crate::error::ReadError;
use crate::mapping::MapOverrides;
use crate::source::Source;
use crate::table::json::for_each_line;

/// Reads torchtitan's standard output.
#[derive(Debug)]
pub struct Stdout;

impl Importer for Stdout {
    fn name(&self) -> &'static str {
        "torchtitan output"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let is_one = head
            .split(|&byte| byte == b'\n')
            .any(|line| std::str::from_utf8(line).is_ok_and(|line| metrics(&plain(line)).is_some()));
        is_one.then(|| source.name().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), true, map);
        for source in sources {
            for_each_line(source, &mut |number, line, _| {
                let text = String::from_utf8_lossy(line);
                if let Some((step, loss, is_validation)) = metrics(&plain(&text)) {
                    log.row(number);
                    log.put("step", step);
                    log.put(if is_validation { "val_loss" } else { "loss" }, loss);
                }
                Ok(true)
            })?;
        }
        Ok(Box::new(log))
    }
}

/// Step, loss, and whether the line is one of a validation.
fn metrics(line: &str) -> Option<(f64, f64, bool)> {
    let after = &line[line.find("step:")? + "step:".len()..];
    let (step, rest) = after.trim_start().split_once(' ')?;
    let value = rest.trim_start().strip_prefix("loss:")?;
    let loss = value.split_whitespace().next()?.parse().ok()?;
    // Other programs print steps and losses too; torchtitan prints memory and throughput with them.
    (line.contains("memory:") && line.contains("tps:")).then_some(())?;
    Some((step.parse().ok()?, loss, line.contains("validate")))
}
