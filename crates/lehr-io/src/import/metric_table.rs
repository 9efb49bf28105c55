//! One metric a line: delimited tables with `step,metric,value`, and JSON lines of the same; perhaps with columns that say
//! the run, or whether the line is of the training or of the validation.

use super::sparse::{Sparse, plays};
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::{MapOverrides, Role, could_tell_splits};
use crate::source::Source;
use crate::table::{self, Cell, Format, Want, sniff};
use std::collections::HashMap;

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
    /// What tells runs and splits apart.
    labels: Vec<String>,
}

impl Columns {
    /// `None` for a table of another kind: also where a column is the loss itself.
    fn of(names: &[String], map: &MapOverrides) -> Option<Self> {
        let one = |wanted: &[&str]| {
            names.iter().find(|name| wanted.contains(&name.to_lowercase().as_str())).cloned()
        };
        let find = |role| crate::mapping::guess(role, names);
        if find(Role::Loss).is_some() || find(Role::ValidationLoss).is_some() {
            return None;
        }
        let given = |role| map.get(role).filter(|name| names.iter().any(|known| known == name));
        let step = given(Role::Step).map(str::to_owned).or_else(|| find(Role::Step))?;
        let (metric, value) = (one(&METRIC)?, one(&["value"])?);
        let tells = |name: &&String| {
            let is_given = [Role::Run, Role::Split].iter().any(|&role| given(role) == Some(name.as_str()));
            is_given || plays(Role::Run, name) || plays(Role::Split, name) || could_tell_splits(name)
        };
        let labels = names
            .iter()
            .filter(|&name| ![&step, &metric, &value].contains(&name))
            .filter(tells)
            .cloned()
            .collect();
        Some(Self { step, metric, value, labels })
    }
}

/// Whether a table with these columns holds one metric a line.
pub(super) fn is_one(names: &[String]) -> bool {
    Columns::of(names, &MapOverrides::default()).is_some()
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
        is_one(&names).then(|| source.name().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut log = Sparse::new(self.name(), true, map);
        for source in sources {
            read(source, map, &mut log)?;
        }
        Ok(Box::new(log))
    }
}

/// Puts the lines of a table into a log: neighbouring lines of one update, run and split become one row.
pub(super) fn read(source: &Source, map: &MapOverrides, log: &mut Sparse) -> Result<(), ReadError> {
    let head = source.head(table::HEAD).map_err(ReadError::io(source.name()))?;
    let Some(format) = sniff(&head) else { return Ok(()) };
    let names = table::columns(source, format)?;
    let Some(columns) = Columns::of(&names, map) else { return Ok(()) };
    let mut select = vec![
        (columns.step.as_str(), Want::Number),
        (columns.metric.as_str(), Want::Text),
        (columns.value.as_str(), Want::Perhaps),
    ];
    select.extend(columns.labels.iter().map(|name| (name.as_str(), Want::Text)));
    let mut current: Option<(f64, Vec<Option<String>>)> = None;
    let mut in_row: Vec<u32> = Vec::new();
    // The column of each metric; none where it is not kept.
    let mut columns_of: HashMap<String, Option<u32>> = HashMap::new();
    let end = table::for_each_row(source, format, &select, &mut |place: Place, cells| {
        let (Some(step), Some(name), Some(value)) = (cells[0].number(), cells[1].text(), cells[2].number())
        else {
            return Ok(true);
        };
        let kept = match columns_of.get(name) {
            Some(&kept) => kept,
            None => {
                let is_label = plays(Role::Step, name) || plays(Role::Run, name);
                let kept = log.wants(name).filter(|_| !is_label);
                columns_of.insert(name.to_owned(), kept);
                kept
            }
        };
        let Some(column) = kept else { return Ok(true) };
        let labels = cells[3..].iter().map(Cell::text);
        let goes_on = current.as_ref().is_some_and(|(before, of)| {
            before.to_bits() == step.to_bits() && of.iter().map(Option::as_deref).eq(labels.clone())
        });
        if !goes_on || in_row.contains(&column) {
            in_row.clear();
            log.row(if let Place::Line(line) = place { line } else { 0 });
            log.put("step", step);
            for (label, text) in columns.labels.iter().zip(labels.clone()) {
                if let Some(text) = text {
                    log.put_text(label, text);
                }
            }
            current = Some((step, labels.map(|text| text.map(str::to_owned)).collect()));
        }
        log.put_at(column, value);
        in_row.push(column);
        Ok(true)
    })?;
    log.facts.cut_off = log.facts.cut_off.or(end.cut_off);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn columns(names: &[&str]) -> Option<Columns> {
        Columns::of(&names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>(), &MapOverrides::default())
    }

    #[test]
    fn a_table_of_metrics_has_step_name_and_value_and_no_loss() {
        let found = columns(&["run_id", "step", "key", "value", "phase", "host"]).unwrap();
        assert_eq!(
            (found.metric.as_str(), found.labels),
            ("key", vec!["run_id".to_owned(), "phase".to_owned()])
        );
        assert!(columns(&["step", "metric", "value"]).is_some());
        assert!(columns(&["step", "name", "value", "loss"]).is_none());
        assert!(columns(&["step", "value"]).is_none());
    }
}
