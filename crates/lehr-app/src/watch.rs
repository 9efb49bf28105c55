//! Running jobs, watched: what each will reach, when to anneal it, and what has gone wrong.

use crate::answer::{Answer, add_caveats};
use crate::desk::Desk;
use crate::documents::Document;
use crate::failure::Failure;
use crate::follow::Follower;
use crate::reading::Reading;
use lehr::Level;
use lehr::fit::{Fit, FitOptions, Unsound, left_out};
use lehr::forecast::{Estimate, Forecast, Setting};
use lehr::live::{
    BandTest, Ending, Live, LiveError, NoImprovement, Standing, StartLoss, StartOptions, no_improvement,
};
use lehr::{Caveat, CaveatKind, Curve, Law, Schedule};
use lehr_io::{LoadedRun, Note, ReadError};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

/// Points a run that are held.
const HELD: usize = 2_000;
/// Growth of the points after which jobs that were fitted themselves are fitted again.
const GROWN: f64 = 1.1;
/// Rate at the end, as a share of the peak, at which a job counts as finished.
const ENDED: f64 = 0.02;
/// Share of the updates done that annealing now takes, where no length is given.
const NOW: f64 = 0.2;

/// What to watch, and how.
#[derive(Debug, Clone)]
pub struct WatchRequest {
    /// The logs.
    pub reading: Reading,
    /// A fit of smaller or earlier runs; `None`: the runs watched are fitted themselves.
    pub fit: Option<Fit>,
    /// The law to fit without one.
    pub law: &'static dyn Law,
    /// How to fit it.
    pub options: FitOptions,
    /// Horizon of every job; `None`: as its log says.
    pub total: Option<u64>,
    /// Updates of an annealing that begins now.
    pub anneal_steps: Option<u64>,
    /// What the jobs are, where their logs do not say.
    pub setting: Setting,
    /// How a start is searched.
    pub start: StartOptions,
    /// A job that has not ended and of which no file was written for this long is stalled.
    pub stalled_after: Duration,
}

/// What can happen to a job.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum EventKind {
    /// The loss rose for good.
    Diverged,
    /// The loss left the band of the law.
    LeavesBand,
    /// The loss does not fall any more.
    NoImprovement,
    /// A loss stands far above its neighbours.
    Spike,
    /// The loss jumps to another level between two rows, for which no schedule is the reason.
    LevelBreak,
    /// Nothing was written to the log for too long.
    Stalled,
    /// The best start of the annealing has come.
    AnnealNow,
    /// The horizon is reached.
    Finished,
}

impl EventKind {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Diverged,
        Self::LeavesBand,
        Self::NoImprovement,
        Self::Spike,
        Self::LevelBreak,
        Self::Stalled,
        Self::AnnealNow,
        Self::Finished,
    ];

    /// Its name: `leaves-band`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Diverged => "diverged",
            Self::LeavesBand => "leaves-band",
            Self::NoImprovement => "no-improvement",
            Self::Spike => "spike",
            Self::LevelBreak => "level-break",
            Self::Stalled => "stalled",
            Self::AnnealNow => "anneal-now",
            Self::Finished => "finished",
        }
    }
}

impl std::str::FromStr for EventKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| {
            format!("'{text}' is no event; expected one of {}", Self::ALL.map(Self::name).join(", "))
        })
    }
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct WatchEvent {
    /// Name of the job.
    pub job: String,
    /// What happened.
    pub event: EventKind,
    /// The job's last update.
    pub update: u64,
    /// In words.
    pub message: String,
}

