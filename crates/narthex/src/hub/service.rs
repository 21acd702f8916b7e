//! The handshake, as a tower service.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL, UPGRADE};
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
        Box::pin(async move { Ok(open(&hub, parts).await.unwrap_or_else(|Refusal(response)| response)) })
    }
}

async fn open(hub: &Arc<Inner>, parts: Parts) -> Result<Response<String>, Refusal> {
    let request = Request::from_parts(parts, ());
    let settings = &hub.settings;
    let opening = Opening::of(&request).map_err(|refusal| Refusal(refusal.response()))?;
    if !settings.origins.allow(request.headers()) {
        return Err(Refusal::new(StatusCode::FORBIDDEN, "pages from this origin may not connect\n"));
    }
    if hub.peers.len() >= settings.max_connections {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "too many clients are connected\n"));
    }
    let protocol = opening.choose_protocol(&settings.protocols).map(str::to_owned);
    let deflate = settings.deflate.as_ref().and_then(|config| opening.deflate(config));
    let mut response = opening.response(protocol.as_deref(), deflate.as_ref()).map(|()| String::new());
    let (parts, ()) = request.into_parts();
    let known = parts.extensions.get::<ConnectionInfo>().copied();
    let mut connect = Connect {
        parts,
        peer: known.map(|known| known.peer),
        protocol,
        headers: HeaderMap::new(),
        data: None,
        channels: Vec::new(),
    };
    if let Some(handler) = hub.handlers.connect.get() {
        connect = handler(connect).await?;
    }
    let Connect { parts, peer, protocol, headers, data, channels } = connect;
    for (name, value) in &headers {
        if ![CONNECTION, UPGRADE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_PROTOCOL].contains(name) {
            response.headers_mut().append(name, value.clone());
        }
    }
    let origin = Origin {
        peer,
        local: known.map(|known| known.local),
        tls: known.is_some_and(|known| known.tls),
        protocol: protocol.map(Into::into),
        head: head(&parts),
    };
    response.extensions_mut().insert(Switch::new(Offer { hub: Arc::clone(hub), origin, deflate, data, channels }));
    Ok(response)
}

/// What is kept of a head: as text it takes a fraction of the room that a map does.
fn head(parts: &Parts) -> Box<str> {
    let mut head = parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    for (name, value) in &parts.headers {
        if let Ok(value) = value.to_str() {
            head.push('\n');
            head.push_str(name.as_str());
            head.push_str(": ");
            head.push_str(value);
        }
    }
    head.into()
}
