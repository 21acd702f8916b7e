//! A stream of the `h3` crate. Its sending half is asynchronous: while an operation runs, the half is inside its future.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use h3::error::Code;
use h3::server::RequestStream;
use http::{HeaderMap, Response};
use tokio::sync::oneshot;

use crate::mux::carrier::Fault;
use crate::reason::Reason;

type Half = RequestStream<h3_quinn::SendStream<Bytes>, Bytes>;
type Receive = RequestStream<h3_quinn::RecvStream, Bytes>;

/// Both directions of a stream.
pub(crate) struct Carrier {
    send: Send,
    receive: Receive,
    /// A read waits. The `h3-quinn` crate must not be told to stop then: it panics.
    reading: bool,
    /// What was read to find out whether there is a body.
    early: Option<Bytes>,
    connection: quinn::Connection,
    /// Resolves when the connection is gone. Made when somebody waits for it.
    closed: Option<Pin<Box<dyn Future<Output = quinn::ConnectionError>>>>,
}

/// Gives the half back, with what became of the operation.
type Running = Pin<Box<dyn Future<Output = (Box<Half>, Result<(), Reason>)>>>;

enum Send {
    Idle(Box<Half>),
    Busy { operation: Running, stop: Option<oneshot::Sender<Code>> },
    Failed,
}

/// What is to be sent.
enum Operation {
    Head(Response<()>, bool),
    Data(Bytes, bool),
    Trailers(HeaderMap),
}

impl Carrier {
    pub(super) fn new(send: Half, receive: Receive, connection: quinn::Connection) -> Self {
        Self { send: Send::Idle(Box::new(send)), receive, reading: false, early: None, connection, closed: None }
    }

    /// Whether no body follows, as far as it is known already.
    pub(super) fn has_ended(&mut self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        match self.poll_data(&mut cx) {
            Poll::Ready(None) => true,
            Poll::Ready(Some(Ok(bytes))) => {
                self.early = Some(bytes);
                false
            }
            Poll::Ready(Some(Err(_))) | Poll::Pending => false,
        }
    }

    pub(crate) fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Reason>> {
        match &mut self.send {
            Send::Idle(_) => Poll::Ready(Ok(())),
            Send::Failed => Poll::Ready(Err(Reason::ConnectionDropped)),
            Send::Busy { operation, .. } => {
                let Poll::Ready((half, done)) = operation.as_mut().poll(cx) else { return Poll::Pending };
                self.send = if done.is_ok() { Send::Idle(half) } else { Send::Failed };
                Poll::Ready(done)
            }
        }
    }

    fn begin(&mut self, what: Operation) -> Result<(), Reason> {
        let Send::Idle(mut half) = std::mem::replace(&mut self.send, Send::Failed) else {
            return Err(Reason::ConnectionDropped);
        };
        let (stop, stopped) = oneshot::channel();
        let operation = Box::pin(async move {
            let done = tokio::select! {
                done = send(&mut half, what) => done,
                Ok(code) = stopped => {
                    half.stop_stream(code);
                    Err(Reason::ConnectionDropped)
                }
            };
            (half, done)
        });
        self.send = Send::Busy { operation, stop: Some(stop) };
        Ok(())
    }

    pub(crate) fn send_head(&mut self, head: Response<()>, end: bool) -> Result<(), Reason> {
        self.begin(Operation::Head(head, end))
    }

    pub(crate) fn send_data(&mut self, bytes: Bytes, end: bool) -> Result<(), Reason> {
        self.begin(Operation::Data(bytes, end))
    }

    pub(crate) fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Reason> {
        self.begin(Operation::Trailers(trailers))
    }

    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        if let Some(early) = self.early.take() {
            return Poll::Ready(Some(Ok(early)));
        }
        let polled = self.receive.poll_recv_data(cx);
        self.reading = polled.is_pending();
        polled.map(|data| match data {
            Ok(Some(mut data)) => Some(Ok(data.copy_to_bytes(data.remaining()))),
            Ok(None) => None,
            Err(_) => Some(Err(Reason::ClientReset)),
        })
    }

    pub(crate) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Reason>> {
        let polled = self.receive.poll_recv_trailers(cx);
        self.reading = polled.is_pending();
        polled.map_err(|_| Reason::ClientReset)
    }

    /// Ready when the connection is gone. That a client no longer wants the response (`STOP_SENDING`) shows when something is
    /// sent: the `h3` crate does not tell before.
    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let connection = &self.connection;
        let closed = self.closed.get_or_insert_with(|| {
            let connection = connection.clone();
            Box::pin(async move { connection.closed().await })
        });
        closed.as_mut().poll(cx).map(|_| Reason::ConnectionDropped)
    }

    pub(crate) fn reset(&mut self, fault: Fault) {
        let code = match fault {
            Fault::Internal => Code::H3_INTERNAL_ERROR,
            Fault::Cancel => Code::H3_REQUEST_CANCELLED,
            Fault::Refused => Code::H3_REQUEST_REJECTED,
        };
        match &mut self.send {
            Send::Idle(half) => half.stop_stream(code),
            Send::Busy { operation, stop } => {
                if let Some(stop) = stop.take()
                    && stop.send(code).is_ok()
                {
                    // An orderly end would pass for the end of the response.
                    let _ = operation.as_mut().poll(&mut Context::from_waker(std::task::Waker::noop()));
                }
            }
            Send::Failed => {}
        }
        self.send = Send::Failed;
    }
}

async fn send(half: &mut Half, what: Operation) -> Result<(), Reason> {
    let (sent, end) = match what {
        Operation::Head(head, end) => (half.send_response(head).await, end),
        Operation::Data(bytes, end) if bytes.is_empty() => (Ok(()), end),
        Operation::Data(bytes, end) => (half.send_data(bytes).await, end),
        Operation::Trailers(trailers) => (half.send_trailers(trailers).await, true),
    };
    let sent = match sent {
        Ok(()) if end => half.finish().await,
        sent => sent,
    };
    sent.map_err(|_| Reason::ClientReset)
}

impl Drop for Carrier {
    fn drop(&mut self) {
        // RFC 9114 section 4.1: a client may be asked to stop sending what is not needed for the response.
        if !self.reading {
            self.receive.stop_sending(Code::H3_NO_ERROR);
        }
    }
}
