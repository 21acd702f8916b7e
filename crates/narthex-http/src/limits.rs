//! What a client may ask of a connection: sizes and times. The words and defaults are HTTP.sys's where it has them.

use std::time::Duration;

/// Sizes. Every one bounds memory that a client could otherwise make the server hold.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Request line and headers together, in bytes; more is answered 431. Default 16 384 (`MaxRequestBytes`).
    pub max_head: usize,
    /// The request target in bytes; more is answered 414. Default 8 192.
    pub max_target: usize,
    /// Header fields; more are answered 431. Default 100, and never more than [`Limits::MOST_HEADERS`].
    pub max_headers: usize,
    /// One field line in bytes, name, colon and value; more is answered 431 (`FieldLength`). Default 16 384
    /// (`MaxFieldLength`).
    pub max_field_length: usize,
    /// One segment of the canonical path in characters; more is answered 400 (`URL`). Default 0, no limit; HTTP.sys's
    /// `UrlSegmentMaxLength` is 260.
    pub max_segment_length: usize,
    /// Segments of the canonical path; more are answered 400 (`URL`). Default 0, no limit; HTTP.sys's `UrlSegmentMaxCount` is
    /// 255.
    pub max_segments: usize,
    /// The request body in bytes; more is answered 413. Default 30 000 000 (`MaxRequestBodySize`); `None` for no limit.
    /// Upgraded connections are not counted.
    pub max_body: Option<u64>,
    /// HTTP/2 without TLS, by prior knowledge, is served. Default: yes. With TLS, the binding says.
    pub http2: bool,
    /// Requests that an HTTP/2 client may have open at a time on a connection; more are refused, and the client sends them again
    /// (RFC 9113 section 5.1.2). Default 100.
    pub http2_max_streams: u32,
    /// Bytes of a request body that an HTTP/2 client may send before somebody reads them. Default 65 535. A connection's window
    /// has room for all its streams, so that a body that nobody reads stops no other.
    pub http2_initial_window: u32,
}

impl Limits {
    /// The most header fields that can be allowed.
    pub const MOST_HEADERS: usize = 256;

    /// Whether [`allow_segments_of`](Self::allow_segments_of) has something to ask.
    #[inline]
    pub(crate) fn are_about_segments(&self) -> bool {
        self.max_segment_length | self.max_segments != 0
    }

    /// Whether neither the number nor the lengths of a path's segments are too large.
    #[must_use]
    pub fn allow_segments_of(&self, path: &str) -> bool {
        let (longest, most) = (self.max_segment_length, self.max_segments);
        // Most paths are shorter than one segment may be, and than so many slashes.
        if (longest == 0 || path.len() <= longest) && (most == 0 || path.len() <= most) {
            return true;
        }
        let mut segments = path.trim_matches('/').split('/');
        let short = |segment: &str| longest == 0 || segment.len() <= longest || segment.chars().count() <= longest;
        let count = segments.clone().count();
        (most == 0 || count <= most) && segments.all(short)
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_head: 16 * 1024,
            max_target: 8 * 1024,
            max_headers: 100,
            max_field_length: 16 * 1024,
            max_segment_length: 0,
            max_segments: 0,
            max_body: Some(30_000_000),
            http2: true,
            http2_max_streams: 100,
            http2_initial_window: 65_535,
        }
    }
}

/// Timers. There is none on the app's own work, as in HTTP.sys: an app that wants one sets its own.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Timeouts {
    /// How long a kept-alive connection may be idle between two requests. Default 120 s. `None` disables, here and below.
    pub idle_connection: Option<Duration>,
    /// From a request's first byte (for a new connection: from its start) to the end of its headers. Default 120 s.
    pub header_wait: Option<Duration>,
    /// The longest gap between two arrivals of body bytes that the app waits for. Default 120 s.
    pub entity_body: Option<Duration>,
    /// How long the rest of an unread body is discarded after an early response. Default 120 s.
    pub drain_entity_body: Option<Duration>,
    /// How long a request may wait in the request queue. Default 120 s.
    pub request_queue: Option<Duration>,
    /// A client that takes the response more slowly than this many bytes per second is cut off, as soon as it is 16 KiB late
    /// (64 KiB if the kernel took so much in one piece). Default 150; 0 disables. Rests while the output is paced.
    pub min_send_rate: u32,
}

const DEFAULT: Option<Duration> = Some(Duration::from_secs(120));

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            idle_connection: DEFAULT,
            header_wait: DEFAULT,
            entity_body: DEFAULT,
            drain_entity_body: DEFAULT,
            request_queue: DEFAULT,
            min_send_rate: 150,
        }
    }
}

/// How many client connections a server keeps open at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionCaps {
    /// All of them. One more is answered 503 and closed. Default: what the process's file descriptor limit leaves.
    pub total: usize,
    /// Those of one client address. Default: no limit, since many people can stand behind one address.
    pub per_client: Option<usize>,
}

impl Default for ConnectionCaps {
    fn default() -> Self {
        Self { total: descriptors_left(), per_client: None }
    }
}

/// File descriptors that a server may spend on clients: all but an eighth, which files, sessions and pipes need.
fn descriptors_left() -> usize {
    #[cfg(target_os = "linux")]
    {
        let soft = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
        usize::try_from(soft - soft / 8).unwrap_or(usize::MAX)
    }
    #[cfg(not(target_os = "linux"))]
    {
        usize::MAX
    }
}
