//! Channels as server-sent events (WHATWG HTML, section 9.2), for clients that cannot open WebSockets: they only listen.
//!
//! Such a client is a peer of the hub as others are: it is in `hub.peers()`, has a queue with the hub's limits, counts against
//! `max_connections`, and is seen by presence. What is different: only [`Hub::on_connect`] is told of it, and nothing comes from it.

mod query;
mod stream;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::{ACCESS_CONTROL_ALLOW_ORIGIN, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderName, ORIGIN, VARY};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::channels::{Channels, Rejection, Speaks, Wish, greet, join};
use super::connect::Refusal;
use super::peer::Peer;
use super::service::{admit, ask};
use super::session::close_when_draining;
use super::{Hub, Inner};
use query::Query;
use stream::Events;
pub use stream::EventsBody;

/// The most channels of one request: each has its part in the id of every event.
const MOST_CHANNELS: usize = 32;

/// Answers requests for server-sent events of a [`Hub`]: `GET ?channel=a&channel=b`. docs/channels.md has the details.
#[derive(Clone, Debug)]
pub struct EventsService(Hub);

impl Hub {
    /// A tower service that sends channels as server-sent events to clients that cannot open WebSockets, for axum's
    /// `Router::route_service`. The hub needs [`channels`](super::HubBuilder::channels).
    ///
    /// These clients are peers too; [`on_connect`](Self::on_connect) decides about them, and of the other handlers none is told.
    #[must_use]
    pub fn events(&self) -> EventsService {
        EventsService(self.clone())
    }
}

impl<B> Service<Request<B>> for EventsService {
    type Response = Response<EventsBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<EventsBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (parts, _) = request.into_parts();
        let hub = Arc::clone(&self.0.0);
        Box::pin(async move { Ok(open(&hub, parts).await.unwrap_or_else(|refusal| refusal.0.map(EventsBody::text))) })
    }
}

async fn open(hub: &Arc<Inner>, parts: Parts) -> Result<Response<EventsBody>, Refusal> {
    let Some(channels) = &hub.protocol else {
        return Err(Refusal::new(StatusCode::NOT_FOUND, "this hub has no channels\n"));
    };
    if parts.method != Method::GET {
        let refusal = Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "server-sent events are asked for by GET\n");
        return Err(refusal.header(ALLOW, HeaderValue::from_static("GET")));
    }
    let query = Query::of(&parts);
    let most = channels.max_subscriptions.min(MOST_CHANNELS);
    if query.channels.is_empty() || query.channels.len() > most {
        let text = format!("ask for 1 to {most} channels, as ?channel=a&channel=b\n");
        return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
    }
    admit(hub, &parts.headers)?;
    let page = parts.headers.get(ORIGIN).cloned();
    let connect = ask(hub, parts, None).await?;
    let mut response = Response::new(());
    response.headers_mut().extend(connect.headers.clone());
    let (origin, data, more) = connect.into_origin();
    let peer = Peer::new(Arc::downgrade(hub), origin, Speaks::Events, data);
    permit(channels, &peer, &query).await?;
    // From here on it leaves by being dropped.
    let events = Events::new(hub, &peer, &query);
    greet(&peer);
    hub.enter(&peer);
    close_when_draining(hub);
    more.iter().for_each(|channel| _ = peer.subscribe(channel));
    for (channel, since) in &query.channels {
        // If it has subscribed already, it is there.
        let _ = join(hub, channel, &peer, Wish { since: *since, last: query.last, members: true, ..Wish::default() });
    }
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, "text/event-stream"),
        (CACHE_CONTROL, "no-store"),
        // nginx gathers responses otherwise.
        (HeaderName::from_static("x-accel-buffering"), "no"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if let Some(page) = page {
        // It may connect, or it would not have come so far: so may it read what comes.
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, page);
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    Ok(response.map(|()| EventsBody::events(events)))
}

async fn permit(channels: &Channels, peer: &Peer, query: &Query) -> Result<(), Refusal> {
    for (channel, _) in &query.channels {
        if let Err(rejection) = channels.permit(peer, channel).await {
            let status = match Rejection::code(&rejection) {
                "bad-channel" => StatusCode::BAD_REQUEST,
                _ => StatusCode::FORBIDDEN,
            };
            return Err(Refusal::new(status, format!("channel {channel:?}: {}\n", rejection.text())));
        }
    }
    Ok(())
}
