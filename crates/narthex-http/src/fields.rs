//! Header lines from an app, judged before they reach a client.
//!
//! An app must not be able to end its head early and write a second response: the next one on that connection may be
//! another app's.

/// Fields that decide about framing, routing or who the client is. They must not come after the fact, in trailers
/// (RFC 9110 section 6.5.1).
const FORBIDDEN_TRAILERS: [&[u8]; 8] =
    [b"content-length", b"transfer-encoding", b"host", b"connection", b"trailer", b"te", b"upgrade", b"authorization"];

/// Whether a field with this name may be a trailer.
pub(crate) fn may_trail(name: &[u8]) -> bool {
    !FORBIDDEN_TRAILERS.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// Whether `block` is nothing but `name: value\r\n` lines by RFC 9110 section 5.
#[must_use]
pub fn are_valid(block: &[u8]) -> bool {
    lines(block).all(|line| line.is_some_and(|(name, value)| is_name(name) && is_value(value)))
}

/// The lines of a block. `None` stands for one that has no colon or no CRLF, and ends the iteration.
fn lines(block: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
    let mut rest = Some(block).filter(|block| !block.is_empty());
    std::iter::from_fn(move || {
        let block = rest.take()?;
        let line = split_line(block);
        if let Some((_, _, after)) = line
            && !after.is_empty()
        {
            rest = Some(after);
        }
        Some(line.map(|(name, value, _)| (name, value)))
    })
}

/// Names and values of the valid lines of a block; the others are passed over.
pub fn valid_lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(block).flatten().filter(|(name, value)| is_name(name) && is_value(value))
}

fn split_line(block: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let colon = memchr::memchr(b':', block)?;
    let (name, rest) = block.split_at(colon);
    let value = rest.get(1..)?;
    let end = memchr::memchr(b'\r', value)?;
    let (value, rest) = value.split_at(end);
    let after = rest.strip_prefix(b"\r\n")?;
    Some((name, trim(value), after))
}

/// Appends `name: value` and CRLF.
pub(crate) fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Optional white space is SP and HTAB only: what else looks blank must not be overlooked.
fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

fn is_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| NAME[usize::from(byte)])
}

fn is_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte >= b' ' && byte != 0x7f || byte == b'\t')
}

/// `tchar` of RFC 9110 section 5.6.2.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 128 {
        table[byte] = (byte as u8).is_ascii_alphanumeric();
        byte += 1;
    }
    let others = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < others.len() {
        table[others[index] as usize] = true;
        index += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_header_lines_pass() {
        for block in ["", "a: b\r\n", "a:\r\n", "a: b\r\nc: d\t\u{e9}\r\n"] {
            assert!(are_valid(block.as_bytes()), "{block:?}");
        }
        for block in [
            "\r\n",
            "a: b",
            "a: b\r",
            "a: b\n",
            "a: b\r\n\r\n",
            "a: b\r\n\r\nHTTP/1.1 200 OK\r\n",
            "a b: c\r\n",
            ": b\r\n",
            "a: b\0\r\n",
            "a: b\nc: d\r\n",
            "a: b\r\n c: d\r\n",
            "a\r\nb: c\r\n",
            "nothing\r\n",
            "a: b\rc: d\r\n",
            "a:\n\nHTTP/1.1 200 OK\r\n",
            "a: b\x0c\r\n",
            "a: b\n\r\n",
        ] {
            assert!(!are_valid(block.as_bytes()), "{block:?}");
        }
    }

    #[test]
    fn lines_come_apart_in_order() {
        let found: Vec<_> = valid_lines(b"a: b\r\nc:  d \r\n").collect();
        assert_eq!(found, [(&b"a"[..], &b"b"[..]), (b"c", b"d")]);
    }
}
