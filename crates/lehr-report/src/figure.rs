//! The figure every picture is first turned into: panels, marks and labels in data coordinates, drawn by one SVG and
//! one terminal renderer.

use crate::style::Ink;
use crate::ticks::{TickFormat, Ticks, linear_ticks, log_ticks, tick_labels};

/// A whole picture.
#[derive(Debug, Clone)]
pub(crate) struct Figure {
    pub title: String,
    pub subtitle: Option<String>,
    pub caption: Option<String>,
    /// What the picture shows, in words, for readers who cannot see it.
    pub description: String,
    /// What the signs mean, for the terminal, which cannot label marks as well.
    pub legend: Vec<(Sign, Ink, String)>,
    pub rows: Vec<Row>,
    /// In a terminal, at most this many panels are drawn if there is no room for all; the first are the most important.
    pub panels_by_importance: bool,
}

/// The kind of sign a legend entry explains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sign {
    Line,
    Points,
    Band,
}

/// Panels side by side.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    /// Share of the height.
    pub weight: f64,
    /// Number of columns; the last may be empty.
    pub columns: usize,
    pub panels: Vec<Panel>,
}

/// One coordinate system.
#[derive(Debug, Clone)]
pub(crate) struct Panel {
    pub title: Option<String>,
    pub x: Axis,
    pub y: Axis,
    pub marks: Vec<Mark>,
    pub labels: Vec<Label>,
    /// Marks that a reader of a page may switch off and ask for values.
    pub series: Vec<Series>,
}

/// Neighbouring marks that show one thing.
#[derive(Debug, Clone)]
pub(crate) struct Series {
    pub name: String,
    /// Indices of the marks.
    pub marks: std::ops::Range<usize>,
}

/// One axis.
#[derive(Debug, Clone)]
pub(crate) struct Axis {
    pub title: String,
    pub lo: f64,
    pub hi: f64,
    pub log: bool,
    pub format: TickFormat,
    /// Names instead of numbers, at 0, 1, 2 …; the first stands at the top.
    pub names: Vec<String>,
    /// Whether the values and the title are written (not for panels that share an axis with the one below).
    pub shown: bool,
}

impl Axis {
    pub(crate) fn linear(title: impl Into<String>, (lo, hi): (f64, f64), format: TickFormat) -> Self {
        Self { title: title.into(), lo, hi, log: false, format, names: Vec::new(), shown: true }
    }

    pub(crate) fn log(title: impl Into<String>, (lo, hi): (f64, f64), format: TickFormat) -> Self {
        Self { log: true, ..Self::linear(title, (lo, hi), format) }
    }

    pub(crate) fn names(names: Vec<String>) -> Self {
        let hi = names.len() as f64 - 0.5;
        Self { names, ..Self::linear("", (-0.5, hi), TickFormat::Plain) }
    }

    pub(crate) fn hidden(self) -> Self {
        Self { shown: false, ..self }
    }

    /// Where a value lies between the axis' ends, 0 … 1; `None` if it has no place on the axis.
    pub(crate) fn place(&self, value: f64) -> Option<f64> {
        let share = if self.log {
            if value <= 0.0 {
                return None;
            }
            (value / self.lo).ln() / (self.hi / self.lo).ln()
        } else {
            (value - self.lo) / (self.hi - self.lo)
        };
        let share = if self.names.is_empty() { share } else { 1.0 - share };
        share.is_finite().then_some(share)
    }

    pub(crate) fn ticks(&self, most: usize) -> (Ticks, Vec<String>) {
        if !self.names.is_empty() {
            let values = (0..self.names.len()).map(|i| i as f64).collect();
            return (Ticks { values, step: 1.0 }, self.names.clone());
        }
        let ticks =
            if self.log { log_ticks(self.lo, self.hi, most) } else { linear_ticks(self.lo, self.hi, most) };
        let labels = tick_labels(&ticks, self.format);
        (ticks, labels)
    }
}

/// Form of a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    Circle,
    Square,
    Triangle,
    Diamond,
}

impl Form {
    pub(crate) fn nth(i: usize) -> Self {
        [Self::Circle, Self::Square, Self::Triangle, Self::Diamond][i % 4]
    }
}

/// Something drawn in a panel. Later marks lie above earlier ones.
#[derive(Debug, Clone)]
pub(crate) enum Mark {
    /// An interval along x.
    Band { x: Vec<f64>, lo: Vec<f64>, hi: Vec<f64>, ink: Ink },
    /// A line through points.
    Line { x: Vec<f64>, y: Vec<f64>, ink: Ink, width: f64, dashed: bool },
    /// Separate points.
    Points { x: Vec<f64>, y: Vec<f64>, ink: Ink, form: Form, radius: f64, solid: bool },
    /// A straight piece with end caps: an interval of one value.
    Bar { from: (f64, f64), to: (f64, f64), ink: Ink, width: f64 },
    /// A range of x over the whole height.
    Span { from: f64, to: f64, ink: Ink },
    /// One x over the whole height.
    VRule { x: f64, ink: Ink, dashed: bool },
    /// One y over the whole width.
    HRule { y: f64, ink: Ink, dashed: bool },
}

