//! The 8-byte frame header, and the frames whose payload is a single number.

use super::error::ProtocolError;
use super::request::MAX_HEAD;
use super::stream::StreamId;

/// The length of every frame's header.
pub const HEADER_LEN: usize = 8;

/// The longest payload of a frame.
pub const MAX_PAYLOAD: usize = 256 * 1024;

const END: u8 = 0x80;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs, reason = "the table in the module's documentation defines them")]
pub enum Kind {
    Hello = 1,
    Control = 2,
    Request = 3,
    Response = 4,
    Inform = 5,
    Data = 6,
    Trailers = 7,
    Window = 8,
    Credit = 9,
    Cancel = 10,
    Ping = 11,
    Pong = 12,
    Drain = 13,
    Delegate = 14,
    ClientClosed = 15,
    Fragment = 16,
    FragmentMissing = 17,
    FragmentSent = 18,
    Bytes = 19,
    File = 20,
    FileTaken = 21,
}

impl Kind {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Hello,
            2 => Self::Control,
            3 => Self::Request,
            4 => Self::Response,
            5 => Self::Inform,
            6 => Self::Data,
            7 => Self::Trailers,
            8 => Self::Window,
            9 => Self::Credit,
            10 => Self::Cancel,
            11 => Self::Ping,
            12 => Self::Pong,
            13 => Self::Drain,
            14 => Self::Delegate,
            15 => Self::ClientClosed,
            16 => Self::Fragment,
            17 => Self::FragmentMissing,
            18 => Self::FragmentSent,
            19 => Self::Bytes,
            20 => Self::File,
            21 => Self::FileTaken,
            _ => return None,
        })
    }

    fn may_end(self) -> bool {
        matches!(self, Self::Control | Self::Request | Self::Response | Self::Data | Self::Trailers)
    }

    fn is_on_stream(self) -> bool {
        matches!(
            self,
            Self::Request
                | Self::Response
                | Self::Inform
                | Self::Data
                | Self::Trailers
                | Self::Window
                | Self::Cancel
                | Self::Delegate
                | Self::ClientClosed
                | Self::Fragment
                | Self::FragmentMissing
                | Self::FragmentSent
                | Self::File
                | Self::FileTaken
        )
    }
}

/// What `receive` made of its input. The first `used` bytes are done with in both cases.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<E> {
    /// Something happened. There may be more in the rest of the input.
    Event {
        /// How many bytes of the input led to the event, frames without one included.
        used: usize,
        /// What happened.
        event: E,
    },
    /// The rest of the input is not a whole frame.
    NeedMore {
        /// How many bytes of the input are done with.
        used: usize,
        /// How many bytes, counted after `used`, are needed before the next call can achieve anything.
        total: usize,
    },
}

/// A frame in the input. `id` is meaningful only for kinds that are on a stream.
pub(super) struct Frame<'i> {
    pub(super) kind: Kind,
    pub(super) end: bool,
    pub(super) id: StreamId,
    pub(super) payload: &'i [u8],
}

pub(super) enum Parsed<'i> {
    Frame(Frame<'i>, &'i [u8]),
    /// The number of bytes the frame needs in all, as far as that is known.
    NeedMore(usize),
}

/// Takes the first frame off `input`.
#[inline(always)]
pub(super) fn parse(input: &[u8]) -> Result<Parsed<'_>, ProtocolError> {
    let Some((header, rest)) = input.split_first_chunk::<HEADER_LEN>() else {
        return Ok(Parsed::NeedMore(HEADER_LEN));
    };
    let [l0, l1, l2, bits, s0, s1, s2, s3] = *header;
    let length = u32::from_le_bytes([l0, l1, l2, 0]) as usize;
    let kind = Kind::from_bits(bits & !END).ok_or(ProtocolError::UnknownKind(bits))?;
    if length > MAX_PAYLOAD {
        return Err(ProtocolError::TooLarge { length });
    }
    let end = bits & END != 0;
    if end && !kind.may_end() {
        return Err(malformed(kind, "END has no meaning"));
    }
    let id = StreamId::from_wire(u32::from_le_bytes([s0, s1, s2, s3]));
    if id.is_stream() != kind.is_on_stream() || (!id.is_stream() && id != StreamId::SESSION) {
        return Err(malformed(kind, "the stream is wrong"));
    }
    match rest.split_at_checked(length) {
        Some((payload, rest)) => {
            let frame = Frame { kind, end, id, payload };
            Ok(Parsed::Frame(frame, rest))
        }
        None => Ok(Parsed::NeedMore(HEADER_LEN + length)),
    }
}

#[inline]
pub(super) fn header(kind: Kind, end: bool, id: StreamId, length: usize) -> [u8; HEADER_LEN] {
    debug_assert!(length <= MAX_PAYLOAD);
    let bits = kind as u8 | if end { END } else { 0 };
    let word = (length as u32) | u32::from(bits) << 24;
    let [l0, l1, l2, kind] = word.to_le_bytes();
    let [s0, s1, s2, s3] = id.to_wire().to_le_bytes();
    [l0, l1, l2, kind, s0, s1, s2, s3]
}

pub(super) fn put(out: &mut Vec<u8>, kind: Kind, end: bool, id: StreamId, payload: &[u8]) {
    out.reserve(HEADER_LEN + payload.len());
    out.extend_from_slice(&header(kind, end, id, payload.len()));
    out.extend_from_slice(payload);
}

/// WINDOW, CREDIT and CANCEL.
#[inline]
pub(super) fn put_u32(out: &mut Vec<u8>, kind: Kind, id: StreamId, value: u32) {
    let mut frame = [0; HEADER_LEN + 4];
    frame[..HEADER_LEN].copy_from_slice(&header(kind, false, id, 4));
    frame[HEADER_LEN..].copy_from_slice(&value.to_le_bytes());
    out.extend_from_slice(&frame);
}

