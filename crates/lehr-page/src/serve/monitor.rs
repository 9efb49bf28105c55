//! Watched jobs as a page, as numbers for a monitoring system, and as the document of `lehr watch --json`.
//!
//! Everything that the page shows was made when the jobs were looked at last; its script only asks for it again.

use super::respond::{Refused, at_the_door, only, response};
use super::{Guard, ServeOptions, accept, listen};
use crate::escape::html;
use crate::report::figure::{WIDTHS, element};
use crate::report::html::STYLE;
use crate::report::said;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use lehr_app::watch::{JobStatus, JobView, WatchAnswer, WatchEvent};
use lehr_app::{Failure, documents, pictures, watch_metrics};
use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Events that are shown, the latest first.
const EVENTS: usize = 50;
/// Jobs that are drawn; more are lines of the table.
const DRAWN: usize = 12;
/// Heights of the two drawings of a job, as wide as those of a report.
const HEIGHTS: (f64, f64) = (420.0, 400.0);

/// What is served, made at every look.
#[derive(Debug, Default)]
struct Shown {
    looks: u64,
    page: Option<String>,
    metrics: String,
    document: String,
    events: VecDeque<(String, WatchEvent)>,
}

/// The last look at the jobs, shared between who looks and who serves.
#[derive(Debug, Clone, Default)]
pub struct Monitor(Arc<Mutex<Shown>>);

impl Monitor {
    /// Takes a look at the jobs, its time in words and in seconds since 1970.
    ///
    /// # Errors
    /// [`Failure`] for a value that JSON cannot hold.
    pub fn tell(&self, found: &WatchAnswer, time: &str, seconds: f64) -> Result<(), Failure> {
        let document = documents::text(found)?;
        let figures = figures(found);
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        shown.looks += 1;
        for event in &found.events {
            shown.events.push_front((time.to_owned(), event.clone()));
        }
        shown.events.truncate(EVENTS);
        shown.page = Some(page(found, time, &shown.events, &figures));
        shown.metrics = watch_metrics::metrics(found, shown.looks, seconds);
        shown.document = document;
        Ok(())
    }
}

/// Serves the jobs on threads of its own and returns the address to open.
///
/// # Errors
/// [`Failure`] where the address cannot be listened on.
pub fn watch(monitor: &Monitor, options: &ServeOptions) -> Result<String, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    let (listener, guard, url) = runtime.block_on(listen(options))?;
    let shown = Arc::clone(&monitor.0);
    std::thread::spawn(move || {
        // It ends with the process.
        let _ = runtime.block_on(accept(listener, router(guard, shown)));
    });
    Ok(url)
}

fn router(guard: Guard, shown: Arc<Mutex<Shown>>) -> Router {
    let guard = Arc::new(guard);
    Router::new().fallback(move |request: Request| {
        let (guard, shown) = (Arc::clone(&guard), Arc::clone(&shown));
        async move { door(&guard, &shown, &request) }
    })
}

fn door(guard: &Guard, shown: &Mutex<Shown>, request: &Request) -> Response {
    let (method, path) = (request.method(), request.uri().path());
    if let Some(response) = at_the_door(guard, method, request.headers(), path, request.uri().query()) {
        return response;
    }
    let gets = *method == Method::GET || *method == Method::HEAD;
    only(gets, "GET, HEAD", || page_of(path, shown)).unwrap_or_else(|refused| refused.response())
}

fn page_of(path: &str, shown: &Mutex<Shown>) -> Result<Response, Refused> {
    let ok = |kind: &str, text: String| Ok(response(StatusCode::OK, kind, Body::from(text)));
    let shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
    match (path, &shown.page) {
        ("/page.css", _) => ok("text/css; charset=utf-8", STYLE.to_owned()),
        ("/monitor.js", _) => {
            ok("text/javascript; charset=utf-8", include_str!("../assets/monitor.js").to_owned())
        }
        ("/favicon.svg", _) => ok("image/svg+xml", include_str!("../assets/favicon.svg").to_owned()),
        ("/", None) => ok("text/html; charset=utf-8", waiting()),
        ("/", Some(page)) => ok("text/html; charset=utf-8", page.clone()),
        ("/metrics" | "/api/v1/watch", None) => {
            Err(Refused::new(StatusCode::SERVICE_UNAVAILABLE, "the jobs were not looked at yet"))
        }
        ("/metrics", Some(_)) => ok("text/plain; version=0.0.4; charset=utf-8", shown.metrics.clone()),
        ("/api/v1/watch", Some(_)) => ok("application/json", shown.document.clone()),
        _ => Err(Refused::new(StatusCode::NOT_FOUND, "there is /, /metrics and /api/v1/watch")),
    }
}

fn frame(title: &str, body: &str) -> String {
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n\
         <title>{title}</title>\n<link rel=\"icon\" href=\"/favicon.svg\" type=\"image/svg+xml\">\n\
         <link rel=\"stylesheet\" href=\"/page.css\">\n<script src=\"/monitor.js\" defer></script>\n</head>\n\
         <body>\n<main id=\"main\">\n{body}</main>\n</body>\n</html>\n"
    )
}

fn waiting() -> String {
    frame("lehr: jobs", "<h1>Running jobs</h1>\n<p>The jobs are being read for the first time.</p>\n")
}

