//! The app's end of a session: grants credit, receives requests, sends responses.

use super::error::{ProtocolError, StreamError};
use super::frame::{self, FilePart, Frame, HEADER_LEN, Kind, MAX_PAYLOAD, Parsed, Received};
use super::frame::{malformed, misplaced};
use super::request::{BodyLength, MAX_HEAD, Request};
use super::response::{self, FIXED, HeaderBlock, Response, ResponseHead};
use super::stream::{self, CancelCode, Fragment, INITIAL_WINDOW, Phase, Stream, StreamId, Streams};

/// The app's end of a session. `T` is what the app keeps per stream, attached after the request has come.
///
/// Whatever closes a stream hands its `T` back (`None` if none was attached): the call that ends the response,
/// [`cancel`](Self::cancel), or the event. Afterwards the id names nothing.
#[derive(Debug)]
pub struct AppEnd<T> {
    streams: Streams<T>,
    /// What the host may still open.
    credit: u32,
    /// Granted and not yet said: many small grants become one frame.
    ungranted: u32,
    host_drains: bool,
    out: Vec<u8>,
}

/// What the host has done.
#[derive(Debug, PartialEq, Eq)]
pub enum AppEvent<'i, T> {
    /// A request has come, for one credit. If its body length is not `None`, DATA follows.
    Request {
        /// Its stream.
        id: StreamId,
        /// The request, borrowed from the input.
        request: Request<'i>,
    },
    /// Request body or tunnel bytes; to be returned with `consumed`.
    Data {
        /// The stream.
        id: StreamId,
        /// The bytes; empty only at the end.
        bytes: &'i [u8],
        /// Nothing follows in this direction.
        end: bool,
        /// The stream's data, if this was a tunnel's second end.
        closed: Option<T>,
    },
    /// The request's trailers; they end its body.
    Trailers {
        /// The stream.
        id: StreamId,
        /// `name: value\r\n` lines.
        lines: &'i [u8],
    },
    /// More of the response (or the tunnel) may be sent.
    Window {
        /// The stream.
        id: StreamId,
        /// What may be sent now.
        available: usize,
    },
    /// The host has given the stream up: both directions are over.
    Cancelled {
        /// The stream.
        id: StreamId,
        /// Why.
        code: CancelCode,
        /// The stream's data.
        data: Option<T>,
    },
    /// The client sends no more (FIN). It may only be half-closing: the response may still be read.
    ClientClosed {
        /// The stream.
        id: StreamId,
    },
    /// An answer to [`AppEnd::send_fragment`], or the one to [`AppEnd::send_file`] that refuses: from here on, the response may go on.
    Fragment {
        /// The stream.
        id: StreamId,
        /// How many bytes the client got. `None` if the host does not have the fragment, or not this part of it: the
        /// client got nothing, and the app has to send the bytes itself.
        sent: Option<u64>,
    },
    /// The host sends the file of [`AppEnd::send_file`]. The response has ended, whatever becomes of this process.
    FileTaken {
        /// The stream.
        id: StreamId,
        /// The stream's data.
        closed: Option<T>,
    },
    /// The answer to an [`AppEnd::ping`].
    Pong(u64),
    /// The host opens no further streams on this session.
    Drain,
}

impl<T> AppEnd<T> {
    /// A session without streams. The host can send nothing before the first [`grant`](Self::grant).
    pub fn new() -> Self {
        Self { streams: Streams::new(), credit: 0, ungranted: 0, host_drains: false, out: Vec::new() }
    }

    /// Lets the host open `n` more streams.
    pub fn grant(&mut self, n: u32) {
        self.ungranted = self.ungranted.saturating_add(n);
    }

