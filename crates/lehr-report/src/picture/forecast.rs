//! The forecast: loss above, the schedule that causes it below.

use super::{FigureBox, Picture, interval_text, loss_text, percent};
use crate::figure::{
    Axis, Figure, Form, Label, Mark, Panel, Place, Row, Series, Sign, log_range, range, spread_over,
};
use crate::style::Ink;
use crate::ticks::{TickFormat, power, si, superscript};

/// What the horizontal axis counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Horizontal {
    /// Optimizer updates.
    Updates,
    /// Tokens, this many per update.
    Tokens {
        /// Tokens per update.
        per_update: f64,
    },
}

/// A schedule or run with its curve; `x` in updates, ascending.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rival {
    /// What it is called in the picture.
    pub name: String,
    /// Updates.
    pub x: Vec<f64>,
    /// Loss at each of them (nats per token); empty if only the rate is to be drawn.
    pub loss: Vec<f64>,
    /// Rate at each of them; empty if unknown.
    pub rate: Vec<f64>,
}

/// A phase of the schedule, in updates.
#[derive(Debug, Clone, PartialEq)]
pub struct Phase {
    /// Its name: warm-up, stable, annealing.
    pub name: String,
    /// First update.
    pub from: f64,
    /// Last update.
    pub to: f64,
    /// Whether it is tinted and its start marked: the annealing phase.
    pub marked: bool,
}

/// The forecast of one schedule, with what was measured and how other schedules would do.
///
/// All series are in updates, ascending, and finite; the interval may be empty.
#[derive(Debug, Clone, PartialEq)]
pub struct ForecastPicture {
    /// Title, one sentence: what the reader should take home.
    pub title: String,
    /// Second line: model, target, law.
    pub subtitle: Option<String>,
    /// Text below: how the numbers came about, caveats.
    pub caption: Option<String>,
    /// What the horizontal axis counts.
    pub horizontal: Horizontal,
    /// Whether the horizontal axis is logarithmic.
    pub log_x: bool,
    /// Range of the loss; chosen so that the part after the early drop fills the picture if `None`.
    pub loss_range: Option<(f64, f64)>,
    /// Updates of the forecast.
    pub x: Vec<f64>,
    /// Forecast loss (nats per token).
    pub loss: Vec<f64>,
    /// Lower ends of the interval, or empty.
    pub lower: Vec<f64>,
    /// Upper ends of the interval, or empty.
    pub upper: Vec<f64>,
    /// Coverage of the interval, such as 0.9.
    pub coverage: f64,
    /// Updates of the schedule; it needs other points than the loss does (warm-up, corners).
    pub rate_x: Vec<f64>,
    /// Rate at `rate_x`; both empty for no schedule.
    pub rate: Vec<f64>,
    /// Phases of the schedule.
    pub phases: Vec<Phase>,
    /// Measured runs.
    pub measured: Vec<Rival>,
    /// Other schedules.
    pub rivals: Vec<Rival>,
}

/// Up to this many measured runs are told apart; more are drawn as thin lines with one label.
const TOLD_APART: usize = 4;

impl ForecastPicture {
    fn scale(&self) -> f64 {
        match self.horizontal {
            Horizontal::Updates => 1.0,
            Horizontal::Tokens { per_update } => per_update,
        }
    }

    fn scaled(&self, x: &[f64]) -> Vec<f64> {
        x.iter().map(|x| x * self.scale()).collect()
    }

    fn x_axis(&self) -> Axis {
        let title = match self.horizontal {
            Horizontal::Updates => "updates",
            Horizontal::Tokens { .. } => "tokens",
        };
        let all = || {
            let others = self.measured.iter().chain(&self.rivals).flat_map(|run| run.x.iter());
            self.x.iter().chain(others).map(|x| x * self.scale())
        };
        if self.log_x {
            let (lo, hi) = log_range(all(), 0.0);
            // Nothing of interest happens in the first thousandth of a run.
            return Axis::log(title, (lo.max(hi * 1e-3), hi), TickFormat::Si);
        }
        let (_, hi) = range(all(), 0.0);
        Axis::linear(title, (0.0, hi), TickFormat::Si)
    }

