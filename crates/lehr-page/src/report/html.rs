//! The report as one HTML file: no network, a policy that runs its own script alone.

use super::figure::{WIDTHS, element};
use super::tables::{Named, tables};
use super::{advised, said};
use crate::escape::{base64, html, html_lines, json};
use lehr_app::Failure;
use lehr_app::report::ReportAnswer;
use lehr_report::TableFormat;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;

/// The style sheet of all pages.
pub const STYLE: &str = include_str!("../assets/page.css");
/// Values under the pointer, switches for curves, buttons that copy.
pub const FIGURES: &str = include_str!("../assets/figures.js");
/// The report's sliders.
const SLIDERS: &str = include_str!("../assets/sliders.js");

/// Caveats that are shown first.
const MOST_CAVEATS: usize = 5;

/// A whole number with its digits in groups of three.
pub fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

fn hash(text: &str) -> String {
    format!("'sha256-{}'", base64(&Sha256::digest(text.as_bytes())))
}

/// The page.
///
/// # Errors
/// [`Failure`] for a document that JSON cannot hold.
pub fn page(answer: &ReportAnswer) -> Result<String, Failure> {
    let script = format!("{FIGURES}\n{SLIDERS}");
    let title = format!("Anneal over the last {:.0} % of the run", answer.recommend.ratio * 100.0);
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src {}; script-src {}; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <meta name=\"generator\" content=\"lehr {}\">\n<title>{} · lehr report</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
         <a class=\"skip\" href=\"#report\">Skip to the report</a>\n<main id=\"report\">\n",
        hash(STYLE),
        hash(&script),
        html(&answer.provenance.version),
        html(&title),
    );
    let tables = tables(answer)?;
    out += &head(answer, &title);
    out += &figures_and_tables(answer, &tables)?;
    let _ = write!(out, "</main>\n<script>{script}</script>\n</body>\n</html>\n");
    Ok(out)
}

/// A difference with its sign, a true minus.
fn signed(value: f64) -> String {
    let rounded = if value.abs() < 0.05 { 0.0 } else { value };
    if rounded == 0.0 { "0.0".to_owned() } else { format!("{rounded:+.1}").replace('-', "−") }
}

fn percent(level: f64) -> String {
    format!("{:.0}\u{202f}%", level * 100.0)
}

/// The answer on one screen.
fn head(answer: &ReportAnswer, title: &str) -> String {
    let (found, target) = (&answer.recommend, &answer.target);
    let level = percent(found.level);
    let mut out = format!(
        "<header class=\"answer\">\n<p class=\"kicker\">{} law, fitted on {} run{}</p>\n<h1>{}</h1>\n\
         <p class=\"target\">Peak rate {} · {} updates · {} of them warm-up · {} annealing to {}</p>\n<dl class=\"cards\">\n",
        html(&answer.law.name),
        answer.runs.len(),
        if answer.runs.len() == 1 { "" } else { "s" },
        html(title),
        target.peak_lr,
        grouped(target.steps),
        grouped(target.warmup),
        html(&target.shape.to_string()),
        target.final_lr,
    );
    let mut card = |name: &str, value: String, more: String| {
        let _ =
            writeln!(out, "<div><dt>{name}</dt><dd><strong>{value}</strong><span>{more}</span></dd></div>");
    };
    card(
        "Annealing ratio",
        format!("{:.3}", found.ratio),
        format!("{:.3} … {:.3} ({level})", found.interval.0, found.interval.1),
    );
    card(
        "Start annealing after update",
        grouped(found.start_step),
        format!("{} updates of annealing", grouped(found.anneal_steps)),
    );
    card(
        "Forecast final loss",
        format!("{:.4}", found.loss.value),
        format!("{:.4} … {:.4} nats per token ({level})", found.loss.lower, found.loss.upper),
    );
    card(
        "As good within the tolerance",
        format!("{:.2} … {:.2}", found.plateau.0, found.plateau.1),
        format!("ratios that cost at most {:.0} mnat more", found.tolerance * 1e3),
    );
    out += "</dl>\n<div class=\"two\">\n<section aria-labelledby=\"costs\">\n<h2 id=\"costs\">What common rules cost</h2>\n";
    let mut rules: Vec<_> = found.rules.iter().collect();
    rules.sort_by(|a, b| a.1.regret.total_cmp(&b.1.regret));
    let _ = write!(
        out,
        "<table class=\"compact\"><thead><tr><th scope=\"col\">rule</th><th scope=\"col\" class=\"num\">costs, mnat</th><th scope=\"col\" class=\"num\">{level} interval</th></tr></thead>\n<tbody>"
    );
    for (name, rule) in rules {
        let _ = write!(
            out,
            "<tr><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{} … {}</td></tr>",
            html(name),
            signed(rule.regret * 1e3),
            signed(rule.regret_interval.0 * 1e3),
            signed(rule.regret_interval.1 * 1e3)
        );
    }
    out += "</tbody></table>\n<p class=\"note\">1 mnat is a thousandth of a nat per token.</p>\n</section>\n\
            <section aria-labelledby=\"beware\">\n<h2 id=\"beware\">What to know first</h2>\n";
    out += &caveats(answer);
    out += "</section>\n</div>\n</header>\n";
    out
}

