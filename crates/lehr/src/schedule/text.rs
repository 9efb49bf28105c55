//! The text form of a schedule: `wsd:peak=3e-4,total=1000,warmup=100,ratio=0.2,shape=linear,final=0`.

use super::{Schedule, ScheduleError, Segment, Shape, Wsd, WsdSpec};
use crate::units::{AnnealingRatio, Steps};
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

/// Why a text is no schedule.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ScheduleTextError {
    /// The word before the colon names no family.
    #[error("'{found}' is no schedule; expected one of {}, then ':' and its numbers, as in wsd:peak=3e-4,total=24k,warmup=2k,ratio=0.2", KINDS.join(", "))]
    Kind {
        /// The word found.
        found: String,
    },
    /// A key that the family does not have.
    #[error("{kind} has no '{key}'; accepted: {}", .accepted.join(", "))]
    Key {
        /// The family.
        kind: &'static str,
        /// The key found.
        key: String,
        /// The keys it has.
        accepted: &'static [&'static str],
    },
    /// A part that is not `key=value`.
    #[error("{kind}: '{found}' is not key=value; accepted keys: {}", .accepted.join(", "))]
    Pair {
        /// The family.
        kind: &'static str,
        /// The part found.
        found: String,
        /// The keys the family has.
        accepted: &'static [&'static str],
    },
    /// A key that the family needs.
    #[error("{kind} needs '{key}' ({expected}); accepted keys: {}", .accepted.join(", "))]
    Missing {
        /// The family.
        kind: &'static str,
        /// The key.
        key: &'static str,
        /// Its range in words.
        expected: &'static str,
        /// The keys the family has.
        accepted: &'static [&'static str],
    },
    /// A value outside its range, or no number at all.
    #[error("{kind}: {key}={value}: expected {expected}")]
    Value {
        /// The family.
        kind: &'static str,
        /// The key.
        key: String,
        /// The value found.
        value: String,
        /// Its range in words.
        expected: &'static str,
    },
    /// The same thing said twice.
    #[error("{kind}: {what} is given twice ('{first}' and '{second}'); give one")]
    Twice {
        /// The family.
        kind: &'static str,
        /// What is given twice.
        what: &'static str,
        /// The first way.
        first: String,
        /// The second way.
        second: String,
    },
    /// The numbers make no schedule.
    #[error("{kind}: {error}")]
    Schedule {
        /// The family.
        kind: &'static str,
        /// Why not.
        #[source]
        error: ScheduleError,
    },
}

const KINDS: &[&str] =
    &["wsd", "constant", "cosine", "linear", "two-stage", "multi-stage", "wsd-s", "piecewise", "sampled"];
const RATE: &str = "a rate, finite and at least 0, such as 3e-4";
const SHARE: &str = "a rate, finite and at least 0, such as 3e-5, or a share of the peak such as 10%";
const COUNT: &str = "a whole number of updates such as 24000 or 24k";
const RATIO: &str =
    "a share of the horizon between 0 and 1, such as 0.2 or 20% (for a number of updates write anneal=)";
const SHAPE: &str = "linear, cosine, 1-sqrt, exponential, geometric, inverse or power:BETA";
const STAGES: &str = "numbers joined by '/', such as 8k/12k";
const CYCLES: &str = "STABLE+ANNEAL updates joined by '/', such as 8k+2k/8k+2k";
const SEGMENTS: &str = "UPDATES@RATE or UPDATES@FROM..TO~SHAPE joined by ',', such as 2k@0..3e-4,20k@3e-4,4k@3e-4..3e-5~1-sqrt (UPDATES/WHOLE for the beginning of a longer curve)";
const RATES: &str = "rates joined by ',', RATExCOUNT for a run of equal ones, such as 1e-4,2e-4,3e-4x98";

/// Shortest text that reads back as the same number.
pub(crate) fn number(value: f64) -> String {
    if value != 0.0 && (value.abs() < 1e-3 || value.abs() >= 1e7) {
        format!("{value:e}")
    } else {
        format!("{value}")
    }
}

fn rate(text: &str) -> Option<f64> {
    text.trim().parse().ok().filter(|value: &f64| value.is_finite() && *value >= 0.0)
}

fn count(text: &str) -> Option<Steps> {
    crate::units::parse_count(text).ok().map(Steps)
}

/// `key=value` pairs of one family, aliases resolved.
struct Pairs<'a> {
    kind: &'static str,
    accepted: &'static [&'static str],
    values: BTreeMap<&'static str, (&'a str, &'a str)>,
}

