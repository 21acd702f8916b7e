//! The host's end of a session: opens streams, sends request bodies, receives responses.

use super::error::{OpenError, ProtocolError, StreamError};
use super::frame::{self, FilePart, Frame, Kind, Parsed, Received, malformed, misplaced};
use super::request::Request;
use super::response::{self, Response, ResponseHead};
use super::stream::{CancelCode, Fragment, Phase, Stream, StreamId, Streams};

/// The host's end of a session. `T` is what the host keeps per stream, for example its exchange.
///
/// A stream's `T` is handed back by whatever closes the stream: the event (its `closed`), [`cancel`](Self::cancel),
/// or the end of a tunnel sent by [`send_data`](Self::send_data). Afterwards the id names nothing.
#[derive(Debug)]
pub struct HostEnd<T> {
    streams: Streams<T>,
    credit: u32,
    draining: bool,
    out: Vec<u8>,
}

/// What the app has done. `closed` is the stream's data if the event has closed the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum HostEvent<'i, T> {
    /// The app responds.
    Response {
        /// The stream.
        id: StreamId,
        /// Status, flags, body length. If `head.upgrade`, both directions are a tunnel from here on.
        head: ResponseHead,
        /// `name: value\r\n` lines, not yet validated.
        headers: &'i [u8],
        /// The first bytes of the body or the tunnel; to be returned with `consumed`.
        body: &'i [u8],
        /// Nothing follows. Except for a tunnel, what is left of the request's body is not wanted.
        end: bool,
        /// The stream's data, if it is closed.
        closed: Option<T>,
    },
    /// An informational response such as 103.
    Inform {
        /// The stream.
        id: StreamId,
        /// 102..=199.
        status: u16,
        /// `name: value\r\n` lines, not yet validated.
        headers: &'i [u8],
    },
    /// Response body or tunnel bytes; to be returned with `consumed`.
    Data {
        /// The stream.
        id: StreamId,
        /// The bytes; empty only at the end.
        bytes: &'i [u8],
        /// Nothing follows in this direction.
        end: bool,
        /// The stream's data, if it is closed.
        closed: Option<T>,
    },
    /// The response's trailers; they end it.
    Trailers {
        /// The stream.
        id: StreamId,
        /// `name: value\r\n` lines, not yet validated.
        lines: &'i [u8],
        /// The stream's data, if it is closed.
        closed: Option<T>,
    },
    /// More of the request body (or the tunnel) may be sent.
    Window {
        /// The stream.
        id: StreamId,
        /// What may be sent now.
        available: usize,
        /// The app asks for the body that the request withholds: time for 100 Continue.
        proceed: bool,
    },
    /// The app has granted credit; this is all there is now.
    Credit(u32),
    /// The app has given the stream up: both directions are over.
    Cancelled {
        /// The stream.
        id: StreamId,
        /// Why.
        code: CancelCode,
        /// The stream's data.
        data: T,
    },
    /// A part of a stored fragment is to be sent in the place of [`Data`](Self::Data). To be answered with
    /// [`HostEnd::fragment_found`] or [`HostEnd::fragment_missing`]; the app sends nothing more of the response before.
    Fragment {
        /// The stream.
        id: StreamId,
        /// Its name.
        url: &'i str,
        /// Where the part begins.
        offset: u64,
        /// How long it is; `None` for all that follows.
        length: Option<u64>,
    },
    /// Another queue is to answer the request: the stream is over, the request is not.
    Delegated {
        /// The stream.
        id: StreamId,
        /// The queue's name.
        queue: &'i str,
        /// The URL that the other queue is to see, or empty for the request's own.
        url: &'i str,
        /// The stream's data.
        data: T,
    },
    /// The rest of the response is a part of a file, whose descriptor has come beside the stream before this event. To be answered by
    /// [`HostEnd::file_taken`] or [`HostEnd::fragment_missing`]; neither does anything if the host has cancelled the stream.
    File {
        /// The stream.
        id: StreamId,
        /// Which file, and which part of it.
        part: FilePart,
    },
    /// The answer to a [`HostEnd::ping`].
    Pong(u64),
    /// The app wants no further requests on this session.
    Drain,
}

