//! The comparison of laws: one error each, with its uncertainty.

use super::{FigureBox, Picture, percent};
use crate::figure::{Axis, Figure, Form, Label, Mark, Panel, Place, Row, Series, Sign, log_range, range};
use crate::style::Ink;
use crate::ticks::{TickFormat, significant};

/// One law's error.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonEntry {
    /// The law.
    pub name: String,
    /// Its error, in the picture's unit.
    pub value: f64,
    /// Interval of the error.
    pub interval: Option<(f64, f64)>,
    /// A few words beside the value, such as the number of coefficients.
    pub note: Option<String>,
}

/// Errors of several laws on the same split.
#[derive(Debug, Clone, PartialEq)]
pub struct ComparisonPicture {
    /// Title.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Text below.
    pub caption: Option<String>,
    /// What is compared, with its unit: `held-out error (mnat)`.
    pub metric: String,
    /// Coverage of the intervals.
    pub coverage: f64,
    /// The laws, in the order in which they are drawn, from the top.
    pub entries: Vec<ComparisonEntry>,
}

impl ComparisonPicture {
    /// A height that gives every law's line enough room; pass it to [`crate::PictureStyle`].
    #[must_use]
    pub fn natural_height(&self) -> f64 {
        140.0 + 24.0 * self.entries.len() as f64
    }
}

impl Picture for ComparisonPicture {
    fn figure(&self) -> FigureBox {
        let values = || {
            self.entries.iter().flat_map(|entry| {
                let (lo, hi) = entry.interval.unwrap_or((entry.value, entry.value));
                [lo, entry.value, hi]
            })
        };
        let positive = self.entries.iter().all(|entry| entry.value > 0.0);
        let (least, most) = range(self.entries.iter().map(|entry| entry.value), 0.0);
        // Errors that differ by more than a factor of 12 need a logarithmic axis to be compared at all.
        let axis = if positive && most / least > 12.0 {
            let floor = least / 4.0;
            let (lo, hi) = log_range(values().map(|value| value.max(floor)), 0.08);
            Axis::log(&self.metric, (lo, hi), TickFormat::Plain)
        } else {
            let (lo, hi) = range(values().chain([0.0]), 0.0);
            let pad = 0.05 * (hi - lo);
            Axis::linear(&self.metric, (if lo < 0.0 { lo - pad } else { 0.0 }, hi + pad), TickFormat::Plain)
        };
        let best =
            (0..self.entries.len()).min_by(|&a, &b| self.entries[a].value.total_cmp(&self.entries[b].value));
        let mut marks = Vec::new();
        let mut labels = Vec::new();
        let mut series = Vec::new();
        for (i, entry) in self.entries.iter().enumerate() {
            let y = i as f64;
            let first = marks.len();
            let ink = if Some(i) == best { Ink::Main } else { Ink::Measured };
            if let Some((lo, hi)) = entry.interval {
                let lo = if axis.log { lo.max(axis.lo) } else { lo };
                marks.push(Mark::Bar { from: (lo, y), to: (hi, y), ink, width: 1.4 });
            }
            marks.push(Mark::Points {
                x: vec![entry.value],
                y: vec![y],
                ink,
                form: Form::Circle,
                radius: 4.6,
                solid: true,
            });
            series.push(Series { name: entry.name.clone(), marks: first..marks.len() });
            let mut text = significant(entry.value, 3);
            if let Some(note) = &entry.note {
                text += &format!(" · {note}");
            }
            labels.push(Label {
                x: axis.hi,
                y,
                lines: vec![text],
                ink,
                bold: Some(i) == best,
                place: Place::End,
            });
        }
        let mut legend = vec![(Sign::Points, Ink::Measured, "error".to_owned())];
        if self.entries.iter().any(|entry| entry.interval.is_some()) {
            legend.push((Sign::Line, Ink::Measured, format!("{} interval", percent(self.coverage))));
        }
        let mut description = format!("{} of {} laws.", self.metric, self.entries.len());
        for entry in &self.entries {
            description += &format!(" {}: {}.", entry.name, significant(entry.value, 3));
        }
        let y = Axis::names(self.entries.iter().map(|entry| entry.name.clone()).collect());
        let panel = Panel { title: None, x: axis, y, marks, labels, series };
        FigureBox(Figure {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            caption: self.caption.clone(),
            description,
            legend,
            rows: vec![Row { weight: 1.0, columns: 1, panels: vec![panel] }],
            panels_by_importance: false,
        })
    }
}
