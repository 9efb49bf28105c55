//! Times reading alone: `read_speed FILE…` prints rows, seconds and MB/s of each file's steps, losses and rates.
//!
//! `cargo xtask bench-import` runs it next to pandas, polars and TensorBoard's own reader.

#![expect(clippy::print_stdout, reason = "a measuring program")]

use lehr_io::import::{IMPORTERS, Log};
use lehr_io::table::{self, Want};
use lehr_io::{MapOverrides, Mapping, ReadError, Source};
use std::fs::File;
use std::time::Instant;

/// The sum of what was read, so that nothing can be left out.
fn read(source: &Source) -> Result<(u64, f64), ReadError> {
    let io = |error| ReadError::Io { file: source.name().to_owned(), error };
    let head = source.head(table::HEAD).map_err(io)?;
    let map = MapOverrides::default();
    let (mut rows, mut sum) = (0, 0.0);
    let mut visit = |_, cells: &[table::Cell<'_>]| {
        rows += 1;
        sum += cells.iter().filter_map(table::Cell::number).sum::<f64>();
        Ok(true)
    };
    let select = |columns: &[String]| {
        let mapping = Mapping::guess(source.name(), columns, &map)?;
        Ok::<Vec<String>, ReadError>(
            [Some(mapping.step), mapping.loss, mapping.lr].into_iter().flatten().collect(),
        )
    };
    let importer = IMPORTERS.iter().find(|importer| importer.claim(source, &head).is_some());
    if let Some(importer) = importer {
        let log: Box<dyn Log> = importer.open(std::slice::from_ref(source), &map)?;
        let names = select(&log.columns()?)?;
        let wanted: Vec<(&str, Want)> = names.iter().map(|name| (name.as_str(), Want::Number)).collect();
        log.for_each_row(&wanted, &mut visit)?;
    } else if let Some(format) = table::sniff(&head) {
        let names = select(&table::columns(source, format)?)?;
        let wanted: Vec<(&str, Want)> = names.iter().map(|name| (name.as_str(), Want::Number)).collect();
        table::for_each_row(source, format, &wanted, &mut visit)?;
    }
    Ok((rows, sum))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    for path in std::env::args().skip(1) {
        let length = std::fs::metadata(&path)?.len();
        let owned = path.clone();
        let source = Source::new(&path, length, 1, false, move || Ok(Box::new(File::open(&owned)?)));
        let mut best = f64::INFINITY;
        let mut found = (0, 0.0);
        // The first reading warms the page cache; the best of the rest counts.
        for round in 0..4 {
            let begun = Instant::now();
            found = read(&source)?;
            if round > 0 {
                best = best.min(begun.elapsed().as_secs_f64());
            }
        }
        println!(
            "{{\"file\": {path:?}, \"rows\": {}, \"sum\": {}, \"seconds\": {best}, \"mb_per_s\": {}}}",
            found.0,
            found.1,
            length as f64 / 1e6 / best
        );
    }
    Ok(())
}
