//! The tables of a report, once for every format.

use super::said;
use lehr_app::Failure;
use lehr_app::report::ReportAnswer;
use lehr_report::{Cell, Column, Table, TableError};

/// A table with its name and what it says.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// File name without its ending; also the place of the table on the page.
    pub name: &'static str,
    /// Title.
    pub title: &'static str,
    /// The table.
    pub table: Table,
}

fn text(value: impl Into<String>) -> Cell {
    Cell::Text(value.into())
}

fn number(value: f64, decimals: usize) -> Cell {
    Cell::Number { value, decimals }
}

/// A number with so many significant digits.
fn significant(value: f64, digits: i32) -> Cell {
    let magnitude = if value == 0.0 || !value.is_finite() { 0 } else { value.abs().log10().floor() as i32 };
    number(value, (digits - 1 - magnitude).clamp(0, 12) as usize)
}

fn or_empty<T>(value: Option<T>, cell: impl Fn(T) -> Cell) -> Cell {
    value.map_or(Cell::Empty, cell)
}

fn table(columns: &[(&str, &str)], rows: Vec<Vec<Cell>>) -> Result<Table, TableError> {
    let columns = columns
        .iter()
        .map(|&(name, unit)| if unit.is_empty() { Column::new(name) } else { Column::with_unit(name, unit) });
    let mut table = Table::new(columns.collect());
    for row in rows {
        table.row(row)?;
    }
    Ok(table)
}

/// All tables of a report that have rows, in its order.
///
/// # Errors
/// [`Failure`] for a row of another length than its header, which no input can make.
pub fn tables(answer: &ReportAnswer) -> Result<Vec<Named>, Failure> {
    let made = [
        ("rules", "What common rules cost", rules(answer)),
        ("optima", "Measured optima", optima(answer)),
        ("power-laws", "Power laws of the best ratio", power_laws(answer)),
        ("laws", "All laws on runs that their fits did not see", laws(answer)),
        ("coefficients", "Coefficients", coefficients(answer)),
        ("runs", "Runs fitted", runs(answer)),
        ("left-out", "Runs that were not fitted", left_out(answer)),
        ("exports", "The schedule in every trainer", exports(answer)),
        ("inputs", "Files read", inputs(answer)),
    ];
    let mut tables = Vec::new();
    for (name, title, made) in made {
        let table = made.map_err(Failure::new)?;
        if !table.is_empty() {
            tables.push(Named { name, title, table });
        }
    }
    Ok(tables)
}

fn rules(answer: &ReportAnswer) -> Result<Table, TableError> {
    let mut rules: Vec<_> = answer.recommend.rules.iter().collect();
    rules.sort_by(|a, b| a.1.regret.total_cmp(&b.1.regret));
    let mut rows = vec![vec![
        text("recommended"),
        text(format!("{} over the last {:.1} %", answer.target.shape, answer.recommend.ratio * 100.0)),
        number(answer.recommend.loss.value, 4),
        number(0.0, 1),
        Cell::Empty,
        Cell::Empty,
    ]];
    rows.extend(rules.into_iter().map(|(name, rule)| {
        vec![
            text(name.clone()),
            text(rule.schedule.clone()),
            number(rule.loss, 4),
            number(rule.regret * 1e3, 1),
            number(rule.regret_interval.0 * 1e3, 1),
            number(rule.regret_interval.1 * 1e3, 1),
        ]
    }));
    table(
        &[
            ("rule", ""),
            ("schedule", ""),
            ("final loss", "nats"),
            ("costs", "mnat"),
            ("from", "mnat"),
            ("to", "mnat"),
        ],
        rows,
    )
}

fn optima(answer: &ReportAnswer) -> Result<Table, TableError> {
    let cells = answer.transfer.iter().flat_map(|transfer| &transfer.measured);
    let rows = cells.map(|cell| {
        vec![
            significant(cell.peak_lr, 3),
            Cell::Count(cell.total),
            or_empty(cell.params, |n| Cell::Count(n.0)),
            text(cell.arch.to_string()),
            text(cell.shape.clone()),
            number(cell.ratio, 3),
            number(cell.interval.0, 3),
            number(cell.interval.1, 3),
            Cell::Count(cell.points.len() as u64),
            text(if cell.at_edge { "at the edge of what was measured" } else { "" }),
        ]
    });
    table(
        &[
            ("peak rate", ""),
            ("horizon", "updates"),
            ("N", ""),
            ("arch", ""),
            ("shape", ""),
            ("best ratio", ""),
            ("from", ""),
            ("to", ""),
            ("ratios", ""),
            ("remark", ""),
        ],
        rows.collect(),
    )
}

