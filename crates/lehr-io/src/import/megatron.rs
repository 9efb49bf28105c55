//! Megatron-LM's and GPT-NeoX's standard output: `iteration 10/ 100 | … | lm loss: 1.03E+01 | …`.

use super::sparse::{LossRule, Sparse, flag_batch_ramp};
use super::{Importer, Log, Span};
use crate::error::ReadError;
use crate::mapping::{MapOverrides, Mapping};
use crate::rows::RawRun;
use crate::source::Source;
use crate::table::{Want, json::for_each_line};
use std::borrow::Cow;

/// Reads Megatron-LM's and GPT-NeoX's standard output.
#[derive(Debug)]
pub struct Stdout;

impl Importer for Stdout {
    fn name(&self) -> &'static str {
        "Megatron-LM output"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let is_one = head.split(|&byte| byte == b'\n').any(|line| {
            memchr::memmem::find(line, b"iteration").is_some()
                && std::str::from_utf8(line).is_ok_and(|line| {
                    iteration(&plain(line)).is_some_and(|(_, _, rest)| {
                        rest.split('|').any(|part| part.trim_start().starts_with("learning rate:"))
                    })
                })
        });
        is_one.then(|| source.name().to_owned())
    }

    fn span(&self, source: &Source, map: &MapOverrides) -> Option<Span> {
        let log = self.open(std::slice::from_ref(source), map).ok()?;
        let select =
            ["iteration", "learning rate", "lm loss", "consumed samples"].map(|name| (name, Want::Number));
        let mut rows: Vec<[Option<f64>; 4]> = Vec::new();
        log.for_each_row(&select, &mut |_, cells| {
            let row = [0, 1, 2, 3].map(|i| cells[i].number());
            if row[..3].iter().all(Option::is_some) {
                rows.push(row);
            }
            Ok(true)
        })
        .ok()?;
        let mut known = RawRun::new(source.name(), "", true);
        log.describe(&Mapping::default(), &mut known).ok()?;
        let ([first, second, ..], Some(last)) = (rows.as_slice(), rows.last()) else { return None };
        let before = &rows[rows.len() - 2];
        let pace = |a: &[Option<f64>; 4], b: &[Option<f64>; 4]| Some((b[3]? - a[3]?) / (b[0]? - a[0]?));
        let stride = second[0]? - first[0]?;
        (stride > 0.0).then_some(Span {
            updates: (first[0]? as u64, last[0]? as u64),
            stride: stride as u64,
            total: known.total,
            rates: (first[1]?, last[1]?),
            batch: (pace(first, second), pace(before, last)),
            losses: (first[2]?, last[2]?),
        })
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), true, map);
        log.facts.loss = LossRule::SinceLastRow;
        for source in sources {
            read(source, &mut log)?;
        }
        if let [first, rest @ ..] = sources
            && !rest.is_empty()
        {
            let names: Vec<&str> = rest.iter().map(Source::file_name).collect();
            log.facts.notes.push((
                "jobs-joined",
                format!(
                    "{} goes on in {}: same horizon, batch and rate; one run",
                    first.file_name(),
                    names.join(", ")
                ),
            ));
        }
        flag_batch_ramp(&mut log, "global batch size");
        Ok(Box::new(log))
    }
}

/// A line without the sequences that colour it.
pub(super) fn plain(line: &str) -> Cow<'_, str> {
    if !line.contains('\u{1b}') {
        return Cow::Borrowed(line);
    }
    let mut clean = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(at) = rest.find('\u{1b}') {
        clean.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        let end = after.find(|c: char| c.is_ascii_alphabetic()).map_or(after.len(), |end| end + 1);
        rest = &after[end..];
    }
    clean.push_str(rest);
    Cow::Owned(clean)
}

/// Iteration, horizon and the rest of a line of metrics.
fn iteration(line: &str) -> Option<(u64, u64, &str)> {
    let after = &line[line.find("iteration")? + "iteration".len()..];
    let (numbers, rest) = after.split_once('|')?;
    let (done, total) = numbers.split_once('/')?;
    Some((done.trim().parse().ok()?, total.trim().parse().ok()?, rest))
}

