//! Why the server itself refused or ended a request: the reason tokens of HTTP.sys's error log, each with the status
//! that the client gets.

use std::fmt;

/// A failure that the server, not the app, decides. `token` is what HTTP.sys writes to its error log for the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// The request line or a framing rule is broken in a way that no other token names.
    BadRequest,
    /// The method is not a token (RFC 9110 section 9.1).
    Verb,
    /// The target is not a URL, or has bad escapes or forbidden characters.
    Url,
    /// The target is longer than [`Limits::max_target`](crate::Limits::max_target).
    UrlLength,
    /// A header line is malformed.
    Header,
    /// A line does not end in CRLF, or a CR stands alone.
    InvalidCrLf,
    /// `Content-Length` or a chunk size is not a number that fits.
    Number,
    /// The header block is larger or has more fields than the limits allow.
    RequestLength,
    /// The `Host` is missing, repeated or malformed.
    Hostname,
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
            Self::UrlLength => "URL_Length",
            Self::Header => "Header",
            Self::InvalidCrLf => "Invalid_CR/LF",
            Self::Number => "Number",
            Self::RequestLength => "RequestLength",
            Self::Hostname | Self::UnknownHost => "Hostname",
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
            Self::UnknownHost => 400,
            Self::NotFound => 404,
            Self::TimerHeaderWait | Self::TimerEntityBody => 408,
            Self::EntityTooLarge => 413,
            Self::UrlLength => 414,
            Self::Precondition => 417,
            Self::RequestLength => 431,
            Self::Internal => 500,
            Self::NotImplemented => 501,
            Self::ConnectionAbandonedByReqQueue => 502,
            Self::TimerReqQueue | Self::QueueFull | Self::ConnLimit | Self::NotAvailable | Self::AppShutdown => 503,
            Self::VersionNotSupported => 505,
            Self::TimerConnectionIdle
            | Self::TimerDrainEntityBody
            | Self::TimerMinBytesPerSecond
            | Self::ClientReset
            | Self::ConnectionDropped => return None,
        })
    }

    /// One sentence for the person who sees the answer.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::BadRequest => "The request is not valid HTTP.",
            Self::Verb => "The request method is not valid.",
            Self::Url => "The request URL is not valid.",
            Self::UrlLength => "The request URL is too long.",
            Self::Header => "A request header is not valid.",
            Self::InvalidCrLf => "A line of the request does not end in CR LF.",
            Self::Number => "A length in the request is not a valid number.",
            Self::RequestLength => "The request's headers are too large.",
            Self::Hostname => "The request's Host is missing or not valid.",
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
            Self::ConnectionAbandonedByReqQueue => "The program that serves this path ended before it answered.",
            Self::Internal => "The program that serves this path failed.",
            Self::TimerConnectionIdle
            | Self::TimerDrainEntityBody
            | Self::TimerMinBytesPerSecond
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
