//! The recommendation: final loss against the annealing ratio.

use super::{FigureBox, Picture, percent};
use crate::figure::{Axis, Figure, Form, Label, Mark, Panel, Place, Row, Series, Sign, range, value_at};
use crate::style::Ink;
use crate::ticks::TickFormat;

/// A common rule and what it costs.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name: `10 %`, `cosine`.
    pub name: String,
    /// Its annealing ratio; `None` for schedules without one, such as cosine.
    pub ratio: Option<f64>,
    /// Forecast final loss (nats per token).
    pub loss: f64,
    /// Loss above the best (mnat).
    pub regret_mnat: f64,
}

/// The final loss of a real run.
#[derive(Debug, Clone, PartialEq)]
pub struct MeasuredLoss {
    /// The run.
    pub name: String,
    /// Its annealing ratio.
    pub ratio: f64,
    /// Its final loss (nats per token).
    pub loss: f64,
}

/// Final loss against the annealing ratio, with the best ratio, the plateau and the common rules.
#[derive(Debug, Clone, PartialEq)]
pub struct RecommendationPicture {
    /// Title.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Text below.
    pub caption: Option<String>,
    /// Annealing ratios, ascending.
    pub ratio: Vec<f64>,
    /// Forecast final loss at each (nats per token).
    pub loss: Vec<f64>,
    /// Lower ends of its interval, or empty.
    pub lower: Vec<f64>,
    /// Upper ends of its interval, or empty.
    pub upper: Vec<f64>,
    /// Coverage of the intervals.
    pub coverage: f64,
    /// The best ratio.
    pub best_ratio: f64,
    /// Its forecast loss.
    pub best_loss: f64,
    /// Interval of the best ratio.
    pub ratio_interval: Option<(f64, f64)>,
    /// Ratios tied with the best.
    pub plateau: Option<(f64, f64)>,
    /// What counts as tied (mnat).
    pub tolerance_mnat: f64,
    /// Common rules.
    pub rules: Vec<Rule>,
    /// Real runs.
    pub measured: Vec<MeasuredLoss>,
    /// A ratio that somebody looks at, and its forecast loss.
    pub chosen: Option<(f64, f64)>,
}

impl RecommendationPicture {
    /// From below the best loss to where the basin and every rule that is not hopeless are visible.
    fn loss_range(&self) -> (f64, f64) {
        let best = self.best_loss;
        let mut regrets: Vec<f64> = self.loss.iter().map(|loss| loss - best).collect();
        regrets.sort_by(f64::total_cmp);
        let median = regrets.get(regrets.len() / 2).copied().unwrap_or(0.0);
        let most = (3.0 * median).max(6.0 * self.tolerance_mnat * 1e-3);
        let seen = |loss: f64| loss.min(best + most.max(3.0 * self.plain_rules()));
        let mut values: Vec<f64> = self.loss.iter().copied().map(seen).collect();
        values.extend(self.rules.iter().map(|rule| seen(rule.loss)));
        values.extend(self.measured.iter().map(|run| seen(run.loss)));
        values.push(best);
        let span = range(values.iter().copied(), 0.0);
        // The interval is drawn as far as it does not squeeze the basin to a line.
        let reach = 1.2 * (span.1 - span.0);
        values.extend(self.lower.iter().map(|loss| loss.clamp(span.0 - reach, span.1)));
        values.extend(self.upper.iter().map(|loss| loss.clamp(span.0, span.1)));
        range(values, 0.07)
    }

    /// The median regret of the rules (nats): half of them always lie inside the picture.
    fn plain_rules(&self) -> f64 {
        let mut regrets: Vec<f64> = self.rules.iter().map(|rule| rule.regret_mnat * 1e-3).collect();
        regrets.sort_by(f64::total_cmp);
        regrets.get(regrets.len() / 2).copied().unwrap_or(0.0)
    }

    fn rule_marks(&self, (lo, hi): (f64, f64), marks: &mut Vec<Mark>, labels: &mut Vec<Label>) {
        for (i, rule) in self.rules.iter().enumerate() {
            let cost = format!("{} mnat", regret_text(rule.regret_mnat));
            let ink = Ink::Rival(i);
            match rule.ratio {
                Some(ratio) => {
                    let y = rule.loss.clamp(lo, hi - 0.02 * (hi - lo));
                    let text = if rule.loss > hi {
                        format!("{}: {cost}, off the scale", rule.name)
                    } else {
                        format!("{}: {cost}", rule.name)
                    };
                    marks.push(Mark::Points {
                        x: vec![ratio],
                        y: vec![y],
                        ink,
                        form: Form::nth(i + 1),
                        radius: 4.4,
                        solid: true,
                    });
                    labels.push(Label {
                        x: ratio,
                        y,
                        lines: vec![text],
                        ink,
                        bold: false,
                        place: Place::Near,
                    });
                }
                None => {
                    // Only at the right: lines over the whole width would cross the basin.
                    marks.push(Mark::Line {
                        x: vec![0.88, 1.0],
                        y: vec![rule.loss, rule.loss],
                        ink,
                        width: 1.2,
                        dashed: true,
                    });
                    let lines = vec![rule.name.clone(), cost];
                    labels.push(Label {
                        x: 1.0,
                        y: rule.loss.clamp(lo, hi),
                        lines,
                        ink,
                        bold: false,
                        place: Place::End,
                    });
                }
            }
        }
    }
}

fn regret_text(mnat: f64) -> String {
    let sign = if mnat < 0.0 { "−" } else { "+" };
    let size = mnat.abs();
    if size < 9.95 { format!("{sign}{size:.1}") } else { format!("{sign}{size:.0}") }
}

