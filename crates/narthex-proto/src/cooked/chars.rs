//! Byte classes of a request target, and percent-encoding.

/// Never part of a path or query: a space, a control character, DEL.
pub(super) const CONTROL: u8 = 1;
/// A byte above 0x7F.
pub(super) const NON_ASCII: u8 = 2;
/// Passed through as data, but the app gets it percent-encoded because `http::Uri` does not hold it.
pub(super) const AWKWARD: u8 = 4;
pub(super) const PERCENT: u8 = 8;
pub(super) const BACKSLASH: u8 = 16;
pub(super) const SLASH: u8 = 32;
/// Ends the path.
pub(super) const QUERY: u8 = 64;

pub(super) static PATH: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            0..=b' ' | 0x7f => CONTROL,
            0x80.. => NON_ASCII,
            b'#' | b'<' | b'>' | b'`' => AWKWARD,
            b'%' => PERCENT,
            b'\\' => BACKSLASH,
            b'/' => SLASH,
            b'?' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// The query is not cooked: only what would break the message or `http::Uri` has a class.
pub(super) static AFTER_PATH: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            0..=b' ' | 0x7f => CONTROL,
            0x80.. => NON_ASCII,
            b'"' | b'#' | b'<' | b'>' => AWKWARD,
            _ => 0,
        };
        byte += 1;
    }
    table
};

/// Which bytes of a text to percent-encode.
#[derive(Clone, Copy)]
pub(super) enum Encode {
    /// A raw path: its escapes are left alone.
    RawPath,
    /// A cooked path in which no `%` is left except the escapes that stay.
    CookedPath { percent: bool },
    /// A raw query.
    Query,
}

impl Encode {
    fn applies_to(self, byte: u8) -> bool {
        match self {
            Self::RawPath => PATH[usize::from(byte)] & !(PERCENT | SLASH) != 0,
            Self::CookedPath { percent } => match byte {
                b'%' => percent,
                // What browsers encode in a path, too: these bytes were escaped, most likely.
                b'"' | b'^' | b'{' | b'|' | b'}' => true,
                _ => PATH[usize::from(byte)] & !SLASH != 0,
            },
            Self::Query => AFTER_PATH[usize::from(byte)] != 0,
        }
    }
}

/// Appends `text`, percent-encoded where `encode` says so.
pub(super) fn push_encoded(text: &str, encode: Encode, out: &mut String) {
    for character in text.chars() {
        let mut utf8 = [0; 4];
        let bytes = character.encode_utf8(&mut utf8).bytes();
        if !character.is_ascii() || bytes.clone().any(|byte| encode.applies_to(byte)) {
            bytes.for_each(|byte| push_escape(byte, out));
        } else {
            out.push(character);
        }
    }
}

/// Appends `%XX`.
pub(super) fn push_escape(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The value of the hexadecimal digits at `at`, if there are `count` of them.
pub(super) fn hex_at(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    let digits = bytes.get(at..at.checked_add(count)?)?;
    digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?))
}
