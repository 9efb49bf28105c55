//! Where the panels of a figure stand.

use super::{LABEL, LEADING, MARGIN, PANEL, TICK};
use crate::figure::{Figure, Panel, Place};
use crate::labels::Rect;
use crate::text::{shorten_apart, width};

/// One panel's place.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// The coordinate system.
    pub inner: Rect,
    /// Left edge of the y title.
    pub left: f64,
    /// Room for labels in the right margin (px).
    pub end_width: f64,
    /// Most px that a tick label of the y axis may take.
    pub name_width: f64,
}

/// Places of all panels.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub rows: Vec<Vec<Frame>>,
}

struct Margins {
    left: f64,
    right: f64,
    end_width: f64,
}

impl Layout {
    /// Divides the area between `top` and `bottom`; rows with the same number of panels get the same columns.
    pub(crate) fn new(figure: &Figure, picture_width: f64, top: f64, bottom: f64) -> Self {
        let name_width = picture_width * 0.36;
        let mut heights: Vec<(f64, f64)> = Vec::new(); // above and below each row's panels
        for row in &figure.rows {
            let above = row.panels.iter().map(head).fold(0.0, f64::max);
            let below = if row.panels.iter().all(|panel| panel.x.shown) {
                row.panels.iter().map(foot).fold(0.0, f64::max)
            } else {
                // Panels with nothing below them write their values into the empty place.
                8.0
            };
            heights.push((above, below));
        }
        let taken: f64 = heights.iter().map(|(above, below)| above + below).sum();
        let weights: f64 = figure.rows.iter().map(|row| row.weight).sum();
        let left_over = (bottom - top - taken).max(12.0 * figure.rows.len() as f64);
        let mut y = top;
        let mut rows = Vec::new();
        for (row, (above, below)) in figure.rows.iter().zip(&heights) {
            let height = left_over * row.weight / weights;
            let n = row.columns.max(row.panels.len()).max(1);
            let margins: Vec<Margins> = (0..n)
                .map(|column| {
                    let same = figure.rows.iter().filter(|other| other.columns == row.columns);
                    same.filter_map(|other| other.panels.get(column))
                        .map(|panel| margins(panel, picture_width / n as f64, name_width))
                        .fold(Margins { left: 0.0, right: 0.0, end_width: 0.0 }, |a, b| Margins {
                            left: a.left.max(b.left),
                            right: a.right.max(b.right),
                            end_width: a.end_width.max(b.end_width),
                        })
                })
                .collect();
            let between: f64 = margins.iter().map(|m| m.left + m.right).sum();
            let inner_width = ((picture_width - 2.0 * MARGIN - between) / n as f64).max(12.0);
            let mut x = MARGIN;
            let mut frames = Vec::new();
            for margin in margins {
                frames.push(Frame {
                    inner: Rect::at(x + margin.left, y + above, inner_width, height),
                    left: x,
                    end_width: margin.end_width,
                    name_width,
                });
                x += margin.left + inner_width + margin.right;
            }
            rows.push(frames);
            y += above + height + below;
        }
        Self { rows }
    }
}

/// The labels of the y axis as they are drawn; names fit and stay apart.
pub(crate) fn y_labels(panel: &Panel, labels: Vec<String>, most: f64) -> Vec<String> {
    if panel.y.names.is_empty() {
        return labels;
    }
    shorten_apart(&labels, most, '…', &|text| width(text, TICK, false))
}

fn head(panel: &Panel) -> f64 {
    let title = if panel.title.is_some() { PANEL * LEADING + 3.0 } else { 0.0 };
    let axis = if panel.y.title.is_empty() { 0.0 } else { TICK * LEADING + 8.0 };
    (title + axis).max(6.0)
}

fn foot(panel: &Panel) -> f64 {
    if !panel.x.shown {
        return 8.0;
    }
    8.0 + TICK * LEADING + if panel.x.title.is_empty() { 0.0 } else { TICK * LEADING + 4.0 }
}

fn margins(panel: &Panel, share: f64, name_width: f64) -> Margins {
    let left = if panel.y.shown {
        let (_, labels) = panel.y.ticks(8);
        let widest = y_labels(panel, labels, name_width)
            .iter()
            .map(|text| width(text, TICK, false))
            .fold(0.0, f64::max);
        // Where the picture's font is missing, names may come out a tenth wider.
        widest * if panel.y.names.is_empty() { 1.0 } else { 1.1 } + 9.0
    } else {
        8.0
    };
    let most = (share * 0.34).max(80.0);
    let end_width = panel
        .labels
        .iter()
        .filter(|label| label.place == Place::End)
        .flat_map(|label| label.lines.iter().map(|line| width(line, LABEL, label.bold)))
        .fold(0.0, f64::max)
        .min(most);
    let right = if end_width > 0.0 { end_width + 16.0 } else { 13.0 };
    Margins { left, right, end_width }
}
