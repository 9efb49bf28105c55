//! Requests in, documents out. One function dispatches, so that nothing is served that is not listed here.

use super::index::{FILES, HEADERS};
use super::query::{Query, TARGET};
use super::refit::{Refit, begin, said};
use super::shelf::Item;
use super::{State, body};
use crate::report::{ReportFormat, figure_json, render};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use lehr::fit::Fit;
use lehr_app::documents::{Document, value};
use lehr_app::explore::{ExploreAnswer, ExploreRequest};
use lehr_app::export::ExportAnswer;
use lehr_app::recommend::RecommendAnswer;
use lehr_app::report::{ReportRequest, usual_target};
use lehr_app::{Answer, Failure, FailureKind, Reading, laws};
use lehr_report::{PageFigure, PictureStyle};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// A body must arrive within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer may wait for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of a request that is no file.
const REQUEST: usize = 256 << 10;
/// Most bytes of answers that are kept.
const KEPT: usize = 24 << 20;
/// Most recommendations that are kept.
const KEPT_RECOMMENDATIONS: usize = 256;

/// An answer as bytes.
#[derive(Debug, Clone)]
struct Made {
    kind: &'static str,
    bytes: hyper::body::Bytes,
    /// A file name, for answers that are saved.
    name: Option<String>,
}

impl Made {
    fn json(document: &Value) -> Self {
        Self { kind: "application/json", bytes: document.to_string().into(), name: None }
    }

    fn file(kind: &'static str, name: impl Into<String>, bytes: Vec<u8>) -> Self {
        Self { kind, bytes: bytes.into(), name: Some(name.into()) }
    }
}

#[derive(Debug, Default)]
struct Kept {
    made: HashMap<String, Made>,
    order: std::collections::VecDeque<String>,
    bytes: usize,
    recommended: HashMap<String, Arc<Answer<RecommendAnswer>>>,
    recommended_order: std::collections::VecDeque<String>,
}

/// Answers that were given, so that many who move the same slider cost one. Both parts are bounded; the oldest go.
#[derive(Debug, Default)]
pub(crate) struct Cache(Mutex<Kept>);

impl Cache {
    fn get(&self, key: &str) -> Option<Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).made.get(key).cloned()
    }

    fn put(&self, key: String, made: &Made) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if made.bytes.len() > KEPT / 8 || kept.made.contains_key(&key) {
            return;
        }
        kept.bytes += made.bytes.len();
        kept.order.push_back(key.clone());
        kept.made.insert(key, made.clone());
        while kept.bytes > KEPT {
            let Some(oldest) = kept.order.pop_front() else { break };
            if let Some(gone) = kept.made.remove(&oldest) {
                kept.bytes -= gone.bytes.len();
            }
        }
    }

    fn recommended(&self, key: &str) -> Option<Arc<Answer<RecommendAnswer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recommended.get(key).cloned()
    }

    fn keep(&self, key: String, answer: &Arc<Answer<RecommendAnswer>>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.recommended.insert(key.clone(), Arc::clone(answer)).is_none() {
            kept.recommended_order.push_back(key);
        }
        while kept.recommended_order.len() > KEPT_RECOMMENDATIONS {
            let Some(oldest) = kept.recommended_order.pop_front() else { break };
            kept.recommended.remove(&oldest);
        }
    }
}

/// What a request that is not answered gets.
struct Refused {
    status: StatusCode,
    error: String,
    hint: Option<String>,
}

impl Refused {
    fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: None }
    }

    fn response(&self) -> Response {
        let document = json!({ "schema": "lehr.api-error/1", "error": self.error, "hint": self.hint });
        response(self.status, "application/json", body(document.to_string()))
    }
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = match failure.kind() {
            FailureKind::Request => StatusCode::BAD_REQUEST,
            FailureKind::Interrupted => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::UNPROCESSABLE_ENTITY,
        };
        Self { status, error: said(failure.message()), hint: failure.remedy().map(said) }
    }
}

fn response(status: StatusCode, kind: &str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    if let Ok(kind) = kind.parse() {
        headers.insert(header::CONTENT_TYPE, kind);
    }
    response
}

