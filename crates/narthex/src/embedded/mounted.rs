//! The app on one worker: which requests are its own, and how they reach it.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use http::Version;
use narthex_http::{BodyLength, Exchange, Handler, Reason, RequestId};
use narthex_proto::cooked::Relative;
use narthex_proto::prefix::UrlPrefix;
use narthex_proto::routing::Route;
use narthex_proto::wire::Verbosity;

use super::Prefixes;
use crate::body::{Body, Feed};
use crate::call::{App, Calls, Means, Running};
use crate::live::Live;
use crate::request::{ConnectionInfo, Head, Heads, Told};
use crate::request_control::RequestControl;
use crate::upgrade::Donor;

/// The app behind its prefixes, on one worker.
pub(super) struct Mounted<S: App> {
    calls: Calls<S, Exchange>,
    routes: RefCell<Arc<Prefixes>>,
    heads: Heads,
    /// Requests have a [`RequestControl`].
    request_control: bool,
    inline: bool,
    active: Cell<bool>,
    verbosity: Cell<Verbosity>,
    max_body: Cell<Option<u64>>,
}

impl<S: App> Handler for Mounted<S> {
    type Future = Running<S, Exchange>;

    fn handle(&self, request: narthex_http::Request<'_>, exchange: Exchange) -> Option<Self::Future> {
        if self.verbosity.get() != Verbosity::default() {
            exchange.set_verbosity(self.verbosity.get());
        }
        let routes = self.routes.borrow();
        let prefix = match self.route(&routes, &request) {
            Ok(prefix) => prefix,
            Err(reason) => {
                drop(routes);
                exchange.refuse(reason);
                return None;
            }
        };
        if !request.body.is_empty() {
            // An app that does not look at the body would never learn that it is too long: the answer would depend on the app.
            exchange.set_max_body(self.max_body.get());
            if !exchange.is_open() {
                return None;
            }
        }
        let (body, feed) = match request.body {
            BodyLength::Exact(0) => (Body::empty(), None),
            BodyLength::Exact(length) => with_feed(Body::channel(Some(length))),
            BodyLength::Unknown => with_feed(Body::channel(None)),
        };
        // Filled in where it is: a request is too large to be passed from hand to hand.
        let mut app_request = self.calls.request(body);
        let relative = request.cooked.relative_to(prefix.path());
        let filled = self.heads.fill(&mut app_request, head(&request, &relative));
        drop(routes);
        if filled.is_err() {
            exchange.refuse(Reason::Url);
            return None;
        }
        let donor = if request.wants_upgrade { Donor::new() } else { None };
        let donor = donor.map(|(donor, on_upgrade)| {
            app_request.extensions_mut().insert(on_upgrade);
            donor
        });
        let watched = self.request_control.then(|| RequestControl::give(&mut app_request));
        let call = self.calls.begin(app_request, Means { downstream: exchange, feed, donor, watched })?;
        // The connection's task is the one that goes on with the call.
        Some(if self.inline { call } else { call.giving_way() })
    }
}

impl<S: App> Mounted<S> {
    pub(super) fn new(app: S, inline: bool, told: Told, live: &Live) -> Self {
        Self {
            calls: Calls::new(app, inline),
            routes: RefCell::default(),
            heads: Heads::new(told.connection_info),
            request_control: told.request_control,
            inline,
            active: Cell::new(live.active),
            verbosity: Cell::new(live.verbosity),
            max_body: Cell::new(live.max_body()),
        }
    }

    pub(super) fn apply(&self, live: &Live) {
        self.active.set(live.active);
        self.verbosity.set(live.verbosity);
        self.max_body.set(live.max_body());
    }

    /// Requests from now on go by these routes.
    pub(super) fn set_routes(&self, routes: Arc<Prefixes>) {
        self.routes.replace(routes);
    }

    /// The prefix that a request is for, or why there is none.
    fn route<'a>(&self, routes: &'a Prefixes, request: &narthex_http::Request<'_>) -> Result<&'a UrlPrefix, Reason> {
        let connection = request.connection;
        match routes.route(connection.scheme, connection.local, request.host, request.cooked.path()) {
            Route::Registered { .. } if !self.active.get() => Err(Reason::Disabled),
            Route::Registered { prefix, .. } => Ok(prefix),
            Route::Reserved { .. } => Err(Reason::NotAvailable),
            Route::NoPath => Err(Reason::NotFound),
            Route::NoHost => Err(Reason::UnknownHost),
        }
    }
}

fn head<'a>(
    request: &narthex_http::Request<'a>,
    relative: &'a Relative<'_>,
) -> Head<'a, impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + use<'a>> {
    let connection = request.connection;
    Head {
        raw: request.raw,
        method: request.method,
        target: request.target.as_bytes(),
        path_base: relative.path_base.as_bytes(),
        relative: relative.path_and_query.as_bytes(),
        headers: request.headers().map(|(name, value)| (name.as_bytes(), value)),
        upgrade: request.wants_upgrade,
        id: request.id.map(RequestId::as_str),
        certificate: request.tls.and_then(|tls| tls.client_certificate.as_deref()).unwrap_or_default(),
        connection: ConnectionInfo {
            peer: connection.peer,
            local: connection.local,
            tls: connection.secure,
            version: match request.version {
                narthex_http::Version::Http10 => Version::HTTP_10,
                narthex_http::Version::Http11 => Version::HTTP_11,
                narthex_http::Version::Http2 => Version::HTTP_2,
                narthex_http::Version::Http3 => Version::HTTP_3,
            },
        },
    }
}

fn with_feed((body, feed): (Body, Feed)) -> (Body, Option<Feed>) {
    (body, Some(feed))
}
