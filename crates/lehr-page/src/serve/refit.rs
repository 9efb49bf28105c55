//! A fit while the client watches: progress line by line, and an end as soon as it goes away.

use super::State;
use super::answers::fit_law;
use super::respond::{Refused, said};
use super::shelf::Item;
use axum::http::StatusCode;
use lehr::Law;
use lehr::pattern_of;
use lehr_app::fit::FitRequest;
use lehr_app::{Desk, Event, Failure, Observer, Reading, laws};
use serde_json::{Value, json};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::mpsc;

/// What is to be fitted.
pub(super) struct Refit {
    pub name: String,
    pub files: lehr_app::Files,
    pub reading: Reading,
    pub law: &'static dyn Law,
    pub options: lehr::fit::FitOptions,
}

/// What a request for a fit says: `{"data": …}` or `{"tray": …}`, `"runs"` to keep, `"law"`.
pub(super) fn asked(state: &State, bytes: &[u8]) -> Result<Refit, Refused> {
    let wrong = |what: String| Refused::from(Failure::usage(what));
    let asked: Value =
        serde_json::from_slice(bytes).map_err(|error| wrong(format!("the request is no JSON: {error}")))?;
    let Value::Object(fields) = &asked else {
        return Err(wrong("the request is no JSON object".to_owned()));
    };
    if let Some(other) = fields.keys().find(|key| !["data", "tray", "runs", "law"].contains(&key.as_str())) {
        return Err(wrong(format!("'{other}' is not known here; expected data, tray, runs, law")));
    }
    let text = |name: &str| match fields.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(wrong(format!("'{name}' is no text"))),
    };
    let law = text("law")?.map(laws::named).transpose()?;
    let mut runs = Vec::new();
    match fields.get("runs") {
        None | Some(Value::Null) => {}
        Some(Value::Array(names)) => {
            for name in names {
                let name = name
                    .as_str()
                    .ok_or_else(|| wrong("'runs' holds something that is no text".to_owned()))?;
                runs.push(name.to_owned());
            }
            if runs.is_empty() {
                return Err(wrong("no run is left to fit".to_owned()));
            }
        }
        Some(_) => return Err(wrong("'runs' is no list".to_owned())),
    }
    match (text("data")?, text("tray")?) {
        (Some(_), Some(_)) => Err(wrong("'data' and 'tray' exclude each other".to_owned())),
        (data, None) => {
            let item = state
                .shelf
                .item(data)
                .map_err(|failure| Refused { status: StatusCode::NOT_FOUND, ..failure.into() })?;
            let Some(reading) = &item.reading else {
                return Err(Failure::new("only the fit is here, not its runs")
                    .hint("start the server with the runs, or drop their logs onto the page")
                    .into());
            };
            let mut reading = reading.clone();
            if !runs.is_empty() {
                reading.options.runs = runs.iter().map(|name| pattern_of(name)).collect();
            }
            let law = law.map_or_else(|| fit_law(&item.fit), Ok)?;
            let name = item.name.clone();
            Ok(Refit { name, files: item.files.clone(), reading, law, options: item.options.clone() })
        }
        (None, Some(tray)) => {
            let files = state
                .shelf
                .take_tray(tray)
                .map_err(|failure| Refused { status: StatusCode::NOT_FOUND, ..failure.into() })?;
            let mut reading = Reading::of(["."]);
            reading.options.runs = runs.iter().map(|name| pattern_of(name)).collect();
            let law = law.unwrap_or(lehr::law::all()[0]);
            Ok(Refit {
                name: "dropped files".to_owned(),
                files,
                reading,
                law,
                options: lehr::fit::FitOptions::default(),
            })
        }
    }
}

/// Hears of progress and knows whether the client is still there.
struct Watcher {
    lines: mpsc::UnboundedSender<Value>,
    gone: Arc<AtomicBool>,
    last_files: std::sync::atomic::AtomicUsize,
}