/// Where a job stands.
#[derive(Debug, Clone, PartialEq, Serialize, schemars::JsonSchema)]
pub struct JobStatus {
    /// Name.
    pub id: String,
    /// Last measured update.
    pub update: u64,
    /// Its loss, nats per token.
    pub loss: f64,
    /// Horizon, where it is known.
    pub steps: Option<u64>,
    /// Whether the horizon is reached, or the rate has fallen to next to nothing.
    pub finished: bool,
    /// Where it stands against the law.
    pub standing: Option<Standing>,
    /// Loss at the horizon: under the plan of its log, or with the best start.
    pub forecast: Option<Estimate>,
    /// Best start of the annealing, where the horizon was stated.
    pub start: Option<u64>,
    /// Loss at the horizon if the annealing begins now, above that with the best start, nats per token.
    pub cost_of_now: Option<f64>,
    /// Annealing from now on.
    pub anneal_now: Option<Ending>,
    /// The test against the band of the law.
    pub band: Option<BandTest>,
    /// The update after which the loss rose for good.
    pub diverged: Option<u64>,
    /// Whether the loss rises.
    pub no_improvement: Option<NoImprovement>,
    /// Updates of spikes.
    pub spikes: Vec<u64>,
    /// The updates between which the loss jumps to another level.
    #[schemars(with = "Option<lehr::schema::WholeInterval>")]
    pub level_break: Option<(u64, u64)>,
    /// Seconds since the log was written last, where that is too long.
    pub stalled: Option<u64>,
    /// Loss at the horizon against the start of the annealing, where the horizon was stated.
    pub starts: Vec<StartLoss>,
    /// Why there is no forecast.
    pub problem: Option<String>,
}

/// What a picture of a job is made of.
#[derive(Debug, Clone)]
pub struct JobView {
    /// Its losses.
    pub curve: Curve,
    /// Its plan, or that with the best start, and the forecast under it, where there is one.
    pub plan: Option<(Schedule, Forecast)>,
}

/// What a look at the jobs shows.
#[derive(Debug, Clone, Serialize, schemars::JsonSchema)]
pub struct WatchAnswer {
    /// The law.
    pub law: String,
    /// Runs of the fit; 0: there is none.
    pub runs: usize,
    /// Whether the fit was given with `[[fit]]`, rather than made of the runs watched.
    pub given: bool,
    /// The jobs, in the order of their names.
    pub jobs: Vec<JobStatus>,
    /// What is new since the look before.
    pub events: Vec<WatchEvent>,
    /// What to beware of.
    pub caveats: Vec<Caveat>,
    /// What pictures of the jobs are made of, in the order of the jobs.
    #[serde(skip)]
    pub views: Vec<JobView>,
    /// The fit.
    #[serde(skip)]
    pub fit: Option<Fit>,
}

impl Document for WatchAnswer {
    const SCHEMA: &'static str = "lehr.watch/1";
}

/// A forecast as it is kept, to be judged when the job has ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct SavedForecast {
    /// When it was made, UTC, as the face's clock says.
    pub time: String,
    /// Name of the job.
    pub job: String,
    /// The job's last update then.
    pub update: u64,
    /// The update forecast.
    pub steps: u64,
    /// Forecast loss, nats per token.
    pub loss: f64,
    /// Lower end of the interval, nats per token.
    pub lower: f64,
    /// Upper end of the interval, nats per token.
    pub upper: f64,
    /// Level of the interval.
    pub level: f64,
    /// The law.
    pub law: String,
}

/// Watches jobs: keeps where it stands with their logs, and what it has said of them.
#[derive(Debug)]
pub struct Watch {
    request: WatchRequest,
    follower: Follower,
    own: Option<(usize, Fit)>,
    said: BTreeMap<String, BTreeSet<EventKind>>,
}

/// One job as it was read.
struct Job {
    curve: Curve,
    run: LoadedRun,
}

impl Watch {
    /// Nothing was looked at yet.
    #[must_use]
    pub fn new(request: WatchRequest) -> Self {
        let follower = Follower::with(request.reading.options.map.clone());
        Self { request, follower, own: None, said: BTreeMap::new() }
    }

    /// Whether the logs have changed since the last poll. Reads what is new of texts and of files of records, and nothing else.
    ///
    /// # Errors
    /// [`Failure`] for a path that is not there.
    pub fn poll(&mut self, desk: &Desk) -> Result<bool, Failure> {
        self.follower.poll(desk.files(), &self.request.reading.paths)
    }