fn made(made: Made) -> Response {
    let mut response = response(StatusCode::OK, made.kind, Body::from(made.bytes));
    if let Some(name) = made.name
        && let Ok(value) = format!("attachment; filename=\"{name}\"").parse()
    {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

/// The router: every request goes through one door.
pub(super) fn router(state: Arc<State>) -> Router {
    Router::new().fallback(move |request: Request| {
        let state = Arc::clone(&state);
        async move { door(state, request).await }
    })
}

async fn door(state: Arc<State>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let query = parts.uri.query().map(str::to_owned);
    if let Err(refusal) = state.guard.check(&parts.method, &parts.headers, query.as_deref()) {
        return Refused::new(refusal.status, refusal.why).response();
    }
    let path = parts.uri.path().to_owned();
    // The first page, asked for with the token: it becomes a cookie and leaves the address.
    if path == "/"
        && let Some(cookie) = state.guard.cookie(query.as_deref())
        && let Ok(cookie) = cookie.parse()
    {
        let mut response = response(StatusCode::SEE_OTHER, "text/plain", Body::empty());
        response.headers_mut().insert(header::SET_COOKIE, cookie);
        response.headers_mut().insert(header::LOCATION, header::HeaderValue::from_static("/"));
        return response;
    }
    match answer(state, &parts.method, &path, query, body).await {
        Ok(response) => response,
        Err(refused) => refused.response(),
    }
}

/// Paths that answer with a document made of a query.
type Make = fn(&State, &Query) -> Result<Made, Refused>;

/// Path, words that it takes besides `data`, how often `pin` may stand there, whether the answer is kept, and what makes it.
const MADE: [(&str, &[&str], bool, Make); 9] = [
    ("/api/v1/data", &["data"], false, data),
    ("/api/v1/view", &VIEW, true, view),
    ("/api/v1/explore", &TARGET, false, explored),
    ("/api/v1/forecast", &TARGET, false, forecast),
    ("/api/v1/recommend", &TARGET, false, recommended),
    ("/api/v1/export", &EXPORT, false, export),
    ("/api/v1/figure", &FIGURE, false, figure),
    ("/api/v1/report", &TARGET, false, report),
    ("/api/v1/fit", &["data"], false, fit_file),
];

const fn with<const N: usize>(more: &[&'static str]) -> [&'static str; N] {
    let mut all = [""; N];
    let mut i = 0;
    while i < N {
        all[i] = if i < TARGET.len() { TARGET[i] } else { more[i - TARGET.len()] };
        i += 1;
    }
    all
}

const VIEW: [&str; 11] = with(&["width", "hidden"]);
const EXPORT: [&str; 10] = with(&["to"]);
const FIGURE: [&str; 11] = with(&["figure", "format"]);

async fn answer(
    state: Arc<State>,
    method: &Method,
    path: &str,
    query: Option<String>,
    body: Body,
) -> Result<Response, Refused> {
    let gets = *method == Method::GET || *method == Method::HEAD;
    if let Some((_, kind, text)) = FILES.iter().find(|(file, ..)| *file == path) {
        return only(gets, "GET, HEAD", || Ok(response(StatusCode::OK, kind, Body::from(*text))));
    }
    if path == "/api/v1/openapi.json" {
        return only(gets, "GET, HEAD", || Ok(made(Made::json(&super::openapi()))));
    }
    if let Some((_, known, keep, make)) = MADE.iter().find(|(made, ..)| *made == path) {
        if !gets {
            return only(false, "GET, HEAD", || Ok(Response::default()));
        }
        let key = format!("{path}?{}", query.as_deref().unwrap_or_default());
        if let Some(kept) = state.cache.get(&key).filter(|_| *keep) {
            return Ok(made(kept));
        }
        let query = Query::read(query.as_deref(), known, &["pin", "hide"])?;
        let answered = in_turn(Arc::clone(&state), move |state| make(state, &query)).await?;
        if *keep {
            state.cache.put(key, &answered);
        }
        return Ok(made(answered));
    }
    let posts = *method == Method::POST;
    match path {
        "/api/v1/files" => {
            if !posts {
                return only(false, "POST", || Ok(Response::default()));
            }
            let query = Query::read(query.as_deref(), &["tray", "name"], &[])?;
            let name = query.text("name").ok_or_else(|| Failure::usage("the file needs a name"))?;
            if let Some(tray) = query.text("tray").filter(|tray| !state.shelf.holds(tray)) {
                return Err(Refused::new(StatusCode::NOT_FOUND, format!("no tray '{tray}' is held here")));
            }
            let bytes = received(body, state.upload).await?;
            let tray = state.shelf.drop_file(query.text("tray"), name, bytes.to_vec(), state.upload)?;
            Ok(made(Made::json(&json!({ "schema": "lehr.tray/1", "tray": tray }))))
        }
        "/api/v1/fits" => {
            if !posts {
                return only(false, "POST", || Ok(Response::default()));
            }
            Query::read(query.as_deref(), &[], &[])?;
            let bytes = received(body, REQUEST).await?;
            let refit = refit(&state, &bytes)?;
            Ok(response(StatusCode::OK, "application/x-ndjson", Body::new(begin(state, refit))))
        }
        _ => Err(Refused::new(
            StatusCode::NOT_FOUND,
            "there is nothing here; /api/v1/openapi.json lists what is",
        )),
    }
}

fn only(
    allowed: bool,
    methods: &'static str,
    make: impl FnOnce() -> Result<Response, Refused>,
) -> Result<Response, Refused> {
    if allowed {
        return make();
    }
    let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, format!("expected {methods}"));
    let mut response = refused.response();
    response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static(methods));
    Ok(response)
}

async fn received(body: Body, most: usize) -> Result<hyper::body::Bytes, Refused> {
    match tokio::time::timeout(BODY_TIMEOUT, to_bytes(body, most)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(_)) => Err(Refused::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("the body breaks off, or has more than {most} bytes"),
        )),
        Err(_) => Err(Refused::new(StatusCode::REQUEST_TIMEOUT, "the body took too long")),
    }
}

