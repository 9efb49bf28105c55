//! The report: one HTML file, Markdown, or a folder of figures and tables for a paper.

pub(crate) mod figure;
pub(crate) mod html;
mod markdown;
mod tables;

pub use figure::{figure_json, object};
pub use tables::{Named, tables};

use lehr_app::failure::{flag, worded};
use lehr_app::report::ReportAnswer;
use lehr_app::{Failure, documents};
use lehr_report::{HAS_PNG, PictureStyle, TableFormat};

/// In which form a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReportFormat {
    /// One HTML file that needs nothing else.
    Html,
    /// Markdown with its figures in a folder beside it.
    Markdown,
    /// A folder: Markdown, JSON, figures as SVG and PNG, tables as CSV and LaTeX.
    Folder,
}

impl ReportFormat {
    /// The format that a path asks for: `.html`, `.md`, else a folder.
    ///
    /// # Errors
    /// [`Failure`] for another ending.
    pub fn from_name(name: &str) -> Result<Self, Failure> {
        let file = name.rsplit(['/', '\\']).next().unwrap_or(name);
        match file.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase()).as_deref() {
            Some("html" | "htm") => Ok(Self::Html),
            Some("md") => Ok(Self::Markdown),
            None | Some("") => Ok(Self::Folder),
            Some(other) => Err(Failure::usage(format_args!("{name}: a report is no .{other} file"))
                .hint("name a file that ends in .html or .md, or a folder (a name without a point)")),
        }
    }
}

/// A caveat with what to do about it.
pub(crate) fn advised(caveat: &lehr::Caveat) -> String {
    match caveat.remedy() {
        Some(remedy) => format!("{caveat}; {remedy}"),
        None => caveat.to_string(),
    }
}

/// A text with its options worded as flags.
pub(crate) fn said(text: &str) -> String {
    worded(text, flag)
}

/// The report as files: names relative to where it goes, and bytes. Of a file the first is the report itself, named `name`.
///
/// # Errors
/// [`Failure`] where a figure or the document cannot be written.
pub fn render(
    answer: &ReportAnswer,
    format: ReportFormat,
    name: &str,
) -> Result<Vec<(String, Vec<u8>)>, Failure> {
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    match format {
        ReportFormat::Html => Ok(vec![(name.to_owned(), html::page(answer)?.into_bytes())]),
        ReportFormat::Markdown => {
            let folder = format!("{stem}_files");
            let mut files = vec![(name.to_owned(), markdown::text(answer, &folder)?.into_bytes())];
            for figure in answer.figures() {
                let style = style_of(figure.drawing.height);
                let svg = figure.drawing.picture.svg(&style);
                files.push((format!("{folder}/{}.svg", figure.name), svg.into_bytes()));
            }
            Ok(files)
        }
        ReportFormat::Folder => {
            let mut files = vec![
                ("report.md".to_owned(), markdown::text(answer, "figures")?.into_bytes()),
                ("report.html".to_owned(), html::page(answer)?.into_bytes()),
                ("report.json".to_owned(), documents::text(answer)?.into_bytes()),
            ];
            for figure in answer.figures() {
                let style = style_of(figure.drawing.height);
                let picture = &figure.drawing.picture;
                files.push((format!("figures/{}.svg", figure.name), picture.svg(&style).into_bytes()));
                if HAS_PNG {
                    let png = picture.png(&style, 2.0).map_err(Failure::new)?;
                    files.push((format!("figures/{}.png", figure.name), png));
                }
            }
            for table in tables(answer)? {
                let csv = table.table.write(TableFormat::Csv).into_bytes();
                let latex = table.table.write(TableFormat::Latex).into_bytes();
                files.push((format!("tables/{}.csv", table.name), csv));
                files.push((format!("tables/{}.tex", table.name), latex));
            }
            Ok(files)
        }
    }
}

fn style_of(height: Option<f64>) -> PictureStyle {
    height.map_or_else(PictureStyle::default, |height| PictureStyle { height, ..PictureStyle::default() })
}