    /// How many streams are not over.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Attaches data to a stream; hands `data` back if the stream is over.
    ///
    /// # Errors
    /// The data itself.
    pub fn attach(&mut self, id: StreamId, data: T) -> Result<(), T> {
        match self.streams.get_mut(id) {
            Some(stream) => {
                stream.data = Some(data);
                Ok(())
            }
            None => Err(data),
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

    /// The app waits for the request's body. Lets a client that expects 100-continue send it, and shows the host, by a
    /// window that is whole again, that it is the client whom the app waits for.
    pub fn want_body(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(id) else { return };
        if stream.withheld {
            stream.withheld = false;
            stream.receive_window = INITIAL_WINDOW;
            frame::put_u32(&mut self.out, Kind::Window, id, INITIAL_WINDOW);
        } else {
            stream.return_all(id, &mut self.out);
        }
    }

    /// Sends an informational response such as 103 before the response.
    ///
    /// # Errors
    /// [`StreamError::Status`] for 100 (call [`want_body`](Self::want_body)) and 101 (respond with `upgrade`).
    pub fn inform(&mut self, id: StreamId, status: u16, lines: &[u8]) -> Result<(), StreamError> {
        let stream = self.streams.get(id).ok_or(StreamError::Closed)?;
        if stream.phase != Phase::Waiting {
            return Err(StreamError::AlreadyResponded);
        }
        response::check_inform(status)?;
        check_lines(lines.len())?;
        let header = frame::header(Kind::Inform, false, id, 2 + lines.len());
        self.out.extend_from_slice(&header);
        self.out.extend_from_slice(&status.to_le_bytes());
        self.out.extend_from_slice(lines);
        Ok(())
    }

    /// Sends a response or its beginning. With `end`, unless it opens a tunnel, the stream is closed: the host
    /// sends no more of the request's body, and what is on its way is ignored.
    ///
    /// # Errors
    /// Nothing has been sent then.
    pub fn respond(&mut self, id: StreamId, response: &Response<'_>, end: bool) -> Result<Option<T>, StreamError> {
        check_lines(response.headers.len())?;
        let headers = |block: &mut HeaderBlock<'_>| block.lines(response.headers);
        self.respond_with(id, response.head, headers, response.body, end)
    }

    /// As [`respond`](Self::respond), with header lines that are written straight into the output.
    ///
    /// # Errors
    /// As for [`respond`](Self::respond).
    #[inline]
    pub fn respond_with(
        &mut self,
        id: StreamId,
        head: ResponseHead,
        headers: impl FnOnce(&mut HeaderBlock<'_>),
        body: &[u8],
        end: bool,
    ) -> Result<Option<T>, StreamError> {
        let stream = self.streams.get_mut(id).ok_or(StreamError::Closed)?;
        if stream.phase != Phase::Waiting {
            return Err(StreamError::AlreadyResponded);
        }
        head.check()?;
        if head.upgrade && !stream.wants_upgrade {
            return Err(StreamError::NotUpgradable);
        }
        let available = stream.send_window as usize;
        if body.len() > available {
            return Err(StreamError::WindowExceeded { available });
        }

        // The fixed part needs the length of the header block, so it is filled in afterwards.
        const PREFIX: usize = HEADER_LEN + FIXED;
        let out = &mut self.out;
        let start = out.len();
        out.extend_from_slice(&[0; PREFIX]);
        let mut fixed = FIXED;
        if let Some(optional) = head.optional() {
            out.extend_from_slice(&optional);
            fixed += optional.len();
        }
        let lines = out.len();
        headers(&mut HeaderBlock::new(out));
        let length = out.len().saturating_sub(lines);
        if let Err(error) = check_lines(length) {
            out.truncate(start);
            return Err(error);
        }
        let fits = fixed + length + body.len() <= MAX_PAYLOAD;
        let first = if fits { body } else { &[] };
        let last = end && fits;
        out.extend_from_slice(first);
        let header = frame::header(Kind::Response, last, id, fixed + length + first.len());
        if let Some((prefix, _)) = out.get_mut(start..).and_then(|frame| frame.split_first_chunk_mut::<PREFIX>()) {
            prefix[..HEADER_LEN].copy_from_slice(&header);
            prefix[HEADER_LEN..].copy_from_slice(&head.encode(length));
        }
        if !fits {
            stream::put_data(id, body, end, out);
        }

        stream.send_window -= body.len() as u32;
        stream.sent_end = end;
        stream.phase = Phase::Responding;
        if head.upgrade {
            stream.phase = Phase::Tunnel;
            stream.received_end = false;
        }
        Ok(if end { self.settle(id) } else { None })
    }

    /// How many body or tunnel bytes may be sent now; 0 once this direction has ended, and while a fragment is unanswered.
    pub fn send_window(&self, id: StreamId) -> usize {
        self.streams.get(id).filter(|stream| stream.fragment == Fragment::None).map_or(0, Stream::sendable)
    }

    /// Sends response body or tunnel bytes after [`respond`](Self::respond).
    ///
    /// # Errors
    /// [`StreamError::Closed`] if the host has cancelled the stream.
    pub fn send_data(&mut self, id: StreamId, bytes: &[u8], end: bool) -> Result<Option<T>, StreamError> {
        let stream = responded(&mut self.streams, id)?;
        stream.send_data(id, bytes, end, &mut self.out)?;
        Ok(if end { self.settle(id) } else { None })
    }

    /// Lets the host put a part of a stored fragment into the response's body, in the place of DATA: `length` bytes from
    /// `offset` on, `None` for all that follow. Costs no window. Nothing else may be sent on the stream, but
    /// [`cancel`](Self::cancel), before [`AppEvent::Fragment`].
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data); also if the stream is a tunnel. [`StreamError::TooLarge`] if the URL is
    /// longer than a head may be.
    pub fn send_fragment(&mut self, id: StreamId, url: &str, offset: u64, length: Option<u64>) -> Result<(), StreamError> {
        let stream = responded(&mut self.streams, id)?;
        if stream.phase == Phase::Tunnel {
            return Err(StreamError::Tunnel);
        }
        if stream.sent_end {
            return Err(StreamError::Ended);
        }
        check_lines(url.len())?;
        stream.fragment = Fragment::Asked;
        frame::put_fragment(&mut self.out, id, offset, length, url);
        Ok(())
    }

    /// Lets the host send a part of a file as the rest of the response. The caller passes the file's descriptor beside the stream,
    /// with a byte of the output that is not behind this frame. Nothing else may be sent on the stream, but
    /// [`cancel`](Self::cancel), before [`AppEvent::FileTaken`], after which nothing is left to send, or [`AppEvent::Fragment`],
    /// which says that the host does not take it.
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data); also if the stream is a tunnel.
    pub fn send_file(&mut self, id: StreamId, part: FilePart) -> Result<(), StreamError> {
        let stream = responded(&mut self.streams, id)?;
        if stream.phase == Phase::Tunnel {
            return Err(StreamError::Tunnel);
        }
        if stream.sent_end {
            return Err(StreamError::Ended);
        }
        stream.fragment = Fragment::File;
        frame::put_file(&mut self.out, id, part);
        Ok(())
    }

    /// Ends the response with trailers (`name: value\r\n` lines).
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data); also if the stream is a tunnel.
    pub fn send_trailers(&mut self, id: StreamId, lines: &[u8]) -> Result<Option<T>, StreamError> {
        let stream = responded(&mut self.streams, id)?;
        stream.send_trailers(id, lines, &mut self.out)?;
        Ok(self.settle(id))
    }

