//! A stream of the `h2` crate.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::server::SendResponse;
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Response};

use crate::mux::carrier::Fault;
use crate::reason::Reason;

/// The most of a body in one frame: with the frame's header it is one TLS record, where a full frame would be two.
const FRAME: usize = 16 * 1024 - 9;

/// Both directions of a stream.
pub(crate) struct Carrier {
    respond: SendResponse<Bytes>,
    /// There when the response has begun.
    send: Option<SendStream<Bytes>>,
    receive: RecvStream,
}

impl Carrier {
    pub(super) fn new(respond: SendResponse<Bytes>, receive: RecvStream) -> Self {
        Self { respond, send: None, receive }
    }

    pub(crate) fn poll_capacity(&mut self, cx: &mut Context<'_>, want: usize) -> Poll<Result<usize, Reason>> {
        let Some(send) = &mut self.send else { return Poll::Ready(Err(Reason::Internal)) };
        let has = send.capacity();
        if has >= want {
            return Poll::Ready(Ok(want));
        }
        send.reserve_capacity(want);
        loop {
            let has = send.capacity();
            if has > 0 {
                return Poll::Ready(Ok(has.min(want)));
            }
            match send.poll_capacity(cx) {
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(reason_of(&error))),
                Poll::Ready(None) => return Poll::Ready(Err(Reason::ClientReset)),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    pub(crate) fn send_interim(&mut self, head: Response<()>) -> Result<(), Reason> {
        self.respond.send_informational(head).map_err(|error| reason_of(&error))
    }

    pub(crate) fn send_head(&mut self, head: Response<()>, end: bool) -> Result<(), Reason> {
        self.send = Some(self.respond.send_response(head, end).map_err(|error| reason_of(&error))?);
        Ok(())
    }

    pub(crate) fn send_data(&mut self, mut bytes: Bytes, end: bool) -> Result<(), Reason> {
        let send = self.send.as_mut().ok_or(Reason::Internal)?;
        while bytes.len() > FRAME {
            send.send_data(bytes.split_to(FRAME), false).map_err(|error| reason_of(&error))?;
        }
        send.send_data(bytes, end).map_err(|error| reason_of(&error))
    }

    pub(crate) fn send_trailers(&mut self, trailers: HeaderMap) -> Result<(), Reason> {
        let send = self.send.as_mut().ok_or(Reason::Internal)?;
        send.send_trailers(trailers).map_err(|error| reason_of(&error))
    }

    /// What is given away here, the client may send again: whoever asks has room for it.
    pub(crate) fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Reason>>> {
        let polled = self.receive.poll_data(cx);
        if let Poll::Ready(Some(Ok(bytes))) = &polled {
            // It fails only if the stream is over.
            let _ = self.receive.flow_control().release_capacity(bytes.len());
        }
        polled.map(|next| next.map(|data| data.map_err(|error| reason_of(&error))))
    }

    pub(crate) fn poll_trailers(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<HeaderMap>, Reason>> {
        self.receive.poll_trailers(cx).map_err(|error| reason_of(&error))
    }

    pub(crate) fn poll_reset(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        let polled = match &mut self.send {
            Some(send) => send.poll_reset(cx),
            None => self.respond.poll_reset(cx),
        };
        polled.map(|reset| match reset {
            Ok(_) => Reason::ClientReset,
            Err(error) => reason_of(&error),
        })
    }

    pub(crate) fn reset(&mut self, fault: Fault) {
        let code = match fault {
            Fault::Internal => h2::Reason::INTERNAL_ERROR,
            Fault::Cancel => h2::Reason::CANCEL,
            Fault::Refused => h2::Reason::REFUSED_STREAM,
        };
        match &mut self.send {
            Some(send) => send.send_reset(code),
            None => self.respond.send_reset(code),
        }
    }
}

fn reason_of(error: &h2::Error) -> Reason {
    if error.is_reset() || error.is_go_away() { Reason::ClientReset } else { Reason::ConnectionDropped }
}