/// The glossary's word for a key that trainers call otherwise.
fn canonical(key: &str) -> &str {
    match key {
        "peak-lr" | "lr" | "max-lr" | "learning-rate" => "peak",
        "steps" | "updates" | "horizon" | "max-steps" => "total",
        "warm-up" | "warmup-steps" => "warmup",
        "r" | "annealing-ratio" => "ratio",
        "annealing" | "decay" | "cooldown" | "warmdown" | "decay-steps" | "cooldown-steps" => "anneal",
        "final-lr" | "min-lr" | "min" => "final",
        "warmup-lr" | "start-lr" => "start",
        "drop-lr" => "drop",
        "decay-type" => "shape",
        "warmup-shape" | "rise-shape" => "rise",
        other => other,
    }
}

impl<'a> Pairs<'a> {
    fn read(
        kind: &'static str,
        accepted: &'static [&'static str],
        text: &'a str,
    ) -> Result<Self, ScheduleTextError> {
        let mut values: BTreeMap<&'static str, (&'a str, &'a str)> = BTreeMap::new();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let Some((key, value)) = part.split_once('=') else {
                return Err(ScheduleTextError::Pair { kind, found: part.to_owned(), accepted });
            };
            let plain = key.trim().to_ascii_lowercase().replace('_', "-");
            let Some(&name) = accepted.iter().find(|name| **name == canonical(&plain)) else {
                return Err(ScheduleTextError::Key { kind, key: key.trim().to_owned(), accepted });
            };
            if let Some((first, _)) = values.insert(name, (key.trim(), value.trim())) {
                let (first, second) = (first.to_owned(), key.trim().to_owned());
                return Err(ScheduleTextError::Twice { kind, what: name, first, second });
            }
        }
        Ok(Self { kind, accepted, values })
    }

    fn get<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<Option<T>, ScheduleTextError> {
        let Some(&(written, value)) = self.values.get(key) else { return Ok(None) };
        read(value).map(Some).ok_or_else(|| ScheduleTextError::Value {
            kind: self.kind,
            key: written.to_owned(),
            value: value.to_owned(),
            expected,
        })
    }

    fn need<T>(
        &self,
        key: &'static str,
        expected: &'static str,
        read: impl Fn(&str) -> Option<T>,
    ) -> Result<T, ScheduleTextError> {
        let missing = ScheduleTextError::Missing { kind: self.kind, key, expected, accepted: self.accepted };
        self.get(key, expected, read)?.ok_or(missing)
    }

    fn warmup(&self) -> Result<Steps, ScheduleTextError> {
        Ok(self.get("warmup", COUNT, count)?.unwrap_or_default())
    }

    /// The warm-up's first rate and the final rate, the latter a rate or a share of the peak.
    fn ends(&self, peak: f64) -> Result<(f64, f64), ScheduleTextError> {
        let share = |text: &str| match text.strip_suffix('%') {
            // 10% of 3e-4 is to be 3e-5, not the double next to it.
            Some(percent) => {
                rate(percent).and_then(|percent| format!("{:.14e}", peak * percent / 100.0).parse().ok())
            }
            None => rate(text),
        };
        let start = self.get("start", SHARE, share)?.unwrap_or(0.0);
        Ok((start, self.get("final", SHARE, share)?.unwrap_or(0.0)))
    }
}

fn ratio(text: &str) -> Option<AnnealingRatio> {
    let value = match text.strip_suffix('%') {
        Some(percent) => percent.trim().parse::<f64>().ok()? / 100.0,
        None => text.parse().ok()?,
    };
    AnnealingRatio::new(value).ok()
}

fn wsd(pairs: &Pairs<'_>, fixed: Option<Shape>) -> Result<Wsd, ScheduleTextError> {
    let peak_lr = pairs.need("peak", RATE, rate)?;
    let total: Steps = pairs.need("total", COUNT, count)?;
    let warmup = pairs.warmup()?;
    let (warmup_lr, final_lr) = pairs.ends(peak_lr)?;
    let shape = match fixed {
        Some(shape) => shape,
        None => pairs.get("shape", SHAPE, |text| text.parse().ok())?.unwrap_or_default(),
    };
    let rise = pairs.get("rise", SHAPE, |text| text.parse().ok())?.unwrap_or_default();
    let late = pairs.get("late", COUNT, count)?.unwrap_or_default();
    let unreached = pairs.get("unreached", COUNT, count)?.unwrap_or_default();
    // The ratio is that of the horizon which the scheduler knows.
    let scheduled = Steps(total.0.saturating_sub(late.0).saturating_add(unreached.0));
    let anneal = match (pairs.values.get("ratio"), pairs.values.get("anneal")) {
        _ if fixed.is_some() => Steps(scheduled.0.saturating_sub(warmup.0)),
        (Some((first, _)), Some((second, _))) => {
            return Err(ScheduleTextError::Twice {
                kind: pairs.kind,
                what: "the length of the annealing",
                first: (*first).to_owned(),
                second: (*second).to_owned(),
            });
        }
        (None, Some(_)) => pairs.need("anneal", COUNT, count)?,
        _ => {
            let r = pairs.need("ratio", RATIO, ratio)?;
            Steps((r.get() * scheduled.0 as f64).round() as u64)
        }
    };
    let spec = WsdSpec { peak_lr, total, warmup, warmup_lr, rise, anneal, shape, final_lr, late, unreached };
    spec.checked().map_err(|error| ScheduleTextError::Schedule { kind: pairs.kind, error })
}

