//! The RESPONSE and INFORM payloads: status, cache policy, header lines, and the first bytes of the body.

use std::num::NonZeroU32;

use super::error::{ProtocolError, StreamError};
use super::frame::{Kind, malformed};
use super::request::{BodyLength, MAX_HEAD};

pub(super) const FIXED: usize = 16;

const UPGRADE: u8 = 1;
const CLOSE: u8 = 2;
const CACHE: u8 = 4;

/// How long the host may answer with this response again, if the rest of it allows that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Until the app or the operator removes it.
    UntilFlushed,
    /// For this many seconds.
    TimeToLive(NonZeroU32),
}

impl CachePolicy {
    fn to_wire(self) -> u32 {
        match self {
            Self::UntilFlushed => 0,
            Self::TimeToLive(seconds) => seconds.get(),
        }
    }

    fn from_wire(seconds: u32) -> Self {
        NonZeroU32::new(seconds).map_or(Self::UntilFlushed, Self::TimeToLive)
    }
}

/// What a response says before its header lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 200..=999; with `upgrade`, 101 or 2xx.
    pub status: u16,
    /// The app accepts the upgrade: from here on, DATA is a tunnel's bytes in both directions.
    pub upgrade: bool,
    /// The app wants the client's connection closed after this response.
    pub close: bool,
    /// What is known about the body.
    pub length: BodyLength,
    /// What the app says of caching, beside the header lines.
    pub cache: Option<CachePolicy>,
}

impl ResponseHead {
    /// A response that is no tunnel, leaves the client's connection open, and has no cache policy.
    pub fn new(status: u16, length: BodyLength) -> Self {
        Self { status, upgrade: false, close: false, length, cache: None }
    }

    #[inline]
    pub(super) fn check(&self) -> Result<(), StreamError> {
        let fits = match self.upgrade {
            true => self.status == 101 || (200..300).contains(&self.status),
            false => (200..1000).contains(&self.status),
        };
        if fits { Ok(()) } else { Err(StreamError::Status(self.status)) }
    }

    #[inline]
    pub(super) fn encode(&self, headers: usize) -> [u8; FIXED] {
        let (body, length) = self.length.to_wire();
        let mut fixed = [0; FIXED];
        fixed[..2].copy_from_slice(&self.status.to_le_bytes());
        let upgrade = if self.upgrade { UPGRADE } else { 0 };
        let close = if self.close { CLOSE } else { 0 };
        fixed[2] = upgrade | close | if self.cache.is_some() { CACHE } else { 0 };
        fixed[3] = body;
        fixed[4..8].copy_from_slice(&(headers as u32).to_le_bytes());
        fixed[8..].copy_from_slice(&length.to_le_bytes());
        fixed
    }

    /// What stands between the fixed part and the header lines.
    #[inline]
    pub(super) fn optional(&self) -> Option<[u8; 4]> {
        self.cache.map(|policy| policy.to_wire().to_le_bytes())
    }
}

/// A response, or its beginning, as an app gives it to [`AppEnd::respond`](super::AppEnd::respond).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Response<'a> {
    /// Status, flags and body length.
    pub head: ResponseHead,
    /// `name: value\r\n` lines without a status line or an empty line, at most [`MAX_HEAD`].
    pub headers: &'a [u8],
    /// The first bytes of the body, no more than the stream's window.
    pub body: &'a [u8],
}

impl<'a> Response<'a> {
    #[inline(always)]
    pub(super) fn decode(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let bad = |reason| malformed(Kind::Response, reason);
        let Some((fixed, mut rest)) = payload.split_first_chunk::<FIXED>() else {
            return Err(bad("the fixed part is cut off"));
        };
        let [s0, s1, flags, body, h0, h1, h2, h3, length @ ..] = *fixed;
        if flags & !(UPGRADE | CLOSE | CACHE) != 0 {
            return Err(bad("a flag is unknown"));
        }
        let mut cache = None;
        if flags & CACHE != 0 {
            let Some((seconds, after)) = rest.split_first_chunk() else { return Err(bad("the cache policy is cut off")) };
            cache = Some(CachePolicy::from_wire(u32::from_le_bytes(*seconds)));
            rest = after;
        }
        let length = BodyLength::from_wire(body, u64::from_le_bytes(length));
        let head = ResponseHead {
            status: u16::from_le_bytes([s0, s1]),
            upgrade: flags & UPGRADE != 0,
            close: flags & CLOSE != 0,
            length: length.ok_or_else(|| bad("the body length is wrong"))?,
            cache,
        };
        if head.check().is_err() {
            return Err(bad("the status cannot be a response's"));
        }
        let headers = u32::from_le_bytes([h0, h1, h2, h3]) as usize;
        if headers > MAX_HEAD {
            return Err(bad("the header block is too long"));
        }
        match rest.split_at_checked(headers) {
            Some((headers, body)) => Ok(Self { head, headers, body }),
            None => Err(bad("the header block is cut off")),
        }
    }
}

/// Splits an INFORM payload into status and header lines.
pub(super) fn decode_inform(payload: &[u8]) -> Result<(u16, &[u8]), ProtocolError> {
    let bad = |reason| malformed(Kind::Inform, reason);
    let Some((status, headers)) = payload.split_first_chunk::<2>() else {
        return Err(bad("the status is cut off"));
    };
    let status = u16::from_le_bytes(*status);
    if check_inform(status).is_err() {
        return Err(bad("the status is not informational"));
    }
    if headers.len() > MAX_HEAD {
        return Err(bad("the header block is too long"));
    }
    Ok((status, headers))
}

/// 100 Continue follows from the first WINDOW and 101 from an accepted upgrade; neither is an INFORM.
pub(super) fn check_inform(status: u16) -> Result<(), StreamError> {
    if (102..200).contains(&status) { Ok(()) } else { Err(StreamError::Status(status)) }
}

/// Writes a response's header lines straight into the session's output.
#[derive(Debug)]
pub struct HeaderBlock<'o> {
    out: &'o mut Vec<u8>,
}

impl<'o> HeaderBlock<'o> {
    /// Appends to `out`, where room for the frame's fixed part has been left.
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out }
    }

    /// Adds `name: value`. Neither is checked here: the host refuses a response that is not HTTP.
    #[inline]
    pub fn line(&mut self, name: &[u8], value: &[u8]) {
        self.out.reserve(name.len() + value.len() + 4);
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        self.out.extend_from_slice(value);
        self.out.extend_from_slice(b"\r\n");
    }

    /// Adds lines that are already in the form `name: value\r\n`.
    #[inline]
    pub fn lines(&mut self, lines: &[u8]) {
        self.out.extend_from_slice(lines);
    }
}
