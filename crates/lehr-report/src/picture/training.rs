//! A run in training: losses so far, and the learning rate up to the horizon.

use super::{FigureBox, Picture};
use crate::figure::{Axis, Figure, Form, Label, Mark, Panel, Place, Row, Sign, range, thinned};
use crate::style::Ink;
use crate::ticks::{TickFormat, power, superscript};

/// Losses and rate of a run that may still be in training.
#[derive(Debug, Clone, PartialEq)]
pub struct TrainingPicture {
    /// Title.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Text below.
    pub caption: Option<String>,
    /// Horizon T.
    pub total: f64,
    /// Updates of the training losses, ascending.
    pub x: Vec<f64>,
    /// Training losses (nats per token).
    pub training: Vec<f64>,
    /// Updates of the validation losses, ascending.
    pub validation_x: Vec<f64>,
    /// Validation losses (nats per token).
    pub validation: Vec<f64>,
    /// A loss that cannot be undercut, with its name.
    pub floor: Option<(String, f64)>,
    /// Updates of the rates.
    pub rate_x: Vec<f64>,
    /// Rates, up to the horizon.
    pub rate: Vec<f64>,
}

/// Bins over which training losses are averaged.
const BINS: usize = 160;

impl TrainingPicture {
    /// Means of the training losses over bins of consecutive updates.
    fn binned(&self) -> (Vec<f64>, Vec<f64>) {
        let n = self.x.len().min(self.training.len());
        let size = n.div_ceil(BINS).max(1);
        let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
        let pairs = self.x[..n].chunks(size).zip(self.training[..n].chunks(size));
        pairs.map(|(x, loss)| (mean(x), mean(loss))).unzip()
    }

    fn loss_panel(&self, x: Axis) -> Panel {
        let (xs, training) = self.binned();
        // The first drop is steep: what comes after a tenth of the updates so far fills the panel.
        let skip = |n: usize| n / 10;
        let floor = self.floor.as_ref().map(|(_, loss)| *loss);
        let after = training.iter().skip(skip(training.len()));
        let validation = self.validation.iter().skip(skip(self.validation.len()));
        let (lo, hi) = range(after.chain(validation).copied().chain(floor), 0.05);
        let mut marks = Vec::new();
        let mut labels = Vec::new();
        if let Some((name, loss)) = &self.floor {
            marks.push(Mark::HRule { y: *loss, ink: Ink::Good, dashed: true });
            let lines = vec![format!("{loss:.4} {name}")];
            labels.push(Label { x: x.hi, y: *loss, lines, ink: Ink::Good, bold: false, place: Place::End });
        }
        marks.push(Mark::Line { x: xs, y: training, ink: Ink::Faint, width: 1.0, dashed: false });
        if let (Some(&end_x), Some(&end)) = (self.validation_x.last(), self.validation.last()) {
            let (x, y) = (self.validation_x.clone(), self.validation.clone());
            marks.push(Mark::Line { x, y, ink: Ink::Main, width: 2.0, dashed: false });
            let point = Mark::Points {
                x: vec![end_x],
                y: vec![end],
                ink: Ink::Main,
                form: Form::Circle,
                radius: 3.5,
                solid: true,
            };
            marks.push(point);
            let lines = vec![format!("{end:.4} validation")];
            labels
                .insert(0, Label { x: end_x, y: end, lines, ink: Ink::Main, bold: true, place: Place::End });
        }
        let y = Axis::linear("loss (nats per token)", (lo, hi), TickFormat::Plain);
        Panel { title: None, x: x.hidden(), y, marks, labels, series: Vec::new() }
    }

    fn rate_panel(&self, x: Axis) -> Panel {
        let peak = self.rate.iter().copied().fold(0.0, f64::max);
        let exponent = if peak > 0.0 { peak.log10().floor() as i32 } else { 0 };
        let unit = 10f64.powi(exponent);
        let kept = thinned(self.rate.len().min(self.rate_x.len()), 2000);
        let mut marks = vec![Mark::Line {
            x: kept.iter().map(|&k| self.rate_x[k]).collect(),
            y: kept.iter().map(|&k| self.rate[k] / unit).collect(),
            ink: Ink::Measured,
            width: 1.5,
            dashed: false,
        }];
        if let Some(&now) = self.x.last() {
            marks.push(Mark::VRule { x: now, ink: Ink::Phase, dashed: false });
        }
        let title = match exponent {
            0 => "learning rate".to_owned(),
            exponent => format!("learning rate (×10{})", superscript(exponent)),
        };
        let top = if peak > 0.0 { peak / unit * 1.08 } else { 1.0 };
        Panel {
            title: None,
            x,
            y: Axis::linear(title, (0.0, top), TickFormat::Plain),
            marks,
            labels: Vec::new(),
            series: Vec::new(),
        }
    }
}

impl Picture for TrainingPicture {
    fn figure(&self) -> FigureBox {
        let x = Axis::linear("updates", (0.0, self.total.max(1.0)), TickFormat::Si);
        let mut legend = vec![(Sign::Line, Ink::Faint, "training, averaged".to_owned())];
        if !self.validation.is_empty() {
            legend.push((Sign::Line, Ink::Main, "validation".to_owned()));
        }
        if let Some((name, _)) = &self.floor {
            legend.push((Sign::Line, Ink::Good, name.clone()));
        }
        let mut description = format!(
            "Loss in nats per token against updates, of {} so far.",
            self.x.last().map_or(0.0, |x| *x)
        );
        if let Some(last) = self.validation.last() {
            description += &format!(" The last validation loss is {last:.4}.");
        }
        if let Some(peak) = self.rate.iter().copied().reduce(f64::max) {
            description += &format!(" The panel below shows the learning rate, at most {}.", power(peak, 2));
        }
        FigureBox(Figure {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            caption: self.caption.clone(),
            description,
            legend,
            rows: vec![
                Row { weight: 3.0, columns: 1, panels: vec![self.loss_panel(x.clone())] },
                Row { weight: 1.0, columns: 1, panels: vec![self.rate_panel(x)] },
            ],
            panels_by_importance: false,
        })
    }
}