fn caveats(answer: &ReportAnswer) -> String {
    if answer.caveats.is_empty() {
        return "<p>Nothing sets this run apart from those fitted.</p>\n".to_owned();
    }
    let item = |caveat: &lehr::Caveat| {
        let (class, word) = if caveat.blocking() {
            (" class=\"blocking\"", "<strong>Look before you use it:</strong> ")
        } else {
            ("", "")
        };
        format!("<li{class}>{word}{}</li>\n", html(&said(&advised(caveat))))
    };
    let mut out = String::from("<ul class=\"caveats\">\n");
    let shown = answer.caveats.len().min(MOST_CAVEATS);
    answer.caveats[..shown].iter().for_each(|caveat| out += &item(caveat));
    out += "</ul>\n";
    if answer.caveats.len() > shown {
        let _ = writeln!(
            out,
            "<details><summary>{} more</summary><ul class=\"caveats\">",
            answer.caveats.len() - shown
        );
        answer.caveats[shown..].iter().for_each(|caveat| out += &item(caveat));
        out += "</ul></details>\n";
    }
    out
}

/// The sliders, their answers and the grid that they read.
fn sliders(answer: &ReportAnswer) -> Result<String, Failure> {
    let grid = &answer.grid;
    let number = |v: &f64| serde_json::from_str::<serde_json::Value>(&format!("{v:.6}"));
    let losses = |values: &[f64]| values.iter().map(number).collect::<Result<Vec<_>, _>>();
    let data = serde_json::json!({
        "ratio": grid.ratio,
        "peak_lr": grid.peak_lr,
        "steps": grid.steps,
        "loss": losses(&grid.loss)?,
        "lower": losses(&grid.lower)?,
        "upper": losses(&grid.upper)?,
        "target": { "ratio": answer.recommend.ratio, "peak_lr": answer.target.peak_lr, "steps": answer.target.steps, "warmup": answer.target.warmup },
    });
    Ok(format!(
        "<section id=\"explore\" aria-labelledby=\"explore-title\">\n<h2 id=\"explore-title\">Move the target</h2>\n\
         <noscript><p>The sliders need scripts; everything else on this page does not.</p></noscript>\n\
         <div class=\"explore\">\n<form class=\"sliders\">\n\
         <div class=\"slider\"><label for=\"s-ratio\">Annealing ratio</label><output for=\"s-ratio\" id=\"o-ratio\"></output><input type=\"range\" id=\"s-ratio\" min=\"0\" max=\"200\" step=\"1\"></div>\n\
         <div class=\"slider\"><label for=\"s-peak\">Peak rate</label><output for=\"s-peak\" id=\"o-peak\"></output><input type=\"range\" id=\"s-peak\" min=\"0\" max=\"120\" step=\"1\"></div>\n\
         <div class=\"slider\"><label for=\"s-steps\">Horizon</label><output for=\"s-steps\" id=\"o-steps\"></output><input type=\"range\" id=\"s-steps\" min=\"0\" max=\"120\" step=\"1\"></div>\n\
         <p class=\"buttons\"><button type=\"button\" id=\"to-best\">Best ratio here</button> <button type=\"button\" id=\"to-target\">Back to the target</button></p>\n</form>\n\
         <dl class=\"cards\" aria-live=\"polite\">\n\
         <div><dt>Final loss</dt><dd><strong id=\"e-loss\">–</strong><span id=\"e-interval\"></span></dd></div>\n\
         <div><dt>Costs against the best ratio here</dt><dd><strong id=\"e-cost\">–</strong><span id=\"e-best\"></span></dd></div>\n\
         <div><dt>Start annealing after update</dt><dd><strong id=\"e-start\">–</strong><span id=\"e-length\"></span></dd></div>\n</dl>\n\
         <div id=\"e-chart\"></div>\n</div>\n\
         <p class=\"note\">Interpolated between {} answers of the law. Held against the law in the middle of all {} cells, the final loss is off by {:.2} mnat in the median and {:.2} mnat at most; the interval of a forecast is wider by far.</p>\n\
         <script type=\"application/json\" id=\"grid\">{}</script>\n</section>\n",
        grid.loss.len(),
        grid.error.cells,
        grid.error.median * 1e3,
        grid.error.largest * 1e3,
        json(&data)
    ))
}

