//! What a connection knows between two events: bytes in hand, the exchange in progress, deadlines, output.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use narthex_proto::wire::Verbosity;
use tokio::time::Instant;

use crate::bandwidth::{Grant, Pace};
use crate::h1::chunked::{Decoded, Decoder};
use crate::h1::deadlines::Deadlines;
use crate::h1::encode::{Asked, Framing};
use crate::h1::head::{BodyLength, Version};
use crate::h1::output::Output;
use crate::limits::Timeouts;
use crate::reason::Reason;
use crate::request::ConnectionInfo;
use crate::request_id::RequestId;
use crate::telling::Noted;
use crate::transport::Transport;
use crate::upgraded::Continuation;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Room made for one read of body bytes.
const BODY_READ: usize = 32 * 1024;
/// The request body: where its end is, and how far it was read.
#[derive(Debug)]
pub(crate) enum Body {
    /// Read to its end, or never there.
    Done,
    Length(u64),
    Chunked(Decoder),
    /// After an upgrade: bytes until the client closes.
    Raw,
}

/// Where the response is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// No request is in progress, or its response is complete.
    Complete,
    /// A handler has the request and has not answered.
    Awaited,
    /// The head is written, the body is on its way.
    Streaming(Framing),
}

pub(crate) struct State {
    pub(crate) transport: Transport,
    /// The connection's task, for those who act on the connection from elsewhere.
    pub(crate) waker: Waker,
    pub(crate) input: BytesMut,
    /// How much of `input` was searched for the end of a head.
    pub(crate) scanned: usize,
    pub(crate) output: Output,
    /// Counts exchanges, so that a handle to an earlier one cannot touch a later one.
    pub(crate) epoch: u32,
    pub(crate) body: Body,
    pub(crate) body_read: u64,
    pub(crate) max_body: Option<u64>,
    /// Somebody has asked for body bytes in this turn of the connection's task.
    pub(crate) body_awaited: bool,
    /// `100 Continue` is owed as soon as the body is wanted.
    pub(crate) continue_owed: bool,
    pub(crate) trailers: Bytes,
    pub(crate) reply: Reply,
    pub(crate) asked: Asked,
    /// What the client gets in the place of a 503.
    pub(crate) verbosity: Verbosity,
    /// The app has ended its half of an upgraded connection.
    pub(crate) write_closed: bool,
    pub(crate) read_closed: bool,
    /// The client has begun to speak HTTP/2.
    pub(crate) is_http2: bool,
    /// What goes on with the connection when the response to its upgrade has left.
    pub(crate) continuation: Option<Continuation>,
    /// Why nothing more can be sent or read.
    pub(crate) broken: Option<Reason>,
    pub(crate) linger: bool,
    /// By which rates output is paced, if it is.
    pub(crate) pace: Option<Box<Pace>>,
    pub(crate) deadlines: Deadlines,
    /// The request line, for the journal.
    pub(crate) line: Vec<u8>,
    /// Whose request it is.
    pub(crate) tag: Option<u32>,
    /// Who has sent it, if a proxy has passed it on.
    pub(crate) client: Option<Rc<ConnectionInfo>>,
    pub(crate) id: Option<RequestId>,
    pub(crate) head_length: u32,
    /// When the request's first byte came, if its head came in pieces.
    pub(crate) first_byte: Option<Instant>,
    /// The exchange whose end is to be told: the one in progress, or the last until its response has left.
    pub(crate) noted: Option<Box<Noted>>,
    /// What the engine has refused and the journal was not yet told.
    pub(crate) refused: Option<(Reason, Option<u16>)>,
    /// The journal is to be told something.
    pub(crate) due: bool,
}

