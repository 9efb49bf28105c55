//! The words of a request: each known, each once, each in its range.

use lehr::recommend::RecommendOptions;
use lehr::{Params, Schedule, Shape, Tokens};
use lehr_app::Failure;
use lehr_app::recommend::RecommendRequest;
use lehr_app::report::usual_target;
use std::sync::Arc;

/// What a target of the explorer may be told.
pub(super) const TARGET: [&str; 9] =
    ["data", "peak_lr", "steps", "ratio", "warmup", "shape", "final_lr", "params", "tokens_per_step"];

/// The words of a query, decoded.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Vec<(String, String)>);

/// Percent-encoded text; `+` is a blank.
fn decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                // `from_str_radix` would take a sign.
                if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                    return None;
                }
                out.push(u8::from_str_radix(digits, 16).ok()?);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}

impl Query {
    /// Reads a query that may hold these words, `many` any number of times, the others once.
    pub fn read(text: Option<&str>, known: &[&str], many: &[&str]) -> Result<Self, Failure> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (decoded(name), decoded(value)) else {
                return Err(Failure::usage("the query is not percent-encoded UTF-8"));
            };
            // The token of the first page is looked at elsewhere.
            if name == "token" {
                continue;
            }
            if !known.contains(&name.as_str()) && !many.contains(&name.as_str()) {
                return Err(Failure::usage(format_args!(
                    "'{name}' is not known here; expected one of {}",
                    known.join(", ")
                )));
            }
            if known.contains(&name.as_str()) && pairs.iter().any(|(other, _)| *other == name) {
                return Err(Failure::usage(format_args!("'{name}' is given twice")));
            }
            pairs.push((name, value));
        }
        Ok(Self(pairs))
    }

    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn number(&self, name: &str, least: f64, above: bool) -> Result<Option<f64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let value =
            text.parse::<f64>().ok().filter(|v| v.is_finite() && (*v > least || (!above && *v == least)));
        match value {
            Some(value) => Ok(Some(value)),
            None => Err(Failure::usage(format_args!(
                "{name}={text} is not a number {} {least}",
                if above { "above" } else { "of at least" }
            ))),
        }
    }

    pub fn count(&self, name: &str, least: u64) -> Result<Option<u64>, Failure> {
        let Some(text) = self.text(name) else { return Ok(None) };
        // `parse` would take a plus sign.
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse::<u64>().ok().filter(|value| digits && *value >= least) {
            Some(value) => Ok(Some(value)),
            None => {
                Err(Failure::usage(format_args!("{name}={text} is not a whole number of at least {least}")))
            }
        }
    }

    /// The ratio, where one is asked for.
    pub fn ratio(&self) -> Result<Option<f64>, Failure> {
        match self.number("ratio", 0.0, false)? {
            Some(ratio) if ratio > 1.0 => Err(Failure::usage(format_args!("ratio={ratio} is above 1"))),
            ratio => Ok(ratio),
        }
    }

    /// The schedules held against the target.
    pub fn pins(&self) -> Result<Vec<Schedule>, Failure> {
        self.all("pin").map(|text| text.parse::<Schedule>().map_err(Failure::usage)).collect()
    }

    /// The target, with what the fit's runs say where nothing is said.
    pub fn target(&self, fit: &Arc<lehr::fit::Fit>, horizon: u64) -> Result<RecommendRequest, Failure> {
        let usual = usual_target(fit);
        let missing =
            |name: &str| Failure::usage(format_args!("the fit names no runs: {name} must be stated"));
        let peak_lr = match self.number("peak_lr", 0.0, true)? {
            Some(rate) => rate,
            None => usual.ok_or_else(|| missing("peak_lr"))?.0,
        };
        let total = match self.count("steps", 1)? {
            Some(total) => total,
            None => usual.ok_or_else(|| missing("steps"))?.1.min(horizon),
        };
        Ok(RecommendRequest {
            fit: Arc::clone(fit),
            peak_lr,
            total,
            warmup: self.count("warmup", 0)?,
            shape: self.text("shape").map_or(Ok(Shape::Linear), str::parse).map_err(Failure::usage)?,
            final_lr: self.number("final_lr", 0.0, false)?.unwrap_or(0.0),
            setting: lehr::forecast::Setting {
                params: self.count("params", 1)?.map(Params),
                tokens_per_step: self.count("tokens_per_step", 1)?.map(Tokens),
                arch: None,
            },
            options: RecommendOptions::default(),
            optimise_shape: false,
            free_schedule: false,
            measured: None,
            export: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_taken_word_for_word_or_refused() {
        let read = |text: &str| Query::read(Some(text), &TARGET, &["pin"]);
        let query = read("steps=100&shape=1-sqrt&pin=a%3D1%2cb&pin=c&final_lr=1e-5").expect("a query");
        assert_eq!(query.count("steps", 1), Ok(Some(100)));
        assert_eq!(query.all("pin").collect::<Vec<_>>(), ["a=1,b", "c"]);
        assert_eq!(query.number("final_lr", 0.0, false), Ok(Some(1e-5)));
        assert_eq!(query.ratio(), Ok(None));
        for wrong in ["steps=1&steps=2", "stepz=1", "shape=%zz", "shape=%+1", "shape=%ff", "%"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        for wrong in ["steps=0", "steps=-1", "steps=+1", "steps=1e3", "steps=", "steps=99999999999999999999"]
        {
            assert!(read(wrong).expect("words").count("steps", 1).is_err(), "{wrong}");
        }
        for wrong in ["ratio=1.01", "ratio=-0.1", "ratio=nan", "ratio=inf", "ratio="] {
            assert!(read(wrong).expect("words").ratio().is_err(), "{wrong}");
        }
    }
}
