//! Transfer: how the best ratio moves with the peak rate, the horizon, N.

use super::{FigureBox, Picture, percent};
use crate::figure::{Axis, Figure, Form, Label, Mark, Panel, Place, Row, Series, Sign, log_range};
use crate::style::Ink;
use crate::ticks::{TickFormat, significant};

/// One optimum.
#[derive(Debug, Clone, PartialEq)]
pub struct Optimum {
    /// Name of its group (such as the horizon); points of one group share a form and a label. Empty for none.
    pub group: String,
    /// Position (rate, updates, parameters).
    pub x: f64,
    /// Best annealing ratio there.
    pub ratio: f64,
    /// Its interval.
    pub interval: Option<(f64, f64)>,
    /// Whether it is the smallest or largest ratio measured, and so a limit: drawn pale.
    pub limit: bool,
}

/// Positions at which the optima are drawn: those that share one are spread sideways, in order, over up to `width` of
/// the range `lo … hi` (logarithmic), so that their intervals can be told apart.
fn spread(optima: &[Optimum], (lo, hi): (f64, f64), width: f64) -> Vec<f64> {
    let most = optima.iter().map(|o| optima.iter().filter(|other| other.x == o.x).count()).max().unwrap_or(1);
    let step = (hi / lo).ln() * (width / most.max(2) as f64).min(0.008);
    optima
        .iter()
        .enumerate()
        .map(|(i, optimum)| {
            let beside = optima.iter().filter(|other| other.x == optimum.x).count();
            let before = optima[..i].iter().filter(|other| other.x == optimum.x).count();
            optimum.x * (step * (before as f64 - (beside as f64 - 1.0) / 2.0)).exp()
        })
        .collect()
}

/// The best ratio against one quantity, log–log.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferPanel {
    /// Title of the horizontal axis with its unit: `peak learning rate`.
    pub axis: String,
    /// How its values are written.
    pub format: TickFormat,
    /// The optima.
    pub optima: Vec<Optimum>,
    /// Positions of the power law's line, ascending; may be empty.
    pub x: Vec<f64>,
    /// The power law's ratio.
    pub ratio: Vec<f64>,
    /// Lower ends of its interval, or empty.
    pub lower: Vec<f64>,
    /// Upper ends of its interval, or empty.
    pub upper: Vec<f64>,
    /// The law in words: `r = 0.49·(η/10⁻³)^0.42`.
    pub law: String,
    /// The target: its position and the ratio predicted there.
    pub target: Option<(f64, f64)>,
}

/// Power laws of the best ratio.
#[derive(Debug, Clone, PartialEq)]
pub struct TransferPicture {
    /// Title.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Text below.
    pub caption: Option<String>,
    /// Coverage of the intervals.
    pub coverage: f64,
    /// One panel a quantity.
    pub panels: Vec<TransferPanel>,
}

impl TransferPanel {
    /// A power law in words, R = λ·unit^α, for [`TransferPanel::law`]: λ with three significant digits, because it may be
    /// far below 1.
    ///
    /// # Examples
    /// ```
    /// let law = lehr_report::TransferPanel::law_text(0.00612, "(T/10⁴)", 0.195);
    /// assert_eq!(law, "R = 0.00612·(T/10⁴)^0.20");
    /// ```
    #[must_use]
    pub fn law_text(lambda: f64, unit: &str, exponent: f64) -> String {
        format!("R = {}·{unit}^{exponent:.2}", significant(lambda, 3))
    }