fn power_laws(answer: &ReportAnswer) -> Result<Table, TableError> {
    let mut rows = Vec::new();
    for source in answer.transfer.iter().flat_map(|transfer| &transfer.sources) {
        for law in source.laws.iter().flatten() {
            for (variable, exponent) in law.variables.iter().zip(&law.exponents) {
                rows.push(vec![
                    text(law.variables.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")),
                    text(variable.to_string()),
                    significant(law.lambda, 3),
                    number(exponent.value, 3),
                    number(exponent.interval.0, 3),
                    number(exponent.interval.1, 3),
                    number(law.rms, 3),
                    Cell::Count(law.n as u64),
                ]);
            }
        }
    }
    table(
        &[
            ("law in", ""),
            ("exponent of", ""),
            ("λ", ""),
            ("exponent", ""),
            ("from", ""),
            ("to", ""),
            ("misfit of ln R", ""),
            ("optima", ""),
        ],
        rows,
    )
}

fn laws(answer: &ReportAnswer) -> Result<Table, TableError> {
    let lines = answer.compare.iter().flat_map(|compare| &compare.laws);
    let rows = lines.map(|line| {
        vec![
            text(line.law.clone()),
            or_empty(line.n_coefficients, |n| Cell::Count(n as u64)),
            or_empty(line.train.as_ref(), |m| number(m.judged() * 100.0, 3)),
            or_empty(line.test.as_ref(), |m| number(m.judged() * 100.0, 3)),
            or_empty(line.test.as_ref(), |m| number(m.r#final * 100.0, 3)),
            or_empty(line.test.as_ref(), |m| number(m.mae * 1e3, 2)),
            or_empty(line.margin, |margin| number(margin * 100.0, 3)),
            or_empty(line.margin_se, |se| number(se * 100.0, 3)),
            text(line.error.clone().unwrap_or_default()),
        ]
    });
    table(
        &[
            ("law", ""),
            ("free", ""),
            ("fitted MAPE", "%"),
            ("held-out MAPE", "%"),
            ("final error", "%"),
            ("held-out MAE", "mnat"),
            ("behind the best", "%"),
            ("standard error", "%"),
            ("remark", ""),
        ],
        rows.collect(),
    )
}

fn coefficients(answer: &ReportAnswer) -> Result<Table, TableError> {
    let rows = answer.law.coefficients.iter().map(|c| {
        vec![
            text(c.name.clone()),
            text(c.symbol.clone()),
            significant(c.value, 4),
            or_empty(c.interval, |i| significant(i.0, 4)),
            or_empty(c.interval, |i| significant(i.1, 4)),
            text(c.unit.clone()),
            text(c.remarks()),
        ]
    });
    table(
        &[
            ("coefficient", ""),
            ("symbol", ""),
            ("value", ""),
            ("from", ""),
            ("to", ""),
            ("unit", ""),
            ("remark", ""),
        ],
        rows.collect(),
    )
}

fn runs(answer: &ReportAnswer) -> Result<Table, TableError> {
    let rows = answer.runs.iter().map(|run| {
        vec![
            text(run.id.clone()),
            or_empty(run.params, |n| Cell::Count(n.0)),
            significant(run.peak_lr, 3),
            Cell::Count(run.warmup),
            Cell::Count(run.last_update),
            number(run.annealing_share, 2),
            text(run.fall.clone()),
            text(run.dataset.clone().unwrap_or_default()),
            number(run.metrics.judged() * 100.0, 3),
            number(run.final_error * 100.0, 3),
        ]
    });
    table(
        &[
            ("run", ""),
            ("N", ""),
            ("peak rate", ""),
            ("warm-up", "updates"),
            ("last update", ""),
            ("annealing share", ""),
            ("fall", ""),
            ("data", ""),
            ("MAPE", "%"),
            ("final error", "%"),
        ],
        rows.collect(),
    )
}

fn left_out(answer: &ReportAnswer) -> Result<Table, TableError> {
    let rows = answer.left_out.iter().map(|run| {
        let why = match run.reason {
            lehr::fit::Unsound::Diverged => "diverged: its loss ends far above its own lowest",
            lehr::fit::Unsound::Stalled => "never learned: its loss ends far above that of the others",
            lehr::fit::Unsound::LevelBroken => "the level of its loss changes as no schedule does",
            lehr::fit::Unsound::TooShort => "ends before fitting begins, after the warm-up",
        };
        vec![text(run.id.clone()), text(why), number(run.loss, 3), number(run.against, 3)]
    });
    table(&[("run", ""), ("why", ""), ("loss at the end", "nats"), ("held against", "nats")], rows.collect())
}

fn exports(answer: &ReportAnswer) -> Result<Table, TableError> {
    let rows = answer.exports.iter().map(|export| {
        vec![
            text(export.target),
            text(export.title),
            or_empty(export.deviation, |share| number(share * 100.0, 3)),
            or_empty(export.loss_cost, |cost| number(cost * 1e3, 3)),
            text(export.evidence.clone()),
            text(said(export.why.as_deref().unwrap_or_default())),
        ]
    });
    table(
        &[
            ("target", ""),
            ("trainer", ""),
            ("largest deviation of the rate", "% of peak"),
            ("costs", "mnat"),
            ("backed by", ""),
            ("remark", ""),
        ],
        rows.collect(),
    )
}

fn inputs(answer: &ReportAnswer) -> Result<Table, TableError> {
    let files = answer.provenance.inputs.iter();
    let rows =
        files.map(|file| vec![text(file.name.clone()), Cell::Count(file.bytes), text(file.sha256.clone())]);
    table(&[("file", ""), ("bytes", ""), ("SHA-256", "")], rows.collect())
}
