//! The slow path of cooking: targets with escapes, dot segments or characters that need a second look.

use super::CookError;
use super::chars::{self, hex_at};

/// A cooked path that differs from the raw one.
pub(super) struct Decoded {
    pub(super) path: String,
    /// Whether the raw path is no longer a faithful spelling of `path`: its segments are others, or it is written
    /// in a way that only this mode reads as we did.
    pub(super) resolved: bool,
}

/// Our own rules: one reading or none.
///
/// `%2F`, `%5C` and `%25` stay encoded: decoded, they would be taken for a separator or for the beginning of an
/// escape. So a cooked path is never cooked into anything else.
pub(super) fn strict(raw: &str) -> Result<Decoded, CookError> {
    let bytes = raw.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        match byte {
            b'%' => {
                let value = hex_at(bytes, at, 2).and_then(|value| u8::try_from(value).ok());
                at += 2;
                match value.ok_or(CookError::Escape)? {
                    b'/' => out.extend_from_slice(b"%2F"),
                    b'\\' => out.extend_from_slice(b"%5C"),
                    b'%' => out.extend_from_slice(b"%25"),
                    0..0x20 | 0x7f => return Err(CookError::Control),
                    value => out.push(value),
                }
            }
            b'\\' => return Err(CookError::Backslash),
            0..=b' ' | 0x7f => return Err(CookError::Control),
            0x80.. => return Err(CookError::NonAscii),
            _ => out.push(byte),
        }
    }
    let decoded = String::from_utf8(out).map_err(|_| CookError::EscapedNotUtf8)?;
    if !decoded.is_ascii() && decoded.chars().any(char::is_control) {
        return Err(CookError::Control);
    }
    without_dot_segments(decoded, Above::Refuse)
}

/// HTTP.sys's rules, with its registry defaults: `%uNNNN` and escapes in the ANSI code page are read, backslashes
/// separate, runs of separators count once.
pub(super) fn httpsys(raw: &str) -> Result<Decoded, CookError> {
    let units = units(raw.as_bytes())?;
    let (text, mut resolved) = match utf8(&units) {
        Some(text) => (text, units.iter().any(|unit| matches!(unit, Unit::Utf16(_)))),
        None => (ansi(&units).ok_or(CookError::EscapedNotUtf8)?, true),
    };
    let mut path = String::with_capacity(text.len());
    for character in text.chars() {
        let character = if character == '\\' { '/' } else { character };
        if character != '/' || !path.ends_with('/') {
            path.push(character);
        }
    }
    let slashes = |text: &str| text.bytes().filter(|&byte| byte == b'/').count();
    resolved |= path.len() != text.len() || slashes(&path) != slashes(raw);
    let decoded = without_dot_segments(path, Above::StayAtRoot)?;
    Ok(Decoded { resolved: resolved || decoded.resolved, ..decoded })
}

/// What an HTTP.sys path is made of before its encoding is known.
enum Unit {
    Byte(u8),
    /// From `%uNNNN`.
    Utf16(u16),
}

fn units(bytes: &[u8]) -> Result<Vec<Unit>, CookError> {
    let mut units = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let unit = match byte {
            b'%' if matches!(bytes.get(at), Some(b'u' | b'U')) => {
                let value = hex_at(bytes, at + 1, 4).and_then(|value| u16::try_from(value).ok());
                at += 5;
                Unit::Utf16(value.ok_or(CookError::Escape)?)
            }
            b'%' => {
                let value = hex_at(bytes, at, 2).and_then(|value| u8::try_from(value).ok());
                at += 2;
                Unit::Byte(value.ok_or(CookError::Escape)?)
            }
            b'\t' | b'\n' => {
                units.push(Unit::Byte(byte));
                continue;
            }
            b' ' => return Err(CookError::Control),
            _ => Unit::Byte(byte),
        };
        if matches!(unit, Unit::Byte(0..0x20) | Unit::Utf16(0..0x20)) {
            return Err(CookError::Control);
        }
        units.push(unit);
    }
    Ok(units)
}

