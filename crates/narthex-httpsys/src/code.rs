//! What the HTTP Server API answers: Windows' error codes, by name where the project acts on them.

use std::fmt;

/// An error code of Windows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Code(pub u32);

impl Code {
    /// `ERROR_INVALID_FUNCTION`. Wine has it for https.
    pub const INVALID_FUNCTION: Self = Self(1);
    /// `ERROR_FILE_NOT_FOUND`.
    pub const FILE_NOT_FOUND: Self = Self(2);
    /// `ERROR_ACCESS_DENIED`.
    pub const ACCESS_DENIED: Self = Self(5);
    /// `ERROR_INVALID_HANDLE`. Of a queue: it is closed.
    pub const INVALID_HANDLE: Self = Self(6);
    /// `ERROR_SHARING_VIOLATION`. Of a URL: a program without HTTP.sys has the port.
    pub const SHARING_VIOLATION: Self = Self(32);
    /// `ERROR_HANDLE_EOF`. Of a body: it has ended.
    pub const HANDLE_EOF: Self = Self(38);
    /// `ERROR_NOT_SUPPORTED`.
    pub const NOT_SUPPORTED: Self = Self(50);
    /// `ERROR_NETNAME_DELETED`: the client is gone.
    pub const NETNAME_DELETED: Self = Self(64);
    /// `ERROR_INVALID_PARAMETER`.
    pub const INVALID_PARAMETER: Self = Self(87);
    /// `ERROR_CALL_NOT_IMPLEMENTED`. Wine's answer to what it lacks.
    pub const CALL_NOT_IMPLEMENTED: Self = Self(120);
    /// `ERROR_INSUFFICIENT_BUFFER`. Of a question about the configuration: the answer needs a larger one.
    pub const INSUFFICIENT_BUFFER: Self = Self(122);
    /// `ERROR_ALREADY_EXISTS`.
    pub const ALREADY_EXISTS: Self = Self(183);
    /// `ERROR_MORE_DATA`. Of a request: it needs a larger buffer.
    pub const MORE_DATA: Self = Self(234);
    /// `ERROR_NO_MORE_ITEMS`. Of the configuration: that was all.
    pub const NO_MORE_ITEMS: Self = Self(259);
    /// `ERROR_OPERATION_ABORTED`: cancelled, or the queue was closed.
    pub const OPERATION_ABORTED: Self = Self(995);
    /// `ERROR_CONNECTION_INVALID`: the client or its request is gone.
    pub const CONNECTION_INVALID: Self = Self(1229);
    /// `ERROR_NONE_MAPPED`: there is no user or group of this name.
    pub const NONE_MAPPED: Self = Self(1332);
    /// `ERROR_CONNECTION_ABORTED`: the client is gone.
    pub const CONNECTION_ABORTED: Self = Self(1236);

    /// This HTTP.sys does not have what was asked for.
    #[must_use]
    pub fn is_lacking(self) -> bool {
        matches!(self, Self::CALL_NOT_IMPLEMENTED | Self::NOT_SUPPORTED | Self::INVALID_FUNCTION)
    }

    /// The client has gone.
    #[must_use]
    pub fn is_disconnected(self) -> bool {
        matches!(self, Self::NETNAME_DELETED | Self::CONNECTION_INVALID | Self::CONNECTION_ABORTED)
    }

    /// The queue was closed, or the operation cancelled.
    #[must_use]
    pub fn is_cancelled(self) -> bool {
        matches!(self, Self::OPERATION_ABORTED | Self::INVALID_HANDLE)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match *self {
            Self::INVALID_FUNCTION => "ERROR_INVALID_FUNCTION",
            Self::FILE_NOT_FOUND => "ERROR_FILE_NOT_FOUND",
            Self::ACCESS_DENIED => "ERROR_ACCESS_DENIED",
            Self::INVALID_HANDLE => "ERROR_INVALID_HANDLE",
            Self::SHARING_VIOLATION => "ERROR_SHARING_VIOLATION",
            Self::HANDLE_EOF => "ERROR_HANDLE_EOF",
            Self::NOT_SUPPORTED => "ERROR_NOT_SUPPORTED",
            Self::NETNAME_DELETED => "ERROR_NETNAME_DELETED",
            Self::INVALID_PARAMETER => "ERROR_INVALID_PARAMETER",
            Self::CALL_NOT_IMPLEMENTED => "ERROR_CALL_NOT_IMPLEMENTED",
            Self::INSUFFICIENT_BUFFER => "ERROR_INSUFFICIENT_BUFFER",
            Self::ALREADY_EXISTS => "ERROR_ALREADY_EXISTS",
            Self::MORE_DATA => "ERROR_MORE_DATA",
            Self::NO_MORE_ITEMS => "ERROR_NO_MORE_ITEMS",
            Self::OPERATION_ABORTED => "ERROR_OPERATION_ABORTED",
            Self::CONNECTION_INVALID => "ERROR_CONNECTION_INVALID",
            Self::NONE_MAPPED => "ERROR_NONE_MAPPED",
            Self::CONNECTION_ABORTED => "ERROR_CONNECTION_ABORTED",
            Self(number) => return write!(f, "error {number}"),
        };
        write!(f, "{name} ({})", self.0)
    }
}
