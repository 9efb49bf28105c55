//! Answers as files of tables: the ending says in which form.

use crate::compare::CompareAnswer;
use crate::documents::{self, Document};
use crate::failure::Failure;
use crate::forecast::ForecastAnswer;
use crate::recommend::RecommendAnswer;
use crate::running::{RunningAnswer, RunningForecastAnswer};
use crate::validate::ValidateAnswer;
use lehr::fit::Fit;
use lehr_report::{Cell, Column, Table, TableFormat};
use std::path::Path;

/// An answer that a paper or a spreadsheet can hold.
pub trait Tabular {
    /// The form in which a stream without an ending (`/dev/stdout`) gets it; `None`: JSON.
    const STREAM: Option<TableFormat> = None;

    /// Its main table.
    ///
    /// # Errors
    /// [`Failure`] for a row that does not fit its columns.
    fn table(&self) -> Result<Table, Failure>;
}

/// A number with so many decimals for people; CSV holds it whole.
pub(crate) fn number(value: f64, decimals: usize) -> Cell {
    Cell::Number { value, decimals }
}

/// Four significant digits.
fn short(value: f64) -> String {
    if value == 0.0 {
        "0".to_owned()
    } else if (1e-3..1e5).contains(&value.abs()) {
        let digits = (3 - value.abs().log10().floor() as i32).clamp(0, 6) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.3e}")
    }
}

pub(crate) fn sheet(
    columns: impl IntoIterator<Item = Column>,
    rows: impl IntoIterator<Item = Vec<Cell>>,
) -> Result<Table, Failure> {
    let mut table = Table::new(columns.into_iter().collect());
    for row in rows {
        table.row(row).map_err(Failure::new)?;
    }
    Ok(table)
}

/// Whether an answer can be written there: an ending that says how.
///
/// # Errors
/// [`Failure`] for any other ending.
pub fn check_format(path: Option<&Path>) -> Result<(), Failure> {
    path.map_or(Ok(()), |path| form(path, None).map(drop))
}

/// The form that an ending asks for; `None`: JSON.
fn form(path: &Path, stream: Option<TableFormat>) -> Result<Option<TableFormat>, Failure> {
    let name = path.to_string_lossy();
    // What is written through has no ending.
    if name.starts_with("/dev/") || name.starts_with("/proc/") {
        return Ok(stream);
    }
    if name.to_ascii_lowercase().ends_with(".json") {
        return Ok(None);
    }
    TableFormat::from_name(&name).map(Some).map_err(|_| {
        Failure::usage(format_args!("'{name}' does not say in which form the answer is wanted"))
            .hint("end the name in .json (the whole answer), .csv, .md or .tex (its table)")
    })
}

/// The answer as the ending of the file's name asks for it: `.json` the whole document, `.csv`, `.md`, `.tex` its table.
///
/// # Errors
/// As [`check_format`], and for values that JSON cannot hold.
pub fn contents<A: Document + Tabular>(path: &Path, answer: &A) -> Result<String, Failure> {
    match form(path, A::STREAM)? {
        None => documents::text(answer),
        Some(format) => Ok(answer.table()?.write(format)),
    }
}

/// A fit as the ending asks for it: `.csv`, `.md`, `.tex` the table of its coefficients; else the fit file.
///
/// # Errors
/// [`Failure`] for a fit that JSON cannot hold.
pub fn fit_contents(path: &Path, fit: &Fit) -> Result<String, Failure> {
    match TableFormat::from_name(&path.to_string_lossy()) {
        Ok(format) => Ok(coefficients(fit)?.write(format)),
        Err(_) => crate::fit::to_file(fit),
    }
}

fn coefficients(fit: &Fit) -> Result<Table, Failure> {
    let columns = ["coefficient", "value", "lower", "upper", "estimated"].map(Column::new);
    let end = |value: Option<f64>| value.map_or(Cell::Empty, |v| Cell::Text(short(v)));
    sheet(
        columns,
        fit.coefficients.iter().map(|c| {
            vec![
                Cell::Text(c.name.clone()),
                Cell::Text(short(c.value)),
                end(c.interval.map(|i| i.0)),
                end(c.interval.map(|i| i.1)),
                Cell::Text(if c.free { "yes" } else { "held" }.to_owned()),
            ]
        }),
    )
}

fn curve(rows: impl IntoIterator<Item = (u64, f64, f64, f64, f64)>) -> Result<Table, Failure> {
    let columns = ["update", "lr", "loss", "lower", "upper"].map(Column::new);
    let cells = |(t, lr, loss, lower, upper): (u64, f64, f64, f64, f64)| {
        vec![Cell::Count(t), number(lr, 8), number(loss, 4), number(lower, 4), number(upper, 4)]
    };
    sheet(columns, rows.into_iter().map(cells))
}

impl Tabular for ForecastAnswer {
    const STREAM: Option<TableFormat> = Some(TableFormat::Csv);

