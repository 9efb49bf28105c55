//! Delimited tables with one metric a line: `step,metric,value`, perhaps with a column of runs.

use super::sparse::{by_names, plays};
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::{MapOverrides, Mapping, Role};
use crate::rows::RawRun;
use crate::source::Source;
use crate::table::{self, Cell, Format, TableEnd, Visit, Want, sniff};
use std::collections::BTreeSet;

/// Reads tables with one metric a line.
#[derive(Debug)]
pub struct MetricTable;

/// Columns that hold the metric's name.
const METRIC: [&str; 6] = ["name", "metric", "key", "tag", "variable", "metric_name"];

/// The columns of such a table.
#[derive(Debug, Clone, PartialEq)]
struct Columns {
    step: String,
    metric: String,
    value: String,
    run: Option<String>,
}

impl Columns {
    /// `None` for a table of another kind: also where a column is the loss itself.
    fn of(names: &[String]) -> Option<Self> {
        let one = |wanted: &[&str]| {
            names.iter().find(|name| wanted.contains(&name.to_lowercase().as_str())).cloned()
        };
        let find = |role| crate::mapping::guess(role, names);
        if find(Role::Loss).is_some() || find(Role::ValidationLoss).is_some() {
            return None;
        }
        Some(Self {
            step: find(Role::Step)?,
            metric: one(&METRIC)?,
            value: one(&["value"])?,
            run: find(Role::Run),
        })
    }
}

impl Importer for MetricTable {
    fn name(&self) -> &'static str {
        "table of one metric a line"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let Some(Format::Delimited(delimiter)) = sniff(head) else { return None };
        let header = head.split(|&byte| byte == b'\n').find(|line| !line.trim_ascii().is_empty())?;
        let header = std::str::from_utf8(header.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(header)).ok()?;
        let names: Vec<String> = header
            .split(char::from(delimiter))
            .map(|name| name.trim().trim_matches('"').to_owned())
            .collect();
        Columns::of(&names).map(|_| source.name().to_owned())
    }

    fn open(&self, sources: &[Source], _map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut tables = Vec::new();
        let mut metrics = BTreeSet::new();
        for source in sources {
            let head = source.head(table::HEAD).map_err(ReadError::io(source.name()))?;
            let Some(format) = sniff(&head) else { continue };
            let Some(columns) = Columns::of(&table::columns(source, format)?) else { continue };
            table::for_each_row(
                source,
                format,
                &[(columns.metric.as_str(), Want::Text)],
                &mut |_, cells| {
                    if let Some(name) = cells[0].text()
                        && !metrics.contains(name)
                    {
                        metrics.insert(name.to_owned());
                    }
                    Ok(true)
                },
            )?;
            tables.push((source.clone(), format, columns));
        }
        Ok(Box::new(Metrics { tables, metrics }))
    }
}

struct Metrics {
    tables: Vec<(Source, Format, Columns)>,
    metrics: BTreeSet<String>,
}

impl Log for Metrics {
    fn kind(&self) -> String {
        MetricTable.name().to_owned()
    }

    fn has_lines(&self) -> bool {
        true
    }

    fn columns(&self) -> Result<Vec<String>, ReadError> {
        let run = self.tables.iter().any(|(.., columns)| columns.run.is_some()).then_some("run");
        let own = ["step"].into_iter().chain(run).map(str::to_owned);
        let taken = |name: &&String| !plays(Role::Step, name) && !plays(Role::Run, name);
        Ok(own.chain(self.metrics.iter().filter(taken).cloned()).collect())
    }

    fn for_each_row(&self, select: &[(&str, Want)], visit: &mut Visit<'_>) -> Result<TableEnd, ReadError> {
        let place_of = |name: &str| select.iter().position(|(wanted, _)| *wanted == name);
        let (step, run) = (place_of("step"), place_of("run"));
        let mut end = TableEnd::default();
        for (source, format, columns) in &self.tables {
            let mut wanted = vec![
                (columns.step.as_str(), Want::Number),
                (columns.metric.as_str(), Want::Text),
                (columns.value.as_str(), Want::Perhaps),
            ];
            wanted.extend(columns.run.as_deref().map(|run| (run, Want::Text)));
            let found = table::for_each_row(source, *format, &wanted, &mut |place: Place, cells| {
                let Some(at) = cells[1].text().and_then(place_of) else { return Ok(true) };
                let Some(value) = cells[2].number() else { return Ok(true) };
                let mut row = vec![Cell::Missing; select.len()];
                row[at] = Cell::Number(value);
                if let Some(step) = step {
                    row[step] = cells[0].clone();
                }
                if let (Some(at), Some(run)) = (run, cells.get(3)) {
                    row[at] = run.clone();
                }
                visit(place, &row)
            })?;
            end.cut_off = end.cut_off.or(found.cut_off);
        }
        Ok(end)
    }

    fn describe(&self, mapping: &Mapping, raw: &mut RawRun) -> Result<(), ReadError> {
        by_names(mapping, raw);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Option<Columns> {
        Columns::of(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn a_table_of_metrics_has_step_name_and_value_and_no_loss() {
        let found = columns(&["run_id", "step", "key", "value"]).unwrap();
        assert_eq!((found.metric.as_str(), found.run.as_deref()), ("key", Some("run_id")));
        assert!(columns(&["step", "metric", "value"]).is_some());
        assert!(columns(&["step", "name", "value", "loss"]).is_none());
        assert!(columns(&["step", "value"]).is_none());
    }
}
