//! A law's coefficients from curves, with everything needed to judge them.

use crate::answer::{Answer, add_caveats};
use crate::desk::Desk;
use crate::documents::{self, Document};
use crate::failure::Failure;
use crate::reading::{Reading, Runs};
use crate::stoppable::Stoppable;
use lehr::features::Momentum;
use lehr::fit::{FIT_FORMAT, Fit, FitError, FitOptions, Fitter, profile, resample};
use lehr::names_run;
use lehr::{Curve, Law};
use serde::Serialize;
use std::path::Path;
use std::sync::Arc;

/// Most points a run that are held while runs are read for a fit, unless it needs every row.
const HELD: usize = 1000;
/// Values that a profile holds a coefficient at.
const PROFILE_VALUES: usize = 24;

/// How many points of a run to hold: all, where the fit is over all rows or the momentum over logged rows.
#[must_use]
pub fn held_points(options: &FitOptions) -> Option<usize> {
    let logged = options.definition.is_some_and(|d| d.momentum == Momentum::LoggedRows);
    // Twice the points fitted, so that choosing among them costs nothing that is seen.
    options.points_per_curve.filter(|_| !logged).map(|points| HELD.max(2 * points))
}

/// What to fit to what.
#[derive(Debug, Clone)]
pub struct FitRequest {
    /// The runs.
    pub reading: Reading,
    /// The law.
    pub law: &'static dyn Law,
    /// How to fit it.
    pub options: FitOptions,
    /// Profile every coefficient.
    pub profile: bool,
    /// Refit so many block-bootstrap resamples.
    pub bootstrap: Option<u64>,
}

/// A fit and what was asked for besides.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct FitAnswer {
    /// The fit, as its file holds it.
    #[serde(flatten)]
    pub fit: Fit,
    /// How far each coefficient can be moved before the fit gets worse; with `[[profile]]`, never in the file.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub profiles: Vec<profile::Profile>,
    /// Block-bootstrap refits; with `[[bootstrap]]`, never in the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bootstrap: Option<resample::Uncertainty>,
    /// The curves that were fitted.
    #[serde(skip)]
    pub curves: Vec<Curve>,
}

impl Document for FitAnswer {
    const SCHEMA: &'static str = "lehr.fit/5";
}

/// Resamples of a bootstrap at most: each is a fit.
const MOST_RESAMPLES: u64 = 100_000;

/// Refuses a name to keep that no run has: nothing would be kept, and nobody told.
///
/// # Errors
/// [`Failure`] that names it.
pub(crate) fn check_kept(options: &FitOptions, curves: &[Curve]) -> Result<(), Failure> {
    let known = |pattern: &str| curves.iter().any(|curve| names_run(pattern, &curve.meta().id));
    match options.keep.iter().find(|pattern| !known(pattern)) {
        None => Ok(()),
        Some(pattern) => {
            let names: Vec<&str> = curves.iter().take(12).map(|curve| curve.meta().id.as_str()).collect();
            let more = if curves.len() > 12 { ", …" } else { "" };
            Err(Failure::usage(format_args!("[[keep]] names '{pattern}', and no run has that name"))
                .hint(format_args!("there are {}{more}", names.join(", "))))
        }
    }
}

impl Desk {
    /// Fits a law to runs.
    ///
    /// # Errors
    /// [`Failure`] for logs that cannot be read and data that determine nothing.
    pub fn fit(&self, request: &FitRequest) -> Result<Answer<FitAnswer>, Failure> {
        let runs = self.runs(&request.reading.clone().held(held_points(&request.options)))?;
        self.fit_runs(runs, request)
    }

    /// Fits a law to runs that are read already; the request's reading is not used.
    ///
    /// # Errors
    /// [`Failure`] for data that determine nothing.
    pub fn fit_runs(&self, runs: Runs, request: &FitRequest) -> Result<Answer<FitAnswer>, Failure> {
        check_kept(&request.options, &runs.curves)?;
        let runs = runs.held(held_points(&request.options));
        let mut answer = self
            .fit_curves(request.law, runs.curves, request)
            .map_err(|failure| failure.noting(&runs.notes))?;
        add_caveats(&mut answer.value.fit.caveats, runs.caveats);
        answer.caveats = answer.value.fit.caveats.clone();
        answer.notes = runs.notes;
        Ok(answer)
    }

