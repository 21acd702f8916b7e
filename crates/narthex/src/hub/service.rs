//! The handshake, as a tower service.

use std::any::Any;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{
    CONNECTION, HeaderName, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::request::Parts;
use http::{HeaderMap, Request, Response, StatusCode};
use narthex_ws::handshake::Opening;
use tower_service::Service;

use super::connect::{Connect, Refusal};
use super::peer::Origin;
use super::session::{Offer, Switch};
use super::{Hub, Inner};
use crate::request::ConnectionInfo;

/// Answers the handshakes of a [`Hub`], and anything else with what is wrong with it.
#[derive(Clone, Debug)]
pub struct HubService(pub(super) Hub);

impl<B> Service<Request<B>> for HubService {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // A handshake has no body.
        let (parts, _) = request.into_parts();
        let hub = Arc::clone(&self.0.0);
        Box::pin(async move { Ok(open(&hub, parts).await.unwrap_or_else(|refusal| *refusal.0)) })
    }
}

async fn open(hub: &Arc<Inner>, parts: Parts) -> Result<Response<String>, Refusal> {
    let request = Request::from_parts(parts, ());
    let settings = &hub.settings;
    let opening = Opening::of(&request).map_err(|refusal| Refusal(Box::new(refusal.response())))?;
    admit(hub, request.headers())?;
    let protocol = opening.choose_protocol(&settings.protocols).map(str::to_owned);
    let deflate = settings.deflate.as_ref().and_then(|config| opening.deflate(config));
    let mut response = opening.response(protocol.as_deref(), deflate.as_ref()).map(|()| String::new());
    let (parts, ()) = request.into_parts();
    let connect = ask(hub, parts, protocol).await?;
    for (name, value) in &connect.headers {
        if ![CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL].contains(name) {
            response.headers_mut().append(name, value.clone());
        }
    }
    let (origin, data, channels) = connect.into_origin();
    response.extensions_mut().insert(Switch::new(Offer { hub: Arc::clone(hub), origin, deflate, data, channels }));
    Ok(response)
}

/// Whether the settings let a client connect.
pub(super) fn admit(hub: &Inner, headers: &HeaderMap) -> Result<(), Refusal> {
    if !hub.settings.origins.allow(headers) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "pages from this origin may not connect\n"));
    }
    if hub.peers.len() >= hub.settings.max_connections {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients are connected\n"));
    }
    Ok(())
}

/// What the app says to a client that wants to connect.
pub(super) async fn ask(hub: &Inner, parts: Parts, protocol: Option<String>) -> Result<Connect, Refusal> {
    let connect = Connect {
        peer: parts.extensions.get::<ConnectionInfo>().map(|known| known.peer),
        parts,
        protocol,
        headers: HeaderMap::new(),
        data: None,
        channels: Vec::new(),
    };
    match hub.handlers.connect.get() {
        Some(handler) => handler(connect).await,
        None => Ok(connect),
    }
}

impl Connect {
    /// What a peer is made of: where it comes from, the app's data, and what it subscribes to.
    pub(super) fn into_origin(self) -> (Origin, Option<Arc<dyn Any + Send + Sync>>, Vec<String>) {
        let known = self.parts.extensions.get::<ConnectionInfo>();
        let origin = Origin {
            peer: self.peer.map(Into::into),
            local: known.map(|known| known.local.into()),
            tls: known.is_some_and(|known| known.tls),
            protocol: self.protocol.map(Into::into),
            head: head(&self.parts),
        };
        (origin, self.data, self.channels)
    }
}

/// What has had its use in the handshake.
const OF_THE_HANDSHAKE: [HeaderName; 5] =
    [CONNECTION, UPGRADE, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION, SEC_WEBSOCKET_EXTENSIONS];

/// What is kept of a head: as text it takes a fraction of the room that a map does. What a guard has marked as secret is not for keeping.
fn head(parts: &Parts) -> Box<str> {
    let mut head = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    for (name, value) in parts.headers.iter().filter(|(name, _)| !OF_THE_HANDSHAKE.contains(name)) {
        if let Some(value) = value.to_str().ok().filter(|_| !value.is_sensitive()) {
            head.push('\n');
            head.push_str(name.as_str());
            head.push_str(": ");
            head.push_str(value);
        }
    }
    head.into()
}