impl State {
    pub(crate) fn new(transport: Transport) -> Self {
        Self {
            transport,
            waker: Waker::noop().clone(),
            input: BytesMut::new(),
            scanned: 0,
            output: Output::default(),
            epoch: 0,
            body: Body::Done,
            body_read: 0,
            max_body: None,
            body_awaited: false,
            continue_owed: false,
            trailers: Bytes::new(),
            reply: Reply::Complete,
            asked: Asked { version: Version::Http11, head_only: false, persistent: true, alt_svc: None },
            verbosity: Verbosity::Limited,
            write_closed: false,
            read_closed: false,
            is_http2: false,
            continuation: None,
            broken: None,
            linger: false,
            pace: None,
            deadlines: Deadlines::default(),
            line: Vec::new(),
            tag: None,
            client: None,
            id: None,
            head_length: 0,
            first_byte: None,
            noted: None,
            refused: None,
            due: false,
        }
    }

    /// Sets up the exchange of a request whose head was just taken off the input.
    pub(crate) fn begin(&mut self, asked: Asked, length: BodyLength, expects_continue: bool, max_body: Option<u64>) {
        self.epoch = self.epoch.wrapping_add(1);
        self.scanned = 0;
        self.output.start_counting();
        self.body = match length {
            BodyLength::Exact(0) => Body::Done,
            BodyLength::Exact(length) => Body::Length(length),
            BodyLength::Unknown => Body::Chunked(Decoder::new()),
        };
        self.body_read = 0;
        self.max_body = max_body;
        self.continue_owed = expects_continue;
        self.reply = Reply::Awaited;
        self.asked = asked;
        self.tag = None;
        self.id = None;
        self.verbosity = Verbosity::Limited;
        self.deadlines.read_without_limit();
        self.deadlines.dequeued();
    }

    /// What decides about the head of the response that is about to be written.
    pub(crate) fn asked_now(&mut self) -> Asked {
        // A client that still waits for 100 Continue may or may not send its body after this answer: nobody could tell
        // where its next request begins (RFC 9110 section 10.1.1).
        if self.continue_owed && !self.body_is_done() {
            self.asked.persistent = false;
        }
        self.asked
    }

    pub(crate) fn body_is_done(&self) -> bool {
        matches!(self.body, Body::Done | Body::Length(0))
    }

    /// Whether the request can still be read to its end although the client sends no more.
    pub(crate) fn rest_of_body_is_here(&self) -> bool {
        match &self.body {
            Body::Done | Body::Raw => true,
            Body::Length(left) => *left <= self.input.len() as u64,
            Body::Chunked(decoder) => decoder.ends_within(&self.input),
        }
    }

    /// Breaks the connection off so that the client sees it: RST.
    pub(crate) fn reset(&mut self, reason: Reason) {
        self.transport.reset_on_close();
        self.break_off(reason);
    }

    /// The connection cannot go on. What waits to be written is dropped.
    pub(crate) fn break_off(&mut self, reason: Reason) {
        if self.broken.is_none() {
            if self.reply != Reply::Complete || !self.output.is_empty() || !self.input.is_empty() {
                self.refused_with(reason, None);
            }
            self.noted_is_broken(reason);
        }
        // Without a length or chunks, an orderly end would pass for the end of the response.
        if self.reply == Reply::Streaming(Framing::UntilClose) {
            self.transport.reset_on_close();
        }
        self.broken.get_or_insert(reason);
        self.output.clear();
        self.reply = Reply::Complete;
        self.asked.persistent = false;
    }

    /// Writes what waits. Returns whether anything was written.
    pub(crate) fn flush(&mut self, cx: &mut Context<'_>, now: impl Fn() -> Instant, timeouts: &Timeouts) -> bool {
        if self.output.is_empty() {
            return false;
        }
        let mut total = 0;
        loop {
            let most = match &mut self.pace {
                None => u64::MAX,
                Some(pace) => match pace.grant(now(), self.output.unsent()) {
                    Grant::Bytes(most) => most,
                    Grant::Wait(until) => {
                        self.deadlines.paced_until(until);
                        break;
                    }
                },
            };
            let (written, flushed) = self.output.poll_flush(&mut self.transport, cx, most);
            total += written;
            if let Some(pace) = &mut self.pace {
                pace.spent(written);
            }
            match flushed {
                Poll::Ready(Ok(())) if self.output.is_empty() => {
                    self.deadlines.all_taken();
                    self.due |= self.noted.is_some() && self.reply == Reply::Complete;
                    break;
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    self.break_off(reason_of(&error));
                    break;
                }
                Poll::Pending => {
                    if total > 0 || !self.deadlines.is_watching_writes() {
                        self.deadlines.taken(now(), total, timeouts.min_send_rate);
                    }
                    break;
                }
            }
        }
        total > 0
    }

