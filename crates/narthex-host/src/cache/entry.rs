//! One stored response or fragment. It does not change; what changes is counted beside it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::budget::Reserved;
use super::conditional::EntityTag;
use super::request::Key;
use super::url::CacheUrl;
use super::vary::Selecting;

/// What is added for the memory around the bytes of an entry.
pub(super) const OVERHEAD: usize = 512;

/// A stored response, or a fragment. Workers share it.
#[derive(Debug)]
pub(crate) struct Entry {
    /// Unique within the host.
    pub(crate) id: u64,
    /// The registration that its request was for. The entry goes with it.
    pub(crate) registration: u32,
    /// Where it came from, or a fragment's name.
    pub(crate) url: CacheUrl,
    /// Whether it is a fragment, which no client is served by itself.
    pub(crate) fragment: bool,
    pub(super) key: Key,
    pub(super) status: u16,
    pub(super) block: Block,
    pub(super) body: Bytes,
    pub(super) etag: Option<EntityTag>,
    pub(super) last_modified: Option<SystemTime>,
    /// The response says `Cache-Control: public`: requests with cookies may have it.
    pub(super) public: bool,
    pub(super) vary: Box<[Selecting]>,
    pub(super) created: SystemTime,
    /// When its request came.
    pub(super) asked: Duration,
    pub(super) stored: Duration,
    /// How old it was when it was stored.
    pub(super) age: Duration,
    /// How long it may be served from when it was stored; `None` is until it is flushed.
    pub(super) lifetime: Option<Duration>,
    pub(super) last_hit: LastHit,
    pub(super) _room: Reserved,
}

impl Entry {
    pub(super) fn is_fresh(&self, now: Duration) -> bool {
        self.lifetime.is_none_or(|lifetime| now.saturating_sub(self.stored) < lifetime)
    }

    /// `Age`, in seconds (RFC 9111 section 4.2.3).
    pub(super) fn age(&self, now: Duration) -> u64 {
        self.age.saturating_add(now.saturating_sub(self.stored)).as_secs()
    }
}

/// When some worker last served an entry, to the second: so that workers write it seldom, and read it for free.
#[derive(Debug)]
pub(super) struct LastHit(AtomicU64);

impl LastHit {
    pub(super) fn new(now: Duration) -> Self {
        Self(AtomicU64::new(now.as_secs()))
    }

    pub(super) fn set(&self, now: Duration) {
        let now = now.as_secs();
        if self.0.load(Ordering::Relaxed) < now {
            self.0.store(now, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self) -> Duration {
        Duration::from_secs(self.0.load(Ordering::Relaxed))
    }
}

/// The header lines of a stored response: what the app sent, less what the server writes and what is for one hop only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// `name: value\r\n` each. Those that a 304 must repeat come first.
    lines: Box<[u8]>,
    repeated: usize,
}

/// What a 304 repeats (RFC 9110 section 15.4.5).
const REPEATED: [&str; 5] = ["cache-control", "content-location", "etag", "expires", "vary"];

/// Never stored: the server's own, for one hop (RFC 9111 section 3.1), or counted anew.
const DROPPED: [&str; 13] = [
    "age",
    "connection",
    "content-length",
    "date",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authentication-info",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Block {
    pub(super) fn new<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone) -> Self {
        let connection = || fields.clone().filter(|(name, _)| name.eq_ignore_ascii_case(b"connection"));
        let dropped = |name: &[u8]| {
            let named = |(_, value): (&[u8], &[u8])| super::list::elements(value).any(|option| option.eq_ignore_ascii_case(name));
            is_one_of(name, &DROPPED) || connection().any(named)
        };
        let mut lines = Vec::new();
        let mut repeated = 0;
        for first in [true, false] {
            for (name, value) in fields.clone() {
                if is_one_of(name, &REPEATED) == first && !dropped(name) {
                    lines.extend_from_slice(name);
                    lines.extend_from_slice(b": ");
                    lines.extend_from_slice(value);
                    lines.extend_from_slice(b"\r\n");
                }
            }
            if first {
                repeated = lines.len();
            }
        }
        Self { lines: lines.into(), repeated }
    }

    /// All lines.
    pub(super) fn lines(&self) -> &[u8] {
        &self.lines
    }

    /// The lines of a 304.
    pub(super) fn repeated(&self) -> &[u8] {
        self.lines.get(..self.repeated).unwrap_or_default()
    }

    /// The value of the first line with this name.
    pub(super) fn value(&self, name: &str) -> Option<&[u8]> {
        self.lines.split(|&byte| byte == b'\n').find_map(|line| {
            let (other, value) = line.split_at_checked(memchr::memchr(b':', line)?)?;
            let value = value.strip_prefix(b": ")?;
            other.eq_ignore_ascii_case(name.as_bytes()).then(|| value.strip_suffix(b"\r").unwrap_or(value))
        })
    }
}

fn is_one_of(name: &[u8], names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_has_what_the_app_sent_less_what_is_for_one_hop() {
        let fields: [(&[u8], &[u8]); 12] = [
            (b"Content-Type", b"text/plain"),
            (b"ETag", b"\"a\""),
            (b"Connection", b"close, X-Hop"),
            (b"X-Hop", b"1"),
            (b"Date", b"Sun, 22 Nov 2026 00:00:00 GMT"),
            (b"Age", b"3"),
            (b"Content-Length", b"5"),
            (b"Transfer-Encoding", b"chunked"),
            (b"Keep-Alive", b"timeout=5"),
            (b"Link", b"<1>"),
            (b"Cache-Control", b"public"),
            (b"Link", b"<2>"),
        ];
        let block = Block::new(fields.into_iter());
        assert_eq!(block.repeated(), b"ETag: \"a\"\r\nCache-Control: public\r\n");
        let all = b"ETag: \"a\"\r\nCache-Control: public\r\nContent-Type: text/plain\r\nLink: <1>\r\nLink: <2>\r\n";
        assert_eq!(block.lines(), all);
        assert_eq!(block.value("content-type"), Some(&b"text/plain"[..]));
        assert_eq!(block.value("link"), Some(&b"<1>"[..]));
        assert_eq!(block.value("content-encoding"), None);
    }
}
