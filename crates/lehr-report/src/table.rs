//! Tables of answers for papers and teams: CSV with every digit, Markdown and LaTeX as people read them.

mod latex;

use crate::text::escape;
use crate::ticks::minus;
use thiserror::Error;

/// A format of table files.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableFormat {
    /// Comma-separated values as RFC 4180 has them; numbers with every digit.
    Csv,
    /// A table as GitHub and Pandoc read it.
    Markdown,
    /// A `tabular` with the rules of `booktabs`.
    Latex,
    /// A `table` element; cells of numbers have the class `num`.
    Html,
}

impl TableFormat {
    /// Returns the format that the extension of a file name asks for: `csv`, `md` or `tex`.
    ///
    /// # Errors
    /// [`TableError::UnknownFormat`] for any other extension, or none.
    ///
    /// # Examples
    /// ```
    /// use lehr_report::TableFormat;
    /// assert_eq!(TableFormat::from_name("out/ratios.TEX"), Ok(TableFormat::Latex));
    /// assert!(TableFormat::from_name("ratios.xlsx").is_err());
    /// ```
    pub fn from_name(name: &str) -> Result<Self, TableError> {
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        match file.rsplit_once('.').map(|(_, extension)| extension.to_ascii_lowercase()).as_deref() {
            Some("csv") => Ok(Self::Csv),
            Some("md") => Ok(Self::Markdown),
            Some("tex") => Ok(Self::Latex),
            _ => Err(TableError::UnknownFormat { name: name.to_owned() }),
        }
    }
}

/// Why a table could not be made.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
pub enum TableError {
    /// The file's name does not say which format is wanted.
    #[error("cannot tell the format of a table from `{name}`: the name must end in .csv, .md or .tex")]
    UnknownFormat {
        /// The name as given.
        name: String,
    },
    /// A row has another number of cells than there are columns.
    #[error(
        "row {row} of the table has {found} cells where there are {expected} columns; give one cell a column"
    )]
    Cells {
        /// The row, counted from 1.
        row: usize,
        /// Its cells.
        found: usize,
        /// The columns.
        expected: usize,
    },
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// What stands in it.
    pub name: String,
    /// The unit of its numbers, if they have one.
    pub unit: Option<String>,
}

impl Column {
    /// A column without a unit.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), unit: None }
    }

    /// A column whose numbers have a unit.
    pub fn with_unit(name: impl Into<String>, unit: impl Into<String>) -> Self {
        Self { name: name.into(), unit: Some(unit.into()) }
    }

    fn title(&self) -> String {
        match &self.unit {
            Some(unit) => format!("{} ({unit})", self.name),
            None => self.name.clone(),
        }
    }
}

/// A cell.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words.
    Text(String),
    /// A number; people see it with that many decimals, CSV holds it whole.
    Number {
        /// The number.
        value: f64,
        /// Decimals for people.
        decimals: usize,
    },
    /// A count.
    Count(u64),
    /// Nothing is known.
    Empty,
}

