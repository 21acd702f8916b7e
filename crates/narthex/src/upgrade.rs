//! Upgrades for handlers that use hyper's upgrade API, as axum's own `ws` extractor does.
//!
//! Only hyper can make a [`hyper::upgrade::OnUpgrade`]. So a request that wants an upgrade gets one from a hyper
//! connection of its own, over a pipe in memory, that is shown a minimal upgrade request. If the app accepts, that
//! connection is told to accept too, and from then on bytes go between the pipe and the client.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes};
use http::{Request, Response, StatusCode, header};
use http_body::{Body as HttpBody, Frame};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use narthex_http::Piece;
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf, duplex};

use crate::downstream::Downstream;

/// Bytes on their way in each direction of a pipe.
const PIPE: usize = 64 * 1024;
/// One read from the pipe.
const STEP: usize = 8 * 1024;
/// What a client may still send after the app has closed both directions. More breaks the connection.
const DISCARD: usize = 1 << 20;

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: a\r\n\r\n";

type Hyper = Pin<Box<dyn Future<Output = hyper::Result<()>>>>;

/// A hyper connection that waits for the app's decision.
pub(crate) struct Donor {
    near: DuplexStream,
    hyper: Hyper,
    accepted: Rc<Cell<bool>>,
}

impl Donor {
    /// A donor, and what the app's request gets into its extensions.
    pub(crate) fn new() -> Option<(Self, OnUpgrade)> {
        let (mut near, far) = duplex(PIPE);
        let accepted = Rc::new(Cell::new(false));
        let given = Rc::new(RefCell::new(None));
        let service = {
            let (accepted, given) = (Rc::clone(&accepted), Rc::clone(&given));
            service_fn(move |mut request: Request<Incoming>| {
                *given.borrow_mut() = Some(hyper::upgrade::on(&mut request));
                let accepted = Rc::clone(&accepted);
                poll_fn(move |_| if accepted.get() { Poll::Ready(Ok::<_, Infallible>(switching())) } else { Poll::Pending })
            })
        };
        let hyper = http1::Builder::new().serve_connection(TokioIo::new(far), service).with_upgrades();
        let mut hyper: Hyper = Box::pin(hyper);
        let wrote = now(|cx| Pin::new(&mut near).poll_write(cx, REQUEST));
        let waits = now(|cx| hyper.as_mut().poll(cx)).is_pending();
        let on_upgrade = given.take();
        match (wrote, on_upgrade) {
            (Poll::Ready(Ok(written)), Some(on_upgrade)) if written == REQUEST.len() && waits => {
                Some((Self { near, hyper, accepted }, on_upgrade))
            }
            _ => None,
        }
    }

    /// Completes the upgrade on the app's side.
    pub(crate) fn accept(self) -> Option<Tunnel> {
        let Self { mut near, mut hyper, accepted } = self;
        accepted.set(true);
        if !matches!(now(|cx| hyper.as_mut().poll(cx)), Poll::Ready(Ok(()))) {
            return None;
        }
        let mut buffer = [0; STEP];
        let mut read = ReadBuf::new(&mut buffer);
        let Poll::Ready(Ok(())) = now(|cx| Pin::new(&mut near).poll_read(cx, &mut read)) else { return None };
        // The app may have written already: everything behind hyper's own head is the app's.
        let filled = read.filled();
        let end = filled.windows(4).position(|window| window == b"\r\n\r\n")?;
        let from_app = Bytes::copy_from_slice(filled.get(end + 4..)?);
        Some(Tunnel {
            near,
            from_app,
            to_app: Bytes::new(),
            client_ended: false,
            app_ended: false,
            app_gone: false,
            discarded: 0,
        })
    }
}

/// Polls what only works in memory, whatever is left of the task's budget.
fn now<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> Poll<T> {
    let future = pin!(tokio::task::unconstrained(poll_fn(|cx| Poll::Ready(poll(cx)))));
    match future.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(polled) => polled,
        Poll::Pending => Poll::Pending,
    }
}

fn switching() -> Response<Nothing> {
    let mut response = Response::new(Nothing);
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(header::CONNECTION, header::HeaderValue::from_static("upgrade"));
    response.headers_mut().insert(header::UPGRADE, header::HeaderValue::from_static("a"));
    response
}

struct Nothing;

impl HttpBody for Nothing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        true
    }
}

/// An upgraded connection: bytes between the client and the app's end of the pipe, each direction ended by itself.
pub(crate) struct Tunnel {
    near: DuplexStream,
    from_app: Bytes,
    to_app: Bytes,
    client_ended: bool,
    app_ended: bool,
    /// The app has dropped its end: what the client sends is thrown away.
    app_gone: bool,
    discarded: usize,
}

impl Tunnel {
    /// `Ready`: both directions have ended, or the connection is broken.
    pub(crate) fn poll(&mut self, downstream: &impl Downstream, cx: &mut Context<'_>) -> Poll<()> {
        let to_client = self.poll_to_client(downstream, cx);
        let to_app = self.poll_to_app(downstream, cx);
        match (to_client, to_app) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => Poll::Ready(()),
            (Poll::Ready(Err(_)), _) | (_, Poll::Ready(Err(_))) => {
                downstream.fail();
                Poll::Ready(())
            }
            _ => Poll::Pending,
        }
    }

    fn poll_to_client(&mut self, downstream: &impl Downstream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = |_| io::Error::from(io::ErrorKind::NotConnected);
        while !self.app_ended {
            let room = ready!(downstream.poll_ready(cx)).map_err(closed)?;
            if !self.from_app.is_empty() {
                let bytes = self.from_app.split_to(room.min(self.from_app.len()));
                downstream.data(Piece::Shared(bytes), false).map_err(closed)?;
                continue;
            }
            let mut buffer = [0; STEP];
            let mut read = ReadBuf::new(buffer.get_mut(..room.min(STEP)).unwrap_or_default());
            ready!(Pin::new(&mut self.near).poll_read(cx, &mut read))?;
            self.app_ended = read.filled().is_empty();
            downstream.data(Piece::Slice(read.filled()), self.app_ended).map_err(closed)?;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_to_app(&mut self, downstream: &impl Downstream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.client_ended {
            if self.to_app.is_empty() {
                match ready!(downstream.poll_body(cx)) {
                    Some(Ok(bytes)) => self.to_app = bytes,
                    Some(Err(_)) => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
                    None => {
                        self.client_ended = true;
                        let _ = Pin::new(&mut self.near).poll_shutdown(cx);
                        continue;
                    }
                }
            }
            if !self.app_gone {
                match ready!(Pin::new(&mut self.near).poll_write(cx, &self.to_app)) {
                    Ok(written) => {
                        self.to_app.advance(written);
                        continue;
                    }
                    Err(_) => self.app_gone = true,
                }
            }
            self.discarded += self.to_app.len();
            self.to_app.clear();
            if self.discarded > DISCARD {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
        }
        Poll::Ready(Ok(()))
    }
}
