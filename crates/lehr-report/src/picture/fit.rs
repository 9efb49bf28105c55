//! How a law fits each run: small panels, of residuals or of the curves themselves.

use super::{FigureBox, Picture};
use crate::figure::{Axis, Figure, Form, Mark, Panel, Row, Series, Sign, range, thinned};
use crate::style::Ink;
use crate::ticks::TickFormat;

/// One run with the law's values at its points.
#[derive(Debug, Clone, PartialEq)]
pub struct RunFit {
    /// The run.
    pub name: String,
    /// Updates, ascending.
    pub x: Vec<f64>,
    /// Measured loss (nats per token).
    pub measured: Vec<f64>,
    /// The law's loss.
    pub fitted: Vec<f64>,
}

impl RunFit {
    /// Measured minus fitted loss (mnat).
    #[must_use]
    pub fn residuals(&self) -> Vec<f64> {
        self.measured.iter().zip(&self.fitted).map(|(measured, fitted)| (measured - fitted) * 1e3).collect()
    }

    /// Root mean square of the residuals (mnat); 0 for a run without points.
    #[must_use]
    pub fn rmse_mnat(&self) -> f64 {
        let residuals = self.residuals();
        let n = residuals.len().max(1) as f64;
        (residuals.iter().map(|r| r * r).sum::<f64>() / n).sqrt()
    }
}

/// What the panels show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum FitView {
    /// Measured minus fitted loss.
    #[default]
    Residuals,
    /// Both losses.
    Curves,
}

/// One small panel a run, on common axes.
#[derive(Debug, Clone, PartialEq)]
pub struct FitPicture {
    /// Title.
    pub title: String,
    /// Second line.
    pub subtitle: Option<String>,
    /// Text below.
    pub caption: Option<String>,
    /// What the panels show.
    pub view: FitView,
    /// The runs, the worst first if there may not be room for all (in a terminal).
    pub runs: Vec<RunFit>,
}

impl FitPicture {
    /// A height that gives every run's panel enough room at a width of 760 px; pass it to [`crate::PictureStyle`].
    #[must_use]
    pub fn natural_height(&self) -> f64 {
        let rows = self.runs.len().div_ceil(columns(self.runs.len())).max(1);
        150.0 + 88.0 * rows as f64
    }

    /// The common range of y: residuals symmetric about zero, so wide that 97 % of them fill it.
    fn y_range(&self) -> (f64, f64) {
        let mut values: Vec<f64> = match self.view {
            FitView::Residuals => self.runs.iter().flat_map(RunFit::residuals).map(f64::abs).collect(),
            FitView::Curves => self
                .runs
                .iter()
                .flat_map(|run| {
                    let skip = run.measured.len() / 12;
                    run.measured
                        .iter()
                        .skip(skip)
                        .chain(run.fitted.iter().skip(skip))
                        .copied()
                        .collect::<Vec<f64>>()
                })
                .collect(),
        };
        values.sort_by(f64::total_cmp);
        let Some(last) = values.len().checked_sub(1) else { return (-1.0, 1.0) };
        let quantile = |share: f64| values[(last as f64 * share) as usize];
        match self.view {
            FitView::Residuals => {
                let top = (1.3 * quantile(0.97)).min(1.1 * values[last]);
                let top = if top > 0.0 { top } else { 1.0 };
                (-top, top)
            }
            FitView::Curves => range([values[0], quantile(0.995)], 0.05),
        }
    }

