//! A stored response as the answer to a request: whole, a part of it, or the news that the client's copy is good.

use std::io::Write as _;
use std::ops::Range;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use narthex_http::Piece;

use super::Stored;
use super::conditional::Validators;
use super::entry::Entry;
use super::range::{Wanted, wanted};
use super::request::{Facts, RequestHead};

/// A fresh stored response that fits a request.
#[derive(Debug)]
pub(crate) struct Hit {
    stored: Rc<Stored>,
    facts: Facts,
    /// `cache_range_chunk_size`.
    most: usize,
}

/// What the client is sent. All of it is as the engine wants it: see `Exchange::send_stored`.
#[derive(Clone, Debug)]
pub(crate) struct Served<'s> {
    /// 304, 206, 416, or the stored one.
    pub(crate) status: u16,
    /// Header lines, `name: value\r\n` each, without framing, `Date` and `Age`.
    pub(crate) block: &'s [u8],
    /// For `Age`, in seconds. `None` if the answer is not a stored one.
    pub(crate) age: Option<u64>,
    body: &'s Bytes,
    part: Range<usize>,
}

/// Bodies up to this length are copied if the socket has no room for them: that costs less than to share them.
const COPIED: usize = 16 * 1024;

impl<'s> Served<'s> {
    /// The body. For HEAD it is the body of a GET, so that its length is known.
    pub(crate) fn body(&self) -> Piece<'s> {
        let bytes = self.bytes();
        if bytes.len() <= COPIED { Piece::Slice(bytes) } else { Piece::Shared(self.body.slice_ref(bytes)) }
    }

    /// The bytes of the body.
    pub(crate) fn bytes(&self) -> &'s [u8] {
        self.body.get(self.part.clone()).unwrap_or_default()
    }
}

impl Hit {
    pub(super) fn new(stored: Rc<Stored>, facts: Facts, most: usize) -> Self {
        Self { stored, facts, most }
    }

    /// The entry.
    pub(crate) fn entry(&self) -> &Entry {
        &self.stored.entry
    }

    /// Decides what `request`, for which this was found, gets at `now`. Header lines of a part are written into `scratch`,
    /// which is best kept from one request to the next: then nothing is allocated.
    pub(crate) fn serve<'s>(&'s self, request: &impl RequestHead, now: Duration, scratch: &'s mut Vec<u8>) -> Served<'s> {
        let entry = self.entry();
        let (block, age) = (entry.block.lines(), Some(entry.age(now)));
        let whole = Served { status: entry.status, block, age, body: &entry.body, part: 0..entry.body.len() };
        // Conditions are for what would be 200 (RFC 9110 section 13.2.1).
        if !matches!(entry.status, 200 | 203) {
            return whole;
        }
        let validators = Validators { etag: entry.etag.as_ref(), last_modified: entry.last_modified, created: entry.created };
        let fields = || request.fields().map(|(name, value)| (name.as_bytes(), value));
        if self.facts.conditional && validators.not_modified(fields()) {
            return Served { status: 304, block: entry.block.repeated(), part: 0..0, ..whole };
        }
        if !self.facts.range || entry.status != 200 {
            return whole;
        }
        let named = |name: &'static str| {
            fields().filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
        };
        if !named("if-range").all(|value| validators.if_range(value)) {
            return whole;
        }
        let length = entry.body.len();
        scratch.clear();
        match wanted(named("range"), length, self.most) {
            Wanted::Whole => whole,
            Wanted::Part(part) => {
                scratch.extend_from_slice(block);
                // Writing to memory cannot fail.
                let _ = write!(scratch, "content-range: bytes {}-{}/{length}\r\n", part.start, part.end.saturating_sub(1));
                Served { status: 206, block: scratch, part, ..whole }
            }
            Wanted::Unsatisfiable => {
                let _ = write!(scratch, "content-range: bytes */{length}\r\n");
                Served { status: 416, block: scratch, age: None, part: 0..0, ..whole }
            }
        }
    }
}
