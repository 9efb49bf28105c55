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
        let (rates, left_out) = without_idle_ends(rates);
        if !left_out.is_empty() {
            self.strays(raw, &left_out);
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

/// The rates without those of 0 at the ends that the other rows do not lead to, and these: of a scheduler that had ended, or
/// had not begun, when it was asked.
///
/// # Formula
/// Last rates of 0, at most a twentieth of the rows, go where the last rate before them is more than 3 times what it fell from
/// the row before: lines and curves that end at 0 fall by about as much. First rates of 0 go where the line through the
/// next two, where they rise, is at least a quarter of the next rate there: a warm-up that begins at 0 leads to 0.
fn without_idle_ends(rates: &[(u64, f64)]) -> (&[(u64, f64)], Vec<(u64, f64)>) {
    let n = rates.len();
    if n < STRAYS_OF {
        return (rates, Vec::new());
    }
    let most = n / 20;
    let is_zero = |row: &&(u64, f64)| row.1 == 0.0;
    let mut left_out = Vec::new();
    let mut kept = rates;
    let first = rates.iter().take_while(is_zero).count();
    if (1..=MOST_STRAYS).contains(&first) {
        let [(t1, y1), (t2, y2)] = [rates[first], rates[first + 1]];
        let there = rates[first - 1].0;
        let line = y1 - (y2 - y1) * (t1 - there) as f64 / (t2 - t1) as f64;
        if y2 > 1.001 * y1 && line >= 0.25 * y1 {
            left_out.extend(&kept[..first]);
            kept = &kept[first..];
        }
    }
    let last = kept.iter().rev().take_while(is_zero).count();
    if (1..=most).contains(&last)
        && let [.., before, end] = &kept[..kept.len() - last]
        && end.1 > 3.0 * (before.1 - end.1).abs()
    {
        left_out.extend(&kept[kept.len() - last..]);
        kept = &kept[..kept.len() - last];
    }
    (kept, left_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rate: impl Fn(u64) -> f64) -> Vec<(u64, f64)> {
        (1..=100).map(|k| (10 * k, rate(10 * k))).collect()
    }

    #[test]
    fn rates_of_an_ended_scheduler_go_and_an_annealing_to_0_stays() {
        let floor = |t: u64| 1e-3 * (1.0 - 0.9 * (t as f64 - 800.0).max(0.0) / 200.0);
        for zeros in [1, 2, 3, 5] {
            let all = rows(|t| if t > 1000 - 10 * zeros { 0.0 } else { floor(t) });
            let (kept, left_out) = without_idle_ends(&all);
            assert_eq!((kept.len() as u64, left_out.len() as u64), (100 - zeros, zeros));
        }
        // Six of a hundred are more than a twentieth.
        assert_eq!(without_idle_ends(&rows(|t| if t > 940 { 0.0 } else { floor(t) })).1, []);
        let to_zero = |t: u64| 1e-3 * (950.0 - t as f64).max(0.0) / 950.0;
        assert_eq!(without_idle_ends(&rows(to_zero)).1, []);
        // Nothing says what comes before a rate that does not rise.
        assert_eq!(without_idle_ends(&rows(|t| if t > 20 { 1e-3 } else { 0.0 })).1, []);
    }

    #[test]
    fn first_rates_of_0_go_where_the_warm_up_does_not_lead_there() {
        let rise = |t: u64| 1e-3 * (t as f64 / 400.0).min(1.0);
        assert_eq!(without_idle_ends(&rows(|t| if t <= 10 { 0.0 } else { rise(t) })).1, [(10, 0.0)]);
        assert_eq!(without_idle_ends(&rows(|t| if t <= 20 { 0.0 } else { rise(t) })).1.len(), 2);
        assert_eq!(without_idle_ends(&rows(rise)).1, []);
        // The rate of the update before.
        assert_eq!(without_idle_ends(&rows(|t| rise(t - 10))).1, []);
    }
}