/// Where a label goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the right margin, at the height of y.
    End,
    /// Close to (x, y), where it covers least.
    Near,
    /// At the top of the panel, beside x.
    Top,
    /// Centred on x at the bottom of the panel, only if it fits between `x` and the neighbours.
    Bottom,
}

/// A text that names a mark.
#[derive(Debug, Clone)]
pub(crate) struct Label {
    pub x: f64,
    pub y: f64,
    /// The first line is the important one.
    pub lines: Vec<String>,
    pub ink: Ink,
    pub bold: bool,
    pub place: Place,
}

/// The range that holds all finite values, widened by `pad` of its length on both sides; never empty.
pub(crate) fn range(values: impl IntoIterator<Item = f64>, pad: f64) -> (f64, f64) {
    let (lo, hi) = values
        .into_iter()
        .filter(|v| v.is_finite())
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(lo, hi), v| (lo.min(v), hi.max(v)));
    if lo > hi {
        return (0.0, 1.0);
    }
    let length = if hi - lo > lo.abs().max(hi.abs()) * 1e-9 { hi - lo } else { lo.abs().max(1e-6) * 0.01 };
    let middle = (lo + hi) / 2.0;
    let half = length * (0.5 + pad);
    (middle - half, middle + half)
}

/// As [`range`] on a logarithmic axis, over the positive values.
pub(crate) fn log_range(values: impl IntoIterator<Item = f64>, pad: f64) -> (f64, f64) {
    let (lo, hi) = range(values.into_iter().filter(|v| *v > 0.0).map(f64::ln), 0.0);
    let pad = (hi - lo).max(0.05) * pad;
    if lo == 0.0 && hi == 1.0 { (1.0, 10.0) } else { ((lo - pad).exp(), (hi + pad).exp()) }
}

/// Every index of a series that is kept when at most `most` points are wanted: evenly spread, the last one included.
pub(crate) fn thinned(len: usize, most: usize) -> Vec<usize> {
    if len <= most {
        return (0..len).collect();
    }
    let most = most.max(2);
    (0..most).map(|k| k * (len - 1) / (most - 1)).collect()
}

/// Indices of points spread evenly over an axis, at most `most`; `seed` shifts the places, so that the points of several
/// runs do not form columns. `xs` ascends; the last point is always kept.
pub(crate) fn spread_over(xs: &[f64], axis: &Axis, most: usize, seed: usize) -> Vec<usize> {
    let phase = (seed as f64 * 0.618_033_988_75).fract();
    let mut kept: Vec<usize> = Vec::new();
    let mut slot = f64::NEG_INFINITY;
    for (i, &x) in xs.iter().enumerate() {
        let Some(share) = axis.place(x) else { continue };
        let here = (share * most as f64 + phase).floor();
        if here > slot || i + 1 == xs.len() {
            slot = here;
            kept.push(i);
        }
    }
    kept
}

/// The value of a polyline at `x`; `None` outside of it. `xs` ascends.
pub(crate) fn value_at(xs: &[f64], ys: &[f64], x: f64) -> Option<f64> {
    let n = xs.len().min(ys.len());
    let (xs, ys) = (&xs[..n], &ys[..n]);
    if n == 0 || x < xs[0] || x > xs[n - 1] {
        return None;
    }
    let i = xs.partition_point(|&v| v < x);
    if i == 0 || xs[i] == x {
        return Some(ys[i]);
    }
    let share = (x - xs[i - 1]) / (xs[i] - xs[i - 1]);
    Some(ys[i - 1] + share * (ys[i] - ys[i - 1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_never_empty() {
        for values in [vec![], vec![2.5], vec![2.5, 2.5], vec![0.0], vec![2.5, 2.5 + 1e-12]] {
            let (lo, hi) = range(values.iter().copied(), 0.05);
            assert!(lo < hi && linear_ticks(lo, hi, 5).values.len() >= 2, "{values:?} gives {lo} … {hi}");
        }
        let (lo, hi) = log_range([1e-3], 0.1);
        assert!(lo < 1e-3 && hi > 1e-3);
    }

    #[test]
    fn thinning_keeps_both_ends() {
        assert_eq!(thinned(5, 9), [0, 1, 2, 3, 4]);
        let kept = thinned(10_000, 100);
        assert_eq!((kept.len(), kept[0], kept[99]), (100, 0, 9_999));
    }
}