/// What is wrong with a job, or what it does.
fn state(job: &JobStatus) -> String {
    let mut out: Vec<String> = Vec::new();
    let mut add = |holds: bool, word: &str| {
        if holds {
            out.push(word.to_owned());
        }
    };
    add(job.diverged.is_some(), "diverged");
    add(job.band.is_some_and(|band| band.left), "left its band");
    add(job.no_improvement.is_some(), "no improvement");
    add(job.level_break.is_some(), "level break");
    add(job.stalled.is_some(), "stalled");
    add(!job.spikes.is_empty(), "spikes");
    add(job.start.is_some_and(|start| start <= job.update) && !job.finished, "anneal now");
    add(job.finished, "finished");
    if let Some(problem) = &job.problem {
        out.push(said(problem));
    }
    if out.is_empty() { "as forecast".to_owned() } else { out.join(", ") }
}

fn row(job: &JobStatus) -> String {
    let number = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    format!(
        "<tr><th scope=\"row\">{}</th><td>{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{:.4}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td><td class=\"num\">{}</td></tr>\n",
        html(&job.id),
        html(&state(job)),
        job.update,
        number(job.steps.map(|steps| steps.to_string())),
        job.loss,
        number(job.standing.as_ref().map(|standing| format!("{:+.1}", 1e3 * standing.residual))),
        number(job.forecast.map(|f| format!("{:.4} ({:.4} … {:.4})", f.value, f.lower, f.upper))),
        number(job.start.map(|start| start.to_string())),
        number(job.cost_of_now.map(|cost| format!("{:.1}", 1e3 * cost))),
    )
}

/// The forecast of every job, drawn.
fn figures(found: &WatchAnswer) -> Vec<String> {
    let Some(fit) = &found.fit else { return Vec::new() };
    found
        .jobs
        .iter()
        .zip(&found.views)
        .enumerate()
        .filter_map(|(i, (job, JobView { curve, plan }))| {
            let (plan, forecast) = plan.as_ref()?;
            let picture = pictures::forecast(fit, plan, forecast, std::slice::from_ref(curve));
            let figure = element(
                &format!("job-{i}"),
                &picture.page(WIDTHS.0, HEIGHTS.0),
                &picture.page(WIDTHS.1, HEIGHTS.1),
            );
            Some(format!(
                "<section aria-labelledby=\"job-title-{i}\">\n<h2 id=\"job-title-{i}\">{}</h2>\n<p>{}</p>\n{figure}</section>\n",
                html(&job.id),
                html(&words(job)),
            ))
        })
        .take(DRAWN)
        .collect()
}

/// The answer about one job, in a sentence or two.
fn words(job: &JobStatus) -> String {
    let mut out = String::new();
    if let (Some(f), Some(steps)) = (job.forecast, job.steps) {
        let _ =
            write!(out, "At update {steps} it reaches {:.4} ({:.4} … {:.4}). ", f.value, f.lower, f.upper);
    }
    match (job.start, job.cost_of_now) {
        (Some(start), Some(cost)) if start > job.update => {
            let _ = write!(
                out,
                "Its annealing best begins at update {start}; beginning now costs {:.1} mnat (10⁻³ nats per token). ",
                1e3 * cost
            );
        }
        (Some(_), _) => out.push_str("The best start of its annealing is now. "),
        _ => {}
    }
    if let Some(now) = &job.anneal_now {
        let _ = write!(
            out,
            "Annealed from now on over {} updates it reaches {:.4}.",
            now.end.saturating_sub(now.start),
            now.loss.value
        );
    }
    out
}

fn page(
    found: &WatchAnswer,
    time: &str,
    events: &VecDeque<(String, WatchEvent)>,
    figures: &[String],
) -> String {
    let mut out = String::new();
    let source = match (found.runs, found.given) {
        (0, _) => "No law fits the jobs yet.".to_owned(),
        (runs, true) => format!("Law {}, from the fit given ({runs} runs).", html(&found.law)),
        (runs, false) => format!("Law {}, fitted to the jobs themselves ({runs} runs).", html(&found.law)),
    };
    let _ = write!(out, "<h1>Running jobs</h1>\n<p class=\"note\">Looked at {}. {source}</p>\n", html(time));
    if !found.caveats.is_empty() {
        out.push_str("<ul class=\"caveats\">\n");
        for caveat in found.caveats.iter().take(5) {
            let _ = writeln!(out, "<li>{}</li>", html(&said(&crate::report::advised(caveat))));
        }
        out.push_str("</ul>\n");
    }
    out.push_str(
        "<div class=\"scroll\" tabindex=\"0\" role=\"region\" aria-label=\"Jobs\"><table><thead><tr><th scope=\"col\">job</th><th scope=\"col\">state</th><th scope=\"col\" class=\"num\">update</th><th scope=\"col\" class=\"num\">of</th><th scope=\"col\" class=\"num\">loss</th><th scope=\"col\" class=\"num\">off the law, mnat</th><th scope=\"col\" class=\"num\">will end at</th><th scope=\"col\" class=\"num\">best start</th><th scope=\"col\" class=\"num\">now costs, mnat</th></tr></thead>\n<tbody>\n",
    );
    found.jobs.iter().for_each(|job| out.push_str(&row(job)));
    out.push_str("</tbody></table></div>\n");
    if !events.is_empty() {
        out.push_str("<section aria-labelledby=\"events\">\n<h2 id=\"events\">Events</h2>\n<ul>\n");
        for (time, event) in events {
            let _ = writeln!(
                out,
                "<li><time>{}</time> <strong>{}</strong> {} at update {}: {}</li>",
                html(time),
                event.event.name(),
                html(&event.job),
                event.update,
                html(&said(&event.message))
            );
        }
        out.push_str("</ul>\n</section>\n");
    }
    figures.iter().for_each(|figure| out.push_str(figure));
    frame("lehr: jobs", &out)
}