    /// Bytes of logs read so far.
    #[must_use]
    pub fn bytes_read(&self) -> u64 {
        self.follower.bytes_read()
    }

    /// Looks at the jobs as they were polled last; `now` decides who is stalled.
    ///
    /// # Errors
    /// [`Failure`] for logs that cannot be read. A job without a forecast is no failure: it says why.
    pub fn look(&mut self, desk: &Desk, now: SystemTime) -> Result<Answer<WatchAnswer>, Failure> {
        let (jobs, notes, mut caveats) = self.read(desk)?;
        let given = self.request.fit.is_some();
        let problem = if given { None } else { self.refit(desk, &jobs)? };
        let fit = self.request.fit.as_ref().or(self.own.as_ref().map(|(_, fit)| fit));
        let mut statuses = Vec::with_capacity(jobs.len());
        for job in &jobs {
            desk.check_cancelled()?;
            statuses
                .push(desk.work("forecasting", || Ok(status(&self.request, fit, job, problem.as_deref())))?);
        }
        let mut views = Vec::with_capacity(jobs.len());
        let mut events = Vec::new();
        let mut found = Vec::new();
        for ((mut status, more, plan), job) in statuses.into_iter().zip(&jobs) {
            add_caveats(&mut caveats, more);
            status.stalled =
                self.silent(&job.run.file, now).filter(|_| !status.finished).map(|t| t.as_secs());
            views.push(JobView { curve: job.curve.clone(), plan });
            let now: BTreeMap<EventKind, String> = happened(&status).into_iter().collect();
            let said = self.said.entry(status.id.clone()).or_default();
            for (kind, message) in &now {
                if said.insert(*kind) {
                    let (job, update) = (status.id.clone(), status.update);
                    events.push(WatchEvent { job, event: *kind, update, message: message.clone() });
                }
            }
            // What is over may be said again when it comes back.
            said.retain(|kind| now.contains_key(kind));
            found.push(status);
        }
        let value = WatchAnswer {
            law: fit.map_or_else(|| self.request.law.name().to_owned(), |fit| fit.law.clone()),
            runs: fit.map_or(0, |fit| fit.runs.len()),
            given,
            jobs: found,
            events,
            caveats: caveats.clone(),
            views,
            fit: fit.cloned(),
        };
        Ok(Answer { value, caveats, notes })
    }

    /// How long ago the files of a job were written, where that is longer than it may be.
    fn silent(&self, file: &str, now: SystemTime) -> Option<Duration> {
        let written = self.follower.written(file)?;
        now.duration_since(written).ok().filter(|time| *time >= self.request.stalled_after)
    }

    fn read(&self, desk: &Desk) -> Result<(Vec<Job>, Vec<Note>, Vec<Caveat>), Failure> {
        let reading = &self.request.reading;
        let sources = self.follower.sources(desk.files(), &reading.paths)?;
        let manifest = reading.manifest.as_deref().map(|path| desk.files().source(path)).transpose()?;
        let mut options = reading.options.clone();
        options.manifest = manifest.or(options.manifest);
        let (mut jobs, mut notes, mut caveats) = (Vec::new(), Vec::new(), Vec::new());
        let summary = lehr_io::for_each_run(&sources, &options, &mut |_| {}, &mut |run: LoadedRun| {
            add_caveats(&mut caveats, run.caveats.iter().cloned());
            notes.extend(run.notes.iter().cloned());
            let curve = lehr::fit::dataset::condense(run.curve.clone(), HELD);
            jobs.push(Job { curve, run });
            Ok::<(), ReadError>(())
        })?;
        notes.extend(summary.notes);
        jobs.sort_by(|a, b| a.curve.meta().id.cmp(&b.curve.meta().id));
        Ok((jobs, notes, caveats))
    }