    fn fit_curves(
        &self,
        law: &'static dyn Law,
        curves: Vec<Curve>,
        request: &FitRequest,
    ) -> Result<Answer<FitAnswer>, Failure> {
        let law = Arc::new(Stoppable::new(law, self.shared_observer()));
        let fitter = Fitter::new(law).options(request.options.clone()).map_err(FitError::from)?;
        let fitted = self.work("fitting", || Ok(fitter.fit(&curves)?))?;
        let profiles = if request.profile {
            self.work("profiling", || Ok(fitted.profile(PROFILE_VALUES)))?
        } else {
            Vec::new()
        };
        let bootstrap = match request.bootstrap {
            Some(count) if count > MOST_RESAMPLES => {
                return Err(Failure::usage(format_args!(
                    "[[bootstrap]] is {count}; expected at most {MOST_RESAMPLES}"
                )));
            }
            Some(count) => Some(self.work("resampling", || Ok(fitted.bootstrap(count)))?),
            None => None,
        };
        let fit = fitted.into_fit();
        // Not with the observer in it, who may be gone when the fit is used.
        let fit = if fit.own_law.is_some() { fit.resolve(self.laws())? } else { fit };
        Ok(Answer::plain(FitAnswer { fit, profiles, bootstrap, curves }))
    }

    /// Reads a fit that [`FitAnswer`]'s document or [`to_file`] wrote.
    ///
    /// # Errors
    /// [`Failure`] for a file that is no fit, one of another format, or one of a law that the desk does not know.
    pub fn read_fit(&self, path: &Path) -> Result<Fit, Failure> {
        Ok(parse_fit(&path.display().to_string(), &self.files().text(path)?)?.resolve(self.laws())?)
    }
}

/// The text of a fit file.
///
/// # Errors
/// [`Failure`] for a fit that JSON cannot hold.
pub fn to_file(fit: &Fit) -> Result<String, Failure> {
    documents::fit_file(fit)
}

/// A fit from the text of its file; `name` is the file's, for errors.
///
/// # Errors
/// [`Failure`] with the line, for a text that is no fit or one of another format.
pub fn parse_fit(name: &str, text: &str) -> Result<Fit, Failure> {
    let hint = "a fit is what `lehr fit PATH… -o fit.json` writes";
    let value: serde_json::Value = serde_json::from_str(text).map_err(|error| {
        Failure::new(format_args!("{name}, line {}: not a fit: {error}", error.line())).hint(hint)
    })?;
    match value.get("format").and_then(serde_json::Value::as_u64) {
        Some(format) if format == u64::from(FIT_FORMAT) => {}
        Some(format @ 3..=4) => {
            return serde_json::from_value(from_earlier(value, format))
                .map_err(|error| Failure::new(format_args!("{name}: not a fit: {error}")).hint(hint));
        }
        Some(format) => {
            return Err(Failure::new(format_args!(
                "{name}: a fit of format {format}; this version reads formats 3 to {FIT_FORMAT}"
            ))
            .hint("fit again with this version"));
        }
        None => {
            return Err(Failure::new(format_args!("{name}: not a fit: it has no 'format'")).hint(hint));
        }
    }
    // Not from the value: the text keeps the place of a fault.
    serde_json::from_str(text)
        .map_err(|error| Failure::new(format_args!("{name}: not a fit: {error}")).hint(hint))
}

/// The present form of a fit of format 3, which held W − 1 as a run's warm-up, or 4, whose noise-relaxation law had no
/// transient of the start: C = 0.
fn from_earlier(mut value: serde_json::Value, format: u64) -> serde_json::Value {
    value["format"] = FIT_FORMAT.into();
    if value["law"] == "noise-relaxation" {
        if let Some(coefficients) = value["coefficients"].as_array_mut() {
            coefficients.push(serde_json::json!({
                "name": "c", "value": 0.0, "interval": null, "free": false, "prior": false, "at_bound": null
            }));
        }
        let refits = value.pointer_mut("/uncertainty/refits").and_then(serde_json::Value::as_array_mut);
        for theta in refits.into_iter().flatten().filter_map(|refit| refit["theta"].as_array_mut()) {
            theta.push(0.0.into());
        }
    }
    if format > 3 {
        return value;
    }
    for run in value.get_mut("runs").and_then(serde_json::Value::as_array_mut).into_iter().flatten() {
        if let Some(before) = run.get("warmup").and_then(serde_json::Value::as_u64) {
            run["warmup"] = before.saturating_add(1).into();
        }
    }
    value
}
