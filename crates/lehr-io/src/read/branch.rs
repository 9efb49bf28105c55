//! Logs that begin where they left another run: linked to it by rate, size and loss, or as a manifest states.

use super::finish::{Context, LONGEST_WARMUP};
use crate::error::ReadError;
use crate::manifest::Rise;
use crate::rows::RawRun;
use lehr::{BranchPoint, Curve, Params, Schedule, Steps};

/// A rate is the trunk's within this share of its peak.
const SAME_RATE: f64 = 0.02;
/// A loss is the trunk's within this share.
const SAME_LOSS: f64 = 0.05;
/// Most rates taken from a trunk.
const MOST_ROWS: u64 = 20_000;

/// What is kept of a finished run, in case another begins where it left it.
#[derive(Debug)]
pub(super) struct Trunk {
    id: String,
    params: Option<Params>,
    schedule: Schedule,
    /// Updates and losses, thinned.
    points: Vec<(u64, f64)>,
    /// Updates between rows.
    stride: u64,
}

impl Trunk {
    pub(super) fn of(curve: &Curve) -> Self {
        const KEPT: usize = 256;
        let n = curve.step().len();
        let every = n.div_ceil(KEPT).max(1);
        let points = (0..n)
            .filter(|i| i % every == 0 || i + 1 == n)
            .map(|i| (curve.step()[i], curve.loss()[i]))
            .collect();
        Self {
            id: curve.meta().id.clone(),
            params: curve.meta().params,
            schedule: curve.schedule().clone(),
            stride: (curve.last().0 - curve.step()[0]) / (n as u64).saturating_sub(1).max(1),
            points,
        }
    }

    /// The loss at an update, between the points kept; `None` outside them.
    fn loss(&self, step: u64) -> Option<f64> {
        let at = self.points.partition_point(|&(t, _)| t < step);
        let &(t1, y1) = self.points.get(at)?;
        if t1 == step {
            return Some(y1);
        }
        let &(t0, y0) = self.points.get(at.checked_sub(1)?)?;
        Some(y0 + (y1 - y0) * (step - t0) as f64 / (t1 - t0) as f64)
    }

    /// The rate at an update; `None` after the horizon.
    fn lr(&self, step: u64) -> Option<f64> {
        (1..=self.schedule.total().0).contains(&step).then(|| self.schedule.lr(step))
    }

    /// How far a log's first row is from this run: |ΔL|/L; `None` where it does not lie on it.
    fn distance(&self, first: &First, params: Option<Params>) -> Option<f64> {
        if self.params.is_some() && params.is_some() && self.params != params {
            return None;
        }
        let &(last, _) = self.points.last()?;
        // A log may begin where this one ends.
        let next = first.step > last && first.step - last <= 2 * self.stride.max(first.stride);
        self.distance_at(if next { last } else { first.step }, first)
    }

    /// How far a log's first row is from this run at an update; a log without rates is told by its loss.
    fn distance_at(&self, step: u64, first: &First) -> Option<f64> {
        let here = self.lr(step)?;
        let loss = self.loss(step)?;
        let distance = (loss - first.loss).abs() / loss;
        let same_rate =
            first.rate.is_nan() || (here - first.rate).abs() <= SAME_RATE * self.schedule.peak_lr();
        (same_rate && distance <= SAME_LOSS).then_some(distance)
    }

    /// Whether the log of this run shows what lies before an update.
    fn shows_past(&self, step: u64) -> bool {
        self.points.first().is_some_and(|&(first, _)| 2 * first <= step)
    }

    fn same_until(&self, other: &Self, step: u64) -> bool {
        let peak = self.schedule.peak_lr().max(other.schedule.peak_lr());
        (1..=64).map(|k| (k * step / 64).max(1)).all(|t| match (self.lr(t), other.lr(t)) {
            (Some(a), Some(b)) => (a - b).abs() <= SAME_RATE * peak,
            // One of them has ended.
            _ => true,
        })
    }
}

/// The first row of a log.
struct First {
    step: u64,
    /// NaN where no row has a rate.
    rate: f64,
    loss: f64,
    stride: u64,
    last: u64,
    /// Whether the rate rises from there.
    rising: bool,
}

fn first(raw: &RawRun) -> Option<First> {
    let all = [&raw.train, &raw.validation, &raw.unstated];
    let mut rows: Vec<(u64, f64, f64)> = all
        .iter()
        .flat_map(|points| {
            points.step.iter().zip(&points.lr).zip(&points.loss).map(|((&step, &lr), &loss)| (step, lr, loss))
        })
        .filter(|(step, ..)| *step > 0)
        .collect();
    rows.extend(raw.rates.iter().filter(|(step, _)| *step > 0).map(|&(step, lr)| (step, lr, f64::NAN)));
    rows.sort_by_key(|&(step, ..)| step);
    let &(last, ..) = rows.last()?;
    let mut rates = rows.iter().filter(|(_, lr, _)| lr.is_finite());
    let (step, rate) = rates.next().map_or((rows[0].0, f64::NAN), |&(step, lr, _)| (step, lr));
    let rising = rates.find(|row| row.0 > step).is_some_and(|row| row.1 > 1.001 * rate);
    let &(_, _, loss) = rows.iter().find(|(_, _, loss)| loss.is_finite())?;
    let steps: Vec<u64> = rows.iter().map(|&(step, ..)| step).collect();
    let mut gaps: Vec<u64> = steps.windows(2).map(|pair| pair[1] - pair[0]).filter(|&gap| gap > 0).collect();
    gaps.sort_unstable();
    let stride = gaps.get(gaps.len() / 2).copied().unwrap_or(1);
    Some(First { step, rate, loss, stride, last, rising })
}