impl Observer for Watcher {
    fn hear(&self, event: Event<'_>) {
        let line = match event {
            Event::Reading { files, of_files, runs } => {
                // One line a percent is enough.
                let before = self.last_files.swap(files, Ordering::Relaxed);
                if files != of_files
                    && files * 100 / of_files.max(1) == before * 100 / of_files.max(1)
                    && files != 0
                {
                    return;
                }
                json!({ "event": "reading", "files": files, "of_files": of_files, "runs": runs })
            }
            Event::Begun(what) => json!({ "event": "begun", "what": what }),
            _ => return,
        };
        // Whoever went away does not hear it.
        let _ = self.lines.send(line);
    }

    fn cancelled(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }
}

/// The lines of a fit as a body; dropping it, which is what happens when the client goes away, stops the fit.
pub(super) struct Lines {
    lines: mpsc::UnboundedReceiver<Value>,
    gone: Arc<AtomicBool>,
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.gone.store(true, Ordering::Relaxed);
    }
}

impl hyper::body::Body for Lines {
    type Data = hyper::body::Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<hyper::body::Frame<Self::Data>, Self::Error>>> {
        self.lines.poll_recv(context).map(|line| {
            line.map(|line| Ok(hyper::body::Frame::data(hyper::body::Bytes::from(format!("{line}\n")))))
        })
    }
}

fn failed(failure: &Failure) -> Value {
    json!({ "event": "failed", "error": said(failure.message()), "hint": failure.remedy().map(said) })
}

/// Begins a fit. Every few moments a line says that it goes on: where nobody takes the line, nobody is there.
pub(super) fn begin(state: Arc<State>, refit: Refit) -> Lines {
    let (sender, lines) = mpsc::unbounded_channel();
    let gone = Arc::new(AtomicBool::new(false));
    let heartbeat = (sender.clone(), Arc::clone(&gone));
    let (done_sender, mut done) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(async move {
        let begun = Instant::now();
        loop {
            tokio::select! {
                _ = &mut done => return,
                () = tokio::time::sleep(std::time::Duration::from_millis(400)) => {}
            }
            let line = json!({ "event": "working", "seconds": begun.elapsed().as_secs_f64() });
            if heartbeat.0.send(line).is_err() || heartbeat.1.load(Ordering::Relaxed) {
                return;
            }
        }
    });
    let observer = Arc::new(Watcher { lines: sender.clone(), gone: Arc::clone(&gone), last_files: 0.into() });
    let left = Arc::clone(&gone);
    tokio::spawn(async move {
        let _ = sender.send(json!({ "event": "waiting" }));
        let Ok(permit) = state.fits.acquire().await else { return };
        if !left.load(Ordering::Relaxed) {
            let shared = Arc::clone(&state);
            let work = tokio::task::spawn_blocking(move || fit(&shared, refit, observer));
            let line = match work.await {
                Ok(Ok(item)) => {
                    json!({ "event": "done", "data": item.id, "name": item.name, "caveats": item.fit.caveats })
                }
                Ok(Err(failure)) => failed(&failure),
                Err(_) => failed(&Failure::new("the fit ended in a fault of lehr")),
            };
            let _ = sender.send(line);
        }
        drop(permit);
        let _ = done_sender.send(());
    });
    Lines { lines, gone }
}

fn fit(state: &State, refit: Refit, observer: Arc<Watcher>) -> Result<Arc<Item>, Failure> {
    let desk = Desk::new(refit.files.clone()).limited(state.limits).observed(observer);
    let answer = desk.fit(&FitRequest {
        reading: refit.reading.clone(),
        law: refit.law,
        options: refit.options.clone(),
        profile: false,
        bootstrap: None,
    })?;
    state.shelf.put(Item {
        id: String::new(),
        name: refit.name,
        fit: Arc::new(answer.value.fit),
        curves: answer.value.curves,
        reading: Some(refit.reading),
        files: refit.files,
        options: refit.options,
    })
}
