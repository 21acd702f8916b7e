//! Why the server itself refused or ended a request: the reason tokens of HTTP.sys's error log, each with the status
//! that the client gets.
//!
//! What HTTP.sys does, and what is done here. "Same" is the same status and the same token.
//!
//! | condition | HTTP.sys | here |
//! |---|---|---|
//! | queue full | reset or 503 by verbosity, `QueueFull` | same ([`Reason::QueueFull`]) |
//! | group or queue inactive | 503 `Disabled` | same ([`Reason::Disabled`]) |
//! | app failed too often | 503 `AppOffline` | same ([`Reason::AppOffline`]), for who asks it so; the host counts no failures |
//! | app shuts down | 503 `AppShutdown` | same ([`Reason::AppShutdown`]) |
//! | app pool busy | 503 `AppPoolTimer` | never: nothing starts apps, so none is waited for |
//! | connection limit | reset or 503, `ConnLimit` | same ([`Reason::ConnLimit`]); where no request is known yet, always 503 |
//! | no queue bound, or reserved without owner | 503 `N/A` | same ([`Reason::NotAvailable`]) |
//! | internal failure | 503 `N/A`, 500 `Internal` | 500 ([`Reason::Internal`]) |
//! | low on kernel memory | SYN refused, `Connections_Refused` | never: memory is the kernel's to refuse. Out of descriptors, accepting rests |
//! | waited too long in the queue | closed, `Timer_ReqQueue` | 503 by verbosity ([`Reason::TimerReqQueue`]): an answer can be retried |
//! | app died with the request | reset, `Connection_Abandoned_By_ReqQueue` | 502, or a broken connection if the response had begun ([`Reason::ConnectionAbandonedByReqQueue`]) |
//! | client left | nothing, `Client_Reset` or `Connection_Dropped` | same ([`Reason::ClientReset`], [`Reason::ConnectionDropped`]); no `_List_Full` |
//! | app cancels the request | reset, `Request_Cancelled` | same ([`Reason::RequestCancelled`]) |
//! | no route | 404, `NotFound` | same ([`Reason::NotFound`]) |
//! | verb is no token | 400 `Verb` | same ([`Reason::Verb`]) |
//! | URL malformed, segment too long or one too many | 400 `URL` | same ([`Reason::Url`]) |
//! | forbidden character in the URL | 400 `Forbidden` | same ([`Reason::Forbidden`]) |
//! | URL too long | 414 `URL_Length` | same ([`Reason::UrlLength`]) |
//! | field too long | 400 `FieldLength` | 431 as RFC 6585 says ([`Reason::FieldLength`]) |
//! | header block too long | 400 `RequestLength` | 431 ([`Reason::RequestLength`]) |
//! | body too long | 413 `EntityTooLarge` | same ([`Reason::EntityTooLarge`]) |
//! | bad header line, line end, number | 400 `Header`, `Invalid_CR/LF`, `Number` | same; bare LF and chunked with a length too (smuggling) |
//! | request on a connection of another TLS binding, past its client certificates | served | 421 `Hostname` ([`Reason::Misdirected`]) |
//! | Host bad or unknown | 400 `Hostname` | same ([`Reason::Hostname`], [`Reason::UnknownHost`]) |
//! | POST or PUT without length | 411 `LengthRequired` | never: RFC 9112 section 6.3, there is no body |
//! | precondition | 412 `Precondition` | 417 ([`Reason::Precondition`]), for an `Expect` that is not known |
//! | transfer coding unknown, or `chunked` twice | 501 `N/I` | same ([`Reason::NotImplemented`]) |
//! | HTTP/2.0 or 3.0 in a request line | 505 `Version_N/S` | same ([`Reason::VersionNotSupported`]) |
//! | other broken request line | 400 `BadRequest` | same ([`Reason::BadRequest`]) |
//! | header or body did not come in time | closed, `Timer_HeaderWait`, `Timer_EntityBody` | 408 if something of the request has come |
//! | other timers | closed, `Timer_*` | same |

use std::fmt;

/// Name and value of a header field.
type StaticField = (&'static [u8], &'static [u8]);