/// A table.
#[derive(Debug, Clone, PartialEq)]
pub struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(columns: Vec<Column>) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// Adds a row.
    ///
    /// # Errors
    /// [`TableError::Cells`] unless it has one cell a column.
    pub fn row(&mut self, cells: Vec<Cell>) -> Result<(), TableError> {
        if cells.len() != self.columns.len() {
            let (row, found) = (self.rows.len() + 1, cells.len());
            return Err(TableError::Cells { row, found, expected: self.columns.len() });
        }
        self.rows.push(cells);
        Ok(())
    }

    /// The table as text in that format, lines separated by `\n` (in CSV by `\r\n` only inside quoted cells that had it).
    ///
    /// # Examples
    /// ```
    /// use lehr_report::{Cell, Column, Table, TableFormat};
    /// let mut table = Table::new(vec![Column::new("rule"), Column::with_unit("cost", "mnat")]);
    /// table.row(vec![Cell::Text("10 %".into()), Cell::Number { value: 4.6612, decimals: 2 }])?;
    /// assert_eq!(table.write(TableFormat::Csv), "rule,cost (mnat)\n10 %,4.6612\n");
    /// assert!(table.write(TableFormat::Latex).contains(r"10 \% & 4.66 \\"));
    /// # Ok::<(), lehr_report::TableError>(())
    /// ```
    #[must_use]
    pub fn write(&self, format: TableFormat) -> String {
        match format {
            TableFormat::Csv => self.csv(),
            TableFormat::Markdown => self.markdown(),
            TableFormat::Latex => self.latex(),
            TableFormat::Html => self.html(),
        }
    }

    /// Whether a column holds numbers and nothing else, and so is set to the right.
    fn numeric(&self, column: usize) -> bool {
        let mut cells =
            self.rows.iter().map(|row| &row[column]).filter(|cell| **cell != Cell::Empty).peekable();
        cells.peek().is_some() && cells.all(|cell| !matches!(cell, Cell::Text(_)))
    }

    fn csv(&self) -> String {
        let line =
            |cells: Vec<String>| cells.iter().map(|cell| quoted(cell)).collect::<Vec<_>>().join(",") + "\n";
        let cell = |cell: &Cell| match cell {
            Cell::Text(text) => text.clone(),
            // Whatever reads CSV understands NaN and inf; an empty cell would say that nothing is known.
            Cell::Number { value, .. } => format!("{value}"),
            Cell::Count(count) => count.to_string(),
            Cell::Empty => String::new(),
        };
        let mut text = line(self.columns.iter().map(Column::title).collect());
        for row in &self.rows {
            text += &line(row.iter().map(cell).collect());
        }
        text
    }

    fn html(&self) -> String {
        let class = |i: usize| if self.numeric(i) { " class=\"num\"" } else { "" };
        let mut text = String::from("<table>\n<thead><tr>");
        for (i, column) in self.columns.iter().enumerate() {
            text += &format!("<th scope=\"col\"{}>{}</th>", class(i), escape(&column.title()));
        }
        text += "</tr></thead>\n<tbody>\n";
        for row in &self.rows {
            text += "<tr>";
            for (i, cell) in row.iter().enumerate() {
                text += &format!("<td{}>{}</td>", class(i), escape(&read(cell)));
            }
            text += "</tr>\n";
        }
        text + "</tbody>\n</table>\n"
    }

    /// Whether it has no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    fn markdown(&self) -> String {
        let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
        let escaped = |text: &str| one_line(text).replace('\\', "\\\\").replace('|', "\\|");
        let mut text = line(self.columns.iter().map(|column| escaped(&column.title())).collect());
        let rule = (0..self.columns.len()).map(|i| if self.numeric(i) { "---:" } else { "---" });
        text += &format!("|{}|\n", rule.collect::<Vec<_>>().join("|"));
        for row in &self.rows {
            text += &line(row.iter().map(|cell| escaped(&read(cell))).collect());
        }
        text
    }
}

/// A cell as people read it.
fn read(cell: &Cell) -> String {
    match cell {
        Cell::Text(text) => text.clone(),
        Cell::Number { value, .. } if !value.is_finite() => "–".to_owned(),
        Cell::Number { value, decimals } => {
            let text = format!("{value:.decimals$}");
            // A negative number that is rounded to 0 has no sign.
            let zero = text.starts_with('-') && text.chars().all(|c| matches!(c, '-' | '0' | '.'));
            minus(if zero { &text[1..] } else { &text })
        }
        Cell::Count(count) => count.to_string(),
        Cell::Empty => "–".to_owned(),
    }
}

/// A cell of CSV, in quotes where it needs them.
fn quoted(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) || text.starts_with(' ') || text.ends_with(' ') {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// A text without line breaks, which would end the row.
fn one_line(text: &str) -> String {
    crate::text::clean(text)
}

#[cfg(test)]
mod tests;