    fn table(&self) -> Result<Table, Failure> {
        curve(
            (0..self.update.len())
                .map(|i| (self.update[i], self.lr[i], self.loss[i], self.lower[i], self.upper[i])),
        )
    }
}

impl Tabular for RunningForecastAnswer {
    const STREAM: Option<TableFormat> = Some(TableFormat::Csv);

    fn table(&self) -> Result<Table, Failure> {
        curve(
            (0..self.update.len())
                .map(|i| (self.update[i], self.lr[i], self.loss[i], self.lower[i], self.upper[i])),
        )
    }
}

impl Tabular for RecommendAnswer {
    /// The recommended schedule and the common rules, the lowest loss first.
    fn table(&self) -> Result<Table, Failure> {
        let columns = [
            Column::new("schedule"),
            Column::new("ratio"),
            Column::with_unit("loss", "nats per token"),
            Column::with_unit("costs", "mnat"),
            Column::with_unit("costs, lower", "mnat"),
            Column::with_unit("costs, upper", "mnat"),
        ];
        let mut rules: Vec<_> = self.rules.values().collect();
        rules.sort_by(|a, b| a.regret.total_cmp(&b.regret));
        let recommended = vec![
            Cell::Text(format!("recommended: {} from update {}", self.target.shape, self.start_step)),
            number(self.ratio, 3),
            number(self.loss.value, 4),
            number(0.0, 1),
            Cell::Empty,
            Cell::Empty,
        ];
        let rules = rules.into_iter().map(|rule| {
            vec![
                Cell::Text(rule.schedule.clone()),
                rule.ratio.map_or(Cell::Empty, |ratio| number(ratio, 3)),
                number(rule.loss, 4),
                number(1e3 * rule.regret, 1),
                number(1e3 * rule.regret_interval.0, 1),
                number(1e3 * rule.regret_interval.1, 1),
            ]
        });
        sheet(columns, std::iter::once(recommended).chain(rules))
    }
}

impl Tabular for RunningAnswer {
    /// Annealing over each D, now and later.
    fn table(&self) -> Result<Table, Failure> {
        let columns = [
            Column::with_unit("annealing over", "updates"),
            Column::new("now: ends at"),
            Column::with_unit("loss", "nats per token"),
            Column::new("wait until"),
            Column::with_unit("loss after waiting", "nats per token"),
            Column::with_unit("waiting gains", "mnat"),
        ];
        sheet(
            columns,
            self.anneal.iter().map(|row| {
                vec![
                    Cell::Count(row.anneal),
                    Cell::Count(row.now.end),
                    number(row.now.loss.value, 4),
                    row.wait.map_or(Cell::Empty, |wait| Cell::Count(wait.start)),
                    row.wait.map_or(Cell::Empty, |wait| number(wait.loss.value, 4)),
                    row.gain.map_or(Cell::Empty, |gain| number(1e3 * gain, 1)),
                ]
            }),
        )
    }
}

/// A share as a cell in percent, or nothing.
fn percent(share: Option<f64>) -> Cell {
    share.map_or(Cell::Empty, |share| number(100.0 * share, 3))
}

impl Tabular for CompareAnswer {
    /// A law a row, the best first.
    fn table(&self) -> Result<Table, Failure> {
        let columns = [
            Column::new("law"),
            Column::new("free coefficients"),
            Column::with_unit("fitted MAPE", "%"),
            Column::with_unit("held-out MAPE", "%"),
            Column::with_unit("worst", "%"),
            Column::with_unit("final", "%"),
            Column::with_unit("behind the best", "%"),
            Column::with_unit("standard error", "%"),
        ];
        let rows = self.laws.iter().map(|line| {
            vec![
                Cell::Text(line.law.clone()),
                line.n_coefficients.map_or(Cell::Empty, |n| Cell::Count(n as u64)),
                percent(line.train.map(|m| m.judged())),
                percent(line.test.map(|m| m.judged())),
                percent(line.test.map(|m| m.worst)),
                percent(line.test.map(|m| m.r#final)),
                percent(line.margin),
                percent(line.margin_se),
            ]
        });
        sheet(columns, rows)
    }
}

impl Tabular for ValidateAnswer {
    /// A run a row, once a split.
    fn table(&self) -> Result<Table, Failure> {
        let columns = [
            Column::new("run"),
            Column::new("part"),
            Column::new("split"),
            Column::with_unit("MAE", "mnat"),
            Column::with_unit("MAPE", "%"),
            Column::with_unit("worst", "%"),
            Column::with_unit("final", "%"),
        ];
        let rows = self.validation.per_run.iter().map(|run| {
            vec![
                Cell::Text(run.id.clone()),
                Cell::Text(run.part.clone()),
                Cell::Text(run.fold.clone()),
                number(1e3 * run.metrics.mae, 2),
                percent(Some(run.metrics.judged())),
                percent(Some(run.metrics.worst)),
                percent(Some(run.final_signed)),
            ]
        });
        sheet(columns, rows)
    }
}
