//! What a stream knows between two events.

use std::collections::VecDeque;
use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::{HeaderMap, Response};
use narthex_proto::wire::Verbosity;
use tokio::time::Instant;

use crate::bandwidth::{Grant, Pace};
use crate::file::{Ahead, read_at};
use crate::h1::deadlines::Deadlines;
use crate::h1::state::Reply;
use crate::limits::Timeouts;
use crate::mux::carrier::{Carrier, Fault};
use crate::mux::head;
use crate::reason::Reason;
use crate::request::ConnectionInfo;
use crate::request_id::RequestId;
use crate::telling::Noted;

/// The most that is handed to the carrier at once, and read of a file.
const STEP: usize = 64 * 1024;

/// The request body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Body {
    /// Read to its end, or never there.
    Done,
    Open,
    /// After an upgrade: bytes until the client ends its side.
    Raw,
}

/// What waits to be sent.
pub(super) enum Out {
    Interim(Response<()>),
    /// With the end of the response.
    Head(Response<()>, bool),
    /// With the end of the response.
    Data(Bytes, bool),
    /// The rest of the response.
    File {
        file: Arc<File>,
        offset: u64,
        left: u64,
        ahead: Ahead,
    },
    Trailers(HeaderMap),
}

pub(super) struct State {
    pub(super) carrier: Carrier,
    /// The stream's task.
    pub(super) waker: Waker,
    pub(super) out: VecDeque<Out>,
    /// The carrier has not taken all of what it was given.
    pub(super) sending: bool,
    /// Bytes in `out`.
    pub(super) buffered: usize,
    /// Bytes of the body that the carrier took since somebody asked.
    pub(super) drained: usize,
    pub(super) reply: Reply,
    pub(super) head_only: bool,
    pub(super) body: Body,
    /// What the request says of its body's length.
    pub(super) declared: Option<u64>,
    pub(super) body_read: u64,
    pub(super) max_body: Option<u64>,
    /// Somebody has asked for body bytes in this turn of the stream's task.
    pub(super) body_awaited: bool,
    pub(super) continue_owed: bool,
    pub(super) trailers: Bytes,
    pub(super) verbosity: Verbosity,
    /// The app has ended its half of a tunnel.
    pub(super) write_closed: bool,
    /// Why nothing more can be sent or read.
    pub(super) broken: Option<Reason>,
    pub(super) pace: Option<Box<Pace>>,
    pub(super) deadlines: Deadlines,
    pub(super) line: Vec<u8>,
    pub(super) tag: Option<u32>,
    /// Who has sent the request, if a proxy has passed it on.
    pub(super) client: Option<Rc<ConnectionInfo>>,
    pub(super) id: Option<RequestId>,
    pub(super) head_length: u32,
    pub(super) noted: Option<Box<Noted>>,
    pub(super) refused: Option<(Reason, Option<u16>)>,
    /// The journal is to be told something.
    pub(super) due: bool,
}

impl State {
    pub(super) fn new(carrier: Carrier) -> Self {
        Self {
            carrier,
            waker: Waker::noop().clone(),
            out: VecDeque::new(),
            sending: false,
            buffered: 0,
            drained: 0,
            reply: Reply::Awaited,
            head_only: false,
            body: Body::Done,
            declared: None,
            body_read: 0,
            max_body: None,
            body_awaited: false,
            continue_owed: false,
            trailers: Bytes::new(),
            verbosity: Verbosity::Limited,
            write_closed: false,
            broken: None,
            pace: None,
            deadlines: Deadlines::default(),
            line: Vec::new(),
            tag: None,
            client: None,
            id: None,
            head_length: 0,
            noted: None,
            refused: None,
            due: false,
        }
    }

    /// The stream cannot go on. What waits to be sent is dropped.
    pub(super) fn break_off(&mut self, reason: Reason, fault: Fault) {
        if self.broken.is_none() {
            if self.reply != Reply::Complete || !self.all_is_sent() {
                self.refused_with(reason, None);
            }
            self.noted_is_broken(reason);
        }
        self.broken.get_or_insert(reason);
        self.carrier.reset(fault);
        self.out.clear();
        self.sending = false;
        self.buffered = 0;
        self.reply = Reply::Complete;
    }

    /// Whether nothing waits any more.
    pub(super) fn all_is_sent(&self) -> bool {
        self.out.is_empty() && !self.sending
    }

