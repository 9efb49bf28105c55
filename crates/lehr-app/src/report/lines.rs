//! The tables of a report: coefficients, exports, inputs.

use crate::export::{self, ExportRequest};
use crate::failure::Failure;
use lehr::fit::{Bound, Fit};
use lehr::forecast::Setting;
use lehr::{Law, Schedule};
use lehr_io::Source;
use lehr_io::export::{Contents, EXPORTERS};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::io::Read;

/// Longer configurations (a rate for every update) are not shown; the command that writes them is.
const LONGEST_SNIPPET: usize = 12_000;

/// A coefficient with what is known about it.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct CoefficientLine {
    /// Name.
    pub name: String,
    /// Symbol in equations.
    pub symbol: String,
    /// Value.
    pub value: f64,
    /// Its interval.
    #[schemars(with = "Option<lehr::schema::Interval>")]
    pub interval: Option<(f64, f64)>,
    /// Unit; empty: none.
    pub unit: String,
    /// Whether it was estimated.
    pub free: bool,
    /// Whether a prior was on it.
    pub prior: bool,
    /// The bound it ran into.
    pub at_bound: Option<Bound>,
    /// Whether the data determine it; `null` for one that was held.
    pub determined: Option<bool>,
    /// Coefficients that it can be traded against where the data do not.
    pub traded_with: Vec<String>,
}

impl CoefficientLine {
    /// What is special about it, in words.
    #[must_use]
    pub fn remarks(&self) -> String {
        let mut out: Vec<String> = Vec::new();
        if !self.free {
            out.push("held".to_owned());
        }
        if self.prior {
            out.push("prior".to_owned());
        }
        if self.at_bound.is_some() {
            out.push("at its bound".to_owned());
        }
        if self.determined == Some(false) {
            let traded = if self.traded_with.is_empty() {
                String::new()
            } else {
                format!(" (moves with {})", self.traded_with.join(", "))
            };
            out.push(format!("not determined by the data{traded}"));
        }
        out.join(", ")
    }
}

/// The coefficients of a fit.
#[must_use]
pub fn coefficients(fit: &Fit, law: &dyn Law) -> Vec<CoefficientLine> {
    fit.coefficients
        .iter()
        .zip(law.coefficients())
        .map(|(c, meta)| {
            let lost = fit.identifiability.undetermined.iter().find(|lost| lost.name == c.name);
            CoefficientLine {
                name: c.name.clone(),
                symbol: meta.symbol.to_owned(),
                value: c.value,
                interval: c.interval,
                unit: meta.unit.to_owned(),
                free: c.free,
                prior: c.prior,
                at_bound: c.at_bound,
                determined: c.free.then_some(lost.is_none()),
                traded_with: lost.map_or_else(Vec::new, |lost| lost.traded_with.clone()),
            }
        })
        .collect()
}

/// A trainer's configuration of the recommended schedule, or why there is none.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct Snippet {
    /// The target's name, as `[[export]]` takes it.
    pub target: &'static str,
    /// What it is called in prose.
    pub title: &'static str,
    /// A file name that suits it.
    pub file_name: Option<&'static str>,
    /// The configuration; `null` where there is none, it is binary or too long to show.
    pub text: Option<String>,
    /// Why there is no text.
    pub why: Option<String>,
    /// Largest |Δlr| between the trainer's rates and those asked for, as a share of the peak rate.
    pub deviation: Option<f64>,
    /// By the fit: what the trainer's rates cost, nats per token.
    pub loss_cost: Option<f64>,
    /// What the trainer really does.
    pub notes: Vec<String>,
    /// What backs the model of its scheduler.
    pub evidence: String,
}

/// The schedule for every target.
#[must_use]
pub fn snippets(fit: &Fit, setting: &Setting, schedule: &Schedule) -> Vec<Snippet> {
    EXPORTERS
        .iter()
        .map(|exporter| {
            let mut snippet = Snippet {
                target: exporter.name,
                title: exporter.title,
                file_name: None,
                text: None,
                why: None,
                deviation: None,
                loss_cost: None,
                notes: Vec::new(),
                evidence: exporter.evidence.to_string(),
            };
            let request = ExportRequest { target: exporter.name.to_owned(), from_step: None };
            match request.make(schedule) {
                Ok(made) => {
                    snippet.file_name = Some(made.file_name);
                    snippet.deviation = Some(made.deviation.max_of_peak);
                    snippet.loss_cost = export::cost(&made, fit, setting, schedule).ok();
                    match &made.contents {
                        Contents::Text(text) if text.len() <= LONGEST_SNIPPET => {
                            snippet.text = Some(text.clone())
                        }
                        Contents::Text(_) => {
                            snippet.why = Some("a rate for every update: too long to show".to_owned())
                        }
                        Contents::Bytes(_) => snippet.why = Some("a binary file".to_owned()),
                    }
                    snippet.notes = made.notes;
                }
                Err(failure) => snippet.why = Some(failure.message().to_owned()),
            }
            snippet
        })
        .collect()
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, schemars::JsonSchema)]
pub struct InputFile {
    /// Name of the file, as given.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256 of its bytes, in hexadecimal digits.
    pub sha256: String,
}

/// The hash of some bytes.
#[must_use]
pub fn hashed(name: &str, bytes: &[u8]) -> InputFile {
    InputFile {
        name: name.to_owned(),
        bytes: bytes.len() as u64,
        sha256: hexadecimal(&Sha256::digest(bytes)),
    }
}

/// The hash of a source's bytes.
///
/// # Errors
/// [`Failure`] where it cannot be read.
pub fn hashed_source(source: &Source) -> Result<InputFile, Failure> {
    let mut reader = source.open()?;
    let mut hash = Sha256::new();
    let (mut buffer, mut bytes) = (vec![0; 1 << 16], 0);
    loop {
        let n = reader.read(&mut buffer)?;
        if n == 0 {
            break;
        }
        hash.update(&buffer[..n]);
        bytes += n as u64;
    }
    Ok(InputFile { name: source.name().to_owned(), bytes, sha256: hexadecimal(&hash.finalize()) })
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