impl<T> HostEnd<T> {
    /// A session without streams and without credit.
    pub fn new() -> Self {
        Self { streams: Streams::new(), credit: 0, draining: false, out: Vec::new() }
    }

    /// How many more requests the app takes now.
    pub fn credit(&self) -> u32 {
        self.credit
    }

    /// Whether [`open`](Self::open) has a chance: there is credit and nobody drains.
    pub fn can_open(&self) -> bool {
        self.credit > 0 && !self.draining
    }

    /// How many streams are not over, cancelled ones that the app has not confirmed included.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Sends a request, for one credit.
    ///
    /// # Errors
    /// Nothing has been sent then; `data` is dropped.
    #[inline]
    pub fn open(&mut self, request: &Request<'_>, data: T) -> Result<StreamId, OpenError> {
        if self.draining {
            return Err(OpenError::Draining);
        }
        let credit = self.credit.checked_sub(1).ok_or(OpenError::NoCredit)?;
        request.check()?;
        let id = self.streams.vacant().ok_or(OpenError::NoFreeStream)?;
        self.credit = credit;
        let withheld = request.withholds_body();
        let mut stream = Stream::new(Some(data), request.upgrade, withheld);
        stream.sent_end = request.length == super::BodyLength::None;
        if withheld {
            stream.send_window = 0;
        }
        self.streams.insert(id, stream);
        request.encode(id, &mut self.out);
        Ok(id)
    }

    /// How many body or tunnel bytes may be sent now; 0 once this direction has ended.
    pub fn send_window(&self, id: StreamId) -> usize {
        self.live(id).map_or(0, Stream::sendable)
    }

    /// Sends request body or tunnel bytes. Hands the data back if that closes the stream (a tunnel's second end).
    ///
    /// # Errors
    /// [`StreamError::Closed`] after the app's end: it does not want the rest.
    pub fn send_data(&mut self, id: StreamId, bytes: &[u8], end: bool) -> Result<Option<T>, StreamError> {
        let stream = live_mut(&mut self.streams, id).ok_or(StreamError::Closed)?;
        stream.send_data(id, bytes, end, &mut self.out)?;
        Ok(self.settle(id))
    }

