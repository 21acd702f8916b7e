//! The app's plain pages, and what each of them is told.

use std::net::SocketAddr;
use std::sync::atomic::Ordering;

use axum::extract::{ConnectInfo, OriginalUri, Request, State};
use axum::http::{Extensions, HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use serde::Serialize;

use super::App;
use super::json::JsonLine;
use crate::demo::page::{self, Page, Value, fill};

const NAVIGATION: &str = include_str!("../pages/navigation.html");
const OVERVIEW: &str = include_str!("../pages/overview.html");

impl App {
    /// A page of this app.
    pub(super) fn page(&self, title: &str, body: &str) -> Response {
        let (name, sibling) = (self.name(), self.name().sibling());
        let navigation = fill(NAVIGATION, &[("name", Value::Text(name.as_str())), ("sibling", Value::Text(sibling.as_str()))]);
        let title = format!("{title} · {name}");
        Page { title: &title, name: name.as_str(), look: name.as_str(), navigation: &navigation, body }.into_response()
    }
}

/// The path that the app's prefix has, without its last slash.
fn path_base(extensions: &Extensions) -> &str {
    extensions.get::<narthex::PathBase>().map_or("", |base| base.as_str())
}

/// The URI as the client wrote it.
fn original(extensions: &Extensions) -> Option<&Uri> {
    extensions.get::<OriginalUri>().map(|original| &original.0)
}

/// The app's own address as this client knows it, with the last slash.
pub(super) fn own_url(headers: &HeaderMap, extensions: &Extensions) -> String {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost");
    format!("http://{host}{}/", path_base(extensions))
}

pub(super) async fn overview(State(app): State<App>, request: Request) -> Response {
    let (seen, base) = (request.uri().to_string(), path_base(request.extensions()));
    let asked = original(request.extensions()).map_or_else(|| seen.clone(), Uri::to_string);
    // `/app1` belongs to the prefix `/app1/` too, but relative links would lead out of it. Temporary, since browsers would
    // remember it for whatever has this port next.
    if original(request.extensions()).is_some_and(|uri| !uri.path().ends_with('/')) {
        return Redirect::temporary(&format!("{base}/")).into_response();
    }
    let peer = peer(request.extensions()).map_or_else(|| "unknown".to_owned(), |peer| peer.to_string());
    let body = fill(
        OVERVIEW,
        &[
            ("name", Value::Text(app.name().as_str())),
            ("sibling", Value::Text(app.name().sibling().as_str())),
            ("prefix", Value::Text(&app.0.prefix)),
            ("asked", Value::Text(&asked)),
            ("seen", Value::Text(&seen)),
            ("base", Value::Text(base)),
            ("peer", Value::Text(&peer)),
            ("pid", Value::Text(&std::process::id().to_string())),
            ("uptime", Value::Text(&app.uptime().as_secs().to_string())),
        ],
    );
    app.page("Overview", &body)
}

fn peer(extensions: &Extensions) -> Option<SocketAddr> {
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| *peer)
}

#[derive(Debug, Serialize)]
pub(super) struct Info {
    name: &'static str,
    pid: u32,
    prefix: String,
    path_base: String,
    path: String,
    peer: Option<SocketAddr>,
    uptime_seconds: u64,
    requests: u64,
}

pub(super) async fn info(State(app): State<App>, request: Request) -> JsonLine<Info> {
    JsonLine(Info {
        name: app.name().as_str(),
        pid: std::process::id(),
        prefix: app.0.prefix.clone(),
        path_base: path_base(request.extensions()).to_owned(),
        path: request.uri().path().to_owned(),
        peer: peer(request.extensions()),
        uptime_seconds: app.uptime().as_secs(),
        requests: app.0.requests.load(Ordering::Relaxed),
    })
}

pub(super) async fn not_found(State(app): State<App>, request: Request) -> Response {
    let name = app.name().as_str();
    let text = format!("{name} has no page at {}.", request.uri().path());
    // The page may be any number of levels deep, so nothing on it is relative.
    let home = format!("{}/", path_base(request.extensions()));
    let body = page::notice("Not found", &text, &home, &format!("To the overview of {name}"));
    let page = Page { title: "Not found", name, look: name, navigation: "", body: &body };
    (StatusCode::NOT_FOUND, page).into_response()
}
