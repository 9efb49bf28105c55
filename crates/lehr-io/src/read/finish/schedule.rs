//! The schedule of a run whose rows are read: stated or recognised, with the rows left out that none fits.

use super::Finish;
use crate::error::ReadError;
use crate::note::Note;
use crate::rebuild::{self, Known, ScheduleOrigin};
use crate::rows::RawRun;
use lehr::schedule::{Family, RecogniseOptions, recognise};
use lehr::{CaveatKind, Schedule, Steps};

/// A warm-up assumed for a log that begins late is no longer than this share of the run.
pub(in crate::read) const LONGEST_WARMUP: f64 = 0.2;
/// Rows that no schedule fits, at most, are left out of a comparison; more are a contradiction.
const MOST_STRAYS: usize = 2;
/// Rows of which so few are strays.
const STRAYS_OF: usize = 20;
/// Logged rates further from the stated schedule than this share of the peak deserve a caveat …
const MISFIT: f64 = 0.01;
/// … and further than this a blocking one.
const CONTRADICTION: f64 = 0.1;

impl Finish<'_> {
    /// The schedule of the whole run: stated, of the manifest, or recognised in the rates; and how it is known.
    pub(super) fn schedule(
        &mut self,
        raw: &RawRun,
        rates: &[(u64, f64)],
        last: u64,
    ) -> Result<(Schedule, ScheduleOrigin), ReadError> {
        let context = self.context;
        let entry = context.manifest.as_ref().and_then(|manifest| manifest.get(&raw.id));
        let stated = match (&context.options.schedule, entry) {
            (Some(schedule), _) => Some((schedule.clone(), Known::Stated)),
            (None, Some(entry)) => {
                let rise = context.rises.get(entry.kind()).copied().unwrap_or_default();
                entry.schedule(rise)?.map(|schedule| (schedule, Known::Manifest))
            }
            (None, None) => None,
        };
        let stated = stated.or_else(|| raw.schedule.clone().map(|schedule| (schedule, Known::Stated)));
        if let Some((schedule, known)) = stated {
            let strays = rebuild::far(&schedule, rates, MISFIT, MOST_STRAYS + 1);
            let few = (1..=MOST_STRAYS).contains(&strays.len()) && rates.len() >= STRAYS_OF;
            if few {
                self.strays(raw, &strays);
            }
            let residual = if few {
                let compared: Vec<(u64, f64)> =
                    rates.iter().copied().filter(|row| !strays.contains(row)).collect();
                rebuild::residual(&schedule, &compared)
            } else {
                rebuild::residual(&schedule, rates)
            };
            if let Some(worst) = residual.filter(|&worst| worst > MISFIT) {
                let run = raw.id.clone();
                self.caveats.push(
                    if worst > CONTRADICTION {
                        CaveatKind::ScheduleContradictsLog { run, share: worst }
                    } else {
                        CaveatKind::ScheduleDiffersFromLog { run, share: worst }
                    }
                    .into(),
                );
            }
            let origin =
                ScheduleOrigin { known, family: rebuild::family(&schedule), residual, rows: rates.len() };
            return Ok((schedule, origin));
        }
        if rates.is_empty() {
            return Err(ReadError::NoRate { file: raw.file.clone(), run: raw.id.clone() });
        }
        let (rates, end) = without_ended_scheduler(rates);
        if let Some(row) = end {
            self.strays(raw, &[row]);
        }
        let options = RecogniseOptions {
            total: raw.total.or_else(|| (last > rates[rates.len() - 1].0).then_some(last)).map(Steps),
            warmup: self.assumed_warmup(raw, rates, last)?.map(Steps),
            // Such a trainer's rows hold the rates of their own updates.
            offset: raw.rates_of_before.then_some(0),
            ..RecogniseOptions::default()
        };
        let found = recognise(rates, &options).map_err(|error| ReadError::Recognise {
            file: raw.file.clone(),
            run: raw.id.clone(),
            error,
        })?;
        for note in &found.notes {
            self.note("schedule", &raw.id, note.clone());
        }
        if !found.left_out.is_empty() {
            let rows: Vec<(u64, f64)> =
                rates.iter().copied().filter(|(step, _)| found.left_out.contains(step)).collect();
            self.strays(raw, &rows);
        }
        let is_family = |family: Family| !matches!(family, Family::Piecewise | Family::Sampled);
        let recognised = is_family(found.family);
        let origin = ScheduleOrigin {
            known: if recognised { Known::Recognised } else { Known::Rows },
            family: rebuild::family(&found.schedule),
            residual: Some(found.residual.max),
            rows: rates.len() - found.left_out.len(),
        };
        Ok((found.schedule, origin))
    }

    /// Says which rows no schedule fits.
    fn strays(&mut self, raw: &RawRun, rows: &[(u64, f64)]) {
        self.caveats.push(CaveatKind::StrayRates { run: raw.id.clone(), rows: rows.to_vec() }.into());
    }

    /// The warm-up of a log that begins after it: stated, or assumed, with a note.
    fn assumed_warmup(
        &mut self,
        raw: &RawRun,
        rates: &[(u64, f64)],
        last: u64,
    ) -> Result<Option<u64>, ReadError> {
        let step: Vec<u64> = rates.iter().map(|&(step, _)| step).collect();
        let (first, rate) = rates[0];
        // A rate that still rises: the line of the warm-up itself says where it began.
        let rising = rates.get(1).is_some_and(|&(_, next)| next > 1.001 * rate);
        let entry = self.context.manifest.as_ref().and_then(|manifest| manifest.get(&raw.id));
        let stated = match self.context.options.warmup {
            Some(warmup) => Some(warmup),
            None => entry.map(crate::manifest::Entry::warmup).transpose()?.flatten(),
        };
        if rising || !rebuild::misses_its_past(&step) {
            return Ok(stated);
        }
        let earliest = self.context.first_step.get();
        let common = earliest.map_or(first, |common| common.min(first));
        // A log that begins in the middle of a run is a branch or the rest of a run, and no run with a long warm-up.
        let late = |update: u64| update as f64 > LONGEST_WARMUP * last as f64;
        // One that begins while the rate falls does not show the peak, whatever the warm-up before it was.
        let falls = rates.get(1).is_some_and(|&(_, next)| next < rate * (1.0 - 1e-9));
        let refused = |why: String, hint: &str| ReadError::Refused {
            file: raw.file.clone(),
            why,
            hint: hint.to_owned(),
        };
        if let Some(warmup) = stated {
            if late(first) && falls && first > warmup.saturating_add(2 * (rates[1].0 - first)) {
                return Err(refused(
                    format!(
                        "run '{}' begins at update {first} of {last}, where its rate of {rate} already falls, and a warm-up of {warmup} updates does not say what the rate was before",
                        raw.id
                    ),
                    "read the trunk or the first file with it, or state its schedule in a manifest (peak_lr, total_steps, warmup_steps, annealing_ratio, shape)",
                ));
            }
            return Ok(stated);
        }
        if late(common) {
            return Err(refused(
                format!(
                    "run '{}' begins at update {first} of {last} with the rate {rate}, and nothing says what lies before: it may be a branch, or the rest of a run whose first file is elsewhere",
                    raw.id
                ),
                if falls {
                    "read the trunk or the first file with it, or state branch_from, branch_at_step and warmup_steps in a manifest"
                } else {
                    "read the trunk or the first file with it, state branch_from, branch_at_step and warmup_steps in a manifest, or state the warm-up with [[warmup]]"
                },
            ));
        }
        let warmup = earliest.map_or(first, |common| common.min(first));
        let directory = self.source.directory();
        let about = if earliest.is_some() && !directory.is_empty() { directory } else { raw.id.as_str() };
        self.notes.push(Note::new(
            "assumed-warmup",
            about,
            format!(
                "the log begins at update {warmup} with the rate {rate}; what lies before is assumed to be a linear warm-up of {warmup} updates ([[warmup]] says otherwise)"
            ),
        ));
        Ok(Some(warmup))
    }
}

/// The rates without a last row of 0 that the rows before do not lead to: a scheduler that had ended when it was asked.
fn without_ended_scheduler(rates: &[(u64, f64)]) -> (&[(u64, f64)], Option<(u64, f64)>) {
    let n = rates.len();
    if n < STRAYS_OF || rates[n - 1].1 != 0.0 {
        return (rates, None);
    }
    let (before, last) = (rates[n - 3].1, rates[n - 2].1);
    // Lines and curves that end at 0 fall by about as much in the row before.
    if last > 10.0 * (before - last).abs() && last > 0.0 {
        (&rates[..n - 1], Some(rates[n - 1]))
    } else {
        (rates, None)
    }
}