    /// The range of the loss that shows what differs: from the lowest value to what the curves reach after the early drop.
    fn loss_axis_range(&self, x: &Axis) -> (f64, f64) {
        if let Some(range) = self.loss_range {
            return range;
        }
        let last = x.hi / self.scale();
        let after = |x: &f64| if self.log_x { *x >= last * 0.02 } else { *x >= last * 0.11 };
        let mut values: Vec<f64> = Vec::new();
        let mut collect = |xs: &[f64], ys: &[f64]| {
            values.extend(xs.iter().zip(ys).filter(|(x, _)| after(x)).map(|(_, y)| *y));
        };
        collect(&self.x, &self.loss);
        collect(&self.x, &self.lower);
        for run in self.measured.iter().chain(&self.rivals) {
            collect(&run.x, &run.loss);
        }
        if values.is_empty() {
            values.extend(self.loss.iter().chain(self.measured.iter().flat_map(|run| run.loss.iter())));
        }
        values.sort_by(f64::total_cmp);
        let n = values.len();
        if n == 0 {
            return (0.0, 1.0);
        }
        // One spike must not squeeze the rest: the top is a high quantile, not the maximum.
        let top = values[((n - 1) as f64 * 0.995) as usize];
        range([values[0], top], 0.05)
    }

    fn loss_panel(&self, x: Axis) -> Panel {
        let (lo, hi) = self.loss_axis_range(&x);
        let mut marks = self.phase_marks();
        let mut labels = Vec::new();
        let measured = self.measured_marks(&x, (lo, hi), &mut marks, &mut labels);
        let xs = self.scaled(&self.x);
        let mut series: Vec<Series> = Vec::new();
        let own = marks.len();
        if !self.lower.is_empty() && !self.upper.is_empty() {
            marks.push(Mark::Band {
                x: xs.clone(),
                lo: self.lower.clone(),
                hi: self.upper.clone(),
                ink: Ink::Main,
            });
        }
        for (i, rival) in
            self.rivals.iter().enumerate().filter(|(_, rival)| !rival.loss.is_empty() && !rival.x.is_empty())
        {
            let rival_x = self.scaled(&rival.x);
            let (end_x, end) =
                (rival_x[rival.loss.len().min(rival_x.len()) - 1], rival.loss[rival.loss.len() - 1]);
            let ink = Ink::Rival(i);
            marks.push(Mark::Line { x: rival_x, y: rival.loss.clone(), ink, width: 1.5, dashed: true });
            series.push(Series { name: rival.name.clone(), marks: marks.len() - 1..marks.len() });
            let place = if end_x >= x.hi * 0.97 { Place::End } else { Place::Near };
            labels.push(Label {
                x: end_x,
                y: end,
                lines: vec![format!("{} {}", loss_text(end), rival.name)],
                ink,
                bold: false,
                place,
            });
        }
        marks.push(Mark::Line {
            x: xs.clone(),
            y: self.loss.clone(),
            ink: Ink::Main,
            width: 2.2,
            dashed: false,
        });
        series.insert(0, Series { name: "forecast".to_owned(), marks: own..marks.len() });
        if let (Some(&end_x), Some(&end)) = (xs.last(), self.loss.last()) {
            let (text, note) = match (self.lower.last(), self.upper.last()) {
                (Some(&lower), Some(&upper)) => (
                    interval_text(end, lower, upper),
                    format!("forecast, {} interval", percent(self.coverage)),
                ),
                _ => (loss_text(end), "forecast, no interval".to_owned()),
            };
            marks.push(Mark::Points {
                x: vec![end_x],
                y: vec![end],
                ink: Ink::Main,
                form: Form::Circle,
                radius: 4.0,
                solid: true,
            });
            labels.insert(
                0,
                Label {
                    x: end_x,
                    y: end,
                    lines: vec![text, note],
                    ink: Ink::Main,
                    bold: true,
                    place: Place::End,
                },
            );
        }
        for phase in self.phases.iter().filter(|phase| phase.marked && phase.to > phase.from) {
            let from = phase.from * self.scale();
            let lines = vec![format!("{} from {}", phase.name, si(from.round(), 4))];
            labels.push(Label { x: from, y: hi, lines, ink: Ink::Phase, bold: false, place: Place::Top });
        }
        let y = Axis::linear("loss (nats per token)", (lo, hi), TickFormat::Plain);
        let x = if self.has_rates() { x.hidden() } else { x };
        series.extend(measured);
        Panel { title: None, x, y, marks, labels, series }
    }

