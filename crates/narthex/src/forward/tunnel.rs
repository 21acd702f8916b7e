//! Upgrades: which of them are forwarded, and the bytes that go both ways once both ends have agreed.

use std::time::Duration;

use bytes::BytesMut;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request};
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::fields::elements;
use super::server::InFlight;

/// One read.
const STEP: usize = 16 * 1024;
/// How long nothing may go through a tunnel of which one direction has ended.
const HALF_CLOSED: Duration = Duration::from_secs(60);
/// How long the two ends may take to let go of HTTP.
const SWITCHING: Duration = Duration::from_secs(10);

/// An upgrade that a client asks for.
pub(super) struct Asked {
    pub(super) protocol: HeaderValue,
    on_upgrade: OnUpgrade,
}

impl Asked {
    /// Takes it out of a request. `None`: the request wants none, or none that is forwarded. What speaks HTTP or TLS itself is not:
    /// requests in it would go past routes and hooks.
    pub(super) fn take<B>(request: &mut Request<B>) -> Option<Self> {
        let asks = elements(request.headers(), &CONNECTION).any(|option| option.eq_ignore_ascii_case("upgrade"));
        if !asks || request.extensions().get::<OnUpgrade>().is_none() {
            return None;
        }
        let mut protocols = request.headers().get_all(UPGRADE).iter();
        let protocol = protocols.next().filter(|_| protocols.next().is_none())?.clone();
        let named = protocol.to_str().ok()?.to_ascii_lowercase();
        if named.split(',').map(str::trim).any(|name| name == "h2c" || name.starts_with("http/") || name.starts_with("tls/")) {
            return None;
        }
        Some(Self { protocol, on_upgrade: hyper::upgrade::on(request) })
    }

    /// Whether a server that switches to what these fields say does as it was asked.
    pub(super) fn is_answered_by(protocol: &HeaderValue, headers: &HeaderMap) -> bool {
        let mut switched = elements(headers, &UPGRADE);
        let asked = protocol.to_str().unwrap_or_default();
        let is_asked = |name: &str| asked.split(',').any(|one| one.trim().eq_ignore_ascii_case(name));
        switched.next().is_some_and(is_asked) && switched.next().is_none()
    }

    /// Connects the two ends. Ends with the runtime, with either end, or when nothing goes through for too long.
    pub(super) fn connect(self, server: OnUpgrade, idle: Duration, in_flight: InFlight) {
        tokio::spawn(async move {
            let both = async { tokio::try_join!(self.on_upgrade, server) };
            match timeout(SWITCHING, both).await {
                Ok(Ok((client, server))) => carry(client, server, idle).await,
                Ok(Err(error)) => tracing::debug!("an upgrade came to nothing: {error}"),
                Err(_) => tracing::debug!("an upgrade came to nothing in time"),
            }
            drop(in_flight);
        });
    }
}

async fn carry(client: Upgraded, server: Upgraded, idle: Duration) {
    let (client, server) = (tokio::io::split(TokioIo::new(client)), tokio::io::split(TokioIo::new(server)));
    let state = watch::Sender::new(State { moved: Instant::now(), ended: 0 });
    let up = copy(client.0, server.1, &state);
    let down = copy(server.0, client.1, &state);
    let both = async { tokio::try_join!(up, down) };
    tokio::select! {
        carried = both => {
            if let Err(error) = carried {
                tracing::debug!("a tunnel has broken: {error}");
            }
        }
        () = quiet(&state, idle) => tracing::debug!("a tunnel is closed: nothing has gone through it for too long"),
    }
}

/// When bytes last moved, and how many directions have ended.
#[derive(Clone, Copy)]
struct State {
    moved: Instant,
    ended: u8,
}

/// Ends when nothing has moved for too long.
async fn quiet(state: &watch::Sender<State>, idle: Duration) {
    loop {
        let State { moved, ended } = *state.borrow();
        let limit = if ended > 0 { idle.min(HALF_CLOSED) } else { idle };
        let deadline = moved + limit;
        if deadline <= Instant::now() {
            return;
        }
        let mut changes = state.subscribe();
        tokio::select! {
            () = sleep_until(deadline) => {}
            // A shorter limit is in force.
            _ = changes.wait_for(|now| now.ended != ended) => {}
        }
    }
}

/// Copies one direction, and passes its end on.
async fn copy<R, W>(mut from: R, mut to: W, state: &watch::Sender<State>) -> std::io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let moved = || {
        state.send_if_modified(|state| {
            state.moved = Instant::now();
            false
        });
    };
    let mut buffer = BytesMut::new();
    loop {
        // Nothing is held while nothing moves: most tunnels are quiet.
        buffer.reserve(STEP);
        let read = from.read_buf(&mut buffer).await?;
        moved();
        if read == 0 {
            break;
        }
        to.write_all_buf(&mut buffer).await?;
        to.flush().await?;
        moved();
    }
    // The other end may be gone already; then this direction ends all the same.
    let _ = to.shutdown().await;
    state.send_modify(|state| state.ended += 1);
    Ok(())
}
