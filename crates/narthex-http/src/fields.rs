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

/// Where the fields of a block are. Kept between blocks for its memory.
#[derive(Debug, Default)]
pub struct Fields(Vec<Place>);

#[derive(Clone, Copy, Debug)]
struct Place {
    name: (usize, usize),
    value: (usize, usize),
}

impl Fields {
    /// Finds the fields of `block`. `false` if it is not all `name: value\r\n` lines by RFC 9110 section 5.
    #[must_use]
    pub fn parse(&mut self, block: &[u8]) -> bool {
        self.0.clear();
        let mut rest = 0;
        while rest < block.len() {
            let Some((place, after)) = line(block, rest) else { return false };
            self.0.push(place);
            rest = after;
        }
        true
    }

    /// Names and values of the fields of `block`, the one that was parsed last.
    pub fn iter<'a>(&'a self, block: &'a [u8]) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone {
        let part = |(start, end): (usize, usize)| block.get(start..end).unwrap_or_default();
        self.0.iter().map(move |place| (part(place.name), part(place.value)))
    }
}

/// The line that starts at `start`, and where the next one does.
fn line(block: &[u8], start: usize) -> Option<(Place, usize)> {
    let colon = start + memchr::memchr(b':', block.get(start..)?)?;
    let end = colon + memchr::memchr(b'\r', block.get(colon..)?)?;
    let after = end + 2;
    let (name, value) = (block.get(start..colon)?, block.get(colon + 1..end)?);
    if name.is_empty() || has(name, NOT_IN_NAME) || has(value, NOT_IN_VALUE) || block.get(end..after) != Some(b"\r\n") {
        return None;
    }
    // Optional white space is SP and HTAB only: what else looks blank must not be overlooked.
    let (mut from, mut to) = (colon + 1, end);
    while from < to && matches!(block.get(from), Some(b' ' | b'\t')) {
        from += 1;
    }
    while from < to && matches!(block.get(to - 1), Some(b' ' | b'\t')) {
        to -= 1;
    }
    Some((Place { name: (start, colon), value: (from, to) }, after))
}

/// Whether a byte of one of these classes is in `bytes`. Without an early end, since there is hardly ever one to find.
fn has(bytes: &[u8], classes: u8) -> bool {
    bytes.iter().fold(0, |found, &byte| found | CLASS[usize::from(byte)]) & classes != 0
}

/// Appends `name: value` and CRLF.
pub(crate) fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

const NOT_IN_NAME: u8 = 1;
const NOT_IN_VALUE: u8 = 2;

/// By RFC 9110: a name is made of `tchar` (section 5.6.2), a value of anything but control characters other than HTAB
/// (section 5.5).
static CLASS: [u8; 256] = {
    let tchar = b"!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut table = [NOT_IN_NAME; 256];
    let mut index = 0;
    while index < tchar.len() {
        table[tchar[index] as usize] = 0;
        index += 1;
    }
    let mut byte = 0;
    while byte < 0x20 {
        if byte != b'\t' {
            table[byte as usize] |= NOT_IN_VALUE;
        }
        byte += 1;
    }
    table[0x7f] |= NOT_IN_VALUE;
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_header_lines_pass() {
        for block in ["", "a: b\r\n", "a:\r\n", "a: b\r\nc: d\t\u{e9}\r\n"] {
            assert!(Fields::default().parse(block.as_bytes()), "{block:?}");
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
            assert!(!Fields::default().parse(block.as_bytes()), "{block:?}");
        }
    }

    #[test]
    fn lines_come_apart_in_order() {
        let block = b"a: b\r\nc:  d \r\ne:\t \r\nf:g\r\n";
        let mut fields = Fields::default();
        assert!(fields.parse(block));
        let found: Vec<_> = fields.iter(block).collect();
        assert_eq!(found, [(&b"a"[..], &b"b"[..]), (b"c", b"d"), (b"e", b""), (b"f", b"g")]);
    }
}