/// A failure that the server, not the app, decides. `token` is what HTTP.sys writes to its error log for the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The request line or a framing rule is broken in a way that no other token names.
    BadRequest,
    /// The method is not a token (RFC 9110 section 9.1).
    Verb,
    /// The target is not a URL, has bad escapes, or has a segment too long or one too many.
    Url,
    /// The target has a character that no URL may have: a control character, a raw backslash, raw non-ASCII.
    Forbidden,
    /// The target is longer than [`Limits::max_target`](crate::Limits::max_target).
    UrlLength,
    /// A header line is malformed.
    Header,
    /// A line does not end in CRLF, or a CR stands alone.
    InvalidCrLf,
    /// `Content-Length` or a chunk size is not a number that fits.
    Number,
    /// A header line is longer than [`Limits::max_field_length`](crate::Limits::max_field_length).
    FieldLength,
    /// The header block is larger or has more fields than the limits allow.
    RequestLength,
    /// The `Host` is missing, repeated or malformed.
    Hostname,
    /// The request is for a host whose TLS binding asks more of clients than the one that this connection's handshake was for.
    Misdirected,
    /// No registration on this port answers to the request's host.
    UnknownHost,
    /// The host is known, but no registration covers the path.
    NotFound,
    /// The body is larger than allowed.
    EntityTooLarge,
    /// A transfer coding or a method that the server does not implement.
    NotImplemented,
    /// An HTTP version other than 1.0 and 1.1.
    VersionNotSupported,
    /// `Expect` asks for something other than `100-continue`.
    Precondition,
    /// The head did not arrive in time.
    TimerHeaderWait,
    /// The connection was idle for too long. Nothing is answered.
    TimerConnectionIdle,
    /// The body stopped arriving.
    TimerEntityBody,
    /// The rest of an unread body did not arrive in time.
    TimerDrainEntityBody,
    /// The request waited in the request queue for too long.
    TimerReqQueue,
    /// The client takes the response more slowly than the minimum rate.
    TimerMinBytesPerSecond,
    /// The request queue is full.
    QueueFull,
    /// The server's or the client address's connection limit is reached.
    ConnLimit,
    /// The URL is reserved, or its app has gone: nobody serves it now.
    NotAvailable,
    /// The app is shutting down.
    AppShutdown,
    /// An operator or the app has switched the URL group or the queue off.
    Disabled,
    /// The app failed too often and is not asked any more.
    AppOffline,
    /// The app took the request back without answering it. Nothing is answered.
    RequestCancelled,
    /// The app died, or dropped the request, before it answered.
    ConnectionAbandonedByReqQueue,
    /// The client reset the connection.
    ClientReset,
    /// The client closed the connection before the response was complete.
    ConnectionDropped,
    /// The app broke a rule of HTTP or of the wire protocol, or its handler panicked.
    Internal,
}