    /// Fits the runs watched, where they have grown enough; why not, where that is not possible.
    fn refit(&mut self, desk: &Desk, jobs: &[Job]) -> Result<Option<String>, Failure> {
        let points: usize = jobs.iter().map(|job| job.run.curve.step().len()).sum();
        if let Some((before, _)) = &self.own
            && (points as f64) < GROWN * *before as f64
        {
            return Ok(None);
        }
        let curves: Vec<Curve> = jobs
            .iter()
            .map(|job| job.curve.clone())
            .filter(|curve| lehr::fit::dataset::without_points(curve, &self.request.options).is_none())
            .collect();
        let (law, options) = (self.request.law, &self.request.options);
        let found = desk.work("fitting", || Ok(lehr::fit::fit(law, &curves, options)))?;
        match found {
            Ok(fit) => {
                self.own = Some((points, fit));
                Ok(None)
            }
            Err(error) => Ok(self.own.is_none().then(|| error.to_string())),
        }
    }
}

/// Whether the rate has fallen to next to nothing: the plan of the job has come to its end.
fn ended(curve: &Curve) -> bool {
    let schedule = curve.schedule();
    let (last, _) = curve.last();
    last >= schedule.total().0 && schedule.lr(last) <= ENDED * schedule.peak_lr()
}

/// A job without anything that needs a fit.
fn bare(job: &Job, total: Option<u64>) -> JobStatus {
    let curve = &job.run.curve;
    let (update, loss) = curve.last();
    let options = FitOptions::default();
    let diverged = left_out(std::slice::from_ref(&job.curve), &options)
        .iter()
        .any(|run| run.reason == Unsound::Diverged)
        .then_some(update);
    JobStatus {
        id: curve.meta().id.clone(),
        update,
        loss,
        steps: total,
        finished: total.is_some_and(|total| update >= total) || ended(curve),
        standing: None,
        forecast: None,
        start: None,
        cost_of_now: None,
        anneal_now: None,
        band: None,
        diverged: job.run.health.diverged.or(diverged),
        no_improvement: no_improvement(curve),
        spikes: job.run.health.spikes.clone(),
        level_break: job.run.caveats.iter().find_map(|caveat| match caveat.kind() {
            CaveatKind::LevelBreak { before, after, .. } => Some((*before, *after)),
            _ => None,
        }),
        stalled: None,
        starts: Vec::new(),
        problem: None,
    }
}

fn status(
    request: &WatchRequest,
    fit: Option<&Fit>,
    job: &Job,
    problem: Option<&str>,
) -> (JobStatus, Vec<Caveat>, Option<(Schedule, Forecast)>) {
    let planned = job.curve.schedule().total().0;
    let (last, _) = job.curve.last();
    let total = request.total.or((planned > last).then_some(planned));
    let mut status = bare(job, total);
    let Some(fit) = fit else {
        status.problem = problem.map(str::to_owned);
        return (status, Vec::new(), None);
    };
    let (mut caveats, mut plan) = (Vec::new(), None);
    if let Err(error) = judge(request, fit, job, total, &mut status, &mut caveats, &mut plan) {
        status.problem = Some(error.to_string());
    }
    (status, caveats, plan)
}