    /// Sends what waits, as far as there is room. Returns whether anything was sent.
    pub(super) fn pump(&mut self, cx: &mut Context<'_>, now: Instant, timeouts: &Timeouts) -> bool {
        let (mut progressed, mut taken) = (false, 0);
        loop {
            // What was handed over last may still be on its way to the carrier.
            let step = match self.carrier.poll_idle(cx) {
                Poll::Pending => Ok(Step::Full),
                Poll::Ready(Err(reason)) if !self.all_is_sent() => Err(reason),
                Poll::Ready(_) if self.out.is_empty() => break,
                Poll::Ready(_) => self.step(cx, now),
            };
            match step {
                Ok(Step::Sent(bytes)) => {
                    progressed = true;
                    taken += bytes as u64;
                }
                Ok(Step::Full) => {
                    self.sending = true;
                    if taken > 0 || !self.deadlines.is_watching_writes() {
                        self.deadlines.taken(now, taken, timeouts.min_send_rate);
                    }
                    return progressed;
                }
                Ok(Step::Paced(until)) => {
                    self.deadlines.paced_until(until);
                    return progressed;
                }
                Err(reason) => {
                    self.break_off(reason, Fault::Internal);
                    return true;
                }
            }
        }
        self.sending = false;
        self.deadlines.all_taken();
        self.due |= self.noted.is_some() && self.reply == Reply::Complete;
        progressed
    }

    fn step(&mut self, cx: &mut Context<'_>, now: Instant) -> Result<Step, Reason> {
        match self.out.pop_front() {
            None => Ok(Step::Sent(0)),
            Some(Out::Interim(head)) => self.carrier.send_interim(head).map(|()| Step::Sent(0)),
            Some(Out::Head(head, end)) => {
                self.count_sent(head::size(&head));
                self.carrier.send_head(head, end).map(|()| Step::Sent(0))
            }
            Some(Out::Trailers(trailers)) => self.carrier.send_trailers(trailers).map(|()| Step::Sent(0)),
            Some(Out::Data(bytes, end)) if bytes.is_empty() => self.carrier.send_data(bytes, end).map(|()| Step::Sent(0)),
            Some(Out::Data(mut bytes, end)) => {
                let room = self.room(cx, now, bytes.len());
                let Ok(Step::Sent(room)) = room else {
                    self.out.push_front(Out::Data(bytes, end));
                    return room;
                };
                let now = bytes.split_to(room.min(bytes.len()));
                let (sent, last) = (now.len(), bytes.is_empty());
                if !last {
                    self.out.push_front(Out::Data(bytes, end));
                }
                self.buffered = self.buffered.saturating_sub(sent);
                self.sent(sent);
                self.carrier.send_data(now, end && last).map(|()| Step::Sent(sent))
            }
            Some(Out::File { file, offset, left, mut ahead }) => {
                let want = usize::try_from(left).unwrap_or(STEP).min(STEP);
                if ahead.poll(cx, &file, offset, want as u64).is_pending() {
                    self.out.push_front(Out::File { file, offset, left, ahead });
                    return Ok(Step::Full);
                }
                let room = self.room(cx, now, want);
                let Ok(Step::Sent(room)) = room else {
                    self.out.push_front(Out::File { file, offset, left, ahead });
                    return room;
                };
                let mut bytes = vec![0; room.min(want)];
                let read = read_at(&file, &mut bytes, offset).map_err(|_| Reason::Internal)?;
                // Shorter than it was.
                if read == 0 {
                    return Err(Reason::Internal);
                }
                bytes.truncate(read);
                let left = left.saturating_sub(read as u64);
                if left > 0 {
                    self.out.push_front(Out::File { file, offset: offset.saturating_add(read as u64), left, ahead });
                }
                self.sent(read);
                self.carrier.send_data(bytes.into(), left == 0).map(|()| Step::Sent(read))
            }
        }
    }

    fn sent(&mut self, bytes: usize) {
        self.drained += bytes;
        self.count_sent(bytes);
        if let Some(pace) = &mut self.pace {
            pace.spent(bytes as u64);
        }
    }

    /// How many of `want` bytes may be sent now, as [`Step::Sent`].
    fn room(&mut self, cx: &mut Context<'_>, now: Instant, want: usize) -> Result<Step, Reason> {
        let Poll::Ready(capacity) = self.carrier.poll_capacity(cx, want.min(STEP)) else { return Ok(Step::Full) };
        let capacity = capacity?;
        let most = match &mut self.pace {
            None => u64::MAX,
            Some(pace) => match pace.grant(now, want as u64) {
                Grant::Bytes(most) => most,
                Grant::Wait(until) => return Ok(Step::Paced(until)),
            },
        };
        Ok(Step::Sent(capacity.min(usize::try_from(most).unwrap_or(usize::MAX))))
    }
}

/// What became of what is first in line.
enum Step {
    /// So many bytes of the body were sent.
    Sent(usize),
    /// The client has no room.
    Full,
    /// It is to wait until then.
    Paced(Instant),
}
