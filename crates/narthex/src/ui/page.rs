//! The page and what its script asks: what is told, to whom, and what is done.

use std::convert::Infallible;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{
    ALLOW, AUTHORIZATION, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use http::uri::Authority;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use serde_json::json;
use tokio::sync::Notify;
use tower_service::Service;

use super::counted::Counts;
use super::tail;
use crate::body::Body;
use crate::json_error::json_error_with;
use crate::lifetime::ServerHandle;
use crate::secret::{self, Secret};

const PAGE: &str = include_str!("page/ui.html");
const STYLE: &str = include_str!("page/ui.css");
const SCRIPT: &str = include_str!("page/ui.js");

/// Only what the page itself has: nothing of elsewhere, in no frame.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);

type Reply = Full<Bytes>;

/// Serves the page of an app.
#[derive(Clone)]
pub(super) struct Page(Arc<Inner>);

struct Inner {
    name: String,
    server: ServerHandle,
    counts: Arc<Counts>,
    /// What lets its owner do everything that the page can.
    token: Secret,
    /// The page has stopped the server: the program goes on.
    stopped: AtomicBool,
    started: Notify,
}

impl Page {
    pub(super) fn new(name: String, server: ServerHandle, counts: Arc<Counts>) -> Self {
        Self(Arc::new(Inner {
            name,
            server,
            counts,
            token: secret::token(),
            stopped: AtomicBool::new(false),
            started: Notify::new(),
        }))
    }

    /// What a link ends with that lets its owner act.
    pub(super) fn fragment(&self) -> String {
        format!("#token={}", self.0.token.expose())
    }

    /// Whether the page has stopped the server, which then can be started again.
    pub(super) fn has_stopped_it(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    /// Waits until the page has started the server again.
    pub(super) async fn starts_it(&self) {
        self.0.started.notified().await;
    }

    async fn answer(self, request: Request<Body>) -> Response<Reply> {
        let inner = &*self.0;
        if !names_this_machine(request.headers()) {
            let text = "this page answers to addresses of this machine: open the link that the app printed when it started";
            return json_error_with(StatusCode::MISDIRECTED_REQUEST, text);
        }
        let said = request.headers().get(AUTHORIZATION).and_then(|said| said.as_bytes().strip_prefix(b"Bearer "));
        let may_act = said.is_some_and(|said| secret::equal(said, inner.token.expose().as_bytes()));
        match (request.method(), request.uri().path()) {
            (&Method::GET | &Method::HEAD, "/") => text("text/html; charset=utf-8", PAGE),
            (&Method::GET | &Method::HEAD, "/ui.css") => text("text/css; charset=utf-8", STYLE),
            (&Method::GET | &Method::HEAD, "/ui.js") => text("text/javascript; charset=utf-8", SCRIPT),
            (&Method::GET | &Method::HEAD, "/state") => json_text(&inner.state(may_act)),
            (&Method::POST, "/stop" | "/start" | "/restart") if !may_act => {
                let text = "this needs the token: open the link that the app printed when it started";
                json_error_with(StatusCode::FORBIDDEN, text)
            }
            (&Method::POST, "/stop") => inner.stop(),
            (&Method::POST, "/start") => inner.start().await,
            (&Method::POST, "/restart") => done(inner.server.restart().await),
            (_, "/" | "/ui.css" | "/ui.js" | "/state") => not_allowed("GET, HEAD"),
            (_, "/stop" | "/start" | "/restart") => not_allowed("POST"),
            _ => json_error_with(StatusCode::NOT_FOUND, "there is nothing here"),
        }
    }
}

/// A page elsewhere whose name is made to mean this machine (DNS rebinding) says its own name.
fn names_this_machine(headers: &HeaderMap) -> bool {
    let host = headers.get(HOST).and_then(|host| host.to_str().ok()).and_then(|host| host.parse::<Authority>().ok());
    host.is_some_and(|host| {
        let name = host.host();
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        name == "localhost" || bare.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    })
}

impl Inner {
    fn state(&self, may_act: bool) -> serde_json::Value {
        let server = &self.server;
        let state = match (server.is_active(), server.is_reachable()) {
            (true, true) => "running",
            (true, false) => "not reachable",
            (false, _) => "stopped",
        };
        let provider = if server.is_behind_host() { "shared" } else { "embedded" };
        json!({
            "name": self.name,
            "pid": std::process::id(),
            "state": state,
            "provider": server.is_active().then_some(provider),
            "prefixes": server.prefixes().iter().map(ToString::to_string).collect::<Vec<_>>(),
            "watchdog_restarts": server.watchdog_restarts(),
            "counts": self.counts.numbers(),
            "may_act": may_act,
            // Paths and log lines may tell what is nobody else's business.
            "failures": may_act.then(|| self.counts.failures()),
            "log": may_act.then(tail::last).flatten(),
        })
    }

    fn stop(&self) -> Response<Reply> {
        self.stopped.store(true, Ordering::Release);
        self.server.stop();
        done(Ok(()))
    }

    async fn start(&self) -> Response<Reply> {
        let started = self.server.start().await;
        if started.is_ok() {
            self.stopped.store(false, Ordering::Release);
            self.started.notify_one();
        }
        done(started)
    }
}

fn done(result: crate::Result<()>) -> Response<Reply> {
    match result {
        Ok(()) => json_text(&json!({})),
        Err(error) => json_error_with(StatusCode::CONFLICT, &error.to_string()),
    }
}

fn json_text(value: &serde_json::Value) -> Response<Reply> {
    with_type("application/json", Reply::from(value.to_string()))
}

fn text(kind: &'static str, text: &'static str) -> Response<Reply> {
    with_type(kind, Reply::from(text))
}

fn with_type(kind: &'static str, body: Reply) -> Response<Reply> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

fn not_allowed(methods: &'static str) -> Response<Reply> {
    let mut response = json_error_with(StatusCode::METHOD_NOT_ALLOWED, "this method is for nothing here");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static(methods));
    response
}

impl Service<Request<Body>> for Page {
    type Response = Response<Reply>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Reply>, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let page = self.clone();
        Box::pin(async move {
            let mut response = page.answer(request).await;
            let headers = response.headers_mut();
            headers.insert(CONTENT_SECURITY_POLICY, POLICY);
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
            headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            Ok(response)
        })
    }
}