fn table(named: &Named) -> String {
    format!(
        "<div class=\"scroll\" role=\"region\" aria-label=\"Table: {}\" tabindex=\"0\">{}</div>\n",
        html(named.title),
        named.table.write(TableFormat::Html)
    )
}

fn figures_and_tables(answer: &ReportAnswer, tables: &[Named]) -> Result<String, Failure> {
    let figures = answer.figures();
    let figure = |name: &str| {
        figures.iter().find(|figure| figure.name == name).map_or_else(String::new, |figure| {
            let picture = &figure.drawing.picture;
            let height = figure.drawing.height.unwrap_or(460.0);
            let narrow = figure.drawing.height.unwrap_or(400.0);
            element(name, &picture.page(WIDTHS.0, height), &picture.page(WIDTHS.1, narrow))
        })
    };
    let of = |name: &str| {
        tables
            .iter()
            .find(|table| table.name == name)
            .map_or_else(String::new, |named| format!("<h3>{}</h3>\n{}", html(named.title), table(named)))
    };
    let missing = |about: &str| {
        let notes =
            answer.notes.iter().filter(|note| note.code == "left-out-of-report" && note.about == about);
        notes.map(|note| format!("<p>Not here: {}.</p>\n", html(&said(&note.message)))).collect::<String>()
    };
    let without_runs = if answer.curves.is_empty() {
        "<p>The runs were not given, so their curves, residuals and the comparison of laws are not shown: name them beside the fit.</p>\n"
    } else {
        ""
    };
    let mut out = String::new();
    let mut section = |id: &str, title: &str, body: String| {
        if !body.is_empty() {
            let _ = write!(
                out,
                "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
            );
        }
    };
    section("forecast", "Forecast and schedule", figure("forecast") + &figure("runs") + without_runs);
    section("ratio", "Loss against the annealing ratio", figure("ratio") + &of("rules"));
    out += &sliders(answer)?;
    let mut section = |id: &str, title: &str, body: String| {
        if !body.is_empty() {
            let _ = write!(
                out,
                "<section id=\"{id}\" aria-labelledby=\"{id}-title\">\n<h2 id=\"{id}-title\">{title}</h2>\n{body}</section>\n"
            );
        }
    };
    let transfer = match &answer.transfer {
        Some(transfer) => {
            let verdicts: String = transfer
                .stability
                .iter()
                .map(|s| format!("<li>Across {}: {}</li>", html(&s.across), html(&said(&s.verdict))))
                .collect();
            let verdicts = if verdicts.is_empty() { verdicts } else { format!("<ul>{verdicts}</ul>\n") };
            figure("transfer") + &verdicts + &of("power-laws") + &of("optima")
        }
        None => missing("optima against peak rate and horizon"),
    };
    section("transfer", "How the best ratio moves", transfer);
    section("residuals", "What the law misses", figure("residuals"));
    let laws = figure("laws") + &of("laws") + &missing("laws on runs held out");
    section("laws", "All laws on runs held out", laws);
    let equation = format!(
        "<p class=\"equation\">{}</p>\n{}",
        html(&answer.law.equation),
        tables.iter().find(|t| t.name == "coefficients").map_or_else(String::new, table)
    );
    section("coefficients", &format!("The {} law", html(&answer.law.name)), equation);
    section("data", "The data", of("runs") + &of("left-out") + &notes(answer));
    section("exports", "The schedule in your trainer", snippets(answer));
    section("provenance", "Where the numbers come from", provenance(answer) + &of("inputs"));
    Ok(out)
}

