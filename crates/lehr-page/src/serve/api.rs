//! Requests in, documents out. One function dispatches, so that nothing is served that is not listed here.

use super::State;
use super::answers::{data, explored, export, figure, fit_file, forecast, recommended, report, view};
use super::index::FILES;
use super::query::{Query, TARGET};
use super::refit::{self, begin};
use super::respond::{Made, Refused, at_the_door, made, only, response};
use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{Method, StatusCode};
use axum::response::Response;
use lehr_app::Failure;
use serde_json::json;
use std::sync::Arc;
use std::time::Duration;

/// A body must arrive within this time.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long an answer may wait for its turn.
const TURN_TIMEOUT: Duration = Duration::from_secs(20);
/// Most bytes of a request that is no file.
const REQUEST: usize = 256 << 10;

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
    let path = parts.uri.path().to_owned();
    if let Some(response) = at_the_door(&state.guard, &parts.method, &parts.headers, &path, query.as_deref())
    {
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
            let refit = refit::asked(&state, &bytes)?;
            Ok(response(StatusCode::OK, "application/x-ndjson", Body::new(begin(state, refit))))
        }
        _ => Err(Refused::new(
            StatusCode::NOT_FOUND,
            "there is nothing here; /api/v1/openapi.json lists what is",
        )),
    }
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