impl Reason {
    /// The token in logs, as HTTP.sys spells it where it has one.
    #[must_use]
    pub fn token(self) -> &'static str {
        match self {
            Self::BadRequest => "BadRequest",
            Self::Verb => "Verb",
            Self::Url => "URL",
            Self::Forbidden => "Forbidden",
            Self::UrlLength => "URL_Length",
            Self::Header => "Header",
            Self::InvalidCrLf => "Invalid_CR/LF",
            Self::Number => "Number",
            Self::FieldLength => "FieldLength",
            Self::RequestLength => "RequestLength",
            Self::Hostname | Self::UnknownHost | Self::Misdirected => "Hostname",
            Self::NotFound => "NotFound",
            Self::EntityTooLarge => "EntityTooLarge",
            Self::NotImplemented => "N/I",
            Self::VersionNotSupported => "Version_N/S",
            Self::Precondition => "Precondition",
            Self::TimerHeaderWait => "Timer_HeaderWait",
            Self::TimerConnectionIdle => "Timer_ConnectionIdle",
            Self::TimerEntityBody => "Timer_EntityBody",
            Self::TimerDrainEntityBody => "Timer_DrainEntityBody",
            Self::TimerReqQueue => "Timer_ReqQueue",
            Self::TimerMinBytesPerSecond => "Timer_MinBytesPerSecond",
            Self::QueueFull => "QueueFull",
            Self::ConnLimit => "ConnLimit",
            Self::NotAvailable => "N/A",
            Self::AppShutdown => "AppShutdown",
            Self::Disabled => "Disabled",
            Self::AppOffline => "AppOffline",
            Self::RequestCancelled => "Request_Cancelled",
            Self::ConnectionAbandonedByReqQueue => "Connection_Abandoned_By_ReqQueue",
            Self::ClientReset => "Client_Reset",
            Self::ConnectionDropped => "Connection_Dropped",
            Self::Internal => "Internal",
        }
    }

    /// The status that the client gets, or `None` where the connection is closed without an answer.
    #[must_use]
    pub fn status(self) -> Option<u16> {
        Some(match self {
            Self::BadRequest | Self::Verb | Self::Url | Self::Header | Self::InvalidCrLf | Self::Number | Self::Hostname => 400,
            Self::UnknownHost | Self::Forbidden => 400,
            Self::NotFound => 404,
            Self::TimerHeaderWait | Self::TimerEntityBody => 408,
            Self::EntityTooLarge => 413,
            Self::UrlLength => 414,
            Self::Precondition => 417,
            Self::Misdirected => 421,
            Self::FieldLength | Self::RequestLength => 431,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::ConnectionAbandonedByReqQueue => 502,
            Self::TimerReqQueue | Self::QueueFull | Self::ConnLimit | Self::NotAvailable => 503,
            Self::AppShutdown | Self::Disabled | Self::AppOffline => 503,
            Self::VersionNotSupported => 505,
            Self::TimerConnectionIdle
            | Self::TimerDrainEntityBody
            | Self::TimerMinBytesPerSecond
            | Self::RequestCancelled
            | Self::ClientReset
            | Self::ConnectionDropped => return None,
        })
    }

    /// The page for the person who sees the answer, and its header fields. `by_token`: it is titled by the reason's token.
    pub(crate) fn page(self, status: u16, by_token: bool) -> (String, &'static [StaticField]) {
        const KIND: StaticField = (b"content-type", b"text/plain; charset=utf-8");
        let phrase = || http::StatusCode::from_u16(status).ok()?.canonical_reason();
        let title = if by_token { self.token() } else { phrase().unwrap_or_default() };
        let fields: &[_] = if status == 503 { &[KIND, (b"retry-after", b"1")] } else { &[KIND] };
        (format!("{status} {title}\n\n{}\n", self.detail()), fields)
    }

    /// One sentence for the person who sees the answer.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid HTTP.",
            Self::Verb => "The request method is not valid.",
            Self::Url => "The request URL is not valid.",
            Self::Forbidden => "The request URL has a character that is not allowed.",
            Self::UrlLength => "The request URL is too long.",
            Self::Header => "A request header is not valid.",
            Self::InvalidCrLf => "A line of the request does not end in CR LF.",
            Self::Number => "A length in the request is not a valid number.",
            Self::FieldLength => "A request header is too long.",
            Self::RequestLength => "The request's headers are too large.",
            Self::Hostname => "The request's Host is missing or not valid.",
            Self::Misdirected => "This connection is not for the request's host: connect anew, with its name.",
            Self::UnknownHost => "No program on this port serves the request's host name.",
            Self::NotFound => "No program on this port serves this path.",
            Self::EntityTooLarge => "The request body is too large.",
            Self::NotImplemented => "The request asks for something that this server does not implement.",
            Self::VersionNotSupported => "This HTTP version is not supported.",
            Self::Precondition => "The request's expectation cannot be met.",
            Self::TimerHeaderWait => "The request's headers did not arrive in time.",
            Self::TimerEntityBody => "The request's body did not arrive in time.",
            Self::TimerReqQueue => "The program that serves this path did not take the request in time.",
            Self::QueueFull => "The program that serves this path has too many requests waiting.",
            Self::ConnLimit => "The server has too many connections.",
            Self::NotAvailable => "The program that serves this path is not running.",
            Self::AppShutdown => "The program that serves this path is shutting down.",
            Self::Disabled => "The program that serves this path is switched off.",
            Self::AppOffline => "The program that serves this path has failed too often.",
            Self::ConnectionAbandonedByReqQueue => "The program that serves this path ended before it answered.",
            Self::Internal => "The program that serves this path failed.",
            Self::TimerConnectionIdle
            | Self::TimerDrainEntityBody
            | Self::TimerMinBytesPerSecond
            | Self::RequestCancelled
            | Self::ClientReset
            | Self::ConnectionDropped => "The connection was closed.",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.token())
    }
}