fn read(source: &Source, log: &mut Sparse) -> Result<(), ReadError> {
    let (mut skipped, mut nans) = (0.0, 0.0);
    let mut last = None;
    for_each_line(source, &mut |number, line, _| {
        let text = String::from_utf8_lossy(line);
        let text = plain(&text);
        if let Some((done, total, rest)) = iteration(&text) {
            log.facts.total = Some(total);
            last = Some(done as f64);
            log.row(number);
            log.put("iteration", done as f64);
            for part in rest.split('|') {
                let Some((name, value)) = part.split_once(':') else { continue };
                let Ok(value) = value.trim().parse::<f64>() else { continue };
                match name.trim() {
                    "number of skipped iterations" => skipped += value,
                    "number of nan iterations" => nans += value,
                    name => log.put(name, value),
                }
            }
        } else if let Some((step, loss)) = validation(&text) {
            // The evaluation at the end is that of the last update.
            if let Some(step) = step.or(last) {
                log.row(number);
                log.put("iteration", step);
                log.put("lm loss validation", loss);
            }
        } else if let Some((name, value)) = argument(&text) {
            log.facts.config.insert(name.to_owned(), value.to_owned());
        }
        Ok(true)
    })?;
    if skipped + nans > 0.0 {
        log.facts.notes.push((
            "skipped-iterations",
            format!("{skipped} iterations were skipped and {nans} had a NaN loss, by the log's own count"),
        ));
    }
    Ok(())
}

/// `validation loss at iteration 1000 | lm loss value: 2.3E+00 | …`, GPT-NeoX: `validation results at iteration 1000 | lm_loss
/// value: …`; `None` in place of the iteration for the evaluation at the end of training. That says of which set it is, and
/// only that of the validation set counts.
fn validation(line: &str) -> Option<(Option<f64>, f64)> {
    const BEGINNINGS: [&str; 3] = ["validation loss at ", "validation results at ", "valid results at "];
    let (_, after) = BEGINNINGS.iter().find_map(|beginning| line.split_once(beginning))?;
    let (when, rest) = after.split_once('|')?;
    let update = match when.trim().strip_prefix("iteration ") {
        Some(when) => {
            let (step, set) = when.trim().split_once(' ').unwrap_or((when.trim(), ""));
            if !matches!(set.trim(), "" | "on validation set") {
                return None;
            }
            Some(step.parse().ok()?)
        }
        None => {
            let set = when.trim().strip_prefix("the end of training")?;
            let of_validation =
                ["", "for val data", "for valid data", "for validation data", "on validation set"];
            if !of_validation.contains(&set.trim()) {
                return None;
            }
            None
        }
    };
    let (_, value) = rest.split_once("lm loss value:").or_else(|| rest.split_once("lm_loss value:"))?;
    Some((update, value.split('|').next()?.trim().parse().ok()?))
}

/// `  seq_length ...................... 2048`
fn argument(line: &str) -> Option<(&str, &str)> {
    let line = line.split(':').next_back()?;
    let (name, rest) = line.trim_start().split_once(' ')?;
    let value = rest.trim_start_matches('.');
    if rest.len() - value.len() < 3 || !value.starts_with(' ') {
        return None;
    }
    Some((name, value.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_metrics_is_taken_apart() {
        let line = " [2024-01-02 03:04:05] iteration       10/     100 | consumed samples:  640 | learning rate: 3.000000E-04 |";
        let (done, total, rest) = iteration(line).unwrap();
        assert_eq!((done, total), (10, 100));
        assert!(rest.contains("learning rate"));
    }

    #[test]
    fn an_argument_is_a_name_dots_and_a_value() {
        assert_eq!(argument("  seq_length ................. 2048"), Some(("seq_length", "2048")));
        assert_eq!(argument("the loss fell. It went well"), None);
    }

    #[test]
    fn the_evaluation_at_the_end_counts_on_the_validation_set_alone() {
        let line = |at: &str| {
            format!(" validation loss at {at} | lm loss value: 2.957E+00 | lm loss PPL: 1.9E+01 | ")
        };
        assert_eq!(validation(&line("iteration 2000 on validation set")), Some((Some(2000.0), 2.957)));
        assert_eq!(validation(&line("iteration 1000")), Some((Some(1000.0), 2.957)));
        assert_eq!(validation(&line("iteration 2000 on test set")), None);
        assert_eq!(validation(&line("the end of training for val data")), Some((None, 2.957)));
        assert_eq!(validation(&line("the end of training for test data")), None);
        let of_neox = " validation results at iteration 1000 | lm_loss value: 2.957E+00 | lm_loss_ppl value: 1.9E+01 | ";
        assert_eq!(validation(of_neox), Some((Some(1000.0), 2.957)));
        assert_eq!(validation(" test results at iteration 1000 | lm_loss value: 2.957E+00 | "), None);
    }

    #[test]
    fn colours_go() {
        assert_eq!(plain("\u{1b}[31mstep: 1\u{1b}[0m loss: 2"), "step: 1 loss: 2");
    }
}