/// A range of ratios as written in labels.
fn ratios(lo: f64, hi: f64) -> String {
    format!("{lo:.2} – {hi:.2}")
}

impl Picture for RecommendationPicture {
    fn figure(&self) -> FigureBox {
        let (lo, hi) = self.loss_range();
        let mut marks = Vec::new();
        let mut labels = Vec::new();
        if let Some((from, to)) = self.plateau {
            marks.push(Mark::Span { from, to, ink: Ink::Good });
            let text =
                format!("within {} mnat: {}", crate::ticks::si(self.tolerance_mnat, 2), ratios(from, to));
            labels.push(Label {
                x: (from + to) / 2.0,
                y: lo,
                lines: vec![text],
                ink: Ink::Good,
                bold: false,
                place: Place::Top,
            });
        }
        let mut series = Vec::new();
        let own = marks.len();
        if !self.lower.is_empty() && !self.upper.is_empty() {
            let (x, lo, hi) = (self.ratio.clone(), self.lower.clone(), self.upper.clone());
            marks.push(Mark::Band { x, lo, hi, ink: Ink::Main });
        }
        marks.push(Mark::VRule { x: self.best_ratio, ink: Ink::Main, dashed: true });
        marks.push(Mark::Line {
            x: self.ratio.clone(),
            y: self.loss.clone(),
            ink: Ink::Main,
            width: 2.2,
            dashed: false,
        });
        series.push(Series { name: "forecast final loss".to_owned(), marks: own..marks.len() });
        if !self.measured.is_empty() {
            series.push(Series { name: "measured".to_owned(), marks: marks.len()..marks.len() + 1 });
            marks.push(Mark::Points {
                x: self.measured.iter().map(|run| run.ratio).collect(),
                y: self.measured.iter().map(|run| run.loss).collect(),
                ink: Ink::Measured,
                form: Form::Circle,
                radius: 3.2,
                solid: true,
            });
        }
        let floor = lo + 0.025 * (hi - lo);
        let mut best = vec![format!("best ratio {:.2}", self.best_ratio)];
        if let Some((from, to)) = self.ratio_interval {
            marks.push(Mark::Bar { from: (from, floor), to: (to, floor), ink: Ink::Main, width: 2.0 });
            best[0] += &format!(" ({})", ratios(from, to));
        }
        best.push(format!("loss {:.3}", self.best_loss));
        let rules = marks.len();
        self.rule_marks((lo, hi), &mut marks, &mut labels);
        let places = rules..marks.len();
        series.extend(
            self.rules
                .iter()
                .zip(places)
                .map(|(rule, at)| Series { name: rule.name.clone(), marks: at..at + 1 }),
        );
        marks.push(Mark::Points {
            x: vec![self.best_ratio],
            y: vec![self.best_loss],
            ink: Ink::Main,
            form: Form::Circle,
            radius: 5.0,
            solid: true,
        });
        if let Some((x, y)) = self.chosen {
            let y = y.clamp(lo, hi - 0.02 * (hi - lo));
            series.push(Series { name: "this ratio".to_owned(), marks: marks.len()..marks.len() + 1 });
            marks.push(Mark::Points {
                x: vec![x],
                y: vec![y],
                ink: Ink::Phase,
                form: Form::Diamond,
                radius: 5.4,
                solid: true,
            });
            let lines = vec![format!("this ratio {x:.2}")];
            labels.insert(0, Label { x, y, lines, ink: Ink::Phase, bold: true, place: Place::Near });
        }
        let near = Label {
            x: self.best_ratio,
            y: self.best_loss,
            lines: best,
            ink: Ink::Main,
            bold: true,
            place: Place::Near,
        };
        labels.insert(0, near);
        if let Some(run) = self.measured.iter().min_by(|a, b| a.ratio.total_cmp(&b.ratio)) {
            let text = if self.measured.len() == 1 { run.name.clone() } else { "measured runs".to_owned() };
            labels.push(Label {
                x: run.ratio,
                y: run.loss,
                lines: vec![text],
                ink: Ink::Measured,
                bold: false,
                place: Place::Near,
            });
        }
        // What stands at the right end because its rate falls all along, such as a cosine, is named once.
        let mut named: Vec<&MeasuredLoss> = Vec::new();
        for run in self.measured.iter().filter(|run| run.ratio >= 1.0 && self.measured.len() > 1) {
            if named.iter().all(|other| other.name != run.name) {
                named.push(run);
            }
        }
        labels.extend(named.into_iter().map(|run| Label {
            x: run.ratio,
            y: run.loss,
            lines: vec![run.name.clone()],
            ink: Ink::Measured,
            bold: false,
            place: Place::Near,
        }));
        let mut legend = vec![(Sign::Line, Ink::Main, "forecast final loss".to_owned())];
        if !self.lower.is_empty() {
            legend.push((Sign::Band, Ink::Main, format!("{} interval", percent(self.coverage))));
        }
        if !self.measured.is_empty() {
            legend.push((Sign::Points, Ink::Measured, "measured".to_owned()));
        }
        let panel = Panel {
            title: None,
            x: Axis::linear("annealing ratio r (share of the horizon)", (0.0, 1.0), TickFormat::Plain),
            y: Axis::linear("final loss (nats per token)", (lo, hi), TickFormat::Plain),
            marks,
            labels,
            series,
        };
        let at_best = value_at(&self.ratio, &self.loss, self.best_ratio).unwrap_or(self.best_loss);
        let mut description = format!(
            "Forecast final loss against the annealing ratio. The best ratio is {:.2} with a loss of {at_best:.3}.",
            self.best_ratio
        );
        for rule in &self.rules {
            description += &format!(" {} costs {} mnat.", rule.name, regret_text(rule.regret_mnat));
        }
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
