//! An app's header lines, judged before they reach a client.
//!
//! An app must not be able to end its head early and write a second response: the next one on that connection may be
//! another app's.

/// Whether `block` is nothing but `name: value\r\n` lines by RFC 9110 section 5.
pub(crate) fn are_valid(block: &[u8]) -> bool {
    lines(block).all(|line| line.is_some_and(|(name, value)| is_name(name) && is_value(value)))
}

/// The lines of a block. `None` stands for one that has no colon or no CRLF, and ends the iteration.
pub(crate) fn lines(block: &[u8]) -> impl Iterator<Item = Option<(&[u8], &[u8])>> {
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

/// As [`lines`], for a block that was found valid.
pub(crate) fn valid_lines(block: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    lines(block).flatten()
}

fn split_line(block: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let colon = memchr::memchr(b':', block)?;
    let (name, rest) = block.split_at(colon);
    let value = rest.get(1..)?;
    let end = memchr::memchr(b'\r', value)?;
    let (value, rest) = value.split_at(end);
    let after = rest.strip_prefix(b"\r\n")?;
    Some((name, value.trim_ascii(), after))
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