    /// The next piece of the request body, or of the client's bytes after an upgrade.
    pub(crate) fn poll_body(
        &mut self,
        cx: &mut Context<'_>,
        now: impl Fn() -> Instant,
        timeouts: &Timeouts,
    ) -> Poll<Option<Result<Bytes, Reason>>> {
        self.body_awaited = true;
        loop {
            match self.take_body() {
                Ok(Decoded::Data(bytes)) => {
                    self.deadlines.read_without_limit();
                    self.body_read += bytes.len() as u64;
                    let announced = match &self.body {
                        Body::Chunked(decoder) => decoder.left_of_chunk(),
                        _ => 0,
                    };
                    let raw = matches!(self.body, Body::Raw);
                    if !raw && self.max_body.is_some_and(|most| self.body_read.saturating_add(announced) > most) {
                        return Poll::Ready(Some(Err(Reason::EntityTooLarge)));
                    }
                    return Poll::Ready(Some(Ok(bytes)));
                }
                Ok(Decoded::End(trailers)) => {
                    self.deadlines.read_without_limit();
                    self.trailers = trailers;
                    self.body = Body::Done;
                    return Poll::Ready(None);
                }
                Ok(Decoded::NeedMore) => {}
                Err(reason) => return Poll::Ready(Some(Err(reason))),
            }
            if self.read_closed {
                let raw = matches!(self.body, Body::Raw);
                return Poll::Ready((!raw).then_some(Err(Reason::ConnectionDropped)));
            }
            if std::mem::take(&mut self.continue_owed) && self.reply == Reply::Awaited {
                self.output.push_static(CONTINUE);
                self.count_sent(CONTINUE.len());
                self.flush(cx, &now, timeouts);
            }
            self.input.reserve(BODY_READ);
            match self.transport.poll_fill(cx, &mut self.input) {
                Poll::Ready(Ok(0)) => self.read_closed = true,
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => {
                    let reason = reason_of(&error);
                    self.break_off(reason);
                    return Poll::Ready(Some(Err(reason)));
                }
                Poll::Pending => {
                    if self.input.is_empty() {
                        // It may rest for hours.
                        self.input = BytesMut::new();
                    }
                    let raw = matches!(self.body, Body::Raw);
                    if !raw && self.deadlines.reading().is_none() {
                        self.deadlines.read_within(now(), timeouts.entity_body, Reason::TimerEntityBody);
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn take_body(&mut self) -> Result<Decoded, Reason> {
        match &mut self.body {
            Body::Done => Ok(Decoded::End(std::mem::take(&mut self.trailers))),
            Body::Length(0) => Ok(Decoded::End(Bytes::new())),
            Body::Length(left) => {
                // Refuse before reading what is known to be too much.
                if self.max_body.is_some_and(|most| self.body_read.saturating_add(*left) > most) {
                    return Err(Reason::EntityTooLarge);
                }
                if self.input.is_empty() {
                    return Ok(Decoded::NeedMore);
                }
                let take = usize::try_from(*left).unwrap_or(usize::MAX).min(self.input.len());
                *left -= take as u64;
                Ok(Decoded::Data(self.input.split_to(take).freeze()))
            }
            Body::Chunked(decoder) => decoder.decode(&mut self.input),
            Body::Raw if self.input.is_empty() => Ok(Decoded::NeedMore),
            Body::Raw => Ok(Decoded::Data(self.input.split().freeze())),
        }
    }
}

/// Tells a reset from the other ways in which a connection ends.
pub(crate) fn reason_of(error: &io::Error) -> Reason {
    match error.kind() {
        io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Reason::ClientReset,
        io::ErrorKind::UnexpectedEof => Reason::Internal,
        _ => Reason::ConnectionDropped,
    }
}
