//! Values in lines. What a client sends cannot end a field, a string or a line, and cannot reach the terminal of the one who
//! reads: everything that is written here is printable ASCII.

use std::io::Write;
use std::net::IpAddr;

use narthex_proto::host::RequestHost;

/// The longest value, in bytes as they are written. What is longer is cut and ends with [`CUT`].
pub(super) const LONGEST: usize = 4096;
/// Stands for the rest of a value.
const CUT: &[u8] = b"...";

/// A W3C field: spaces and control characters become `+`, bytes that are not ASCII `%XX`. `-` if it is empty.
pub(super) fn w3c(out: &mut Vec<u8>, value: &[u8]) {
    let value = match value {
        [] => return out.push(b'-'),
        // Such a value may be a line's first, and the line would be a directive.
        [b'#', rest @ ..] => {
            out.extend_from_slice(b"%23");
            rest
        }
        _ => value,
    };
    // Spaces are frequent, so that looking for runs between them would not pay.
    if value.len() <= LONGEST && value.is_ascii() {
        return printable(out, value);
    }
    escape(
        out,
        value,
        |byte| byte.is_ascii_graphic(),
        |out, byte| match byte {
            0x80.. => hexadecimal(out, b"%", byte, UPPER),
            _ => out.push(b'+'),
        },
    );
}

/// A field of the error log: whatever is not printable becomes `+`. `-` if it is empty. Cut after `most` bytes.
pub(super) fn error(out: &mut Vec<u8>, value: &[u8], most: usize) {
    match value {
        [] => out.push(b'-'),
        _ => printable(out, value.get(..most).unwrap_or(value)),
    }
}

/// Copies the value with `+` for whatever is not printable.
fn printable(out: &mut Vec<u8>, value: &[u8]) {
    let start = out.len();
    out.extend_from_slice(value);
    for byte in out.get_mut(start..).unwrap_or_default() {
        *byte = if byte.is_ascii_graphic() { *byte } else { b'+' };
    }
}

/// The inside of an NCSA string, by Apache's rules: `\"`, `\\`, and `\xhh` for what is not printable ASCII.
pub(super) fn quoted(out: &mut Vec<u8>, value: &[u8]) {
    escape(out, value, unquoted, |out, byte| match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        _ => hexadecimal(out, b"\\x", byte, LOWER),
    });
}

/// The inside of a JSON string, in ASCII. A sequence that is not UTF-8 becomes U+FFFD.
pub(super) fn json(out: &mut Vec<u8>, value: &[u8]) {
    let mut most = LONGEST;
    let Some((text, rest)) = value.split_at_checked(plain_run(value, unquoted)) else { return };
    if !copy(out, text, &mut most) {
        return;
    }
    for chunk in rest.utf8_chunks() {
        let mut rest = chunk.valid();
        while !rest.is_empty() {
            let run = plain_run(rest.as_bytes(), unquoted);
            let Some((text, after)) = rest.split_at_checked(run) else { return };
            if !copy(out, text.as_bytes(), &mut most) {
                return;
            }
            let mut characters = after.chars();
            if characters.next().is_some_and(|character| !copy_character(out, character, &mut most)) {
                return;
            }
            rest = characters.as_str();
        }
        if !chunk.invalid().is_empty() && !copy_character(out, char::REPLACEMENT_CHARACTER, &mut most) {
            return;
        }
    }
}

/// How many bytes at the start need no escape.
fn plain_run(value: &[u8], plain: impl Fn(u8) -> bool) -> usize {
    // Sixteen bytes at a time without a branch among them, which the compiler makes vector instructions of.
    let (sixteens, _) = value.as_chunks::<16>();
    let skipped = 16 * sixteens.iter().take_while(|bytes| bytes.iter().fold(true, |all, byte| all & plain(*byte))).count();
    let rest = value.get(skipped..).unwrap_or_default();
    skipped + rest.iter().position(|byte| !plain(*byte)).unwrap_or(rest.len())
}

/// Printable, and nothing that ends or escapes a string.
fn unquoted(byte: u8) -> bool {
    matches!(byte, b' '..=b'~') & (byte != b'"') & (byte != b'\\')
}

