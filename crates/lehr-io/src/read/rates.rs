//! The rates of logs alone, with or without losses: what a schedule is recognised in.

use super::finish::rates_of;
use super::reading::Reading;
use super::{ReadOptions, jobs, stop};
use crate::error::ReadError;
use crate::name;
use crate::note::Note;
use crate::source::Source;

/// The rates that a run logged.
#[derive(Debug, Clone, PartialEq)]
pub struct LoggedRates {
    /// Its name.
    pub run: String,
    /// Where it was read.
    pub file: String,
    /// Update and rate, in order of the updates, one row an update.
    pub rates: Vec<(u64, f64)>,
    /// The horizon that the log states.
    pub total: Option<u64>,
    /// Whether the trainer is known to log the rate of a row's own update.
    pub own_update: bool,
    /// What was done with the rows.
    pub notes: Vec<Note>,
}

/// Reads the rates of every wanted run; the tables need no losses.
///
/// # Errors
/// [`ReadError`] as [`super::for_each_run`], and for a run without any rate.
pub fn logged_rates(sources: &[Source], options: &ReadOptions) -> Result<Vec<LoggedRates>, ReadError> {
    let mut options = options.clone();
    options.map.rates_alone = true;
    let mut reading = Reading::new(sources, &options)?;
    let (mut found, mut others, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for at in 0..reading.logs.len() {
        if reading.jobs.is_later(at) {
            continue;
        }
        let parts = reading.parts(at);
        let group = &parts[0];
        let context = reading.context(at)?;
        let result = jobs::read(&parts, &reading.names[at], &context, &mut |raw, _, _| {
            if !name::is_wanted(&options.runs, &raw.id) {
                others.push(raw.id);
                return Ok(());
            }
            let (run, file) = (raw.id.clone(), raw.file.clone());
            let (total, own_update) = (raw.total, raw.rates_of_before);
            let (rates, notes) = rates_of(raw, &group.named, &context);
            if rates.is_empty() {
                return Err(ReadError::NoRate { file, run });
            }
            found.push(LoggedRates { run, file, rates, total, own_update, notes });
            Ok(())
        });
        match result {
            Ok(()) => {}
            Err(error) if group.sources[0].found() && error.is_not_a_log() => skipped.push(error),
            Err(error) => return Err(error),
        }
    }
    match (found.is_empty(), others.is_empty()) {
        (false, _) => Ok(found),
        (true, false) => Err(ReadError::NoMatch { patterns: options.runs.clone(), names: others }),
        (true, true) if skipped.is_empty() => Err(stop()),
        (true, true) => Err(ReadError::no_run("what was named".to_owned(), &skipped)),
    }
}
