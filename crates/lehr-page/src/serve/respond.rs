//! What goes out: answers as bytes, those that are kept, refusals, and the headers of all of them.

use super::Guard;
use super::index::HEADERS;
use axum::body::Body;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use lehr_app::failure::worded;
use lehr_app::recommend::RecommendAnswer;
use lehr_app::{Answer, Failure, FailureKind};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

/// Most bytes of answers that are kept.
const KEPT: usize = 24 << 20;
/// Most recommendations that are kept.
const KEPT_RECOMMENDATIONS: usize = 256;

/// An answer as bytes.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    kind: &'static str,
    bytes: hyper::body::Bytes,
    /// A file name, for answers that are saved.
    name: Option<String>,
}

impl Made {
    pub fn json(document: &Value) -> Self {
        Self { kind: "application/json", bytes: document.to_string().into(), name: None }
    }

    pub fn file(kind: &'static str, name: impl Into<String>, bytes: Vec<u8>) -> Self {
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
    pub fn get(&self, key: &str) -> Option<Made> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).made.get(key).cloned()
    }

    pub fn put(&self, key: String, made: &Made) {
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

    pub fn recommended(&self, key: &str) -> Option<Arc<Answer<RecommendAnswer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).recommended.get(key).cloned()
    }

    pub fn keep(&self, key: String, answer: &Arc<Answer<RecommendAnswer>>) {
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
pub(super) struct Refused {
    pub status: StatusCode,
    pub error: String,
    pub hint: Option<String>,
}

impl Refused {
    pub fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, error: error.into(), hint: None }
    }

    pub fn response(&self) -> Response {
        let document = json!({ "schema": "lehr.api-error/1", "error": self.error, "hint": self.hint });
        response(self.status, "application/json", Body::from(document.to_string()))
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

/// Words of a failure as a page says them.
pub(super) fn said(text: &str) -> String {
    worded(text, |name| format!("“{}”", name.replace('_', " ")))
}

pub(super) fn response(status: StatusCode, kind: &str, body: Body) -> Response {
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

pub(super) fn made(made: Made) -> Response {
    let mut response = response(StatusCode::OK, made.kind, Body::from(made.bytes));
    if let Some(name) = made.name
        && let Ok(value) = format!("attachment; filename=\"{name}\"").parse()
    {
        response.headers_mut().insert(header::CONTENT_DISPOSITION, value);
    }
    response
}

pub(super) fn only(
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

/// What a request gets before it is looked at: a refusal, or, of the first page asked for with the token, the cookie that the
/// token becomes, so that it leaves the address. `None`: it is to be answered.
pub(super) fn at_the_door(
    guard: &Guard,
    method: &Method,
    headers: &HeaderMap,
    path: &str,
    query: Option<&str>,
) -> Option<Response> {
    if let Err(refusal) = guard.check(method, headers, query) {
        return Some(Refused::new(refusal.status, refusal.why).response());
    }
    let cookie = guard.cookie(query).filter(|_| path == "/")?.parse().ok()?;
    let mut first = response(StatusCode::SEE_OTHER, "text/plain", Body::empty());
    first.headers_mut().insert(header::SET_COOKIE, cookie);
    first.headers_mut().insert(header::LOCATION, header::HeaderValue::from_static("/"));
    Some(first)
}
