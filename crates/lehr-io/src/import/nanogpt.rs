//! Text logs of the nanoGPT family: nanoGPT, build-nanogpt, llm.c, modded-nanogpt and what follows them.
//!
//! # Format
//! ```text
//! step:1375/1390 val_loss:3.2791 train_time:210441ms step_avg:153.05ms        modded-nanogpt; older: train_loss, too
//! s:250 tel:6.4630                                                            llm.c, main.log: loss on the test set
//! s:250 trl:6.4213 lr:0.000214 norm:1.02                                      llm.c, main.log: training loss
//! step  251/18865 | loss 6.421313 (+1.2z)| norm 1.0213 (+0.1z)| lr 2.14e-04 | llm.c on the terminal, train_gpt2.py
//! val loss 6.462973                                                           the same, before the next step
//! step 250: train loss 6.4211, val loss 6.4630                                nanoGPT
//! iter 250: loss 6.4213, time 135.03ms, mfu 40.12%                            nanoGPT
//! 250 val 6.4630                                                              build-nanogpt, log.txt
//! 250 train 6.421313                                                          build-nanogpt
//! ```
//! Evaluations of step s are done after s updates. Training losses of `s:`, `iter` and `train` lines count from 0: that of s
//! is of update s + 1. Lines with a slash count from 1.

use super::megatron::plain;
use super::sparse::Sparse;
use super::{Importer, Log};
use crate::error::ReadError;
use crate::mapping::MapOverrides;
use crate::source::Source;
use crate::table::json::for_each_line;

/// Reads text logs of the nanoGPT family.
#[derive(Debug)]
pub struct Text;

/// What a line says; updates are those done, losses NaN where the line holds none.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Line {
    /// A training loss and, perhaps, the rate.
    Train { update: u64, loss: f64, lr: Option<f64>, total: Option<u64> },
    /// A validation loss.
    Validation { update: u64, loss: f64, total: Option<u64> },
    /// A validation loss after the update of the last training line.
    ValidationHere { loss: f64 },
    /// An update without a loss.
    Update { total: Option<u64> },
}

impl Line {
    /// Whether no other program writes such a line.
    fn is_telling(self, text: &str) -> bool {
        match self {
            Self::ValidationHere { .. } | Self::Update { .. } => false,
            // `250 val 6.4630` is short enough to stand in other texts.
            _ => !text.trim_start().starts_with(|c: char| c.is_ascii_digit()),
        }
    }
}

/// The number at the beginning of a text, as `3.2791` of `3.2791,` and `3.1 (+0.2z)`.
fn number(text: &str) -> Option<f64> {
    let text = text.trim_start();
    let end = text.find(|c: char| c.is_whitespace() || matches!(c, ',' | '|' | '(')).unwrap_or(text.len());
    text[..end].parse().ok()
}

/// The number behind a word.
fn after(text: &str, word: &str) -> Option<f64> {
    number(&text[text.find(word)? + word.len()..])
}

fn line(text: &str) -> Option<Line> {
    let text = text.trim();
    if let Some(rest) = text.strip_prefix("step:") {
        return modded(rest);
    }
    if let Some(rest) = text.strip_prefix("s:") {
        let (step, rest) = rest.split_once(' ')?;
        let step: u64 = step.parse().ok()?;
        if let Some(loss) = after(rest, "tel:") {
            return Some(Line::Validation { update: step, loss, total: None });
        }
        let loss = after(rest, "trl:")?;
        return Some(Line::Train { update: step.checked_add(1)?, loss, lr: after(rest, "lr:"), total: None });
    }
    if let Some(rest) = text.strip_prefix("step ") {
        return stepped(rest);
    }
    if let Some(rest) = text.strip_prefix("iter ") {
        let (step, rest) = rest.split_once(':')?;
        let step: u64 = step.trim().parse().ok()?;
        let loss = number(rest.trim_start().strip_prefix("loss ")?)?;
        return Some(Line::Train { update: step.checked_add(1)?, loss, lr: after(rest, "lr "), total: None });
    }
    if let Some(rest) = text.strip_prefix("val loss ").or_else(|| text.strip_prefix("val loss: ")) {
        return Some(Line::ValidationHere { loss: number(rest)? });
    }
    let (step, rest) = text.split_once(' ')?;
    let step: u64 = step.parse().ok()?;
    let (what, rest) = rest.split_once(' ')?;
    let loss = rest.trim().parse().ok()?;
    match what {
        "val" => Some(Line::Validation { update: step, loss, total: None }),
        "train" => Some(Line::Train { update: step.checked_add(1)?, loss, lr: None, total: None }),
        _ => None,
    }
}

/// `1375/1390 val_loss:3.2791 …`
fn modded(rest: &str) -> Option<Line> {
    let (steps, rest) = rest.split_once(' ')?;
    let (step, total) = steps.split_once('/')?;
    let (update, total) = (step.parse().ok()?, total.parse().ok());
    if let Some(loss) = after(rest, "val_loss:") {
        return Some(Line::Validation { update, loss, total });
    }
    if let Some(loss) = after(rest, "train_loss:") {
        return Some(Line::Train { update, loss, lr: after(rest, " lr:"), total });
    }
    rest.trim_start().starts_with("train_time:").then_some(Line::Update { total })
}