/// Whether a run cannot be finished before the run that it left: a manifest names that, or the log begins in the middle.
pub(super) fn awaits_trunk(raw: &RawRun, context: &Context<'_>) -> Result<bool, ReadError> {
    let options = context.options;
    let Some(first) = first(raw) else { return Ok(false) };
    let entry = context.manifest.as_ref().and_then(|manifest| manifest.get(&raw.id));
    let branch = entry.map(crate::manifest::Entry::branch).transpose()?.flatten();
    // Rows before the branching point: the trunk's own, counted from there, or a contradiction.
    if let (Some(branch), Some(entry)) = (&branch, entry)
        && first.step <= branch.at.0
        && !entry.is_complete()
    {
        return Ok(true);
    }
    if options.schedule.is_some() || raw.schedule.is_some() || first.rate.is_nan() {
        return Ok(false);
    }
    let late = first.step > 2 * first.stride;
    let past_warmup = first.step as f64 > LONGEST_WARMUP * first.last as f64;
    let begins_late = late && (past_warmup || (!first.rising && context.has_beginning));
    let Some(entry) = entry else { return Ok(begins_late) };
    if entry.schedule(Rise::default())?.is_some() {
        return Ok(false);
    }
    Ok(match branch {
        Some(_) => late,
        None => begins_late,
    })
}

/// Puts the rates of the run that a log left before its own, where that run is among `trunks`.
///
/// # Errors
/// [`ReadError::Refused`] for rows that contradict the branching point that a manifest states.
pub(super) fn attach(
    raw: &mut RawRun,
    stated: Option<BranchPoint>,
    trunks: &[Trunk],
) -> Result<(), ReadError> {
    let Some(mut first) = first(raw) else { return Ok(()) };
    let last_part = |id: &str| id.rsplit('/').next().unwrap_or(id).to_owned();
    let found = match &stated {
        Some(branch) => trunks
            .iter()
            .find(|trunk| trunk.id == branch.trunk)
            .or_else(|| trunks.iter().find(|trunk| last_part(&trunk.id) == last_part(&branch.trunk))),
        None => {
            // A long warm-up of its own is as likely as a branch: the trunk has to show what lies before.
            let late = first.step as f64 > LONGEST_WARMUP * first.last as f64;
            let mut near: Vec<(f64, &Trunk)> = trunks
                .iter()
                .filter(|trunk| late || trunk.shows_past(first.step))
                .filter_map(|trunk| Some((trunk.distance(&first, raw.meta.params)?, trunk)))
                .collect();
            // Of runs alike, one that was there before goes before one that begins there, too.
            let begins_there = |trunk: &Trunk| trunk.points.first().is_some_and(|&(t, _)| t >= first.step);
            near.sort_by(|a, b| begins_there(a.1).cmp(&begins_there(b.1)).then(a.0.total_cmp(&b.0)));
            let one_past = near.windows(2).all(|pair| pair[0].1.same_until(pair[1].1, first.step));
            near.first().filter(|_| one_past).map(|&(_, trunk)| trunk)
        }
    };
    if let Some(branch) = &stated
        && first.step <= branch.at.0
    {
        match rows_before_branching(&first, branch, found) {
            Before::OfTrunk => return Ok(()),
            Before::Counted => {
                raw.shift(branch.at.0);
                first.step += branch.at.0;
                raw.notes.push((
                    "counted-from-branch",
                    format!(
                        "its rows go on with the rate and loss of '{}' at update {}, where the manifest says that it left that run: they count from there",
                        branch.trunk, branch.at.0
                    ),
                ));
            }
            Before::Contradict => {
                return Err(ReadError::Refused {
                    file: raw.file.clone(),
                    why: format!(
                        "run '{}': the manifest says that it left '{}' after update {}, but its rows are those of updates {} to {}; expected rows after that, or rows that go on there with the same rate and loss",
                        raw.id, branch.trunk, branch.at.0, first.step, first.last
                    ),
                    hint: "correct branch_from and branch_at_step in the manifest, or the updates in the log; read the trunk with it".to_owned(),
                });
            }
        }
    }
    let Some(trunk) = found.filter(|_| first.rate.is_finite()) else { return Ok(()) };
    let at = stated.as_ref().map_or(first.step - 1, |branch| branch.at.0).min(first.step - 1);
    let at = at.min(trunk.schedule.total().0);
    let every = first.stride.max(at / MOST_ROWS).max(1);
    let mut rates = Vec::new();
    let mut step = every;
    while step <= at {
        rates.extend(trunk.lr(step).map(|lr| (step, lr)));
        step += every;
    }
    raw.rates.extend(rates);
    raw.notes.push((
        "branch-linked",
        format!(
            "the log begins at update {} of the run '{}'{}: its rates up to update {at} are taken from there",
            first.step,
            trunk.id,
            if stated.is_some() { ", as the manifest states" } else { " (same rate, size and loss there)" }
        ),
    ));
    if raw.meta.branch.is_none() {
        raw.meta.branch = Some(BranchPoint { trunk: trunk.id.clone(), at: Steps(at) });
    }
    Ok(())
}

/// What rows of updates up to the branching point are.
enum Before {
    /// The trunk's own, copied.
    OfTrunk,
    /// The branch's, counted from the branching point on.
    Counted,
    /// Neither.
    Contradict,
}

fn rows_before_branching(first: &First, branch: &BranchPoint, trunk: Option<&Trunk>) -> Before {
    let is_copy = trunk.is_none_or(|trunk| trunk.distance_at(first.step, first).is_some());
    if is_copy && first.last > branch.at.0 {
        return Before::OfTrunk;
    }
    match trunk.and_then(|trunk| trunk.distance_at(branch.at.0, first)) {
        Some(_) if !is_copy => Before::Counted,
        _ => Before::Contradict,
    }
}
