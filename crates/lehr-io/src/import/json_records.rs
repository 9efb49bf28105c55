//! JSON that is no table of rows: an array of records, one metric a line, and records behind a prefix of a logger.
//!
//! # Format
//! ```text
//! [{"step": 10, "loss": 3.1, "lr": 0.001}, …]                                     pandas, orient="records"
//! {"step": 10, "name": "loss", "value": 3.1}                                      one metric a line
//! 2022-01-01 00:00:00 | INFO | train_inner | {"num_updates": "10", "loss": "4.5"}  fairseq, metaseq
//! ```

use super::sparse::{Sparse, plays};
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::{MapOverrides, Role};
use crate::source::Source;
use crate::table::json::{Leaf, flatten, for_each_line};
use std::io::Read;

/// Larger than any array of rows.
const LARGEST: u64 = 1 << 30;

/// Reads one array of records.
#[derive(Debug)]
pub struct Records;

impl Importer for Records {
    fn name(&self) -> &'static str {
        "JSON records"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let rest = head.trim_ascii_start().strip_prefix(b"[")?.trim_ascii_start();
        (rest.starts_with(b"{") && memchr::memmem::find(rest, b"\"").is_some())
            .then(|| source.name().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), false, map);
        for source in sources {
            records(source, &mut log)?;
        }
        Ok(Box::new(log))
    }
}

fn records(source: &Source, log: &mut Sparse) -> Result<(), ReadError> {
    let mut bytes = Vec::new();
    let read = source.open().and_then(|reader| reader.take(LARGEST).read_to_end(&mut bytes));
    read.map_err(ReadError::io(source.name()))?;
    let mut current: Option<String> = None;
    let mut several = None;
    flatten(&bytes, &mut |path, leaf| {
        let Some((index, name)) = path.split_once('/') else { return };
        if current.as_deref() != Some(index) {
            current = Some(index.to_owned());
            log.row(index.parse::<u64>().unwrap_or(0) + 1);
        }
        match leaf {
            Leaf::Number(value) => log.put(name, value),
            Leaf::Text(_) if plays(Role::Run, name) || plays(Role::Split, name) => {
                several.get_or_insert_with(|| name.to_owned());
            }
            _ => {}
        }
    })
    .map_err(|error| ReadError::Broken {
        file: source.name().to_owned(),
        place: Place::Byte(error.at as u64),
        problem: format!("not valid JSON: found {}; expected {}", error.found, error.expected),
    })?;
    match several {
        None => Ok(()),
        Some(name) => Err(ReadError::Refused {
            file: source.name().to_owned(),
            why: format!("an array of records whose column '{name}' tells several runs or splits apart"),
            hint: "write one record a line (pandas: to_json(…, orient=\"records\", lines=True)) or CSV"
                .to_owned(),
        }),
    }
}

/// Reads one metric a line.
#[derive(Debug)]
pub struct MetricLines;

impl Importer for MetricLines {
    fn name(&self) -> &'static str {
        "JSON lines, one metric each"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let line = head.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty())?;
        is_metric(line).then(|| source.name().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), true, map);
        for source in sources {
            super::metric_table::read(source, map, &mut log)?;
        }
        Ok(Box::new(log))
    }
}

/// Whether a line holds step, name and value of one metric.
fn is_metric(line: &[u8]) -> bool {
    let mut names = Vec::new();
    let read = flatten(line.trim_ascii(), &mut |path, _| names.push(path.to_owned()));
    line.trim_ascii().starts_with(b"{") && read.is_ok() && super::metric_table::is_one(&names)
}

/// Reads fairseq's and metaseq's JSON behind the prefix of their logger, of Slurm, or of both.
#[derive(Debug)]
pub struct Prefixed;

/// The JSON behind the prefix, and whether it speaks of the validation set; `None`: another line.
fn behind(line: &[u8]) -> Option<&[u8]> {
    let at = memchr::memmem::find(line, b"{\"")?;
    let json = &line[at..];
    let has = |name: &[u8]| memchr::memmem::find(json, name).is_some();
    (at > 0 && (has(b"num_updates\"")) && has(b"loss\"")).then_some(json)
}

impl Importer for Prefixed {
    fn name(&self) -> &'static str {
        "fairseq output"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        head.split(|&byte| byte == b'\n').any(|line| behind(line).is_some()).then(|| source.name().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), true, map);
        log.facts.loss = super::sparse::LossRule::SinceLastRow;
        for source in sources {
            for_each_line(source, &mut |number, line, _| {
                let Some(json) = behind(line) else { return Ok(true) };
                let mut values = Vec::new();
                let read = flatten(json.trim_ascii_end(), &mut |path, leaf| {
                    let value = match leaf {
                        Leaf::Number(value) => Some(value),
                        Leaf::Text(text) => text.parse::<f64>().ok(),
                        _ => None,
                    };
                    values.extend(value.map(|value| (path.to_owned(), value)));
                });
                // Lines of several processes run into each other; what is no JSON is another line.
                if read.is_err() {
                    return Ok(true);
                }
                log.row(number);
                let whole_epoch = values.iter().any(|(name, _)| name == "train_num_updates");
                for (name, value) in values {
                    match name.as_str() {
                        "num_updates" | "valid_num_updates" => log.put("num_updates", value),
                        // The mean over an epoch, beside the rows of its updates.
                        "train_loss" if whole_epoch => {}
                        name => log.put(name, value),
                    }
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
    fn a_metric_needs_step_name_and_value() {
        assert!(is_metric(br#"{"step": 10, "name": "loss", "value": 3.5}"#));
        assert!(is_metric(br#"{"step": 10, "split": "train", "name": "loss", "value": 3.5}"#));
        assert!(!is_metric(br#"{"step": 10, "loss": 3.5}"#));
        assert!(!is_metric(br#"{"step": 10, "name": "loss", "value": 3.5"#));
    }

    #[test]
    fn the_record_stands_behind_the_prefix() {
        let line = br#"12: 2022-01-01 | INFO | train_inner | {"num_updates": "10", "loss": "4.5"}"#;
        assert!(behind(line).is_some_and(|json| json.starts_with(b"{\"num")));
        assert!(behind(br#"{"num_updates": 10, "loss": 4.5}"#).is_none());
    }
}