/// Makes an answer when it is its turn, on a thread that may compute.
async fn in_turn(
    state: Arc<State>,
    make: impl FnOnce(&State) -> Result<Made, Refused> + Send + 'static,
) -> Result<Made, Refused> {
    let busy =
        || Refused::new(StatusCode::SERVICE_UNAVAILABLE, "too many questions at once; ask again in a moment");
    let permit = tokio::time::timeout(TURN_TIMEOUT, state.answers.acquire()).await.map_err(|_| busy())?;
    let permit = permit.map_err(|_| busy())?;
    let shared = Arc::clone(&state);
    let answered = tokio::task::spawn_blocking(move || make(&shared)).await;
    drop(permit);
    answered
        .map_err(|_| Refused::new(StatusCode::INTERNAL_SERVER_ERROR, "the answer ended in a fault of lehr"))?
}

fn item(state: &State, query: &Query) -> Result<Arc<Item>, Refused> {
    state
        .shelf
        .item(query.text("data"))
        .map_err(|failure| Refused { status: StatusCode::NOT_FOUND, ..Refused::from(failure) })
}

fn document<D: Document>(answer: &D) -> Result<Made, Refused> {
    Ok(Made::json(&value(answer)?))
}

/// What there is to explore: runs, target, choices.
fn data(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let fit = &item.fit;
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values.fold((f64::INFINITY, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)))
    };
    let (slowest, fastest) = span(&mut fit.runs.iter().map(|run| run.peak_lr));
    let (shortest, longest) = span(&mut fit.runs.iter().map(|run| run.last_update as f64));
    let usual = usual_target(fit);
    let runs = fit.runs.iter().map(|run| {
        json!({ "id": run.id, "peak_lr": run.peak_lr, "last_update": run.last_update, "params": run.params,
                "annealing_share": run.annealing_share, "fall": run.fall, "mape": run.metrics.mape })
    });
    let document = json!({
        "schema": "lehr.data/1",
        "data": item.id,
        "name": item.name,
        "law": fit.law,
        "runs": runs.collect::<Vec<_>>(),
        "left_out": fit.left_out,
        "target": { "peak_lr": usual.map(|u| u.0), "steps": usual.map(|u| u.1.min(state.limits.horizon)), "warmup": fit.usual_warmup().0 },
        "fitted": { "peak_lr": [slowest, fastest], "last_update": [shortest, longest] },
        "limits": { "steps": state.limits.horizon, "pins": lehr_app::explore::MOST_PINS },
        "laws": lehr::law::all().iter().map(|law| json!({ "name": law.name(), "equation": law.equation() })).collect::<Vec<_>>(),
        "exports": lehr_app::export::targets().map(|(name, title)| json!({ "name": name, "title": title })).collect::<Vec<_>>(),
        "refit": item.reading.is_some(),
        "caveats": fit.caveats,
    });
    Ok(Made::json(&document))
}

