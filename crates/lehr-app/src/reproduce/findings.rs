//! What an experiment found, and how it is written down.

use super::{Results, Trained};
use crate::pictures::Picture;
use lehr::{ArchFamily, Caveat, Curve};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

/// A table of a report.
pub struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// An empty table.
    pub fn new<S: Into<String>>(header: impl IntoIterator<Item = S>) -> Self {
        Self { header: header.into_iter().map(Into::into).collect(), rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.join(" | "));
        let mut text = line(&self.header);
        let rule: Vec<String> = self.header.iter().map(|_| "---".to_owned()).collect();
        text.push_str(&line(&rule));
        for row in &self.rows {
            text.push_str(&line(row));
        }
        text
    }
}

/// A part of a report, in order.
pub enum Block {
    /// A heading.
    Heading(String),
    /// A paragraph.
    Text(String),
    /// A table.
    Table(Table),
    /// One of the pictures, with what it shows.
    Picture(String, String),
}

/// What an experiment found.
pub struct Findings {
    /// Title of the report.
    pub title: String,
    /// The question, and how it is answered.
    pub question: String,
    /// The answers, a sentence each.
    pub summary: Vec<String>,
    /// The report below the summary.
    pub blocks: Vec<Block>,
    /// Pictures with their file names.
    pub pictures: Vec<(String, Picture)>,
    /// What to beware of.
    pub caveats: Vec<Caveat>,
    /// Commands that show the same numbers.
    pub commands: Vec<String>,
    /// The numbers.
    pub results: Results,
}

/// `lower … upper`, or a dash where there is no interval.
pub fn interval((lower, upper): (f64, f64), digits: usize) -> String {
    if lower.is_finite() && upper.is_finite() {
        format!("{lower:.digits$} … {upper:.digits$}")
    } else {
        "–".to_owned()
    }
}

/// A share as a percentage.
pub fn percent(share: f64) -> String {
    format!("{:.3} %", share * 100.0)
}

/// Thousandths of a nat.
pub fn mnat(nats: f64) -> String {
    format!("{:.2}", nats * 1e3)
}

/// What was trained, one row a model.
fn runs(curves: &[Curve]) -> Table {
    #[derive(Default)]
    struct Model {
        runs: usize,
        rates: BTreeSet<String>,
        totals: BTreeSet<u64>,
        batches: BTreeSet<u64>,
        points: usize,
    }
    let mut models: BTreeMap<(String, ArchFamily, u64, u64), Model> = BTreeMap::new();
    for curve in curves {
        let meta = curve.meta();
        let n = |params: Option<lehr::Params>| params.map_or(0, |n| n.0);
        let key = (
            meta.dataset.clone().unwrap_or_else(|| "unstated".to_owned()),
            meta.arch.family(),
            n(meta.law_params()),
            n(meta.params),
        );
        let model = models.entry(key).or_default();
        model.runs += 1;
        model.rates.insert(format!("{:e}", curve.schedule().peak_lr()));
        model.totals.insert(curve.schedule().total().0);
        model.batches.extend(meta.tokens_per_step.map(|b| b.0));
        model.points += curve.step().len();
    }
    let list = |values: &BTreeSet<u64>| values.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
    let known = |n: u64| if n == 0 { "unknown".to_owned() } else { n.to_string() };
    let header =
        ["data", "", "active N", "N", "runs", "peak rates", "horizons", "tokens an update", "points"];
    let mut table = Table::new(header);
    for ((dataset, arch, active, n), model) in models {
        table.row([
            dataset,
            arch.to_string(),
            known(active),
            known(n),
            model.runs.to_string(),
            model.rates.into_iter().collect::<Vec<_>>().join(", "),
            list(&model.totals),
            list(&model.batches),
            model.points.to_string(),
        ]);
    }
    table
}

/// The report.
pub fn markdown(
    found: &Findings,
    curves: &[Curve],
    trained: Option<&Trained>,
    commands: &[String],
    caveats: &[Caveat],
) -> String {
    let mut text = format!("# {}\n\n{}\n\n## Answer\n\n", found.title, found.question);
    for line in &found.summary {
        let _ = writeln!(text, "- {line}");
    }
    if !caveats.is_empty() {
        text.push_str("\n## Before using it\n\n");
        for caveat in caveats {
            let _ = writeln!(text, "- `{}`: {}", caveat.code(), caveat.message());
        }
    }
    let table = |text: &mut String, table: &Table| {
        text.push('\n');
        text.push_str(&table.markdown());
    };
    for block in &found.blocks {
        match block {
            Block::Heading(heading) => {
                let _ = writeln!(text, "\n## {heading}");
            }
            Block::Text(paragraph) => {
                let _ = writeln!(text, "\n{paragraph}");
            }
            Block::Table(rows) => table(&mut text, rows),
            Block::Picture(file, alt) => {
                let _ = writeln!(text, "\n![{alt}]({file})");
            }
        }
    }
    text.push_str("\n## Runs\n");
    if let Some(trained) = trained {
        let _ = writeln!(
            text,
            "\n{} jobs, {} updates, {:.0} s of one core in all; shared beginnings were trained once.",
            trained.jobs, trained.updates, trained.seconds
        );
    }
    table(&mut text, &runs(curves));
    let _ = write!(text, "\n## Commands\n\nlehr {}\n\n```text\n", env!("CARGO_PKG_VERSION"));
    for command in commands {
        let _ = writeln!(text, "{command}");
    }
    text.push_str("```\n");
    text
}