/// `251/18865 | loss 6.42 … | lr 2.14e-04 |` and `250: train loss 6.42, val loss 6.46`
fn stepped(rest: &str) -> Option<Line> {
    if let Some((step, rest)) = rest.split_once(':').filter(|(step, _)| !step.contains('|')) {
        let update = step.trim().parse().ok()?;
        rest.trim_start().strip_prefix("train loss ")?;
        return Some(Line::Validation { update, loss: after(rest, "val loss ")?, total: None });
    }
    let (steps, rest) = rest.split_once('|')?;
    let (step, total) = steps.split_once('/')?;
    let rest = rest.trim_start();
    let loss = number(rest.strip_prefix("train loss ").or_else(|| rest.strip_prefix("loss "))?)?;
    Some(Line::Train {
        update: step.trim().parse().ok()?,
        loss,
        lr: after(rest, "| lr "),
        total: total.trim().parse().ok(),
    })
}

impl Importer for Text {
    fn name(&self) -> &'static str {
        "nanoGPT output"
    }

    /// One line that only these programs write, or three that they write.
    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        const ENOUGH: usize = 3;
        let mut found = 0;
        for bytes in head.split(|&byte| matches!(byte, b'\n' | b'\r')) {
            // The program itself, which some of them write into their logs, holds no such lines.
            if bytes.len() > 400 {
                continue;
            }
            let Ok(text) = std::str::from_utf8(bytes) else { continue };
            let Some(line) = line(&plain(text)) else { continue };
            found += 1;
            if line.is_telling(text) || found >= ENOUGH {
                return Some(source.name().to_owned());
            }
        }
        None
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), true, map);
        for source in sources {
            let mut last = 0;
            for_each_line(source, &mut |at, bytes, complete| {
                let text = String::from_utf8_lossy(bytes);
                // A line that a running job is still writing may lack the end of its last number.
                let Some(line) = line(&plain(&text)).filter(|_| complete) else { return Ok(true) };
                let (update, loss, name, total) = match line {
                    Line::Train { update, loss, total, .. } => {
                        last = update;
                        (update, loss, "train_loss", total)
                    }
                    Line::Validation { update, loss, total } => (update, loss, "val_loss", total),
                    Line::ValidationHere { loss } => (last, loss, "val_loss", None),
                    Line::Update { total } => {
                        log.facts.total = total.or(log.facts.total);
                        return Ok(true);
                    }
                };
                log.facts.total = total.or(log.facts.total);
                log.row(at);
                log.put("step", update as f64);
                log.put(name, loss);
                if let Line::Train { lr: Some(lr), .. } = line {
                    log.put("lr", lr);
                }
                Ok(true)
            })?;
        }
        Ok(Box::new(log))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_says_its_update_loss_and_rate() {
        let train = |update, loss, lr, total| Some(Line::Train { update, loss, lr, total });
        let validation = |update, loss, total| Some(Line::Validation { update, loss, total });
        for (text, expected) in [
            ("step:1375/1390 val_loss:3.2791 train_time:210441ms", validation(1375, 3.2791, Some(1390))),
            ("step:7/1390 train_loss:3.5 train_time:9ms", train(7, 3.5, None, Some(1390))),
            ("step:7/1390 train_time:9ms step_avg:1ms", Some(Line::Update { total: Some(1390) })),
            ("s:250 tel:6.4630", validation(250, 6.463, None)),
            ("s:250 trl:6.4213 lr:0.000214 norm:1.02", train(251, 6.4213, Some(2.14e-4), None)),
            (
                "step  251/18865 | loss 6.421313 (+1.2z)| norm 1.0213 (+0.1z)| lr 2.14e-04 | 1 ms",
                train(251, 6.421_313, Some(2.14e-4), Some(18865)),
            ),
            (
                "step    1/20 | train loss 4.28 | norm 15.9 | lr 1.00e-04 | (2 ms)",
                train(1, 4.28, Some(1e-4), Some(20)),
            ),
            ("val loss 6.462973", Some(Line::ValidationHere { loss: 6.462_973 })),
            ("step 250: train loss 6.4211, val loss 6.4630", validation(250, 6.463, None)),
            ("iter 250: loss 6.4213, time 135.03ms, mfu 40.12%", train(251, 6.4213, None, None)),
            ("250 val 6.4630", validation(250, 6.463, None)),
            ("250 train 6.421313", train(251, 6.421_313, None, None)),
            ("250 hella 0.2912", None),
            ("s:250 eval:0.2912", None),
            ("print0(f\"step:{step}/{train_steps} val_loss:{val_loss:.4f}\")", None),
            ("step: 10  loss: 8.1  memory: 1", None),
        ] {
            assert_eq!(line(text), expected, "{text}");
        }
    }
}