/// The recommendation of a target, from the cache where it is there.
fn recommendation(
    state: &State,
    item: &Item,
    query: &Query,
) -> Result<Arc<Answer<RecommendAnswer>>, Refused> {
    let target = query.target(&item.fit, state.limits.horizon)?;
    let key = format!(
        "{}|{:?}|{}|{:?}|{}|{:?}|{:?}",
        item.id, target.peak_lr, target.total, target.warmup, target.shape, target.final_lr, target.setting
    );
    if let Some(kept) = state.cache.recommended(&key) {
        return Ok(kept);
    }
    let answer = Arc::new(state.desk(item).recommend(&target)?);
    state.cache.keep(key, &answer);
    Ok(answer)
}

fn explore(state: &State, item: &Item, query: &Query) -> Result<ExploreAnswer, Refused> {
    let recommended = recommendation(state, item, query)?;
    let request = ExploreRequest {
        target: query.target(&item.fit, state.limits.horizon)?,
        ratio: query.ratio()?,
        pins: query.pins()?,
    };
    Ok(state.desk(item).explore_from(&request, Answer::clone(&recommended))?.value)
}

fn explored(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    document(&explore(state, &item, query)?)
}

fn forecast(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    document(&explore(state, &item, query)?.forecast)
}

fn recommended(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    document(&recommendation(state, &item, query)?.value)
}

fn page_figure(figure: &PageFigure) -> Value {
    json!({
        "svg": figure.svg,
        "title": figure.title,
        "subtitle": figure.subtitle,
        "caption": figure.caption,
        "data": figure_json(figure, figure),
    })
}

/// Numbers and figures of one target, as the page shows them.
fn view(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let answer = explore(state, &item, query)?;
    let narrow = match query.text("width") {
        None | Some("wide") => false,
        Some("narrow") => true,
        Some(other) => {
            return Err(Failure::usage(format_args!("width={other}: expected wide or narrow")).into());
        }
    };
    let hidden: Vec<&str> = query.all("hide").collect();
    let curves: Vec<_> =
        item.curves.iter().filter(|curve| !hidden.contains(&curve.meta().id.as_str())).cloned().collect();
    let (width, heights) = if narrow { (360.0, (420.0, 380.0)) } else { (760.0, (440.0, 380.0)) };
    let figure = answer.forecast_picture(&item.fit, &curves).page(width, heights.0);
    let ratio = answer.ratio_picture(&item.fit).page(width, heights.1);
    let found = &answer.recommend;
    let document = json!({
        "schema": "lehr.view/1",
        "data": item.id,
        "target": {
            "peak_lr": found.target.peak_lr, "steps": found.steps, "warmup": found.target.warmup, "shape": found.target.shape,
            "final_lr": found.target.final_lr, "params": found.target.setting.params, "tokens_per_step": found.target.setting.tokens_per_step,
        },
        "ratio": answer.ratio,
        "schedule": answer.forecast.schedule,
        "start_step": answer.start_step,
        "anneal_steps": answer.anneal_steps,
        "final": answer.forecast.last,
        "cost": answer.cost,
        "level": answer.forecast.level,
        "recommended": { "ratio": found.ratio, "interval": found.interval, "plateau": found.plateau, "loss": found.loss, "tolerance": found.tolerance },
        "pins": answer.pins,
        "caveats": answer.caveats.iter().map(|c| json!({ "code": c.code(), "blocking": c.blocking(), "message": said(&c.message()) })).collect::<Vec<_>>(),
        "figures": { "forecast": page_figure(&figure), "ratio": page_figure(&ratio) },
    });
    Ok(Made::json(&document))
}

