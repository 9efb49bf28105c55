//! Hugging Face Trainer: `trainer_state.json`, with the history of all logged rows.

use super::sparse::{LossRule, Sparse};
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::MapOverrides;
use crate::source::Source;
use crate::table::json::{Leaf, flatten};
use std::io::Read;

/// Reads `trainer_state.json`.
#[derive(Debug)]
pub struct TrainerState;

/// Larger than any history.
const LARGEST: u64 = 1 << 30;

impl Importer for TrainerState {
    fn name(&self) -> &'static str {
        "Hugging Face trainer state"
    }

    /// Every checkpoint holds the history up to it: those of one output directory are one run.
    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let has = |name: &[u8]| memchr::memmem::find(head, name).is_some();
        if !(head.trim_ascii_start().starts_with(b"{") && has(b"\"log_history\"") && has(b"\"global_step\""))
        {
            return None;
        }
        let directory = source.folder();
        let (parent, last) = directory.rsplit_once('/').unwrap_or((".", directory));
        let key = if last.starts_with("checkpoint-") { parent } else { directory };
        Some(if key.is_empty() { "/" } else { key }.to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut latest: Option<(u64, Sparse)> = None;
        for source in sources {
            let (step, log) = read(source, map)?;
            if latest.as_ref().is_none_or(|(other, _)| *other < step) {
                latest = Some((step, log));
            }
        }
        let (step, mut log) = latest.unwrap_or_else(|| (0, Sparse::new("", false, map)));
        if sources.len() > 1 {
            log.facts.notes.push((
                "checkpoints",
                format!("{} checkpoints hold the history; the one of update {step} is read", sources.len()),
            ));
        }
        Ok(Box::new(log))
    }
}

fn read(source: &Source, map: &MapOverrides) -> Result<(u64, Sparse), ReadError> {
    let mut bytes = Vec::new();
    source
        .open()
        .and_then(|reader| reader.take(LARGEST).read_to_end(&mut bytes))
        .map_err(ReadError::io(source.name()))?;
    let mut log = Sparse::new(TrainerState.name(), false, map);
    log.facts.loss = LossRule::SinceLastRow;
    log.facts.rates_of_before = true;
    let mut current = None;
    let mut global_step = 0;
    flatten(&bytes, &mut |path, leaf| {
        let value = match &leaf {
            Leaf::Number(value) => *value,
            Leaf::Text(text) => match text.as_ref() {
                "NaN" | "nan" => f64::NAN,
                "Infinity" | "inf" => f64::INFINITY,
                _ => return,
            },
            _ => return,
        };
        let Some(entry) = path.strip_prefix("log_history/") else {
            match path {
                "global_step" => global_step = value as u64,
                "max_steps" if value >= 1.0 => log.facts.total = Some(value as u64),
                _ => {}
            }
            return;
        };
        let Some((index, name)) = entry.split_once('/') else { return };
        if current.as_deref() != Some(index) {
            current = Some(index.to_owned());
            log.row(index.parse::<u64>().unwrap_or(0) + 1);
        }
        log.put(name, value);
    })
    .map_err(|error| ReadError::Broken {
        file: source.name().to_owned(),
        place: Place::Byte(error.at as u64),
        problem: format!("not valid JSON: found {}; expected {}", error.found, error.expected),
    })?;
    Ok((global_step, log))
}