    /// Ends the response, or this direction of a tunnel.
    ///
    /// # Errors
    /// As for [`send_data`](Self::send_data).
    pub fn finish(&mut self, id: StreamId) -> Result<Option<T>, StreamError> {
        self.send_data(id, &[], true)
    }

    /// Gives a stream up in both directions. No event of it follows.
    pub fn cancel(&mut self, id: StreamId, code: CancelCode) -> Option<T> {
        let stream = self.streams.remove(id)?;
        frame::put_u32(&mut self.out, Kind::Cancel, id, code.0);
        stream.data
    }

    /// Hands the request to another queue, which answers it instead, under `url` if that is not empty. Only before the
    /// response, and before the body was asked for. The stream is over.
    ///
    /// # Errors
    /// Nothing has been sent then. [`StreamError::TooLarge`] if the names are longer than a head may be.
    pub fn delegate(&mut self, id: StreamId, queue: &str, url: &str) -> Result<Option<T>, StreamError> {
        let stream = self.streams.get(id).ok_or(StreamError::Closed)?;
        if stream.phase != Phase::Waiting {
            return Err(StreamError::AlreadyResponded);
        }
        // The name's own length has two bytes.
        check_lines(queue.len() + 1)?;
        check_lines(queue.len() + url.len())?;
        frame::put_delegate(&mut self.out, id, queue, url);
        Ok(self.streams.remove(id).and_then(|stream| stream.data))
    }

    /// The caller has passed on `n` bytes of `Data::bytes`; the host may send as many more.
    pub fn consumed(&mut self, id: StreamId, n: usize) {
        if let Some(stream) = self.streams.get_mut(id) {
            stream.consumed(id, n, &mut self.out);
        }
    }