fn export(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let answer = explore(state, &item, query)?;
    let target = query.text("to").ok_or_else(|| Failure::usage("'to' names the trainer"))?;
    let request = lehr_app::export::ExportRequest { target: target.to_owned(), from_step: None };
    let made = request.make(&answer.forecast.plan)?;
    let setting = &answer.recommend.target.setting;
    let cost = lehr_app::export::cost(&made, &item.fit, setting, &answer.forecast.plan)?;
    let mut whole = ExportAnswer { loss_cost: Some(cost), ..ExportAnswer::from(&made) };
    whole.notes = whole.notes.iter().map(|note| said(note)).collect();
    // A rate for every update is what `text` holds where it is wanted.
    whole.promised_rates.clear();
    document(&whole)
}

fn figure(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let answer = explore(state, &item, query)?;
    let name = query.text("figure").unwrap_or("forecast");
    let picture = match name {
        "forecast" => answer.forecast_picture(&item.fit, &item.curves),
        "ratio" => answer.ratio_picture(&item.fit),
        other => {
            return Err(Failure::usage(format_args!("figure={other}: expected forecast or ratio")).into());
        }
    };
    let style = PictureStyle::default();
    match query.text("format").unwrap_or("svg") {
        "svg" => Ok(Made::file("image/svg+xml", format!("{name}.svg"), picture.svg(&style).into_bytes())),
        "png" => {
            let png = picture.png(&style, 2.0).map_err(Failure::new)?;
            Ok(Made::file("image/png", format!("{name}.png"), png))
        }
        "csv" => {
            let csv = if name == "forecast" { answer.forecast.csv() } else { answer.recommend.csv() };
            Ok(Made::file("text/csv; charset=utf-8", format!("{name}.csv"), csv.into_bytes()))
        }
        other => Err(Failure::usage(format_args!("format={other}: expected svg, png or csv")).into()),
    }
}

fn report(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    query.ratio()?;
    let target = query.target(&item.fit, state.limits.horizon)?;
    let law = fit_law(&item.fit)?;
    let answer = state.desk(&item).report(&ReportRequest {
        fit: Some(item.fit.clone()),
        reading: item.reading.clone(),
        law,
        options: item.options.clone(),
        peak_lr: Some(target.peak_lr),
        total: Some(target.total),
        warmup: target.warmup,
        shape: target.shape,
        final_lr: target.final_lr,
        setting: target.setting,
        compare: false,
        command: format!("lehr serve ({})", item.name),
        inputs: Vec::new(),
    })?;
    let files = render(&answer.value, ReportFormat::Html, "report.html")?;
    let bytes = files.into_iter().next().map(|(_, bytes)| bytes).unwrap_or_default();
    Ok(Made::file("text/html; charset=utf-8", "report.html", bytes))
}

fn fit_law(fit: &Fit) -> Result<&'static dyn lehr::Law, Refused> {
    Ok(laws::named(&fit.law)?)
}

fn fit_file(state: &State, query: &Query) -> Result<Made, Refused> {
    let item = item(state, query)?;
    let text = lehr_app::fit::to_file(&item.fit)?;
    Ok(Made::file("application/json", "fit.json", text.into_bytes()))
}

/// What a request for a fit says: `{"data": …}` or `{"tray": …}`, `"runs"` to keep, `"law"`.
fn refit(state: &State, bytes: &[u8]) -> Result<Refit, Refused> {
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
                reading.options.runs = runs.iter().map(|name| literal(name)).collect();
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
            reading.options.runs = runs.iter().map(|name| literal(name)).collect();
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

/// A name as a pattern that fits it: what has a meaning in patterns stands for any one character.
fn literal(name: &str) -> String {
    name.replace(['*', '?'], "?")
}