    fn panel(&self, run: &RunFit, x: Axis, y: Axis) -> Panel {
        let n = run.x.len().min(run.measured.len()).min(run.fitted.len());
        let kept = thinned(n, 90);
        let pick = |values: &[f64]| kept.iter().map(|&k| values[k]).collect::<Vec<f64>>();
        let mut marks = Vec::new();
        let points = |y: Vec<f64>| Mark::Points {
            x: pick(&run.x),
            y,
            ink: Ink::Measured,
            form: Form::Circle,
            radius: 1.5,
            solid: false,
        };
        match self.view {
            FitView::Residuals => {
                marks.push(Mark::HRule { y: 0.0, ink: Ink::Main, dashed: false });
                let (lo, hi) = (y.lo, y.hi);
                let residuals = run.residuals();
                marks.push(points(pick(&residuals)));
                // All of the points beyond the range, not the thinned ones: none may be hidden.
                let beyond: Vec<usize> = (0..n).filter(|&k| residuals[k] < lo || residuals[k] > hi).collect();
                marks.push(Mark::Points {
                    x: beyond.iter().map(|&k| run.x[k]).collect(),
                    y: beyond.iter().map(|&k| residuals[k].clamp(0.95 * lo, 0.95 * hi)).collect(),
                    ink: Ink::Rival(0),
                    form: Form::Triangle,
                    radius: 2.0,
                    solid: false,
                });
            }
            FitView::Curves => {
                marks.push(points(pick(&run.measured)));
                let (x, y) = (run.x.clone(), run.fitted.clone());
                marks.push(Mark::Line { x, y, ink: Ink::Main, width: 1.4, dashed: false });
            }
        }
        let title = format!("{} · {}", figure_rmse(run.rmse_mnat()), run.name);
        let series = vec![Series { name: run.name.clone(), marks: 0..marks.len() }];
        Panel { title: Some(title), x, y, marks, labels: Vec::new(), series }
    }
}

fn figure_rmse(mnat: f64) -> String {
    if mnat < 9.95 { format!("{mnat:.1}") } else { format!("{mnat:.0}") }
}

fn columns(runs: usize) -> usize {
    match runs {
        0..=1 => 1,
        2..=4 => 2,
        5..=12 => 3,
        _ => 4,
    }
}

impl Picture for FitPicture {
    fn figure(&self) -> FigureBox {
        let (_, last) = range(self.runs.iter().flat_map(|run| run.x.iter().copied()), 0.0);
        let y_range = self.y_range();
        let unit = match self.view {
            FitView::Residuals => "measured − law (mnat)",
            FitView::Curves => "loss (nats per token)",
        };
        let columns = columns(self.runs.len());
        let n = self.runs.len();
        let mut rows: Vec<Row> = Vec::new();
        for (i, run) in self.runs.iter().enumerate() {
            if i % columns == 0 {
                rows.push(Row { weight: 1.0, columns, panels: Vec::new() });
            }
            let below = i + columns < n;
            let x = Axis::linear("updates", (0.0, last), TickFormat::Si);
            let x = if below { x.hidden() } else { x };
            let y = Axis::linear(if i == 0 { unit } else { "" }, y_range, TickFormat::Plain);
            let y = if i % columns == 0 { y } else { y.hidden() };
            if let Some(row) = rows.last_mut() {
                row.panels.push(self.panel(run, x, y));
            }
        }
        let legend = match self.view {
            FitView::Residuals => vec![
                (Sign::Points, Ink::Measured, "measured − law".to_owned()),
                (Sign::Line, Ink::Main, "no error".to_owned()),
            ],
            FitView::Curves => vec![
                (Sign::Points, Ink::Measured, "measured".to_owned()),
                (Sign::Line, Ink::Main, "law".to_owned()),
            ],
        };
        let mut description = format!("{unit} against updates, one panel for each of {n} runs.");
        for run in self.runs.iter().take(100) {
            description += &format!(" {}: root mean square {} mnat.", run.name, figure_rmse(run.rmse_mnat()));
        }
        let mut note = "The number before each name is the root mean square error in mnat.".to_owned();
        let most = self.runs.iter().flat_map(RunFit::residuals).fold(0.0f64, |most, r| most.max(r.abs()));
        if self.view == FitView::Residuals && most > y_range.1 {
            note += &format!(" Triangles: beyond the range, up to {most:.0} mnat.");
        }
        FigureBox(Figure {
            title: self.title.clone(),
            subtitle: self.subtitle.clone(),
            caption: Some(self.caption.as_ref().map_or(note.clone(), |caption| format!("{caption} {note}"))),
            description,
            legend,
            rows,
            panels_by_importance: true,
        })
    }
}
