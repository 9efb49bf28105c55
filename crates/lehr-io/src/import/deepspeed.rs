//! DeepSpeed's CSV monitor: one file a tag, `Train_Samples_train_loss.csv`, over samples.

use super::sparse::Sparse;
use super::{Importer, Log};
use crate::error::ReadError;
use crate::mapping::MapOverrides;
use crate::source::Source;
use crate::table::{Format, Want, for_each_row};

/// Reads the files of DeepSpeed's CSV monitor.
#[derive(Debug)]
pub struct CsvMonitor;

impl Importer for CsvMonitor {
    fn name(&self) -> &'static str {
        "DeepSpeed CSV monitor"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let name = source.plain_name();
        let header = head.split(|&byte| byte == b'\n').next()?;
        (name.starts_with("Train_Samples_") && name.ends_with(".csv") && header.starts_with(b"step,"))
            .then(|| source.folder().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut rows: Vec<(u64, &'static str, f64, u64)> = Vec::new();
        for source in sources {
            let name = match source.plain_name() {
                "Train_Samples_train_loss.csv" => "train_loss",
                "Train_Samples_lr.csv" => "lr",
                _ => continue,
            };
            let columns = crate::table::columns(source, Format::Delimited(b','))?;
            let Some(value) = columns.get(1) else { continue };
            let select = [("step", Want::Number), (value.as_str(), Want::Number)];
            for_each_row(source, Format::Delimited(b','), &select, &mut |place, cells| {
                if let (Some(samples), Some(value)) = (cells[0].number(), cells[1].number()) {
                    let line = if let crate::error::Place::Line(line) = place { line } else { 0 };
                    rows.push((
                        crate::read::whole(source.name(), place, "step", samples)?,
                        name,
                        value,
                        line,
                    ));
                }
                Ok(true)
            })?;
        }
        // Rows are written after every so many updates of one batch each: the batch is this, or a part of it.
        let batch = rows.iter().map(|&(samples, ..)| samples).fold(0, gcd).max(1);
        let mut log = Sparse::new(self.name(), true, map);
        for (samples, name, value, line) in rows {
            log.row(line);
            log.put("samples", samples as f64);
            log.put(name, value);
        }
        log.facts.guessed_batch = Some(batch);
        Ok(Box::new(log))
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
