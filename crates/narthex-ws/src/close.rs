//! Why a connection ends: the body of a Close frame, RFC 6455 sections 5.5.1 and 7.4.

use std::borrow::Cow;
use std::fmt;

use crate::error::ProtocolError;

/// A status code that may stand in a Close frame.
///
/// These are 1000 to 1003 and 1007 to 1014 as registered with IANA, 3000 to 3999 (registered by libraries and frameworks)
/// and 4000 to 4999 (the application's own). 1005, 1006 and 1015 are what APIs report when there was no such frame, and
/// must not be sent, RFC 6455 section 7.4.1; all others are reserved.
///
/// ```
/// use narthex_ws::CloseCode;
///
/// assert_eq!(CloseCode::new(1000), Ok(CloseCode::NORMAL));
/// assert!(CloseCode::new(1006).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the connection has done what it was for.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server stops, or the page is left.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: the peer sent a kind of data that is not taken, for example binary where text is wanted.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// 1007: data does not fit its kind, for example text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: the peer may not do this; for want of a better code.
    pub const POLICY_VIOLATION: Self = Self(1008);
    /// 1009: a message is larger than this end takes.
    pub const MESSAGE_TOO_BIG: Self = Self(1009);
    /// 1010: a client wanted an extension that the server did not agree to. Servers never send it.
    pub const MISSING_EXTENSION: Self = Self(1010);
    /// 1011: the server failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// 1012: the server restarts; clients come back after a random delay.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// 1013: the server is overloaded; clients try another, or later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// 1014: a gateway got a bad answer from the server behind it.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// The code `code`.
    ///
    /// # Errors
    ///
    /// It must not stand in a Close frame.
    pub const fn new(code: u16) -> Result<Self, InvalidCloseCode> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Ok(Self(code)),
            _ => Err(InvalidCloseCode(code)),
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A status code that no Close frame may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0} is no close code that may be sent: use 1000-1003, 1007-1014, 3000-3999 or, for an application's own, 4000-4999")]
pub struct InvalidCloseCode(pub u16);

/// A code, and a reason that people may read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close<'a> {
    code: CloseCode,
    reason: Cow<'a, str>,
}

/// A reason that does not fit into a Close frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a close reason has at most 123 bytes, not {0} (Close::shortened cuts it)")]
pub struct ReasonTooLong(pub usize);

impl<'a> Close<'a> {
    /// Bytes that a reason may have: a control frame has 125, and two are the code's.
    pub const MAX_REASON: usize = 123;

    /// `code` with `reason`, which may be empty.
    ///
    /// # Errors
    ///
    /// The reason has more than [`Self::MAX_REASON`] bytes.
    pub fn new(code: CloseCode, reason: impl Into<Cow<'a, str>>) -> Result<Self, ReasonTooLong> {
        let reason = reason.into();
        if reason.len() > Self::MAX_REASON { Err(ReasonTooLong(reason.len())) } else { Ok(Self { code, reason }) }
    }

    /// `code` with as many of `reason`'s characters as fit.
    pub fn shortened(code: CloseCode, reason: &'a str) -> Self {
        let end = reason.floor_char_boundary(Self::MAX_REASON);
        Self { code, reason: reason[..end].into() }
    }

    /// Why the connection ends, for programs.
    pub fn code(&self) -> CloseCode {
        self.code
    }

    /// Why the connection ends, for people.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The same, owned.
    pub fn into_owned(self) -> Close<'static> {
        Close { code: self.code, reason: self.reason.into_owned().into() }
    }

    /// The body of a Close frame, which may be empty.
    pub(crate) fn parse(body: Cow<'a, [u8]>) -> Result<Option<Self>, ProtocolError> {
        let code = match *body {
            [] => return Ok(None),
            [_] => return Err(ProtocolError::CloseBody),
            [first, second, ..] => u16::from_be_bytes([first, second]),
        };
        let code = CloseCode::new(code).map_err(|error| ProtocolError::CloseCode(error.0))?;
        // RFC 6455 section 5.5.1: the rest is UTF-8.
        let reason = match body {
            Cow::Borrowed(body) => std::str::from_utf8(&body[2..]).map(Cow::Borrowed).ok(),
            Cow::Owned(mut body) => String::from_utf8(body.split_off(2)).map(Cow::Owned).ok(),
        };
        let reason = reason.ok_or(ProtocolError::InvalidUtf8)?;
        Ok(Some(Self { code, reason }))
    }
}

impl From<CloseCode> for Close<'_> {
    fn from(code: CloseCode) -> Self {
        Self { code, reason: Cow::Borrowed("") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_codes_for_the_wire_are_codes() {
        // Autobahn 7.7 and 7.9, and what IANA has registered since.
        for code in [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
            assert_eq!(CloseCode::new(code).map(CloseCode::get), Ok(code));
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert_eq!(CloseCode::new(code), Err(InvalidCloseCode(code)));
        }
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let long = "ą".repeat(70);
        assert_eq!(Close::new(CloseCode::NORMAL, &*long), Err(ReasonTooLong(140)));
        let close = Close::shortened(CloseCode::NORMAL, &long);
        assert_eq!(close.reason().len(), 122);
        assert_eq!(Close::shortened(CloseCode::NORMAL, "short").reason(), "short");
    }

    #[test]
    fn a_body_is_empty_or_a_code_and_utf8() {
        let parse = |body: &'static [u8]| {
            let (borrowed, owned) = (Close::parse(body.into()), Close::parse(body.to_vec().into()));
            assert_eq!(borrowed, owned);
            borrowed
        };
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03"), Err(ProtocolError::CloseBody));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some(CloseCode::NORMAL.into())));
        assert_eq!(parse(b"\x0f\xa0bye"), Ok(Some(Close { code: CloseCode(4000), reason: "bye".into() })));
        assert_eq!(parse(b"\x03\xe8\xff"), Err(ProtocolError::InvalidUtf8));
        assert_eq!(parse(b"\x03\xee"), Err(ProtocolError::CloseCode(1006)));
    }
}