pub(super) fn put_u64(out: &mut Vec<u8>, kind: Kind, value: u64) {
    put(out, kind, false, StreamId::SESSION, &value.to_le_bytes());
}

#[inline]
pub(super) fn get_u32(frame: &Frame<'_>) -> Result<u32, ProtocolError> {
    match <[u8; 4]>::try_from(frame.payload) {
        Ok(bytes) => Ok(u32::from_le_bytes(bytes)),
        Err(_) => Err(malformed(frame.kind, "the length is not 4")),
    }
}

/// As [`get_u32`], for increments: 0 would be a frame that says nothing.
#[inline]
pub(super) fn get_increment(frame: &Frame<'_>) -> Result<u32, ProtocolError> {
    match get_u32(frame)? {
        0 => Err(malformed(frame.kind, "the increment is 0")),
        increment => Ok(increment),
    }
}

pub(super) fn get_u64(frame: &Frame<'_>) -> Result<u64, ProtocolError> {
    match <[u8; 8]>::try_from(frame.payload) {
        Ok(bytes) => Ok(u64::from_le_bytes(bytes)),
        Err(_) => Err(malformed(frame.kind, "the length is not 8")),
    }
}

pub(super) fn put_delegate(out: &mut Vec<u8>, id: StreamId, queue: &str, url: &str) {
    let length = 2 + queue.len() + url.len();
    out.extend_from_slice(&header(Kind::Delegate, false, id, length));
    out.extend_from_slice(&(queue.len() as u16).to_le_bytes());
    out.extend_from_slice(queue.as_bytes());
    out.extend_from_slice(url.as_bytes());
}

/// The queue's name and the URL.
pub(super) fn get_delegate<'i>(frame: &Frame<'i>) -> Result<(&'i str, &'i str), ProtocolError> {
    let bad = |reason| malformed(Kind::Delegate, reason);
    let (length, rest) = frame.payload.split_first_chunk::<2>().ok_or_else(|| bad("the length is cut off"))?;
    let split = rest.split_at_checked(usize::from(u16::from_le_bytes(*length)));
    let (queue, url) = split.ok_or_else(|| bad("the queue's name is cut off"))?;
    if rest.len() > MAX_HEAD {
        return Err(bad("the names are too long"));
    }
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| bad("a name is not UTF-8"));
    Ok((text(queue)?, text(url)?))
}

/// `length` of `None` is all that follows `offset`.
pub(super) fn put_fragment(out: &mut Vec<u8>, id: StreamId, offset: u64, length: Option<u64>, url: &str) {
    out.extend_from_slice(&header(Kind::Fragment, false, id, 16 + url.len()));
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&length.unwrap_or(u64::MAX).to_le_bytes());
    out.extend_from_slice(url.as_bytes());
}

/// Offset, length and URL.
pub(super) fn get_fragment<'i>(frame: &Frame<'i>) -> Result<(u64, Option<u64>, &'i str), ProtocolError> {
    let bad = |reason| malformed(Kind::Fragment, reason);
    let (offset, rest) = frame.payload.split_first_chunk::<8>().ok_or_else(|| bad("the offset is cut off"))?;
    let (length, url) = rest.split_first_chunk::<8>().ok_or_else(|| bad("the length is cut off"))?;
    if url.len() > MAX_HEAD {
        return Err(bad("the URL is too long"));
    }
    let url = std::str::from_utf8(url).map_err(|_| bad("the URL is not UTF-8"))?;
    let length = Some(u64::from_le_bytes(*length)).filter(|length| *length != u64::MAX);
    Ok((u64::from_le_bytes(*offset), length, url))
}

/// A part of a file whose descriptor is passed beside the stream. The two numbers tell which descriptor that is, whatever else was
/// passed or got lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FilePart {
    /// Where the part begins.
    pub offset: u64,
    /// How many bytes it has.
    pub length: u64,
    /// The file system's number (`st_dev`).
    pub device: u64,
    /// The file's number in it (`st_ino`).
    pub inode: u64,
}

pub(super) fn put_file(out: &mut Vec<u8>, id: StreamId, part: FilePart) {
    out.extend_from_slice(&header(Kind::File, false, id, 32));
    for number in [part.offset, part.length, part.device, part.inode] {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

pub(super) fn get_file(frame: &Frame<'_>) -> Result<FilePart, ProtocolError> {
    let (numbers, rest) = frame.payload.as_chunks::<8>();
    match numbers {
        [offset, length, device, inode] if rest.is_empty() => {
            let [offset, length, device, inode] = [offset, length, device, inode].map(|number| u64::from_le_bytes(*number));
            Ok(FilePart { offset, length, device, inode })
        }
        _ => Err(malformed(Kind::File, "the length is not 32")),
    }
}

/// FRAGMENT_SENT.
pub(super) fn put_sent(out: &mut Vec<u8>, id: StreamId, length: u64) {
    put(out, Kind::FragmentSent, false, id, &length.to_le_bytes());
}

pub(super) fn check_trailers(frame: &Frame<'_>) -> Result<(), ProtocolError> {
    if !frame.end {
        return Err(malformed(Kind::Trailers, "END is missing"));
    }
    if frame.payload.len() > MAX_HEAD {
        return Err(malformed(Kind::Trailers, "the lines are too long"));
    }
    Ok(())
}

#[cold]
pub(super) fn malformed(kind: Kind, reason: &'static str) -> ProtocolError {
    ProtocolError::Malformed { kind, reason }
}

#[cold]
pub(super) fn misplaced(kind: Kind, reason: &'static str) -> ProtocolError {
    ProtocolError::Misplaced { kind, reason }
}
