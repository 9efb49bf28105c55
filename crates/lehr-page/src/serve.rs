//! The explorer: a server for one browser, or for those who have its token.
//!
//! It listens on the loopback unless told otherwise, answers `GET /api/v1/…` with the documents of the command, and serves
//! one page that shows them. What it accepts is limited in size, time and number; requests that name another host, or come
//! from another page, are refused.

mod answers;
mod api;
mod guard;
mod index;
mod monitor;
mod openapi;
mod query;
mod refit;
mod respond;
mod shelf;

pub use guard::Guard;
pub use monitor::{Monitor, watch};
pub use openapi::document_of_all as openapi;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use lehr::Curve;
use lehr::fit::{Fit, FitOptions};
use lehr_app::{Desk, Failure, Files, Limits, Reading};
use shelf::{Item, Shelf};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Most connections at a time; the next wait.
const CONNECTIONS: usize = 512;
/// A request's head must arrive within this time; idle connections are closed after it, too.
const HEAD_TIMEOUT: Duration = Duration::from_secs(15);

/// Where and for whom to serve.
#[derive(Debug, Clone)]
pub struct ServeOptions {
    /// Address to listen on.
    pub address: IpAddr,
    /// Port; 0: any that is free.
    pub port: u16,
    /// Names of this machine that browsers may use, besides its addresses.
    pub hosts: Vec<String>,
    /// Most updates of a target.
    pub horizon: u64,
    /// Most threads that answer.
    pub threads: usize,
    /// Most bytes of a file that is dropped onto the page.
    pub upload: usize,
}

impl Default for ServeOptions {
    fn default() -> Self {
        Self {
            address: IpAddr::from([127, 0, 0, 1]),
            port: 7474,
            hosts: Vec::new(),
            horizon: 1_000_000,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            upload: 64 << 20,
        }
    }
}

/// What the page shows first.
#[derive(Debug, Clone)]
pub struct Start {
    /// What it is called.
    pub name: String,
    /// The fit.
    pub fit: Fit,
    /// Its runs, if there are any.
    pub curves: Vec<Curve>,
    /// How to read the runs again, for a refit.
    pub reading: Option<Reading>,
    /// Where they are read.
    pub files: Files,
    /// How the fit was made.
    pub options: FitOptions,
}

/// What the handlers share.
pub(crate) struct State {
    pub shelf: Shelf,
    pub guard: Guard,
    pub limits: Limits,
    /// Answers at a time.
    pub answers: Semaphore,
    /// Fits at a time: one, since it uses all threads.
    pub fits: Semaphore,
    pub upload: usize,
    pub cache: respond::Cache,
}

impl State {
    /// A desk for an item's files.
    pub fn desk(&self, item: &Item) -> Desk {
        Desk::new(item.files.clone()).limited(self.limits)
    }
}

/// Serves until the process ends. `ready` is told the address to open.
///
/// # Errors
/// [`Failure`] where the address cannot be listened on.
pub fn serve(start: Start, options: &ServeOptions, ready: impl FnOnce(&str)) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(options.threads.max(1) + 6)
        .enable_all()
        .build()
        .map_err(Failure::new)?;
    runtime.block_on(async {
        let (listener, guard, url) = listen(options).await?;
        ready(&url);
        let state = Arc::new(State {
            shelf: Shelf::new(start),
            guard,
            limits: Limits { horizon: options.horizon },
            answers: Semaphore::new(options.threads.max(1)),
            fits: Semaphore::new(1),
            upload: options.upload,
            cache: respond::Cache::default(),
        });
        accept(listener, api::router(state)).await
    })
}

/// Listens; returns who is answered, and the address to open.
async fn listen(options: &ServeOptions) -> Result<(tokio::net::TcpListener, Guard, String), Failure> {
    let address = SocketAddr::new(options.address, options.port);
    let listener = tokio::net::TcpListener::bind(address).await.map_err(|error| {
        let failure = Failure::new(format_args!("{address} cannot be listened on: {error}"));
        match error.kind() {
            std::io::ErrorKind::AddrInUse => failure.hint("give another [[port]]; 0 takes any that is free"),
            _ => failure,
        }
    })?;
    let bound = listener.local_addr().map_err(Failure::new)?;
    let guard = Guard::new(bound, &options.hosts)?;
    let url = guard.url(bound);
    Ok((listener, guard, url))
}

async fn accept(listener: tokio::net::TcpListener, router: axum::Router) -> Result<(), Failure> {
    let connections = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return Ok(()) };
        let Ok((stream, _)) = listener.accept().await else {
            // Too many open files and the like: the next may go well.
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        let service = TowerToHyperService::new(router.clone());
        tokio::spawn(async move {
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(64 << 10)
                .serve_connection(TokioIo::new(stream), service);
            // A connection that breaks off concerns nobody.
            let _ = connection.await;
            drop(permit);
        });
    }
}
