//! MLflow's file store: `mlruns/<experiment>/<run>/metrics/<key>` with lines `timestamp value step`.

use super::sparse::Sparse;
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::MapOverrides;
use crate::source::Source;
use crate::table::{json::for_each_line, shortened};
use std::io::Read;

/// Reads the metrics of MLflow's file store.
#[derive(Debug)]
pub struct FileStore;

/// Claims what lies next to them: parameters and the run's name.
#[derive(Debug)]
pub struct Params;

/// Name of the importer of metrics.
pub(super) const METRICS: &str = "MLflow file store";
/// Name of the importer of parameters.
pub(super) const PARAMS: &str = "MLflow parameters";

/// The run's directory, where the path has `/metrics/` or the like in it.
fn run_of(source: &Source, inside: &str) -> Option<String> {
    source.name().rfind(inside).filter(|&at| at > 0).map(|at| source.name()[..at].to_owned())
}

fn row(line: &[u8]) -> Option<(f64, f64)> {
    let mut parts = std::str::from_utf8(line).ok()?.split_whitespace();
    let _timestamp: i64 = parts.next()?.parse().ok()?;
    let value = parts.next()?.parse().ok()?;
    let step: i64 = parts.next()?.parse().ok()?;
    parts.next().is_none().then_some((step as f64, value))
}

impl Importer for FileStore {
    fn name(&self) -> &'static str {
        METRICS
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        row(head.split(|&byte| byte == b'\n').next()?)?;
        run_of(source, "/metrics/")
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(METRICS, true, map);
        for source in sources {
            if let Some(at) = source.name().rfind("/metrics/") {
                read(source, &source.name()[at + "/metrics/".len()..], &mut log)?;
            } else {
                let mut text = String::new();
                let read = source.open().and_then(|reader| reader.take(1 << 16).read_to_string(&mut text));
                read.map_err(ReadError::io(source.name()))?;
                if source.file_name() == "meta.yaml" {
                    let name = text.lines().find_map(|line| line.strip_prefix("run_name:"));
                    log.facts.name = name.map(|name| name.trim().trim_matches(['\'', '"']).to_owned());
                } else {
                    log.facts.config.insert(source.file_name().to_owned(), text.trim().to_owned());
                }
            }
        }
        Ok(Box::new(log))
    }
}

fn read(source: &Source, key: &str, log: &mut Sparse) -> Result<(), ReadError> {
    if log.wants(key).is_none() {
        return Ok(());
    }
    for_each_line(source, &mut |number, line, complete| {
        match row(line) {
            Some((step, value)) => {
                log.row(number);
                log.put("step", step);
                log.put(key, value);
            }
            None if !complete => log.facts.cut_off = Some(number),
            None => {
                return Err(ReadError::Value {
                    file: source.name().to_owned(),
                    place: Place::Line(number),
                    what: "the line".to_owned(),
                    found: shortened(&String::from_utf8_lossy(line)),
                    expected: "timestamp, value and step".to_owned(),
                });
            }
        }
        Ok(true)
    })
}

impl Importer for Params {
    fn name(&self) -> &'static str {
        PARAMS
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        if source.file_name() == "meta.yaml" && memchr::memmem::find(head, b"run_id:").is_some() {
            return Some(source.directory().to_owned());
        }
        run_of(source, "/params/").filter(|run| run.contains("mlruns"))
    }

    fn open(&self, _sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        Ok(Box::new(Sparse::new(PARAMS, true, map)))
    }
}