fn utf8(units: &[Unit]) -> Option<String> {
    let mut out = Vec::with_capacity(units.len());
    for run in units.chunk_by(same_kind) {
        match run.first()? {
            Unit::Byte(_) => out.extend(run.iter().filter_map(Unit::byte)),
            Unit::Utf16(_) => out.extend_from_slice(utf16(run)?.as_bytes()),
        }
    }
    String::from_utf8(out).ok()
}

fn ansi(units: &[Unit]) -> Option<String> {
    let mut out = String::with_capacity(units.len());
    for run in units.chunk_by(same_kind) {
        match run.first()? {
            Unit::Byte(_) => {
                for byte in run.iter().filter_map(Unit::byte) {
                    out.push(windows_1252(byte)?);
                }
            }
            Unit::Utf16(_) => out.push_str(&utf16(run)?),
        }
    }
    Some(out)
}

fn utf16(run: &[Unit]) -> Option<String> {
    let words = run.iter().filter_map(|unit| if let Unit::Utf16(word) = unit { Some(*word) } else { None });
    char::decode_utf16(words).collect::<Result<_, _>>().ok()
}

fn same_kind(left: &Unit, right: &Unit) -> bool {
    left.byte().is_some() == right.byte().is_some()
}

impl Unit {
    fn byte(&self) -> Option<u8> {
        if let Self::Byte(byte) = self { Some(*byte) } else { None }
    }
}

/// The ANSI code page of a western Windows. The five bytes it leaves undefined are what makes HTTP.sys refuse
/// `%F0%8F%8F%BF` while it reads other overlong sequences.
fn windows_1252(byte: u8) -> Option<char> {
    const FROM_0X80: [char; 32] = [
        '€', '\0', '‚', 'ƒ', '„', '…', '†', '‡', 'ˆ', '‰', 'Š', '‹', 'Œ', '\0', 'Ž', '\0', '\0', '‘', '’', '“', '”', '•', '–',
        '—', '˜', '™', 'š', '›', 'œ', '\0', 'ž', 'Ÿ',
    ];
    match byte {
        0x80..0xa0 => FROM_0X80.get(usize::from(byte) - 0x80).copied().filter(|&character| character != '\0'),
        _ => Some(char::from(byte)),
    }
}

enum Above {
    Refuse,
    StayAtRoot,
}

/// RFC 3986, section 5.2.4. An empty segment is a segment.
fn without_dot_segments(path: String, above: Above) -> Result<Decoded, CookError> {
    if !path.contains("/.") {
        return Ok(Decoded { path, resolved: false });
    }
    let mut out = String::with_capacity(path.len());
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." => {}
            ".." => match out.rfind('/') {
                Some(slash) => out.truncate(slash),
                None if matches!(above, Above::Refuse) => return Err(CookError::AboveRoot),
                None => {}
            },
            _ => {
                out.push('/');
                out.push_str(segment);
                continue;
            }
        }
        // A final dot segment names a directory.
        if segments.peek().is_none() {
            out.push('/');
        }
    }
    Ok(Decoded { resolved: out.len() != path.len(), path: out })
}

/// Whether any byte has one of these classes.
pub(super) fn classes(text: &str, table: &[u8; 256]) -> u8 {
    text.bytes().fold(0, |seen, byte| seen | table[usize::from(byte)])
}

/// A query is passed through, but not if it could break a message that carries it.
pub(super) fn check_query(seen: u8, query: &str, strict: bool) -> Result<(), CookError> {
    if strict {
        return match seen {
            _ if seen & chars::CONTROL != 0 => Err(CookError::Control),
            _ if seen & chars::NON_ASCII != 0 => Err(CookError::NonAscii),
            _ => Ok(()),
        };
    }
    let refused = |byte: u8| byte <= b' ' && byte != b'\t' && byte != b'\n';
    if seen & chars::CONTROL != 0 && query.bytes().any(refused) { Err(CookError::Control) } else { Ok(()) }
}
