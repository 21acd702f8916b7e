//! Frames as bytes (RFC 9114 section 7).

/// Of a body.
pub const DATA: u64 = 0;
/// A head, or trailers.
pub const HEADERS: u64 = 1;
/// On a control stream, first.
pub const SETTINGS: u64 = 4;
/// On a control stream: which requests are not taken any more.
pub const GOAWAY: u64 = 7;
/// On a control stream: a request's priority (RFC 9218 section 7.2).
pub const PRIORITY_UPDATE: u64 = 0xf0700;

/// A number (RFC 9000 section 16).
///
/// # Panics
/// When it is beyond what there is.
pub fn number(value: u64, to: &mut Vec<u8>) {
    match value {
        0..0x40 => to.extend_from_slice(&value.to_be_bytes()[7..]),
        0x40..0x4000 => to.extend_from_slice(&(value | 0x4000).to_be_bytes()[6..]),
        0x4000..0x4000_0000 => to.extend_from_slice(&(value | 0x8000_0000).to_be_bytes()[4..]),
        _ => {
            assert!(value < 1 << 62, "there is no such number");
            to.extend_from_slice(&(value | 3 << 62).to_be_bytes());
        }
    }
}

/// Takes a number, if all of it is there.
pub fn take_number(bytes: &mut &[u8]) -> Option<u64> {
    let length = 1_usize << (bytes.first()? >> 6);
    let (number, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let value = number.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
    Some(value & ((1 << (8 * length - 2)) - 1))
}

/// A frame of any type.
pub fn frame(kind: u64, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let mut bytes = Vec::with_capacity(payload.len() + 16);
    number(kind, &mut bytes);
    number(payload.len() as u64, &mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}

/// Takes a frame, if all of it is there.
pub fn take_frame(bytes: &mut &[u8]) -> Option<(u64, Vec<u8>)> {
    let mut rest = *bytes;
    let kind = take_number(&mut rest)?;
    let length = usize::try_from(take_number(&mut rest)?).ok()?;
    let (payload, rest) = rest.split_at_checked(length)?;
    *bytes = rest;
    Some((kind, payload.to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_taken_as_they_were_written() {
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, (1 << 62) - 1] {
            let mut bytes = Vec::new();
            number(value, &mut bytes);
            assert_eq!(take_number(&mut &bytes[..bytes.len() - 1]), None);
            let mut rest = &bytes[..];
            assert_eq!((take_number(&mut rest), rest.len()), (Some(value), 0));
        }
    }
}