    /// Ends the request body with trailers (`name: value\r\n` lines).
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data).
    pub fn send_trailers(&mut self, id: StreamId, lines: &[u8]) -> Result<(), StreamError> {
        let stream = live_mut(&mut self.streams, id).ok_or(StreamError::Closed)?;
        stream.send_trailers(id, lines, &mut self.out)
    }

    /// Gives a stream up in both directions. No event of it follows. `None` if it is over already.
    pub fn cancel(&mut self, id: StreamId, code: CancelCode) -> Option<T> {
        let stream = self.streams.get_mut(id)?;
        let data = stream.data.take()?;
        frame::put_u32(&mut self.out, Kind::Cancel, id, code.0);
        // Otherwise the slot waits for the app's last frame.
        if stream.received_end {
            self.streams.release(id);
        }
        Some(data)
    }

    /// The part of a fragment that [`HostEvent::Fragment`] asked for is there and has `length` bytes. They are to be passed
    /// on and counted by [`consumed`](Self::consumed) as if they had come from the app, which is told when they are.
    pub fn fragment_found(&mut self, id: StreamId, length: u64) {
        let Some(stream) = live_mut(&mut self.streams, id) else { return };
        if stream.fragment == Fragment::Asked {
            stream.fragment = Fragment::Found { length, left: length };
            stream.answer_fragment(id, &mut self.out);
        }
    }

    /// The host sends the file that [`HostEvent::File`] has named, and with it the response ends, as if the app had sent END. Hands
    /// the stream's data back.
    pub fn file_taken(&mut self, id: StreamId) -> Option<T> {
        let stream = live_mut(&mut self.streams, id).filter(|stream| stream.fragment == Fragment::File)?;
        stream.fragment = Fragment::None;
        stream.received_end = true;
        frame::put(&mut self.out, Kind::FileTaken, false, id, &[]);
        self.settle(id)
    }

    /// The part of a fragment that [`HostEvent::Fragment`] asked for is not there, or the file of [`HostEvent::File`] is not one that
    /// the host would send: the app sends the bytes itself.
    pub fn fragment_missing(&mut self, id: StreamId) {
        let Some(stream) = live_mut(&mut self.streams, id) else { return };
        if matches!(stream.fragment, Fragment::Asked | Fragment::File) {
            stream.fragment = Fragment::None;
            frame::put(&mut self.out, Kind::FragmentMissing, false, id, &[]);
        }
    }

    /// The caller has passed on `n` bytes of `Response::body`, of `Data::bytes` or of a fragment; the app may send as many
    /// more of its own.
    pub fn consumed(&mut self, id: StreamId, n: usize) {
        if let Some(stream) = live_mut(&mut self.streams, id) {
            stream.consumed(id, n, &mut self.out);
        }
    }

    /// The stream's data.
    pub fn get(&self, id: StreamId) -> Option<&T> {
        self.streams.get(id)?.data.as_ref()
    }

    /// The stream's data.
    pub fn get_mut(&mut self, id: StreamId) -> Option<&mut T> {
        self.streams.get_mut(id)?.data.as_mut()
    }

    /// Tells the app that the client sends no more (FIN). It may only be half-closing.
    pub fn client_closed(&mut self, id: StreamId) {
        if self.live(id).is_some() {
            frame::put(&mut self.out, Kind::ClientClosed, false, id, &[]);
        }
    }

    /// Asks for a [`HostEvent::Pong`] with the same number.
    pub fn ping(&mut self, number: u64) {
        frame::put_u64(&mut self.out, Kind::Ping, number);
    }

    /// Tells the app that no request follows, and keeps to it.
    pub fn drain(&mut self) {
        self.draining = true;
        frame::put(&mut self.out, Kind::Drain, false, StreamId::SESSION, &[]);
    }

    /// Bytes for the app. The caller writes them and removes what it has written.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.out
    }

    /// The session is lost: all streams that are not over.
    pub fn abandon(self) -> impl Iterator<Item = (StreamId, T)> {
        self.streams.into_data()
    }

    /// Takes one event out of the app's bytes. Call it again with the rest of the input.
    ///
    /// # Errors
    /// The session cannot go on: see [`ProtocolError`].
    #[inline]
    pub fn receive<'i>(&mut self, input: &'i [u8]) -> Result<Received<HostEvent<'i, T>>, ProtocolError> {
        let mut rest = input;
        loop {
            match frame::parse(rest)? {
                Parsed::NeedMore(total) => {
                    let used = input.len() - rest.len();
                    return Ok(Received::NeedMore { used, total });
                }
                Parsed::Frame(frame, after) => {
                    rest = after;
                    if let Some(event) = self.on_frame(frame)? {
                        let used = input.len() - rest.len();
                        return Ok(Received::Event { used, event });
                    }
                }
            }
        }
    }

    #[inline(always)]
    fn on_frame<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        match frame.kind {
            Kind::Response => self.on_response(frame),
            Kind::Data => self.on_data(frame),
            Kind::Credit => {
                let credit = self.credit.checked_add(frame::get_increment(&frame)?);
                self.credit = credit.ok_or(ProtocolError::Overflow { what: "credit" })?;
                Ok(Some(HostEvent::Credit(self.credit)))
            }
            Kind::Window => self.on_window(frame),
            Kind::Inform => self.on_inform(frame),
            Kind::Trailers => self.on_trailers(frame),
            Kind::Cancel => self.on_cancel(frame),
            Kind::Ping => {
                frame::put_u64(&mut self.out, Kind::Pong, frame::get_u64(&frame)?);
                Ok(None)
            }
            Kind::Pong => Ok(Some(HostEvent::Pong(frame::get_u64(&frame)?))),
            Kind::Drain if !frame.payload.is_empty() => Err(malformed(Kind::Drain, "there is a payload")),
            Kind::Drain => {
                self.draining = true;
                Ok(Some(HostEvent::Drain))
            }
            Kind::Delegate => self.on_delegate(frame),
            Kind::Fragment => self.on_fragment(frame),
            Kind::File => self.on_file(frame),
            Kind::Request | Kind::ClientClosed | Kind::FragmentMissing | Kind::FragmentSent | Kind::FileTaken => {
                Err(misplaced(frame.kind, "only a host may send"))
            }
            Kind::Hello | Kind::Control | Kind::Bytes => Err(misplaced(frame.kind, "belongs on a control connection")),
        }
    }

    #[inline(always)]
    fn on_response<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let Frame { id, end, .. } = frame;
        let Some(stream) = self.expected(&frame)? else {
            return Ok(None);
        };
        if stream.phase != Phase::Waiting {
            return Err(misplaced(Kind::Response, "is a stream's second"));
        }
        let Response { head, headers, body } = Response::decode(frame.payload)?;
        stream.receive_bytes(id, Kind::Response, body.len(), end)?;
        stream.phase = Phase::Responding;
        if head.upgrade {
            if !stream.wants_upgrade {
                return Err(misplaced(Kind::Response, "accepts an upgrade nobody wanted"));
            }
            stream.phase = Phase::Tunnel;
            stream.sent_end = false;
        }
        Ok(Some(HostEvent::Response { id, head, headers, body, end, closed: if end { self.settle(id) } else { None } }))
    }

    #[inline(never)]
    fn on_inform<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let Some(stream) = self.expected(&frame)? else {
            return Ok(None);
        };
        if stream.phase != Phase::Waiting {
            return Err(misplaced(Kind::Inform, "follows the response"));
        }
        let (status, headers) = response::decode_inform(frame.payload)?;
        Ok(Some(HostEvent::Inform { id: frame.id, status, headers }))
    }

    #[inline(always)]
    fn on_data<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let Frame { id, end, .. } = frame;
        let bytes = frame.payload;
        let Some(stream) = self.expected(&frame)? else {
            return Ok(None);
        };
        if stream.phase == Phase::Waiting {
            return Err(misplaced(Kind::Data, "precedes the response"));
        }
        stream.expect_no_fragment(Kind::Data)?;
        stream.receive_bytes(id, Kind::Data, bytes.len(), end)?;
        if bytes.is_empty() && !end {
            return Ok(None);
        }
        Ok(Some(HostEvent::Data { id, bytes, end, closed: if end { self.settle(id) } else { None } }))
    }

    #[inline(never)]
    fn on_trailers<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let (id, lines) = (frame.id, frame.payload);
        frame::check_trailers(&frame)?;
        let Some(stream) = self.expected(&frame)? else {
            return Ok(None);
        };
        if stream.phase == Phase::Waiting {
            return Err(misplaced(Kind::Trailers, "precedes the response"));
        }
        stream.expect_no_fragment(Kind::Trailers)?;
        stream.receive_trailers()?;
        let closed = self.settle(id);
        Ok(Some(HostEvent::Trailers { id, lines, closed }))
    }

    #[inline(never)]
    fn on_fragment<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let id = frame.id;
        let (offset, length, url) = frame::get_fragment(&frame)?;
        let Some(stream) = self.expected(&frame)? else {
            return Ok(None);
        };
        match stream.phase {
            Phase::Waiting => return Err(misplaced(Kind::Fragment, "precedes the response")),
            Phase::Tunnel => return Err(misplaced(Kind::Fragment, "is in a tunnel")),
            Phase::Responding => stream.expect_no_fragment(Kind::Fragment)?,
        }
        stream.fragment = Fragment::Asked;
        Ok(Some(HostEvent::Fragment { id, url, offset, length }))
    }

    /// An event even if the host has cancelled the stream: somebody has to do something with the descriptor.
    #[inline(never)]
    fn on_file<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let id = frame.id;
        let part = frame::get_file(&frame)?;
        if let Some(stream) = self.expected(&frame)? {
            match stream.phase {
                Phase::Waiting => return Err(misplaced(Kind::File, "precedes the response")),
                Phase::Tunnel => return Err(misplaced(Kind::File, "is in a tunnel")),
                Phase::Responding => stream.expect_no_fragment(Kind::File)?,
            }
            if stream.received_end {
                return Err(misplaced(Kind::File, "follows the end of its stream"));
            }
            stream.fragment = Fragment::File;
        }
        Ok(Some(HostEvent::File { id, part }))
    }

    #[inline(never)]
    fn on_window<'i>(&mut self, frame: Frame<'_>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let id = frame.id;
        let increment = frame::get_increment(&frame)?;
        let Some(stream) = live_mut(&mut self.streams, id) else {
            return Ok(None);
        };
        let Some(available) = stream.receive_window(increment)? else {
            return Ok(None);
        };
        let proceed = stream.withheld && stream.phase == Phase::Waiting;
        stream.withheld = false;
        Ok(Some(HostEvent::Window { id, available, proceed }))
    }

    #[inline(never)]
    fn on_cancel<'i>(&mut self, frame: Frame<'_>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let code = CancelCode(frame::get_u32(&frame)?);
        let data = self.streams.release(frame.id).and_then(|s| s.data);
        let id = frame.id;
        Ok(data.map(|data| HostEvent::Cancelled { id, code, data }))
    }

    #[inline(never)]
    fn on_delegate<'i>(&mut self, frame: Frame<'i>) -> Result<Option<HostEvent<'i, T>>, ProtocolError> {
        let id = frame.id;
        let (queue, url) = frame::get_delegate(&frame)?;
        if self.expected(&frame)?.is_some_and(|stream| stream.phase != Phase::Waiting) {
            return Err(misplaced(Kind::Delegate, "follows the response"));
        }
        let data = self.streams.release(id).and_then(|stream| stream.data);
        Ok(data.map(|data| HostEvent::Delegated { id, queue, url, data }))
    }

    /// The stream that a frame belongs to; `None` if the host has cancelled it. The app sends nothing but WINDOW
    /// and CANCEL on streams that are over, so that an unknown stream is an error here.
    #[inline(always)]
    fn expected(&mut self, frame: &Frame<'_>) -> Result<Option<&mut Stream<T>>, ProtocolError> {
        let Some(stream) = self.streams.get(frame.id) else {
            return Err(misplaced(frame.kind, "is on a stream that is not open"));
        };
        if stream.data.is_none() {
            if frame.end {
                self.streams.release(frame.id);
            }
            return Ok(None);
        }
        Ok(self.streams.get_mut(frame.id))
    }

    fn live(&self, id: StreamId) -> Option<&Stream<T>> {
        self.streams.get(id).filter(|s| s.data.is_some())
    }

    /// Releases the stream if it is over.
    #[inline(always)]
    fn settle(&mut self, id: StreamId) -> Option<T> {
        let stream = self.streams.get(id)?;
        if stream.received_end && (stream.phase != Phase::Tunnel || stream.sent_end) {
            return self.streams.release(id)?.data;
        }
        None
    }
}

impl<T> Default for HostEnd<T> {
    fn default() -> Self {
        Self::new()
    }
}

/// The stream, unless the host has cancelled it.
fn live_mut<T>(streams: &mut Streams<T>, id: StreamId) -> Option<&mut Stream<T>> {
    streams.get_mut(id).filter(|s| s.data.is_some())
}