/// Adds what a fit says.
fn judge(
    request: &WatchRequest,
    fit: &Fit,
    job: &Job,
    total: Option<u64>,
    status: &mut JobStatus,
    caveats: &mut Vec<Caveat>,
    drawn: &mut Option<(Schedule, Forecast)>,
) -> Result<(), LiveError> {
    let live = Live::new(fit, &job.curve, &request.setting)?;
    let (last, start) = (status.update, &request.start);
    status.standing = Some(live.standing().clone());
    status.band = live.band(total.unwrap_or(last).max(last));
    if status.finished {
        return Ok(());
    }
    // What anneals already goes on as its log plans.
    if live.standing().annealing {
        return Ok(());
    }
    let length = request.anneal_steps.unwrap_or((NOW * last as f64).round() as u64).max(1);
    if let Some(total) = total {
        let planned = job.curve.schedule();
        if planned.total().0 == total && request.total.is_none() {
            let found = live.forecast(planned, &points(last, total))?;
            status.forecast = Some(found.forecast.r#final);
            caveats.extend(found.forecast.caveats.iter().cloned());
            *drawn = Some((planned.clone(), found.forecast));
        } else {
            let starts = live.starts(total, start)?;
            let plan = live.continued(total, starts.anneal, start.shape, start.final_lr)?;
            caveats.extend(live.caveats_until(&plan)?);
            status.forecast = Some(starts.loss);
            status.start = Some(starts.start);
            status.cost_of_now = Some(starts.cost_of_now);
            status.starts = starts.curve;
            let found = live.forecast(&plan, &points(last, total))?;
            *drawn = Some((plan, found.forecast));
        }
    }
    let end = last.saturating_add(length);
    let plan = live.continued(end, length, start.shape, start.final_lr)?;
    let loss = live.forecast(&plan, &[end])?.forecast.r#final;
    status.anneal_now = Some(Ending { start: last, end, loss });
    Ok(())
}

/// Updates of a forecast from now on, as a picture wants them.
fn points(last: u64, total: u64) -> Vec<u64> {
    const POINTS: u64 = 60;
    let mut points: Vec<u64> =
        (0..=POINTS).map(|i| last + (total.saturating_sub(last)) * i / POINTS).filter(|&t| t > 0).collect();
    points.push(total);
    points.dedup();
    points
}

/// What has happened to a job, in words.
fn happened(status: &JobStatus) -> Vec<(EventKind, String)> {
    let mut out = Vec::new();
    if let Some(update) = status.diverged {
        out.push((EventKind::Diverged, format!("the loss rose for good after update {update}")));
    }
    if let Some(band) = status.band.filter(|band| band.left) {
        out.push((
            EventKind::LeavesBand,
            format!(
                "{:.2} % off the law up to update {}, beyond the {:.2} % that a clean run keeps to",
                100.0 * band.largest,
                band.at,
                100.0 * band.limit
            ),
        ));
    }
    if let Some(found) = &status.no_improvement {
        out.push((
            EventKind::NoImprovement,
            format!("mean loss {:.4} since update {}, {:.4} before", found.after, found.since, found.before),
        ));
    }
    if let Some(update) = status.spikes.last() {
        out.push((EventKind::Spike, format!("a spike at update {update}")));
    }
    if let Some((before, after)) = status.level_break {
        out.push((
            EventKind::LevelBreak,
            format!("the loss jumps to another level between updates {before} and {after}"),
        ));
    }
    if let Some(seconds) = status.stalled {
        out.push((EventKind::Stalled, format!("nothing was written for {} minutes", seconds / 60)));
    }
    if status.start.is_some_and(|start| start <= status.update) && !status.finished {
        out.push((EventKind::AnnealNow, "the best start of the annealing has come".to_owned()));
    }
    if status.finished {
        out.push((EventKind::Finished, format!("update {} is reached", status.update)));
    }
    out
}

impl WatchAnswer {
    /// The forecasts of this look, to be kept.
    #[must_use]
    pub fn saved(&self, time: &str, level: Level) -> Vec<SavedForecast> {
        self.jobs
            .iter()
            .filter_map(|job| {
                let (forecast, steps) = (job.forecast?, job.steps?);
                Some(SavedForecast {
                    time: time.to_owned(),
                    job: job.id.clone(),
                    update: job.update,
                    steps,
                    loss: forecast.value,
                    lower: forecast.lower,
                    upper: forecast.upper,
                    level: level.get(),
                    law: self.law.clone(),
                })
            })
            .collect()
    }
}

impl SavedForecast {
    /// As a line of the file that keeps forecasts.
    ///
    /// # Errors
    /// [`Failure`] for a number that JSON cannot hold.
    pub fn line(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string(self)? + "\n")
    }
}

impl WatchEvent {
    /// As one line of JSON, for whoever is told.
    ///
    /// # Errors
    /// [`Failure`] for a text that JSON cannot hold.
    pub fn json(&self) -> Result<String, Failure> {
        Ok(serde_json::to_string(self)?)
    }
}
