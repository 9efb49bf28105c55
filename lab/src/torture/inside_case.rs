//! Inputs of the library, as text and back.

use super::dice::Dice;
use super::options;

/// Updates with a rate or a loss.
pub type Points = Vec<(u64, f64)>;

/// One input of the library.
#[derive(Debug, Clone, PartialEq)]
pub enum InsideCase {
    /// Rows of (update, rate), and what is known beyond them.
    Recognise {
        /// The rows.
        rows: Points,
        /// `total`, `warmup`, `warmup_lr`, `peak_lr`, `offset` as far as they are stated.
        stated: Vec<(String, f64)>,
    },
    /// A schedule as text, its rates, and a trainer's configuration.
    Schedule {
        /// The text.
        text: String,
        /// The trainer.
        target: String,
        /// Updates done.
        from: Option<u64>,
    },
    /// A forecast and a recommendation from the fit of the simulated runs.
    Answer {
        /// Peak rate.
        peak: f64,
        /// Horizon.
        total: u64,
        /// Warm-up updates.
        warmup: u64,
        /// Shape of the annealing.
        shape: String,
        /// Final rate.
        last: f64,
        /// N, where it is stated.
        params: Option<u64>,
        /// Ratios considered.
        range: (f64, f64),
    },
    /// A fit of a few points.
    Fit {
        /// The law.
        law: String,
        /// Schedule and points of every run.
        runs: Vec<(String, Points)>,
    },
}

fn points(points: &[(u64, f64)]) -> String {
    points.iter().map(|(t, y)| format!("{t}:{y:e}")).collect::<Vec<_>>().join(" ")
}

fn read_points(text: &str) -> Option<Points> {
    let point = |word: &str| {
        let (t, y) = word.split_once(':')?;
        Some((t.parse().ok()?, y.parse().ok()?))
    };
    text.split_whitespace().map(point).collect()
}

impl InsideCase {
    /// What kind it is, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Recognise { .. } => "recognitions",
            Self::Schedule { .. } => "schedules exported",
            Self::Answer { .. } => "forecasts with recommendations",
            Self::Fit { .. } => "fits",
        }
    }

    /// The case as text: a word, then fields separated by `|`.
    pub fn to_text(&self) -> String {
        match self {
            Self::Recognise { rows, stated } => {
                let stated: Vec<String> =
                    stated.iter().map(|(key, value)| format!("{key}={value:e}")).collect();
                format!("recognise|{}|{}", stated.join(" "), points(rows))
            }
            Self::Schedule { text, target, from } => {
                format!("schedule|{text}|{target}|{}", from.map_or(String::new(), |from| from.to_string()))
            }
            Self::Answer { peak, total, warmup, shape, last, params, range } => format!(
                "answer|{peak:e}|{total}|{warmup}|{shape}|{last:e}|{}|{:e}|{:e}",
                params.map_or(String::new(), |n| n.to_string()),
                range.0,
                range.1
            ),
            Self::Fit { law, runs } => {
                let runs: Vec<String> =
                    runs.iter().map(|(schedule, rows)| format!("{schedule}|{}", points(rows))).collect();
                format!("fit|{law}|{}", runs.join("|"))
            }
        }
    }

    /// What [`InsideCase::to_text`] wrote; `None` for anything else.
    pub fn from_text(text: &str) -> Option<Self> {
        let fields: Vec<&str> = text.split('|').collect();
        let optional = |text: &str| if text.is_empty() { Some(None) } else { Some(Some(text.parse().ok()?)) };
        Some(match fields[..] {
            ["recognise", stated, rows] => {
                let pair = |word: &str| {
                    let (key, value) = word.split_once('=')?;
                    Some((key.to_owned(), value.parse().ok()?))
                };
                let stated: Option<Vec<_>> = stated.split_whitespace().map(pair).collect();
                Self::Recognise { rows: read_points(rows)?, stated: stated? }
            }
            ["schedule", text, target, from] => {
                Self::Schedule { text: text.to_owned(), target: target.to_owned(), from: optional(from)? }
            }
            ["answer", peak, total, warmup, shape, last, params, low, high] => Self::Answer {
                peak: peak.parse().ok()?,
                total: total.parse().ok()?,
                warmup: warmup.parse().ok()?,
                shape: shape.to_owned(),
                last: last.parse().ok()?,
                params: optional(params)?,
                range: (low.parse().ok()?, high.parse().ok()?),
            },
            ["fit", law, ref runs @ ..] if runs.len().is_multiple_of(2) => {
                let run = |pair: &[&str]| Some((pair[0].to_owned(), read_points(pair[1])?));
                let runs: Option<Vec<_>> = runs.chunks_exact(2).map(run).collect();
                Self::Fit { law: law.to_owned(), runs: runs? }
            }
            _ => return None,
        })
    }

    /// Case `index` of a seed.
    pub fn make(seed: u64, index: u64) -> Self {
        let mut dice = Dice::new(seed ^ 0x0069_6e73_6964_6521, index);
        match dice.below(20) {
            0..12 => recognise(&mut dice),
            12..16 => {
                let text = options::schedule(&mut dice);
                let target =
                    lehr_io::export::EXPORTERS[dice.below(lehr_io::export::EXPORTERS.len())].name.to_owned();
                let from = dice.one_in(3).then(|| hostile(&mut dice));
                Self::Schedule { text, target, from }
            }
            16..19 => answer(&mut dice),
            _ => fit(&mut dice),
        }
    }
}

