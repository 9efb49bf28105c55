//! A figure on a page: the drawing for wide and for narrow pages, and the numbers behind it.

use crate::escape::html;
use lehr_report::{PageAxis, PageFigure};
use serde_json::{Value, json};
use std::fmt::Write as _;

/// Widths of the two drawings: for a desk or a sheet of paper, and for a telephone.
pub const WIDTHS: (f64, f64) = (760.0, 360.0);

fn axis(axis: &PageAxis) -> Value {
    json!({ "title": axis.title, "lo": axis.lo, "hi": axis.hi, "log": axis.log })
}

/// A number with seven significant digits: more than a page shows, and shorter.
fn short(value: &f64) -> Value {
    if *value == 0.0 || !value.is_finite() {
        return if value.is_finite() { Value::from(0.0) } else { Value::Null };
    }
    let unit = 10_f64.powi(6 - value.abs().log10().floor() as i32);
    // Beyond what a power of ten can hold, the number stays as it is.
    let rounded = (value * unit).round() / unit;
    Value::from(if rounded.is_finite() { rounded } else { *value })
}

fn list(values: &[f64]) -> Value {
    Value::Array(values.iter().map(short).collect())
}

/// An object that takes its values over, where `json!` would copy each of them.
pub fn object<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Object(entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Where the panels of the two drawings are, and their series: what the page's script reads.
#[must_use]
pub fn figure_json(wide: &PageFigure, narrow: &PageFigure) -> Value {
    let panels = wide.panels.iter().zip(&narrow.panels).map(|(panel, other)| {
        let series = panel.series.iter().map(|series| {
            object([
                ("name", Value::from(series.name.as_str())),
                ("x", list(&series.x)),
                ("y", list(&series.y)),
                ("lower", list(&series.lower)),
                ("upper", list(&series.upper)),
            ])
        });
        object([
            ("wide", list(&panel.frame)),
            ("narrow", list(&other.frame)),
            ("title", Value::from(panel.title.clone())),
            ("x", axis(&panel.x)),
            ("y", axis(&panel.y)),
            ("series", series.collect()),
        ])
    });
    object([("panels", panels.collect())])
}

/// A figure element. `level` is that of its heading.
pub fn element(name: &str, wide: &PageFigure, narrow: &PageFigure) -> String {
    let mut out = format!("<figure class=\"plot\" data-figure=\"{name}\">\n");
    let _ = write!(out, "<figcaption><span class=\"figure-title\">{}</span>", html(&wide.title));
    if let Some(subtitle) = &wide.subtitle {
        let _ = write!(out, "<span class=\"figure-subtitle\">{}</span>", html(subtitle));
    }
    out += "</figcaption>\n<div class=\"canvas\">\n";
    let _ = write!(
        out,
        "<div class=\"wide\">{}</div>\n<div class=\"narrow\">{}</div>\n</div>\n",
        wide.svg, narrow.svg
    );
    if let Some(caption) = &wide.caption {
        let _ = writeln!(out, "<p class=\"figure-note\">{}</p>", html(caption));
    }
    let _ = writeln!(
        out,
        "<script type=\"application/json\" class=\"figure-data\">{}</script>\n</figure>",
        crate::escape::json(&figure_json(wide, narrow))
    );
    out
}
