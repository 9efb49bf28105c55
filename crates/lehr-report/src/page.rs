//! A figure for a page: SVG in inks of the page's style sheet, and the numbers behind it, so that a page can show values
//! and switch curves off without drawing by itself.

use crate::figure::{Figure, Mark, Panel, thinned};
use crate::style::{PictureStyle, Theme};
use crate::svg;
use crate::text::clean;

/// Most points of a series whose values a page holds, and where a panel has more than a dozen.
const MOST_VALUES: (usize, usize) = (80, 32);

/// Pages narrower than this get fewer panels side by side.
const NARROW: f64 = 500.0;

/// A figure as a page shows it.
#[derive(Debug, Clone, PartialEq)]
pub struct PageFigure {
    /// The drawing, without title, subtitle and caption.
    pub svg: String,
    /// Title.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Text below.
    pub caption: Option<String>,
    /// What the figure shows, in words.
    pub description: String,
    /// Its panels, row by row.
    pub panels: Vec<PagePanel>,
}

/// One panel: where it is drawn, how values are placed in it, and its series.
#[derive(Debug, Clone, PartialEq)]
pub struct PagePanel {
    /// Left, top, right and bottom in the drawing's units.
    pub frame: [f64; 4],
    /// Title.
    pub title: Option<String>,
    /// Horizontal axis.
    pub x: PageAxis,
    /// Vertical axis.
    pub y: PageAxis,
    /// What can be switched off: series `k` of the panel is drawn in the group `data-series="k"`.
    pub series: Vec<PageSeries>,
}

/// An axis.
#[derive(Debug, Clone, PartialEq)]
pub struct PageAxis {
    /// Title with unit.
    pub title: String,
    /// Value at the left or bottom.
    pub lo: f64,
    /// Value at the right or top.
    pub hi: f64,
    /// Whether it is logarithmic.
    pub log: bool,
}

/// One series with its values, thinned.
#[derive(Debug, Clone, PartialEq)]
pub struct PageSeries {
    /// Name.
    pub name: String,
    /// Horizontal values, ascending.
    pub x: Vec<f64>,
    /// Vertical values.
    pub y: Vec<f64>,
    /// Lower ends of the interval, or empty.
    pub lower: Vec<f64>,
    /// Upper ends of the interval, or empty.
    pub upper: Vec<f64>,
}

fn axis(axis: &crate::figure::Axis) -> PageAxis {
    let (lo, hi) = if axis.names.is_empty() { (axis.lo, axis.hi) } else { (axis.hi, axis.lo) };
    PageAxis { title: axis.title.clone(), lo, hi, log: axis.log }
}

/// The values of a series: those of its line, or of its points where it has none.
fn values(panel: &Panel, series: &crate::figure::Series) -> PageSeries {
    let marks = &panel.marks[series.marks.clone()];
    let line = marks.iter().rev().find_map(|mark| match mark {
        Mark::Line { x, y, .. } => Some((x, y)),
        _ => None,
    });
    let points = marks.iter().find_map(|mark| match mark {
        Mark::Points { x, y, .. } => Some((x, y)),
        _ => None,
    });
    let band = marks.iter().find_map(|mark| match mark {
        Mark::Band { x, lo, hi, .. } => Some((x, lo, hi)),
        _ => None,
    });
    let empty = (&Vec::new(), &Vec::new());
    let (x, y) = line.or(points).unwrap_or(empty);
    let most = if panel.series.len() > 12 { MOST_VALUES.1 } else { MOST_VALUES.0 };
    let kept = thinned(x.len().min(y.len()), most);
    let pick = |values: &[f64]| kept.iter().filter_map(|&k| values.get(k).copied()).collect::<Vec<f64>>();
    let (lower, upper) = match band {
        Some((band_x, lo, hi)) if band_x.len() == x.len() => (pick(lo), pick(hi)),
        _ => (Vec::new(), Vec::new()),
    };
    PageSeries { name: clean(&series.name), x: pick(x), y: pick(y), lower, upper }
}

/// The figure with at most so many panels side by side.
fn reflowed(figure: &Figure, most: usize) -> Figure {
    if figure.rows.iter().all(|row| row.columns <= most) {
        return figure.clone();
    }
    let weight = figure.rows.first().map_or(1.0, |row| row.weight);
    let axis_title =
        figure.rows.first().and_then(|row| row.panels.first()).map(|panel| panel.y.title.clone());
    let panels: Vec<Panel> = figure.rows.iter().flat_map(|row| row.panels.iter().cloned()).collect();
    let n = panels.len();
    let mut rows: Vec<crate::figure::Row> = Vec::new();
    for (i, mut panel) in panels.into_iter().enumerate() {
        // Panels that had axes of their own keep them; small multiples share them.
        if figure.panels_by_importance {
            panel.x.shown = i + most >= n;
            panel.y.shown = i % most == 0;
        } else if let Some(title) = axis_title.clone().filter(|_| panel.y.title.is_empty()) {
            panel.y.title = title;
        }
        if i % most == 0 {
            rows.push(crate::figure::Row { weight, columns: most, panels: Vec::new() });
        }
        if let Some(row) = rows.last_mut() {
            row.panels.push(panel);
        }
    }
    Figure { rows, ..figure.clone() }
}

/// Draws the figure for a page. `style.height` is for the figure as it is; with fewer panels side by side it grows.
pub(crate) fn page(figure: &Figure, style: &PictureStyle) -> PageFigure {
    let widest = figure.rows.iter().map(|row| row.columns).max().unwrap_or(1);
    let most = if style.width >= NARROW {
        widest
    } else if widest > 2 {
        2
    } else {
        1
    };
    let drawn = reflowed(figure, most);
    let grown = drawn.rows.len() as f64 / figure.rows.len().max(1) as f64;
    let style = PictureStyle { theme: Theme::Page, height: style.height * grown, ..*style };
    let (svg, frames) = svg::draw_with_frames(&drawn, &style);
    let panels = drawn
        .rows
        .iter()
        .zip(&frames)
        .flat_map(|(row, frames)| row.panels.iter().zip(frames))
        .map(|(panel, frame)| PagePanel {
            frame: [frame.x0, frame.y0, frame.x1, frame.y1],
            title: panel.title.as_deref().map(clean),
            x: axis(&panel.x),
            y: axis(&panel.y),
            series: panel.series.iter().map(|series| values(panel, series)).collect(),
        })
        .collect();
    PageFigure {
        svg,
        title: clean(&figure.title),
        subtitle: figure.subtitle.as_deref().map(clean),
        caption: figure.caption.as_deref().map(clean),
        description: clean(&figure.description),
        panels,
    }
}
