//! Weights & Biases chart exports: `Step`, then `<run> - <metric>` with `__MIN` and `__MAX` beside it.

use super::sparse::plays;
use super::{Importer, Log};
use crate::error::{Place, ReadError};
use crate::mapping::{MapOverrides, Mapping, Role};
use crate::rows::RawRun;
use crate::source::Source;
use crate::table::{self, Cell, Format, TableEnd, Visit, Want};
use lehr::CaveatKind;
use std::collections::BTreeSet;

/// Reads CSV exports of W&B charts; those of one directory belong together (one for the loss, one for the rate).
#[derive(Debug)]
pub struct CsvExport;

impl Importer for CsvExport {
    fn name(&self) -> &'static str {
        "W&B chart export"
    }

    fn claim(&self, source: &Source, head: &[u8]) -> Option<String> {
        let header = std::str::from_utf8(head.split(|&byte| byte == b'\n').next()?).ok()?;
        (header.contains("__MIN") && header.contains("__MAX") && header.contains(" - "))
            .then(|| source.folder().to_owned())
    }

    fn open(&self, sources: &[Source], map: &MapOverrides) -> Result<Box<dyn Log>, ReadError> {
        let mut export = Export { sources: Vec::new(), metrics: BTreeSet::new(), rounded: false };
        for source in sources {
            let names = table::columns(source, Format::Delimited(b','))?;
            let axis = Axis::of(source, &names)?;
            let series: Vec<Series> = names
                .iter()
                .filter(|name| !name.ends_with("__MIN") && !name.ends_with("__MAX"))
                .filter_map(|name| {
                    let (run, metric) = name.rsplit_once(" - ")?;
                    Some(Series {
                        axis: axis.of_run(run)?,
                        column: name.clone(),
                        run: run.to_owned(),
                        metric: metric.to_owned(),
                    })
                })
                .filter(|series| !plays(Role::Step, &series.metric))
                .filter(|series| {
                    [Role::Loss, Role::ValidationLoss, Role::Lr]
                        .iter()
                        .any(|&role| plays(role, &series.metric))
                        || crate::mapping::is_wanted(&series.metric, map)
                })
                .collect();
            export.metrics.extend(series.iter().map(|series| series.metric.clone()));
            export.sources.push((source.clone(), series));
        }
        export.rounded = export.is_averaged()?;
        Ok(Box::new(export))
    }
}

/// Where the updates of a chart's points stand.
struct Axis<'a> {
    names: &'a [String],
    /// The first column, where it counts updates.
    common: Option<&'a str>,
}

impl<'a> Axis<'a> {
    fn of(source: &Source, names: &'a [String]) -> Result<Self, ReadError> {
        let first = names.first().map_or("", String::as_str);
        let common = plays(Role::Step, first).then_some(first);
        let beside = names
            .iter()
            .filter_map(|name| name.rsplit_once(" - "))
            .any(|(_, metric)| plays(Role::Step, metric));
        if common.is_none() && !beside {
            return Err(ReadError::Refused {
                file: source.name().to_owned(),
                why: format!("the x axis of the chart is '{first}', which does not count updates"),
                hint: "export the chart with Step as its x axis, or add _step to its metrics".to_owned(),
            });
        }
        Ok(Self { names, common })
    }

    /// The column of a run's updates: its own steps beside another axis, else the axis.
    fn of_run(&self, run: &str) -> Option<String> {
        if let Some(common) = self.common {
            return Some(common.to_owned());
        }
        let own: Vec<String> = self
            .names
            .iter()
            .filter_map(|name| name.rsplit_once(" - "))
            .filter(|(of, _)| *of == run)
            .map(|(_, metric)| metric.to_owned())
            .collect();
        crate::mapping::guess(Role::Step, &own).map(|metric| format!("{run} - {metric}"))
    }
}

#[derive(Debug)]
struct Series {
    /// The column of its updates.
    axis: String,
    column: String,
    run: String,
    metric: String,
}

#[derive(Debug)]
struct Export {
    sources: Vec<(Source, Vec<Series>)>,
    metrics: BTreeSet<String>,
    rounded: bool,
}

impl Export {
    /// Whether a point stands for a range of steps: then minimum and maximum differ.
    fn is_averaged(&self) -> Result<bool, ReadError> {
        let mut averaged = false;
        for (source, series) in &self.sources {
            for series in series {
                let (low, high) = (format!("{}__MIN", series.column), format!("{}__MAX", series.column));
                let select = [(low.as_str(), Want::Number), (high.as_str(), Want::Number)];
                table::for_each_row(source, Format::Delimited(b','), &select, &mut |_, cells| {
                    averaged |= matches!((&cells[0], &cells[1]), (Cell::Number(a), Cell::Number(b)) if a < b);
                    Ok(!averaged)
                })?;
            }
        }
        Ok(averaged)
    }
}

impl Log for Export {
    fn kind(&self) -> String {
        CsvExport.name().to_owned()
    }

    fn has_lines(&self) -> bool {
        true
    }

    fn columns(&self) -> Result<Vec<String>, ReadError> {
        Ok(["run", "step"].into_iter().map(str::to_owned).chain(self.metrics.iter().cloned()).collect())
    }

    fn for_each_row(&self, select: &[(&str, Want)], visit: &mut Visit<'_>) -> Result<TableEnd, ReadError> {
        let place_of = |name: &str| select.iter().position(|(wanted, _)| *wanted == name);
        let (run, step) = (place_of("run"), place_of("step"));
        for (source, all) in &self.sources {
            for series in all {
                let value = place_of(&series.metric);
                let columns = [(series.axis.as_str(), Want::Number), (series.column.as_str(), Want::Number)];
                table::for_each_row(
                    source,
                    Format::Delimited(b','),
                    &columns,
                    &mut |place: Place, cells| {
                        let mut row = vec![Cell::Missing; select.len()];
                        if let Some(at) = run {
                            row[at] = Cell::Text(&series.run);
                        }
                        if let Some(at) = step {
                            row[at] = cells[0].clone();
                        }
                        if let Some(at) = value {
                            row[at] = cells[1].clone();
                        }
                        if cells[1] == Cell::Missing { Ok(true) } else { visit(place, &row) }
                    },
                )?;
            }
        }
        Ok(TableEnd::default())
    }

    fn describe(&self, mapping: &Mapping, raw: &mut RawRun) -> Result<(), ReadError> {
        super::sparse::by_names(mapping, &[], raw);
        if self.rounded {
            raw.caveats.push(CaveatKind::DownSampled { run: raw.id.clone() }.into());
        }
        Ok(())
    }
}
