//! A running job: its options, and what is said about it.

use crate::export::talk;
use crate::failure::Failure;
use crate::load::{LoadArgs, SplitArg, positive};
use crate::output::{Output, table};
use lehr::live::Standing;
use lehr_app::running::{RunningAnswer, RunningForecastAnswer, RunningForecastRequest, RunningRequest};
use lehr_app::{Reading, export};
use std::path::{Path, PathBuf};

/// Where the job's log is.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Running job")]
pub struct RunningArgs {
    /// The log of a job that is running, of any kind that `lehr inspect` reads: the answer starts from where it stands.
    #[arg(long, value_name = "PATH", num_args = 1..)]
    pub running: Vec<PathBuf>,
    /// Of --running and --measured, takes only runs whose name fits a pattern with `*`, `?` and `[abc]` (repeat, or separate with commas).
    #[arg(long, value_name = "GLOB", value_delimiter = ',')]
    pub run: Vec<String>,
    /// Of --running and --measured, says which column holds what: loss, val_loss, lr, step, … (repeat, or separate with commas).
    #[arg(long, value_name = "ROLE=COLUMN", value_delimiter = ',')]
    pub map: Vec<String>,
    /// Of --running and --measured, takes these losses; default: validation where a run has it.
    #[arg(long, value_enum)]
    pub split: Option<SplitArg>,
    /// The schedule of the job so far, for logs without a learning rate: constant:peak=3e-4,total=24k,warmup=2160 and the like.
    #[arg(long, value_name = "SCHEDULE", requires = "running")]
    pub stated_schedule: Option<String>,
}

impl RunningArgs {
    /// The job's log, if one was given; `warmup` is that of a log that begins after it.
    pub fn job(&self, warmup: Option<u64>) -> Result<Option<Reading>, Failure> {
        (!self.running.is_empty()).then(|| self.reading(&self.running, warmup)).transpose()
    }

    /// Logs of measured runs, if any were given.
    pub fn measured(&self, paths: &[PathBuf]) -> Result<Option<Reading>, Failure> {
        (!paths.is_empty()).then(|| self.reading(paths, None)).transpose()
    }

    fn reading(&self, paths: &[PathBuf], warmup: Option<u64>) -> Result<Reading, Failure> {
        LoadArgs {
            map: self.map.clone(),
            run: self.run.clone(),
            split: self.split,
            stated_schedule: self.stated_schedule.clone(),
            warmup,
            ..LoadArgs::of(paths)
        }
        .reading()
    }
}

/// When to begin to anneal, within `lehr recommend`.
#[derive(Debug, Clone, clap::Args)]
#[command(next_help_heading = "Running job")]
pub struct StartArgs {
    /// With --running: lengths of annealing to compare, now against later (separate with commas).
    #[arg(long, value_name = "UPDATES,…", value_delimiter = ',', value_parser = positive)]
    pub anneal_steps: Vec<u64>,
    /// With --running: starts to look at besides the best (separate with commas).
    #[arg(long, value_name = "UPDATE,…", value_delimiter = ',', value_parser = positive)]
    pub anneal_from: Vec<u64>,
}

impl StartArgs {
    /// Refuses what belongs to a running job where there is none.
    pub fn check(&self, running: &RunningArgs) -> Result<(), Failure> {
        let given = [("anneal_steps", &self.anneal_steps), ("anneal_from", &self.anneal_from)];
        match given.iter().find(|(_, values)| running.running.is_empty() && !values.is_empty()) {
            Some((name, _)) => Err(Failure::usage(format_args!(
                "[[{name}]] is about a job that is running: [[running]] names its log"
            ))
            .hint("`lehr forecast` takes it for a run that has not begun")),
            None => Ok(()),
        }
    }
}

/// Files that an answer is also written to.
pub struct Wanted<'a> {
    pub plot: Option<&'a Path>,
    pub output: Option<&'a Path>,
}

/// Answers when a job should begin to anneal.
pub fn recommend(request: &RunningRequest, wanted: &Wanted<'_>, output: &Output) -> Result<(), Failure> {
    let answer = output.desk().running(request)?;
    let found = &answer.value;
    output.begin(&answer, wanted.output)?;
    if let Some(path) = wanted.plot {
        output.draw(path, found.picture(&request.job.fit))?;
    }
    if output.json {
        output.answer(found)?;
        return output.close(&answer);
    }
    match &found.made {
        None => output.data(&recommend_text(found))?,
        Some(made) => {
            output.say(recommend_text(found));
            talk(made, output);
            output.bytes(export::bytes(made))?;
        }
    }
    output.close(&answer)
}

/// Answers what loss a job will reach.
pub fn forecast(
    request: &RunningForecastRequest,
    wanted: &Wanted<'_>,
    output: &Output,
) -> Result<(), Failure> {
    let answer = output.desk().forecast_running(request)?;
    let found = &answer.value;
    output.begin(&answer, wanted.output)?;
    let picture = found.picture(&request.job.fit);
    let drawing = output.drawing(&picture).filter(|_| request.at.is_empty());
    if let Some(path) = wanted.plot {
        output.draw(path, picture)?;
    }
    if output.json {
        output.answer(found)?;
    } else {
        output.data(&forecast_text(found, !request.at.is_empty(), drawing))?;
    }
    output.close(&answer)
}