fn notes(answer: &ReportAnswer) -> String {
    let notes: Vec<_> = answer.notes.iter().filter(|note| note.code != "left-out-of-report").collect();
    if notes.is_empty() {
        return String::new();
    }
    let mut out = String::from("<h3>What was done with them</h3>\n<ul>\n");
    for note in notes.iter().take(40) {
        let _ = writeln!(out, "<li>{}: {}</li>", html(&note.about), html(&said(&note.message)));
    }
    if notes.len() > 40 {
        let _ = writeln!(
            out,
            "<li>… and {} more such notes (<code>lehr inspect --json</code> has all)</li>",
            notes.len() - 40
        );
    }
    out + "</ul>\n"
}

fn snippets(answer: &ReportAnswer) -> String {
    let mut out = String::from(
        "<p>The recommended schedule in the words of every trainer; how far its own rates are from those asked for stands beside its name.</p>\n<div class=\"snippets\">\n",
    );
    for export in &answer.exports {
        let deviation = match export.deviation {
            Some(share) if share < 5e-7 => "exact".to_owned(),
            Some(share) => format!("off by at most {:.2} % of the peak rate", share * 100.0),
            None => "not expressible".to_owned(),
        };
        let title = if export.title == export.target {
            String::new()
        } else {
            format!(" <span>{}</span>", html(export.title))
        };
        let _ = writeln!(
            out,
            "<details><summary><strong>{}</strong>{title} <em>{deviation}</em></summary>",
            html(export.target)
        );
        if let Some(text) = &export.text {
            let id = format!("x-{}", export.target.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
            let _ = write!(
                out,
                "<p class=\"buttons\"><code>{}</code> <button type=\"button\" class=\"copy\" data-copy=\"{id}\" aria-label=\"Copy the configuration for {}\">Copy</button></p>\n<pre id=\"{id}\" tabindex=\"0\" role=\"region\" aria-label=\"Configuration for {}\">{}</pre>\n",
                html(export.file_name.unwrap_or_default()),
                html(export.target),
                html(export.target),
                html_lines(text),
            );
        }
        if let Some(why) = &export.why {
            let _ = writeln!(
                out,
                "<p>Not shown: {}. <code>lehr schedule --wsd '{}' --export {}</code></p>",
                html(&said(why)),
                html(answer.forecast.schedule.trim_start_matches("wsd:")),
                html(export.target)
            );
        }
        if !export.notes.is_empty() {
            out += "<ul>";
            export.notes.iter().for_each(|note| {
                let _ = write!(out, "<li>{}</li>", html(&said(note)));
            });
            out += "</ul>\n";
        }
        let _ = writeln!(out, "<p class=\"note\">Backed by: {}.</p></details>", html(&export.evidence));
    }
    out + "</div>\n"
}

fn provenance(answer: &ReportAnswer) -> String {
    format!(
        "<dl class=\"facts\"><dt>Command</dt><dd><code>{}</code></dd><dt>Version</dt><dd>lehr {}</dd><dt>Schedule</dt><dd><code>{}</code></dd></dl>\n",
        html(&answer.provenance.command),
        html(&answer.provenance.version),
        html(&answer.forecast.schedule),
    )
}
