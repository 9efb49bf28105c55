//! Runs that could be trained next: what is expected to be left after each, against what they cost.

use super::{FigureBox, Picture, percent};
use crate::figure::{Axis, Figure, Form, Label, Mark, Panel, Place, Row, Series, Sign, range};
use crate::style::Ink;
use crate::ticks::TickFormat;

/// What is expected after some runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlook {
    /// What the runs cost together.
    pub cost: f64,
    /// Expected regret of the recommended ratio, mnat.
    pub regret: f64,
    /// Half-width of the interval of the forecast, mnat.
    pub half_width: f64,
}

/// Expected regret and interval against cost.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanPicture {
    /// Title.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Text below.
    pub caption: Option<String>,
    /// Title of the horizontal axis with its unit.
    pub cost: String,
    /// Before any run (cost 0), then after each run.
    pub steps: Vec<Outlook>,
    /// After how many runs to stop.
    pub stop: usize,
    /// After all candidates.
    pub grid: Outlook,
    /// Coverage of the interval.
    pub coverage: f64,
}

impl PlanPicture {
    fn panel(&self, title: &str, value: fn(&Outlook) -> f64, last: bool) -> Panel {
        let x: Vec<f64> = self.steps.iter().map(|step| step.cost).collect();
        let y: Vec<f64> = self.steps.iter().map(value).collect();
        let costs = x.iter().copied().chain([0.0]);
        let (_, right) = range(costs, 0.05);
        let (_, high) = range(y.iter().copied().chain([0.0, value(&self.grid)]), 0.08);
        let axis = Axis::linear(&self.cost, (0.0, right), TickFormat::Plain);
        let mut marks = vec![
            Mark::HRule { y: value(&self.grid), ink: Ink::Muted, dashed: true },
            Mark::Line { x: x.clone(), y: y.clone(), ink: Ink::Main, width: 2.0, dashed: false },
            Mark::Points {
                x: x.clone(),
                y: y.clone(),
                ink: Ink::Main,
                form: Form::Circle,
                radius: 3.6,
                solid: true,
            },
        ];
        let series = vec![Series { name: title.to_owned(), marks: 2..3 }];
        let mut labels = vec![Label {
            x: right,
            y: value(&self.grid),
            lines: vec![format!("{:.2} all candidates", value(&self.grid))],
            ink: Ink::Muted,
            bold: false,
            place: Place::End,
        }];
        if let Some(end) = self.steps.last() {
            labels.push(Label {
                x: end.cost,
                y: value(end),
                lines: vec![format!("{:.2}", value(end))],
                ink: Ink::Main,
                bold: true,
                place: Place::Near,
            });
        }
        if let Some(stop) = self.steps.get(self.stop) {
            marks.push(Mark::VRule { x: stop.cost, ink: Ink::Phase, dashed: true });
            labels.push(Label {
                x: stop.cost,
                y: high,
                lines: vec!["stop here".to_owned()],
                ink: Ink::Phase,
                bold: false,
                place: Place::Top,
            });
        }
        let y = Axis::linear(title, (0.0, high), TickFormat::Plain);
        Panel { title: None, x: if last { axis } else { axis.hidden() }, y, marks, labels, series }
    }
}

impl Picture for PlanPicture {
    fn figure(&self) -> FigureBox {
        let interval = format!("± {} interval (mnat)", percent(self.coverage));
        let panels = [
            self.panel("expected regret (mnat)", |step| step.regret, false),
            self.panel(&interval, |step| step.half_width, true),
        ];
        let legend = vec![
            (Sign::Points, Ink::Main, "after each run".to_owned()),
            (Sign::Line, Ink::Muted, "after all candidates".to_owned()),
        ];
        let (first, last) = (self.steps.first(), self.steps.last());
        let description = match (first, last) {
            (Some(first), Some(last)) => format!(
                "Expected regret against cost: {:.2} mnat before any run, {:.2} after {} runs.",
                first.regret,
                last.regret,
                self.steps.len() - 1
            ),
            _ => "Expected regret against cost.".to_owned(),
        };
        FigureBox(Figure {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            caption: self.caption.clone(),
            description,
            legend,
            rows: panels.map(|panel| Row { weight: 1.0, columns: 1, panels: vec![panel] }).into(),
            panels_by_importance: false,
        })
    }
}