/// Where the job stands, in a line or two.
fn standing_text(standing: &Standing, steps: u64) -> String {
    format!(
        "{} has done {} of {steps} updates: measured {:.4}, law {:.4} (means since update {}): off by {:+.1} mnat, {} ±{:.1}\n",
        standing.id,
        standing.update,
        standing.measured,
        standing.law,
        standing.window_from,
        1e3 * standing.residual,
        if standing.inside { "inside" } else { "OUTSIDE" },
        1e3 * standing.half_width,
    )
}

fn carry_text(carry: &lehr::live::Carry, law: f64) -> String {
    if carry.runs == 0 {
        return format!(
            "the law alone says the same ({law:.4}): too few runs were left out to say what of the job's offset lasts\n"
        );
    }
    format!(
        "the law alone says {law:.4}; {:.0} % of the job's offset is carried to the end, as {} left-out runs suggest\n",
        100.0 * carry.share,
        carry.runs
    )
}

fn recommend_text(found: &RunningAnswer) -> String {
    let percent = (100.0 * found.level).round();
    let starts = &found.starts;
    let mut out = format!(
        "start annealing after update {} (last {} of {} updates, ratio {:.3}): loss {:.4} ({:.4} … {:.4}, {percent} %)\n",
        starts.start,
        starts.anneal,
        found.steps,
        starts.ratio,
        starts.loss.value,
        starts.loss.lower,
        starts.loss.upper
    );
    out.push_str(&standing_text(&found.standing, found.steps));
    out.push_str(&format!(
        "starts from {} to {} end within {:.1} mnat of the best ({percent} % interval of the best start: {} … {}); starting now costs {:.1} mnat\n",
        starts.plateau.0,
        starts.plateau.1,
        1e3 * starts.tolerance,
        starts.interval.0,
        starts.interval.1,
        1e3 * starts.cost_of_now
    ));
    out.push_str(&carry_text(&found.carry, found.law.value));
    if let Some(planned) = &found.planned {
        out.push_str(&format!(
            "as its log plans it, it ends at update {} with the loss {:.4} ({:.4} … {:.4})\n",
            planned.end, planned.loss.value, planned.loss.lower, planned.loss.upper
        ));
    }
    let mut rows =
        table(["annealing over", "now: ends at", "loss", "wait until", "loss", "waiting gains mnat"]);
    for row in &found.anneal {
        let wait = row.wait;
        rows.add_row([
            row.anneal.to_string(),
            row.now.end.to_string(),
            format!("{:.4}", row.now.loss.value),
            wait.map_or_else(String::new, |wait| wait.start.to_string()),
            wait.map_or_else(String::new, |wait| format!("{:.4}", wait.loss.value)),
            row.gain.map_or_else(String::new, |gain| format!("{:+.1}", 1e3 * gain)),
        ]);
    }
    out.push_str(&format!("\n{rows}\n"));
    for ending in &found.from {
        out.push_str(&format!(
            "annealing from update {}: loss {:.4} ({:.4} … {:.4}), {:+.1} mnat from the best start\n",
            ending.start,
            ending.loss.value,
            ending.loss.lower,
            ending.loss.upper,
            1e3 * (ending.loss.value - starts.loss.value)
        ));
    }
    if !found.longer.is_empty() {
        let mut rows = table(["with a budget of", "start after", "loss", "gains mnat"]);
        for longer in &found.longer {
            rows.add_row([
                longer.total.to_string(),
                longer.start.to_string(),
                format!("{:.4}", longer.loss.value),
                format!("{:+.1}", 1e3 * longer.gain),
            ]);
        }
        out.push_str(&format!("\n{rows}\n"));
    }
    out
}

fn forecast_text(found: &RunningForecastAnswer, every: bool, drawing: Option<String>) -> String {
    let percent = (100.0 * found.level).round();
    let total = found.plan.total().0;
    let mut out = format!(
        "loss at update {}: {:.4} nats per token ({:.4} … {:.4}, {percent} %)\n",
        found.update.last().copied().unwrap_or(total),
        found.last.value,
        found.last.lower,
        found.last.upper
    );
    out.push_str(&standing_text(&found.standing, total));
    out.push_str(&carry_text(&found.carry, found.law.value));
    out.push_str(&format!("{}\n\n", found.plan));
    if let Some(drawing) = drawing {
        out.push_str(&drawing);
        out.push('\n');
    }
    let mut rows = table(["update", "rate", "loss", "interval"]);
    let n = found.update.len();
    let shown: Vec<usize> =
        if every || n <= 12 { (0..n).collect() } else { (1..=10).map(|i| (n - 1) * i / 10).collect() };
    for i in shown {
        rows.add_row([
            found.update[i].to_string(),
            format!("{:.3e}", found.lr[i]),
            format!("{:.4}", found.loss[i]),
            format!("{:.4} … {:.4}", found.lower[i], found.upper[i]),
        ]);
    }
    out.push_str(&format!("{rows}\n"));
    out
}