/// A whole number, at times one of the ends.
fn hostile(dice: &mut Dice) -> u64 {
    match dice.below(6) {
        0 => 0,
        1 => u64::MAX - dice.below(3) as u64,
        2 => 1 << dice.below(64),
        _ => dice.scale(1.0, 1e5) as u64,
    }
}

/// A rate, at times no sensible one.
fn rate(dice: &mut Dice) -> f64 {
    match dice.below(40) {
        0 => 0.0,
        1 => f64::NAN,
        2 => f64::INFINITY,
        3 => -1e-3,
        4 => 1e-300,
        5 => 1e300,
        6 => f64::MIN_POSITIVE / 4.0,
        _ => dice.scale(1e-6, 1e-1),
    }
}

/// The rates of a schedule that people use, by update.
fn usual(dice: &mut Dice, total: u64) -> impl Fn(u64) -> f64 + use<> {
    let peak = dice.scale(1e-5, 1e-1);
    let warmup = (dice.share() * 0.3 * total as f64) as u64;
    let anneal = (dice.share() * (total - warmup) as f64) as u64;
    let (shape, last) = (dice.below(4), if dice.one_in(2) { 0.0 } else { dice.share() });
    move |t| {
        if t <= warmup {
            return peak * t as f64 / warmup.max(1) as f64;
        }
        let x = (t.saturating_sub(total - anneal) as f64 / anneal.max(1) as f64).min(1.0);
        let fall = match shape {
            0 => 1.0 - x,
            1 => 0.5 + 0.5 * (std::f64::consts::PI * x).cos(),
            2 => 1.0 - x.sqrt(),
            _ => (1.0 - x).powi(2),
        };
        peak * (last + (1.0 - last) * fall)
    }
}

