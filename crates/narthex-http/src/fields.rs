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
    pub fn iter<'a>(&'a self, block: &'a [u8]) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        let part = |(start, end): (usize, usize)| block.get(start..end).unwrap_or_default();
        self.0.iter().map(move |place| (part(place.name), part(place.value)))
    }
}

/// The line that starts at `start`, and where the next one does.
fn line(block: &[u8], start: usize) -> Option<(Place, usize)> {
    let name = block.get(start..)?;
    let colon = start + name.iter().position(|&byte| !NAME[usize::from(byte)])?;
    if colon == start || block.get(colon) != Some(&b':') {
        return None;
    }
    let value = block.get(colon + 1..)?;
    let end = colon + 1 + value.iter().position(|&byte| !is_value(byte))?;
    let after = end + 2;
    if block.get(end..after) != Some(b"\r\n") {
        return None;
    }
    // Optional white space is SP and HTAB only: what else looks blank must not be overlooked.
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t');
    let value = block.get(colon + 1..end)?;
    let leading = value.iter().take_while(blank).count();
    let trailing = value.iter().rev().take_while(blank).count().min(value.len() - leading);
    Some((Place { name: (start, colon), value: (colon + 1 + leading, end - trailing) }, after))
}

/// Appends `name: value` and CRLF.
pub(crate) fn write_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

fn is_value(byte: u8) -> bool {
    byte >= b' ' && byte != 0x7f || byte == b'\t'
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
