//! The report as Markdown.

use super::tables::tables;
use super::{advised, said};
use crate::escape::markdown as md;
use lehr_app::Failure;
use lehr_app::report::ReportAnswer;
use lehr_report::TableFormat;
use std::fmt::Write as _;

/// The text; figures are linked as files of `folder`.
///
/// # Errors
/// As [`tables`].
pub fn text(answer: &ReportAnswer, folder: &str) -> Result<String, Failure> {
    let (found, target, last) = (&answer.recommend, &answer.target, &answer.forecast.last);
    let level = (found.level * 100.0).round();
    let mut out = format!(
        "# Anneal over the last {:.0} % of the run\n\n\
         Peak rate {}, {} updates ({} warm-up), {} annealing to {}. {} law, fitted on {} runs.\n\n\
         | | | {level} % interval |\n|---|---:|---|\n\
         | annealing ratio | {:.3} | {:.3} … {:.3} |\n\
         | start annealing after update | {} | {} updates of annealing |\n\
         | forecast final loss (nats per token) | {:.4} | {:.4} … {:.4} |\n\
         | ratios within {:.0} mnat of the best | {:.2} … {:.2} | |\n\n",
        found.ratio * 100.0,
        target.peak_lr,
        target.steps,
        target.warmup,
        target.shape,
        target.final_lr,
        answer.law.name,
        answer.runs.len(),
        found.ratio,
        found.interval.0,
        found.interval.1,
        found.start_step,
        found.anneal_steps,
        last.value,
        last.lower,
        last.upper,
        found.tolerance * 1e3,
        found.plateau.0,
        found.plateau.1,
    );
    if !answer.caveats.is_empty() {
        out += "## What to know first\n\n";
        for caveat in &answer.caveats {
            let word = if caveat.blocking() { "**Look before you use it:** " } else { "" };
            let _ = writeln!(out, "- {word}{}", md(&said(&advised(caveat))));
        }
        out.push('\n');
    }
    for figure in answer.figures() {
        let title = figure.drawing.picture.page(760.0, 460.0).title;
        let _ = writeln!(out, "![{}]({folder}/{}.svg)\n", md(&title), figure.name);
    }
    let _ = writeln!(out, "## The law\n\n    {}\n", answer.law.equation);
    for named in tables(answer)? {
        let _ = writeln!(out, "## {}\n\n{}", named.title, escaped(&named.table.write(TableFormat::Markdown)));
    }
    let notes: Vec<_> = answer.notes.iter().collect();
    if !notes.is_empty() {
        out += "## What was done with the data\n\n";
        for note in notes {
            let _ = writeln!(out, "- {}: {}", md(&note.about), md(&said(&note.message)));
        }
        out.push('\n');
    }
    out += "## The schedule in every trainer\n\n";
    for export in answer.exports.iter().filter(|export| export.text.is_some()) {
        let text = export.text.as_deref().unwrap_or_default();
        let fence = if text.contains("```") { "~~~~" } else { "```" };
        let _ = writeln!(out, "### {}\n\n{fence}text\n{}\n{fence}\n", export.target, text.trim_end());
    }
    let _ = write!(
        out,
        "## Where the numbers come from\n\n- command: `{}`\n- version: lehr {}\n- schedule: `{}`\n",
        answer.provenance.command.replace('`', "'"),
        answer.provenance.version,
        answer.forecast.schedule
    );
    Ok(out)
}

/// The cells of a table that is Markdown already.
fn escaped(table: &str) -> String {
    let entities = [('<', "&lt;"), ('>', "&gt;"), ('`', "&#96;"), ('[', "&#91;"), ('*', "&#42;")];
    entities.iter().fold(table.to_owned(), |text, (from, to)| text.replace(*from, to))
}