fn segment(text: &str) -> Option<Segment> {
    let (updates, course) = text.trim().split_once('@')?;
    let (updates, whole) = updates.split_once('/').unwrap_or((updates, updates));
    let (course, shape) = match course.split_once('~') {
        Some((course, shape)) => (course, shape.parse().ok()?),
        None => (course, Shape::Linear),
    };
    let (from, to) = course.split_once("..").unwrap_or((course, course));
    let (updates, whole) = (count(updates)?, count(whole)?);
    Some(Segment { updates, from: rate(from)?, to: rate(to)?, shape, whole })
}

fn list<T>(text: &str, read: impl Fn(&str) -> Option<T>) -> Option<Vec<T>> {
    text.split('/').map(read).collect()
}

fn cycles(text: &str) -> Option<Vec<(Steps, Steps)>> {
    list(text, |part| {
        let (stable, anneal) = part.split_once('+')?;
        Some((count(stable)?, count(anneal)?))
    })
}

impl FromStr for Schedule {
    type Err = ScheduleTextError;

    /// Reads `KIND:KEY=VALUE,…`; `docs/formats/schedule-text.md` lists kinds, keys and ranges.
    fn from_str(text: &str) -> Result<Self, ScheduleTextError> {
        let (word, rest) = text.split_once(':').unwrap_or((text, ""));
        let word = word.trim().to_ascii_lowercase().replace('_', "-");
        let wrong = |kind, key: &str, value: &str, expected| ScheduleTextError::Value {
            kind,
            key: key.to_owned(),
            value: value.trim().to_owned(),
            expected,
        };
        let made = |kind, schedule: Result<Self, ScheduleError>| {
            schedule.map_err(|error| ScheduleTextError::Schedule { kind, error })
        };
        match word.as_str() {
            "wsd" => {
                let keys = &[
                    "peak",
                    "total",
                    "warmup",
                    "ratio",
                    "anneal",
                    "shape",
                    "final",
                    "start",
                    "rise",
                    "late",
                    "unreached",
                ];
                wsd(&Pairs::read("wsd", keys, rest)?, None).map(Self::Wsd)
            }
            "constant" => {
                let pairs =
                    Pairs::read("constant", &["peak", "total", "warmup", "start", "rise", "late"], rest)?;
                let peak_lr = pairs.need("peak", RATE, rate)?;
                let (total, warmup) = (pairs.need("total", COUNT, count)?, pairs.warmup()?);
                let (warmup_lr, _) = pairs.ends(peak_lr)?;
                let rise = pairs.get("rise", SHAPE, |text| text.parse().ok())?.unwrap_or_default();
                let late = pairs.get("late", COUNT, count)?.unwrap_or_default();
                let final_lr = peak_lr;
                let spec =
                    WsdSpec { peak_lr, total, warmup, warmup_lr, rise, final_lr, late, ..WsdSpec::default() };
                made("constant", spec.checked().map(Self::Wsd))
            }
            "cosine" => {
                let keys = &["peak", "total", "warmup", "final", "start", "rise", "late", "unreached"];
                wsd(&Pairs::read("cosine", keys, rest)?, Some(Shape::Cosine)).map(Self::Wsd)
            }
            "linear" | "linear-to-zero" => {
                let keys = &["peak", "total", "warmup", "final", "start", "rise", "late", "unreached"];
                wsd(&Pairs::read("linear", keys, rest)?, Some(Shape::Linear)).map(Self::Wsd)
            }
            "two-stage" => {
                let pairs = Pairs::read("two-stage", &["peak", "drop", "at", "total", "warmup"], rest)?;
                let (peak, drop) = (pairs.need("peak", RATE, rate)?, pairs.need("drop", RATE, rate)?);
                let (at, total) = (pairs.need("at", COUNT, count)?, pairs.need("total", COUNT, count)?);
                made("two-stage", Self::two_stage(peak, drop, at, total, pairs.warmup()?))
            }
            "multi-stage" => {
                let pairs = Pairs::read("multi-stage", &["rates", "ends", "total", "warmup"], rest)?;
                let rates = pairs.need("rates", STAGES, |text| list(text, rate))?;
                let ends = pairs.need("ends", STAGES, |text| list(text, count))?;
                let total = pairs.need("total", COUNT, count)?;
                made("multi-stage", Self::multi_stage(&rates, &ends, total, pairs.warmup()?))
            }
            "wsd-s" | "wsds" => {
                let keys = &["peak", "warmup", "cycles", "rerise", "shape", "final"];
                let pairs = Pairs::read("wsd-s", keys, rest)?;
                let peak = pairs.need("peak", RATE, rate)?;
                let cycles = pairs.need("cycles", CYCLES, cycles)?;
                let rerise = pairs.get("rerise", COUNT, count)?.unwrap_or_default();
                let shape = pairs.get("shape", SHAPE, |text| text.parse().ok())?.unwrap_or_default();
                let (_, last) = pairs.ends(peak)?;
                made("wsd-s", Self::wsd_s(peak, pairs.warmup()?, &cycles, rerise, shape, last))
            }
            "piecewise" => {
                let segments = rest
                    .split(',')
                    .map(|part| segment(part).ok_or_else(|| wrong("piecewise", "segment", part, SEGMENTS)));
                made("piecewise", Self::piecewise(segments.collect::<Result<_, _>>()?))
            }
            "sampled" => {
                let mut rates = Vec::new();
                for part in rest.split(',') {
                    let refused = || wrong("sampled", "rate", part, RATES);
                    let (value, times) = part.split_once('x').unwrap_or((part, "1"));
                    let times = count(times).ok_or_else(refused)?;
                    super::check_updates("a run of equal rates", times.0)
                        .and_then(|()| {
                            let all = times.0.saturating_add(rates.len() as u64);
                            super::check_sampled("the vector of rates", all)
                        })
                        .map_err(|error| ScheduleTextError::Schedule { kind: "sampled", error })?;
                    rates.resize(rates.len() + times.0 as usize, rate(value).ok_or_else(refused)?);
                }
                made("sampled", Self::sampled(rates))
            }
            _ => Err(ScheduleTextError::Kind { found: word }),
        }
    }
}

