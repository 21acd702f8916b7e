//! Trace contexts: what a request tells of the trace that it belongs to (W3C Trace Context, Level 1).

use std::fmt;
use std::ops::Range;

/// The header field.
pub const TRACEPARENT: &str = "traceparent";
/// The field beside it, which belongs to tracing systems and is passed on as it is. It means nothing without the other one.
pub const TRACESTATE: &str = "tracestate";

/// The length of what [`TraceContext::to_text`] writes, in bytes.
pub const LENGTH: usize = 55;

/// Where the trace's digits are in it.
pub const TRACE: Range<usize> = 3..35;
/// Where the span's are.
pub const SPAN: Range<usize> = 36..52;

const SAMPLED: u8 = 1;

/// A trace, and the span in it that whoever has sent the request was in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace. Never all zeros.
    pub trace: [u8; 16],
    /// The span. Never all zeros.
    pub span: [u8; 8],
    /// Whoever has sent the request records the trace, so that those behind it should, too.
    pub sampled: bool,
}

impl TraceContext {
    /// Reads a `traceparent`. `None` if it is none, for which the trace is to begin anew (section 3.2.2.5).
    ///
    /// Of a version that is not known yet, what is known is read (section 4.3).
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (known, rest) = text.split_first_chunk::<LENGTH>()?;
        let version: [u8; 1] = digits(known.get(..2)?)?;
        let goes_on = match version {
            [0] => rest.is_empty(),
            [0xff] => false,
            _ => rest.is_empty() || rest.starts_with(b"-"),
        };
        let separated = [2, 35, 52].iter().all(|at| known.get(*at) == Some(&b'-'));
        if !goes_on || !separated {
            return None;
        }
        let trace = digits(known.get(TRACE)?)?;
        let span = digits(known.get(SPAN)?)?;
        let [flags] = digits(known.get(53..)?)?;
        (trace != [0; 16] && span != [0; 8]).then_some(Self { trace, span, sampled: flags & SAMPLED != 0 })
    }

    /// Reads a request's `traceparent`. Of several, nobody could tell which is the right one: then there is none.
    #[must_use]
    pub fn only<'a>(mut sent: impl Iterator<Item = &'a [u8]>) -> Option<Self> {
        let only = sent.next().filter(|_| sent.next().is_none())?;
        Self::parse(only)
    }

    /// Writes a `traceparent`.
    #[must_use]
    pub fn to_text(&self) -> [u8; LENGTH] {
        let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
        if let Some(place) = text.get_mut(TRACE) {
            put(&self.trace, place);
        }
        if let Some(place) = text.get_mut(SPAN) {
            put(&self.span, place);
        }
        if let Some(flags) = text.last_mut() {
            *flags += u8::from(self.sampled);
        }
        text
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(std::str::from_utf8(&self.to_text()).unwrap_or_default())
    }
}

/// Lower case only, as the standard has it.
fn digits<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, odd) = text.as_chunks::<2>();
    if pairs.len() != N || !odd.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}

fn put(bytes: &[u8], text: &mut [u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn what_is_written_is_what_was_read() {
        let context = TraceContext::parse(TEXT.as_bytes()).unwrap();
        assert!(context.sampled);
        assert_eq!((context.trace[0], context.span[7]), (0x4b, 0xb7));
        assert_eq!(context.to_string(), TEXT);
        let unsampled = TEXT.replace("-01", "-00");
        assert_eq!(TraceContext::parse(unsampled.as_bytes()).unwrap().to_string(), unsampled);
    }

    #[test]
    fn of_several_none_is_the_right_one() {
        let context = TraceContext::parse(TEXT.as_bytes());
        let sent = [TEXT.as_bytes(); 2];
        assert_eq!(TraceContext::only(sent.into_iter().take(1)), context);
        assert_eq!([2, 0].map(|count| TraceContext::only(sent.into_iter().take(count))), [None, None]);
    }

    #[test]
    fn of_flags_only_the_known_one_is_passed_on() {
        let context = TraceContext::parse(TEXT.replace("-01", "-ff").as_bytes()).unwrap();
        assert_eq!(context.to_string(), TEXT);
    }

    #[test]
    fn a_later_version_may_say_more() {
        for later in [TEXT.replacen("00", "01", 1), format!("{}-more", TEXT.replacen("00", "cc", 1))] {
            assert_eq!(TraceContext::parse(later.as_bytes()).unwrap().to_string(), TEXT);
        }
    }

    #[test]
    fn what_is_malformed_is_none() {
        let bad = [
            String::new(),
            "00".to_owned(),
            TEXT[..54].to_owned(),
            format!("{TEXT}-"),
            format!("{TEXT} "),
            format!("{}x", TEXT.replacen("00", "01", 1)),
            TEXT.replacen("00", "ff", 1),
            TEXT.replace('-', "_"),
            TEXT.to_uppercase(),
            TEXT.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            TEXT.replace("00f067aa0ba902b7", &"0".repeat(16)),
            TEXT.replace("4b", "4g"),
            "ä".repeat(40),
        ];
        for text in bad {
            assert_eq!(TraceContext::parse(text.as_bytes()), None, "{text}");
        }
    }
}
