//! A run in training, as a person sees it: a picture that is renewed on a terminal, lines elsewhere.

use crate::output::say;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use lehr_app::train::Outline;
use lehr_report::{Picture, TerminalStyle, TrainingPicture, si};
use lehr_train::sweep::Record;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// A time as a person says it.
pub fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{:.1} days", seconds / 86_400.0),
    }
}

/// Longest time without a line.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Time between two pictures.
const PICTURE_EVERY: Duration = Duration::from_millis(500);

/// Shows one run.
pub struct Show {
    /// A terminal's lines that are drawn over; none where stderr is no terminal.
    live: Option<ProgressBar>,
    picture: TrainingPicture,
    colour: bool,
    since: Instant,
    shown: Option<Instant>,
    updates: u64,
    total: u64,
    tokens_per_update: u64,
}

impl Show {
    /// Of a run under these rates.
    pub fn new(outline: &Outline, rates: &[f64]) -> Self {
        let live = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            match ProgressStyle::with_template("{msg}") {
                Ok(style) => bar.with_style(style),
                Err(_) => bar,
            }
        });
        let picture = TrainingPicture {
            title: outline.run.clone(),
            subtitle: None,
            caption: None,
            total: outline.updates as f64,
            x: Vec::new(),
            training: Vec::new(),
            validation_x: Vec::new(),
            validation: Vec::new(),
            floor: outline
                .language
                .as_ref()
                .map(|floor| ("ideal predictor".to_owned(), floor.ideal_validation_loss)),
            rate_x: (1..=outline.updates).map(|update| update as f64).collect(),
            rate: rates.to_vec(),
        };
        Self {
            live,
            picture,
            colour: std::env::var_os("NO_COLOR").is_none(),
            since: Instant::now(),
            shown: None,
            updates: 0,
            total: outline.updates,
            tokens_per_update: outline.tokens_per_update,
        }
    }

    /// Takes an update in, and shows it if it is time.
    pub fn record(&mut self, record: &Record, rate: f64) {
        self.updates += 1;
        self.picture.x.push(record.update as f64);
        self.picture.training.push(record.loss);
        if let Some(loss) = record.validation {
            self.picture.validation_x.push(record.update as f64);
            self.picture.validation.push(loss);
        }
        let last = record.update == self.total;
        let pause = if self.live.is_some() { PICTURE_EVERY } else { LINE_EVERY };
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= pause);
        let said = self.live.is_none() && record.validation.is_some();
        if !(due || said || last) {
            return;
        }
        self.shown = Some(Instant::now());
        let line = self.line(record, rate);
        match &self.live {
            None => say(line),
            Some(bar) => {
                self.picture.subtitle = Some(line);
                let style = TerminalStyle { height: 22, colour: self.colour, ..TerminalStyle::default() };
                bar.set_message(self.picture.terminal(&style).trim_end().to_owned());
                bar.tick();
            }
        }
    }

    fn line(&self, record: &Record, rate: f64) -> String {
        let seconds = self.since.elapsed().as_secs_f64().max(1e-9);
        let per_update = seconds / self.updates as f64;
        let mut line = format!("update {}/{}  loss {:.4}", record.update, self.total, record.loss);
        if let Some(loss) = record.validation {
            line += &format!("  validation {loss:.4}");
        }
        let speed = self.tokens_per_update as f64 / per_update;
        line += &format!("  rate {rate:.3e}  {} tokens/s", si(speed, 1));
        let left = self.total - record.update;
        if left > 0 {
            line += &format!("  {} left", duration(left as f64 * per_update));
        }
        line
    }

    /// Leaves the last picture where it is.
    pub fn finish(&self) {
        if let Some(bar) = &self.live {
            bar.abandon();
        }
    }
}