    /// Asks for an [`AppEvent::Pong`] with the same number.
    pub fn ping(&mut self, number: u64) {
        frame::put_u64(&mut self.out, Kind::Ping, number);
    }

    /// Asks the host to send no more requests here. Those already on their way still come.
    pub fn drain(&mut self) {
        frame::put(&mut self.out, Kind::Drain, false, StreamId::SESSION, &[]);
    }

    /// Bytes for the host. The caller writes them and removes what it has written. Look here after every turn:
    /// this is also where grants become bytes.
    pub fn output(&mut self) -> &mut Vec<u8> {
        // More than u32::MAX in all would be an error at the host.
        let grant = self.ungranted.min(u32::MAX - self.credit);
        if grant > 0 {
            frame::put_u32(&mut self.out, Kind::Credit, StreamId::SESSION, grant);
            self.credit += grant;
            self.ungranted -= grant;
        }
        &mut self.out
    }

    /// The session is lost: the data of all streams that are not over.
    pub fn abandon(self) -> impl Iterator<Item = (StreamId, T)> {
        self.streams.into_data()
    }

    /// Takes one event out of the host's bytes. Call it again with the rest of the input.
    ///
    /// # Errors
    /// The session cannot go on: see [`ProtocolError`].
    #[inline]
    pub fn receive<'i>(&mut self, input: &'i [u8]) -> Result<Received<AppEvent<'i, T>>, ProtocolError> {
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
    fn on_frame<'i>(&mut self, frame: Frame<'i>) -> Result<Option<AppEvent<'i, T>>, ProtocolError> {
        match frame.kind {
            Kind::Request => self.on_request(frame).map(Some),
            Kind::Data => self.on_data(frame),
            Kind::Window => self.on_window(frame),
            Kind::Trailers => self.on_trailers(frame),
            Kind::Cancel => self.on_cancel(frame),
            Kind::Ping => {
                frame::put_u64(&mut self.out, Kind::Pong, frame::get_u64(&frame)?);
                Ok(None)
            }
            Kind::Pong => Ok(Some(AppEvent::Pong(frame::get_u64(&frame)?))),
            Kind::Drain if !frame.payload.is_empty() => Err(malformed(Kind::Drain, "there is a payload")),
            Kind::Drain => {
                self.host_drains = true;
                Ok(Some(AppEvent::Drain))
            }
            Kind::ClientClosed if !frame.payload.is_empty() => Err(malformed(Kind::ClientClosed, "there is a payload")),
            Kind::ClientClosed => Ok(self.streams.get(frame.id).map(|_| AppEvent::ClientClosed { id: frame.id })),
            Kind::FragmentMissing | Kind::FragmentSent => self.on_fragment(frame),
            Kind::FileTaken => self.on_file_taken(frame),
            Kind::Response | Kind::Inform | Kind::Credit | Kind::Delegate | Kind::Fragment | Kind::File => {
                Err(misplaced(frame.kind, "only an app may send"))
            }
            Kind::Hello | Kind::Control | Kind::Bytes => Err(misplaced(frame.kind, "belongs on a control connection")),
        }
    }

    #[inline(always)]
    fn on_request<'i>(&mut self, frame: Frame<'i>) -> Result<AppEvent<'i, T>, ProtocolError> {
        let id = frame.id;
        if self.host_drains {
            return Err(misplaced(Kind::Request, "follows DRAIN"));
        }
        let credit = self.credit.checked_sub(1);
        self.credit = credit.ok_or(ProtocolError::CreditExceeded)?;
        let request = Request::decode(frame.payload, frame.end)?;
        let withheld = request.withholds_body();
        let mut stream = Stream::new(None, request.upgrade, withheld);
        stream.received_end = request.length == BodyLength::None;
        if withheld {
            stream.receive_window = 0;
        }
        self.streams.accept(id, stream)?;
        Ok(AppEvent::Request { id, request })
    }

    #[inline(always)]
    fn on_data<'i>(&mut self, frame: Frame<'i>) -> Result<Option<AppEvent<'i, T>>, ProtocolError> {
        let Frame { id, end, .. } = frame;
        let bytes = frame.payload;
        // The app may have ended or cancelled the stream while the frame was on its way.
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        stream.receive_bytes(id, Kind::Data, bytes.len(), end)?;
        if bytes.is_empty() && !end {
            return Ok(None);
        }
        Ok(Some(AppEvent::Data { id, bytes, end, closed: if end { self.settle(id) } else { None } }))
    }

    #[inline(never)]
    fn on_trailers<'i>(&mut self, frame: Frame<'i>) -> Result<Option<AppEvent<'i, T>>, ProtocolError> {
        let (id, lines) = (frame.id, frame.payload);
        frame::check_trailers(&frame)?;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        stream.receive_trailers()?;
        Ok(Some(AppEvent::Trailers { id, lines }))
    }

    #[inline(never)]
    fn on_window<'i>(&mut self, frame: Frame<'_>) -> Result<Option<AppEvent<'i, T>>, ProtocolError> {
        let id = frame.id;
        let increment = frame::get_increment(&frame)?;
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        let available = stream.receive_window(increment)?;
        // While a fragment is unanswered, nothing may be sent, however much there is room for.
        let available = available.filter(|_| stream.fragment == Fragment::None);
        Ok(available.map(|available| AppEvent::Window { id, available }))
    }

    #[inline(never)]
    fn on_fragment<'i>(&mut self, frame: Frame<'_>) -> Result<Option<AppEvent<'i, T>>, ProtocolError> {
        let Frame { id, kind, .. } = frame;
        let sent = match kind {
            Kind::FragmentSent => Some(frame::get_u64(&frame)?),
            _ if !frame.payload.is_empty() => return Err(malformed(kind, "there is a payload")),
            _ => None,
        };
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if stream.fragment == Fragment::None || stream.fragment == Fragment::File && sent.is_some() {
            return Err(misplaced(kind, "answers no FRAGMENT"));
        }
        stream.fragment = Fragment::None;
        Ok(Some(AppEvent::Fragment { id, sent }))
    }

    #[inline(never)]
    fn on_file_taken<'i>(&mut self, frame: Frame<'_>) -> Result<Option<AppEvent<'i, T>>, ProtocolError> {
        let Frame { id, kind, .. } = frame;
        if !frame.payload.is_empty() {
            return Err(malformed(kind, "there is a payload"));
        }
        let Some(stream) = self.streams.get_mut(id) else {
            return Ok(None);
        };
        if stream.fragment != Fragment::File {
            return Err(misplaced(kind, "answers no FILE"));
        }
        stream.fragment = Fragment::None;
        stream.sent_end = true;
        Ok(Some(AppEvent::FileTaken { id, closed: self.settle(id) }))
    }

    #[inline(never)]
    fn on_cancel<'i>(&mut self, frame: Frame<'_>) -> Result<Option<AppEvent<'i, T>>, ProtocolError> {
        let id = frame.id;
        let code = frame::get_u32(&frame)?;
        let Some(stream) = self.streams.remove(id) else {
            return Ok(None);
        };
        // The host waits for a last frame; an END that is on its way is one.
        if !stream.sent_end {
            frame::put_u32(&mut self.out, Kind::Cancel, id, code);
        }
        Ok(Some(AppEvent::Cancelled { id, code: CancelCode(code), data: stream.data }))
    }

    /// Removes the stream if it is over.
    #[inline(always)]
    fn settle(&mut self, id: StreamId) -> Option<T> {
        let stream = self.streams.get(id)?;
        if stream.sent_end && (stream.phase != Phase::Tunnel || stream.received_end) {
            return self.streams.remove(id)?.data;
        }
        None
    }
}

impl<T> Default for AppEnd<T> {
    fn default() -> Self {
        Self::new()
    }
}

fn responded<T>(streams: &mut Streams<T>, id: StreamId) -> Result<&mut Stream<T>, StreamError> {
    let stream = streams.get_mut(id).ok_or(StreamError::Closed)?;
    match stream.phase {
        Phase::Waiting => Err(StreamError::NotResponded),
        _ if stream.fragment != Fragment::None => Err(StreamError::FragmentUnanswered),
        Phase::Responding | Phase::Tunnel => Ok(stream),
    }
}

fn check_lines(length: usize) -> Result<(), StreamError> {
    if length > MAX_HEAD {
        return Err(StreamError::TooLarge { length });
    }
    Ok(())
}