    fn panel(&self, (lo, hi): (f64, f64), first: bool) -> Panel {
        let xs = self.optima.iter().map(|optimum| optimum.x).chain(self.x.iter().copied());
        let range = log_range(xs.chain(self.target.map(|target| target.0)), 0.06);
        let places = spread(&self.optima, range, 0.1);
        let x = Axis::log(&self.axis, range, self.format);
        let y = Axis::log(if first { "best annealing ratio" } else { "" }, (lo, hi), TickFormat::Plain);
        let mut marks = Vec::new();
        let mut labels = Vec::new();
        let mut series: Vec<Series> = Vec::new();
        if hi > 1.0 {
            marks.push(Mark::HRule { y: 1.0, ink: Ink::Muted, dashed: true });
        }
        if !self.lower.is_empty() && !self.upper.is_empty() {
            let (x, lo, hi) = (self.x.clone(), self.lower.clone(), self.upper.clone());
            marks.push(Mark::Band { x, lo, hi, ink: Ink::Main });
        }
        marks.push(Mark::Line {
            x: self.x.clone(),
            y: self.ratio.clone(),
            ink: Ink::Main,
            width: 2.0,
            dashed: false,
        });
        let own = marks.len();
        if !self.x.is_empty() {
            series.push(Series { name: "power law".to_owned(), marks: own - 1..own });
        }
        if let (false, Some(k)) = (self.law.is_empty(), self.x.len().checked_sub(1)) {
            let k = k * 2 / 5;
            let (x, y) = (self.x[k], self.ratio[k]);
            labels.push(Label {
                x,
                y,
                lines: vec![self.law.clone()],
                ink: Ink::Main,
                bold: true,
                place: Place::Near,
            });
        }
        let mut groups: Vec<&str> = Vec::new();
        for (optimum, &place) in self.optima.iter().zip(&places) {
            let new = !groups.contains(&optimum.group.as_str());
            if new {
                groups.push(&optimum.group);
            }
            let group = groups.iter().position(|name| *name == optimum.group).unwrap_or(0);
            if let Some((from, to)) = optimum.interval {
                let (from, to) = (from.max(lo), to.min(hi));
                if to > from {
                    marks.push(Mark::Bar {
                        from: (place, from),
                        to: (place, to),
                        ink: Ink::Measured,
                        width: 1.1,
                    });
                }
            }
            marks.push(Mark::Points {
                x: vec![place],
                y: vec![optimum.ratio],
                ink: if groups.len() > 1 || !optimum.group.is_empty() {
                    Ink::Rival(group)
                } else {
                    Ink::Measured
                },
                form: Form::nth(group),
                radius: 4.2,
                solid: !optimum.limit,
            });
            let name = if optimum.group.is_empty() { "optimum" } else { &optimum.group };
            series.push(Series { name: name.to_owned(), marks: marks.len() - 1..marks.len() });
            if new && !optimum.group.is_empty() {
                labels.push(Label {
                    x: place,
                    y: optimum.ratio,
                    lines: vec![optimum.group.clone()],
                    ink: Ink::Rival(group),
                    bold: false,
                    place: Place::Near,
                });
            }
        }
        if let Some((x, ratio)) = self.target {
            marks.push(Mark::VRule { x, ink: Ink::Phase, dashed: true });
            marks.push(Mark::Points {
                x: vec![x],
                y: vec![ratio],
                ink: Ink::Main,
                form: Form::Diamond,
                radius: 5.4,
                solid: true,
            });
            let lines = vec![format!("target: {ratio:.2}")];
            labels.insert(0, Label { x, y: ratio, lines, ink: Ink::Phase, bold: true, place: Place::Near });
        }
        Panel { title: None, x, y, marks, labels, series }
    }
}

impl Picture for TransferPicture {
    fn figure(&self) -> FigureBox {
        let ratios = self.panels.iter().flat_map(|panel| {
            let optima = panel.optima.iter().flat_map(|optimum| {
                let (lo, hi) = optimum.interval.unwrap_or((optimum.ratio, optimum.ratio));
                [lo.max(optimum.ratio / 3.0), hi.min(optimum.ratio * 3.0), optimum.ratio]
            });
            optima.chain(panel.ratio.iter().copied()).chain(panel.target.map(|target| target.1))
        });
        let range = log_range(ratios, 0.1);
        let panels: Vec<Panel> =
            self.panels.iter().enumerate().map(|(i, panel)| panel.panel(range, i == 0)).collect();
        let mut legend = vec![
            (Sign::Points, Ink::Measured, "optimum (pale: a limit)".to_owned()),
            (Sign::Line, Ink::Main, "power law".to_owned()),
        ];
        if self.panels.iter().any(|panel| !panel.lower.is_empty()) {
            legend.push((Sign::Band, Ink::Main, format!("{} interval", percent(self.coverage))));
        }
        let mut description = "Best annealing ratio on logarithmic axes.".to_owned();
        for panel in &self.panels {
            description += &format!(" Against {}: {}.", panel.axis, panel.law);
        }
        FigureBox(Figure {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            caption: self.caption.clone(),
            description,
            legend,
            rows: vec![Row { weight: 1.0, columns: panels.len(), panels }],
            panels_by_importance: false,
        })
    }
}
