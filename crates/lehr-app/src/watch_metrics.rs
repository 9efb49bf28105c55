//! Watched jobs as numbers for a monitoring system: the text format of Prometheus, version 0.0.4.

use crate::watch::{EventKind, JobStatus, WatchAnswer};
use std::fmt::Write as _;

/// A label's value: the format escapes backslash, quote and line end.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// One gauge: name, what it is, and its value of a job, where it has one.
type Gauge = (&'static str, &'static str, fn(&JobStatus) -> Option<f64>);

const GAUGES: [Gauge; 11] = [
    ("lehr_job_update", "Last measured update.", |job| Some(job.update as f64)),
    ("lehr_job_horizon_updates", "Horizon of the job, in updates.", |job| job.steps.map(|t| t as f64)),
    ("lehr_job_loss_nats", "Last measured loss, nats per token.", |job| Some(job.loss)),
    ("lehr_job_off_law_nats", "Mean measured loss less that of the law, nats per token.", |job| {
        job.standing.as_ref().map(|standing| standing.residual)
    }),
    ("lehr_job_forecast_loss_nats", "Forecast loss at the horizon, nats per token.", |job| {
        job.forecast.map(|f| f.value)
    }),
    ("lehr_job_forecast_lower_nats", "Lower end of the interval of the forecast.", |job| {
        job.forecast.map(|f| f.lower)
    }),
    ("lehr_job_forecast_upper_nats", "Upper end of the interval of the forecast.", |job| {
        job.forecast.map(|f| f.upper)
    }),
    ("lehr_job_best_start_update", "Update at which the annealing best begins.", |job| {
        job.start.map(|start| start as f64)
    }),
    ("lehr_job_anneal_now_cost_nats", "What annealing from now on costs against the best start.", |job| {
        job.cost_of_now
    }),
    ("lehr_job_anneal_now_loss_nats", "Forecast loss after an annealing that begins now.", |job| {
        job.anneal_now.as_ref().map(|now| now.loss.value)
    }),
    ("lehr_job_spikes", "Spikes of the loss so far.", |job| Some(job.spikes.len() as f64)),
];

/// Whether an event holds for a job now.
fn holds(job: &JobStatus, kind: EventKind) -> bool {
    match kind {
        EventKind::Diverged => job.diverged.is_some(),
        EventKind::LeavesBand => job.band.is_some_and(|band| band.left),
        EventKind::NoImprovement => job.no_improvement.is_some(),
        EventKind::Spike => !job.spikes.is_empty(),
        EventKind::LevelBreak => job.level_break.is_some(),
        EventKind::Stalled => job.stalled.is_some(),
        EventKind::AnnealNow => job.start.is_some_and(|start| start <= job.update) && !job.finished,
        EventKind::Finished => job.finished,
    }
}

/// The jobs of a look, a number a line. Numbers that a job does not have are left out. `looks` counts the looks so far; `seconds`
/// is the time of this one since 1970.
#[must_use]
pub fn metrics(found: &WatchAnswer, looks: u64, seconds: f64) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail.
    let head = |out: &mut String, name: &str, kind: &str, help: &str| {
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    };
    head(&mut out, "lehr_looks_total", "counter", "Looks at the jobs so far.");
    let _ = writeln!(out, "lehr_looks_total {looks}");
    head(&mut out, "lehr_last_look_timestamp_seconds", "gauge", "Time of the last look.");
    let _ = writeln!(out, "lehr_last_look_timestamp_seconds {seconds}");
    head(&mut out, "lehr_jobs", "gauge", "Jobs watched.");
    let _ = writeln!(out, "lehr_jobs {}", found.jobs.len());
    for (name, help, value) in GAUGES {
        head(&mut out, name, "gauge", help);
        for job in &found.jobs {
            if let Some(value) = value(job).filter(|value| value.is_finite()) {
                let _ = writeln!(out, "{name}{{job=\"{}\"}} {value}", label(&job.id));
            }
        }
    }
    head(&mut out, "lehr_job_event", "gauge", "Whether an event holds for a job: 1 or 0.");
    for job in &found.jobs {
        for kind in EventKind::ALL {
            let holds = u8::from(holds(job, kind));
            let _ = writeln!(
                out,
                "lehr_job_event{{job=\"{}\",event=\"{}\"}} {holds}",
                label(&job.id),
                kind.name()
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(id: &str) -> JobStatus {
        JobStatus {
            id: id.to_owned(),
            update: 1200,
            loss: 3.25,
            steps: Some(5000),
            finished: false,
            standing: None,
            forecast: None,
            start: Some(1000),
            cost_of_now: Some(0.002),
            anneal_now: None,
            band: None,
            diverged: None,
            no_improvement: None,
            spikes: vec![700],
            level_break: None,
            stalled: Some(7200),
            starts: Vec::new(),
            problem: None,
        }
    }

    #[test]
    fn jobs_are_numbers_and_their_names_break_out_of_no_label() {
        let found = WatchAnswer {
            law: "noise-relaxation".to_owned(),
            runs: 3,
            given: true,
            jobs: vec![job("plain"), job("a\"} 1\nevil{x=\"\\")],
            events: Vec::new(),
            caveats: Vec::new(),
            views: Vec::new(),
            fit: None,
        };
        let text = metrics(&found, 4, 1.5);
        for line in [
            "lehr_looks_total 4",
            "lehr_last_look_timestamp_seconds 1.5",
            "lehr_jobs 2",
            "lehr_job_update{job=\"plain\"} 1200",
            "lehr_job_loss_nats{job=\"plain\"} 3.25",
            "lehr_job_anneal_now_cost_nats{job=\"plain\"} 0.002",
            "lehr_job_event{job=\"plain\",event=\"stalled\"} 1",
            "lehr_job_event{job=\"plain\",event=\"anneal-now\"} 1",
            "lehr_job_event{job=\"plain\",event=\"diverged\"} 0",
            "lehr_job_update{job=\"a\\\"} 1\\nevil{x=\\\"\\\\\"} 1200",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
        // What a job does not have is no number.
        assert!(!text.contains("lehr_job_forecast_loss_nats{"), "{text}");
        assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("lehr_")), "{text}");
    }
}