    fn measured_marks(
        &self,
        x: &Axis,
        (lo, hi): (f64, f64),
        marks: &mut Vec<Mark>,
        labels: &mut Vec<Label>,
    ) -> Vec<Series> {
        let mut series = Vec::new();
        let many = self.measured.len() > TOLD_APART;
        for (i, run) in self.measured.iter().enumerate() {
            // Points above the drawn range would only use up the run's share of them.
            let inside: Vec<usize> = (0..run.x.len().min(run.loss.len()))
                .filter(|&k| run.loss[k] >= lo && run.loss[k] <= hi)
                .collect();
            let places: Vec<f64> = inside.iter().map(|&k| run.x[k] * self.scale()).collect();
            let kept: Vec<usize> = spread_over(&places, x, 130, i).into_iter().map(|k| inside[k]).collect();
            let Some(&end) = kept.last() else { continue };
            let xs = kept.iter().map(|&k| run.x[k] * self.scale()).collect();
            let ys: Vec<f64> = kept.iter().map(|&k| run.loss[k]).collect();
            marks.push(if many && kept.len() > 1 {
                Mark::Line { x: xs, y: ys, ink: Ink::Faint, width: 0.9, dashed: false }
            } else {
                let (form, radius) = if many { (Form::Circle, 1.6) } else { (Form::nth(i), 2.2) };
                Mark::Points { x: xs, y: ys, ink: Ink::Measured, form, radius, solid: false }
            });
            series.push(Series { name: run.name.clone(), marks: marks.len() - 1..marks.len() });
            let end_x = run.x[end] * self.scale();
            let place = if end_x >= x.hi * 0.97 { Place::End } else { Place::Near };
            if !many {
                let text = if place == Place::End {
                    format!("{} {}", loss_text(run.loss[end]), run.name)
                } else {
                    run.name.clone()
                };
                let y = run.loss[end];
                labels.push(Label { x: end_x, y, lines: vec![text], ink: Ink::Measured, bold: false, place });
            } else if i + 1 == self.measured.len() {
                let k = kept[kept.len() / 2];
                labels.push(Label {
                    x: run.x[k] * self.scale(),
                    y: run.loss[k],
                    lines: vec![format!("{} runs, measured", self.measured.len())],
                    ink: Ink::Measured,
                    bold: false,
                    place: Place::Near,
                });
            }
        }
        series
    }

    fn phase_marks(&self) -> Vec<Mark> {
        let marked = self.phases.iter().filter(|phase| phase.marked && phase.to > phase.from);
        marked
            .flat_map(|phase| {
                let (from, to) = (phase.from * self.scale(), phase.to * self.scale());
                [
                    Mark::Span { from, to, ink: Ink::Phase },
                    Mark::VRule { x: from, ink: Ink::Phase, dashed: true },
                ]
            })
            .collect()
    }

    fn has_rates(&self) -> bool {
        !self.rate.is_empty()
    }