impl fmt::Display for Schedule {
    /// Writes the text form; reading it gives the same schedule.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wsd(wsd) => write_wsd(wsd, f),
            Self::Piecewise(piecewise) => {
                for (i, segment) in piecewise.segments().iter().enumerate() {
                    f.write_str(if i == 0 { "piecewise:" } else { "," })?;
                    write!(f, "{}", segment.updates)?;
                    if segment.whole != segment.updates {
                        write!(f, "/{}", segment.whole)?;
                    }
                    write!(f, "@{}", number(segment.from))?;
                    if segment.from != segment.to || segment.shape != Shape::Linear {
                        write!(f, "..{}", number(segment.to))?;
                    }
                    if segment.shape != Shape::Linear {
                        write!(f, "~{}", segment.shape)?;
                    }
                }
                Ok(())
            }
            Self::Sampled(sampled) => {
                f.write_str("sampled:")?;
                let mut rates = sampled.rates().chunk_by(|a, b| a == b).peekable();
                while let Some(run) = rates.next() {
                    f.write_str(&number(run[0]))?;
                    if run.len() > 1 {
                        write!(f, "x{}", run.len())?;
                    }
                    if rates.peek().is_some() {
                        f.write_str(",")?;
                    }
                }
                Ok(())
            }
        }
    }
}

fn write_wsd(wsd: &Wsd, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let WsdSpec { peak_lr, total, warmup, warmup_lr, rise, anneal, shape, final_lr, late, unreached } = **wsd;
    let whole = anneal.0 > 0 && warmup.0 + anneal.0 == wsd.scheduled().0;
    let kind = match shape {
        Shape::Cosine if whole => "cosine",
        Shape::Linear if whole => "linear",
        Shape::Linear if anneal.0 == 0 && final_lr == peak_lr => "constant",
        _ => "wsd",
    };
    write!(f, "{kind}:peak={},total={total},warmup={warmup}", number(peak_lr))?;
    if kind == "wsd" {
        let ratio = number(wsd.ratio());
        // The ratio where it is a short number that gives the updates back, else the updates themselves.
        let given_back = (wsd.ratio() * wsd.scheduled().0 as f64).round() as u64 == anneal.0;
        if ratio.len() <= 6 && given_back {
            write!(f, ",ratio={ratio}")?
        } else {
            write!(f, ",anneal={anneal}")?
        }
        write!(f, ",shape={shape}")?;
    }
    if kind != "constant" {
        write!(f, ",final={}", number(final_lr))?;
    }
    if warmup_lr != 0.0 {
        write!(f, ",start={}", number(warmup_lr))?;
    }
    if rise != Shape::Linear {
        write!(f, ",rise={rise}")?;
    }
    if late.0 > 0 {
        write!(f, ",late={late}")?;
    }
    if unreached.0 > 0 { write!(f, ",unreached={unreached}") } else { Ok(()) }
}