fn recognise(dice: &mut Dice) -> InsideCase {
    let total = dice.scale(2.0, 2e5) as u64;
    let rates = usual(dice, total);
    let stride = 1 + (dice.share().powi(3) * total as f64 / 2.0) as u64;
    let first =
        if dice.one_in(4) { dice.below(total as usize) as u64 } else { dice.below(2) as u64 * stride };
    let digits = [17, 17, 4, 3, 2][dice.below(5)];
    let mut rows: Vec<(u64, f64)> = (0..200)
        .map(|k| first + k * stride)
        .take_while(|t| *t <= total)
        .map(|t| (t, format!("{:.*e}", digits, rates(t)).parse().unwrap_or(0.0)))
        .collect();
    for _ in 0..dice.below(3) {
        if rows.is_empty() {
            break;
        }
        let i = dice.below(rows.len());
        match dice.below(7) {
            0 => rows[i].1 = rate(dice),
            1 => rows[i].1 *= dice.scale(1e-9, 1e9),
            2 => drop(rows.remove(i)),
            3 => rows.truncate(i + 1),
            4 => rows[i..].iter_mut().for_each(|row| row.0 = row.0.saturating_add(1 << (i % 60))),
            5 => drop(rows.drain(..i)),
            _ => rows[i].0 = hostile(dice),
        }
    }
    if !dice.one_in(4) {
        rows.sort_by_key(|row| row.0);
        rows.dedup_by_key(|row| row.0);
    }
    let mut stated = Vec::new();
    for key in ["total", "warmup", "offset"] {
        if dice.one_in(5) {
            let value =
                if dice.one_in(2) { dice.below(2 * total as usize + 2) as f64 } else { hostile(dice) as f64 };
            stated.push((key.to_owned(), if key == "offset" && dice.one_in(2) { -value } else { value }));
        }
    }
    for key in ["warmup_lr", "peak_lr"] {
        if dice.one_in(8) {
            stated.push((key.to_owned(), rate(dice)));
        }
    }
    InsideCase::Recognise { rows, stated }
}

fn answer(dice: &mut Dice) -> InsideCase {
    let shapes = [
        "linear",
        "cosine",
        "1-sqrt",
        "exponential",
        "geometric",
        "inverse",
        "power:2",
        "power:1e-9",
        "power:1e9",
    ];
    let total = if dice.one_in(6) { 1 + dice.below(8) as u64 } else { dice.scale(10.0, 1e5) as u64 };
    let peak = rate(dice);
    InsideCase::Answer {
        peak,
        total,
        warmup: if dice.one_in(3) { dice.below(total as usize + 1) as u64 } else { total / 20 },
        shape: dice.pick(&shapes).to_owned(),
        last: if dice.one_in(3) { rate(dice) } else { peak * dice.share() },
        params: dice.one_in(3).then(|| hostile(dice)),
        range: match dice.below(5) {
            0 => (dice.share(), dice.share()),
            1 => (0.0, 0.0),
            2 => (1.0 / 3.0, 1.0 / 3.0),
            3 => (rate(dice), 2.0 * dice.share()),
            _ => (0.0, 1.0),
        },
    }
}

fn fit(dice: &mut Dice) -> InsideCase {
    let laws = lehr::law::all();
    let law = laws[dice.below(laws.len())].name().to_owned();
    let level = dice.scale(1e-7, 1e3);
    let runs = (0..1 + dice.below(4))
        .map(|_| {
            let total = if dice.one_in(5) { 1 + dice.below(9) as u64 } else { dice.scale(20.0, 2e4) as u64 };
            let (peak, ratio) = (dice.scale(1e-5, 1e-1), dice.share());
            let schedule = format!("wsd:peak={peak:e},total={total},warmup={},ratio={ratio}", total / 20);
            let stride = 1 + total / (2 + dice.below(40) as u64);
            let mut points: Vec<(u64, f64)> = (1..=total / stride)
                .map(|k| (k * stride, level * (2.0 + 3.0 / (1.0 + k as f64).sqrt() + 0.01 * dice.share())))
                .collect();
            if points.is_empty() {
                points.push((total, level));
            }
            if dice.one_in(5) {
                let i = dice.below(points.len());
                points[i].1 *= dice.scale(1e-3, 1e6);
            }
            (schedule, points)
        })
        .collect();
    InsideCase::Fit { law, runs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_the_same_as_text() {
        for index in 0..400 {
            let case = InsideCase::make(3, index);
            let text = case.to_text();
            let again = InsideCase::from_text(&text).unwrap_or_else(|| panic!("{text}"));
            // NaN is not equal to itself; its text is.
            assert_eq!(again.to_text(), text);
        }
    }
}