    fn rate_panel(&self, x: Axis) -> Panel {
        let rates =
            || self.rate.iter().chain(self.rivals.iter().flat_map(|rival| rival.rate.iter())).copied();
        let peak = rates().fold(0.0, f64::max);
        let exponent = if peak > 0.0 { peak.log10().floor() as i32 } else { 0 };
        let unit = 10f64.powi(exponent);
        let in_unit = |values: &[f64]| values.iter().map(|rate| rate / unit).collect::<Vec<f64>>();
        let mut marks = self.phase_marks();
        let mut labels = Vec::new();
        for (i, rival) in self.rivals.iter().enumerate().filter(|(_, rival)| !rival.rate.is_empty()) {
            marks.push(Mark::Line {
                x: self.scaled(&rival.x),
                y: in_unit(&rival.rate),
                ink: Ink::Rival(i),
                width: 1.3,
                dashed: true,
            });
        }
        let xs = self.scaled(&self.rate_x);
        marks.push(Mark::Line { x: xs, y: in_unit(&self.rate), ink: Ink::Main, width: 2.0, dashed: false });
        let name = "forecast".to_owned();
        let series = vec![Series { name, marks: marks.len() - 1..marks.len() }];
        let top = if peak > 0.0 { peak / unit * 1.08 } else { 1.0 };
        for phase in self.phases.iter().filter(|phase| !phase.marked) {
            let middle = if self.log_x {
                (phase.from.max(1.0) * phase.to).sqrt()
            } else {
                (phase.from + phase.to) / 2.0
            };
            labels.push(Label {
                x: middle * self.scale(),
                y: 0.0,
                lines: vec![phase.name.clone()],
                ink: Ink::Muted,
                bold: false,
                place: Place::Bottom,
            });
        }
        let title = if exponent == 0 {
            "learning rate".to_owned()
        } else {
            format!("learning rate (×10{})", superscript(exponent))
        };
        Panel { title: None, x, y: Axis::linear(title, (0.0, top), TickFormat::Plain), marks, labels, series }
    }
}

impl Picture for ForecastPicture {
    fn figure(&self) -> FigureBox {
        let x = self.x_axis();
        let mut rows = vec![Row { weight: 3.0, columns: 1, panels: vec![self.loss_panel(x.clone())] }];
        if self.has_rates() {
            rows.push(Row { weight: 1.0, columns: 1, panels: vec![self.rate_panel(x)] });
        }
        let mut legend = Vec::new();
        if !self.measured.is_empty() {
            let many = self.measured.len() > TOLD_APART;
            let (sign, ink) = if many { (Sign::Line, Ink::Faint) } else { (Sign::Points, Ink::Measured) };
            legend.push((sign, ink, "measured".to_owned()));
        }
        legend.push((Sign::Line, Ink::Main, "forecast".to_owned()));
        if !self.lower.is_empty() {
            legend.push((Sign::Band, Ink::Main, format!("{} interval", percent(self.coverage))));
        }
        for (i, rival) in self.rivals.iter().enumerate() {
            legend.push((Sign::Line, Ink::Rival(i), rival.name.clone()));
        }
        FigureBox(Figure {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            caption: self.caption.clone(),
            description: self.description(),
            legend,
            rows,
            panels_by_importance: false,
        })
    }
}

impl ForecastPicture {
    fn description(&self) -> String {
        let mut text = format!(
            "Loss in nats per token against {}.",
            if self.horizontal == Horizontal::Updates { "updates" } else { "tokens" }
        );
        if let (Some(x), Some(loss)) = (self.x.last(), self.loss.last()) {
            text += &format!(
                " The forecast ends at {} with a loss of {}",
                si(x * self.scale(), 3),
                loss_text(*loss)
            );
            if let (Some(lower), Some(upper)) = (self.lower.last(), self.upper.last()) {
                let (lower, upper) = (loss_text(*lower), loss_text(*upper));
                text += &format!(" ({} interval {lower} to {upper})", percent(self.coverage));
            }
            text.push('.');
        }
        for rival in self.rivals.iter().filter(|rival| !rival.loss.is_empty()) {
            text += &format!(" {} ends at {}.", rival.name, loss_text(rival.loss[rival.loss.len() - 1]));
        }
        if let Some(peak) = self.rate.iter().copied().reduce(f64::max) {
            text += &format!(" The panel below shows the learning rate, at most {}.", power(peak, 2));
        }
        text
    }
}