/// `false` if there was no room for all of it.
fn copy(out: &mut Vec<u8>, text: &[u8], most: &mut usize) -> bool {
    let Some(left) = most.checked_sub(text.len()) else {
        out.extend_from_slice(text.get(..*most).unwrap_or_default());
        out.extend_from_slice(CUT);
        return false;
    };
    out.extend_from_slice(text);
    *most = left;
    true
}

fn copy_character(out: &mut Vec<u8>, character: char, most: &mut usize) -> bool {
    let before = out.len();
    match character {
        '"' => out.extend_from_slice(b"\\\""),
        '\\' => out.extend_from_slice(b"\\\\"),
        '\t' => out.extend_from_slice(b"\\t"),
        _ => {
            for unit in character.encode_utf16(&mut [0; 2]) {
                let [high, low] = unit.to_be_bytes();
                hexadecimal(out, b"\\u", high, LOWER);
                hexadecimal(out, b"", low, LOWER);
            }
        }
    }
    let Some(left) = most.checked_sub(out.len() - before) else {
        out.truncate(before);
        out.extend_from_slice(CUT);
        return false;
    };
    *most = left;
    true
}

/// Copies what is plain and replaces the rest, up to [`LONGEST`] bytes.
fn escape(out: &mut Vec<u8>, value: &[u8], plain: impl Fn(u8) -> bool, replace: impl Fn(&mut Vec<u8>, u8)) {
    let end = out.len() + LONGEST;
    let mut rest = value;
    loop {
        let run = plain_run(rest, &plain);
        let Some((text, after)) = rest.split_at_checked(run) else { return };
        let room = end.saturating_sub(out.len());
        if let Some(fits) = text.get(..room).filter(|_| text.len() > room) {
            out.extend_from_slice(fits);
            return out.extend_from_slice(CUT);
        }
        out.extend_from_slice(text);
        let Some((byte, after)) = after.split_first() else { return };
        let before = out.len();
        replace(out, *byte);
        if out.len() > end {
            out.truncate(before);
            return out.extend_from_slice(CUT);
        }
        rest = after;
    }
}

const UPPER: &[u8; 16] = b"0123456789ABCDEF";
const LOWER: &[u8; 16] = b"0123456789abcdef";

fn hexadecimal(out: &mut Vec<u8>, before: &[u8], byte: u8, digits: &[u8; 16]) {
    out.extend_from_slice(before);
    out.extend_from_slice(&[digits[usize::from(byte >> 4)], digits[usize::from(byte & 15)]]);
}

/// A number in decimal digits.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len();
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit += (number % 10) as u8;
        number /= 10;
        first = index;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

/// An address. An IPv4 address that came over an IPv6 socket is written as what it is.
pub(super) fn address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for (index, octet) in address.octets().into_iter().enumerate() {
                if index > 0 {
                    out.push(b'.');
                }
                if octet >= 100 {
                    out.push(b'0' + octet / 100);
                }
                if octet >= 10 {
                    out.push(b'0' + octet / 10 % 10);
                }
                out.push(b'0' + octet % 10);
            }
        }
        IpAddr::V6(address) => {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{address}");
        }
    }
}

/// The host as it was named, and the port if one was. Only characters that [`RequestHost`] lets through.
pub(super) fn host(out: &mut Vec<u8>, host: &RequestHost<'_>, write: impl Fn(&mut Vec<u8>, &[u8])) {
    write(out, host.name().as_bytes());
    if let Some(port) = host.port() {
        out.push(b':');
        number(out, port.into());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_numbers_are_written_as_everywhere() {
        for text in ["0.0.0.0", "255.255.255.255", "10.100.9.99", "192.0.2.1", "::1", "2001:db8::10"] {
            let mut out = Vec::new();
            address(&mut out, text.parse().unwrap());
            assert_eq!(out, text.as_bytes());
        }
        for value in [0, 9, 10, 1234, u64::MAX] {
            let mut out = b"x".to_vec();
            number(&mut out, value);
            assert_eq!(out, format!("x{value}").as_bytes());
        }
    }
}
