//! Field compression (RFC 9204) without a dynamic table: nothing of one request is kept for the next, and no stream waits for
//! another.

use http::{HeaderMap, StatusCode};

use crate::h3::huffman;
use crate::h3::table::TABLE;

/// What each field counts beside its text (RFC 9114 section 4.2.2).
const OVERHEAD: usize = 32;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// It cannot be decoded.
    Coding,
    /// It is larger than allowed.
    TooLarge,
}

pub(super) type Field = (Vec<u8>, Vec<u8>);

/// Decodes a field section of at most `most` bytes, counted as the RFC says.
pub(super) fn decode(block: &[u8], most: usize) -> Result<Vec<Field>, Wrong> {
    let mut input = Input(block);
    // What was inserted into a table that there is not: nothing.
    if input.int(8)? != 0 {
        return Err(Wrong::Coding);
    }
    input.int(7)?;
    let (mut fields, mut size) = (Vec::new(), 0_usize);
    while let Some(&first) = input.0.first() {
        let field = if first & 0xc0 == 0xc0 {
            let (name, value) = entry(input.int(6)?)?;
            (name.as_bytes().to_vec(), value.as_bytes().to_vec())
        } else if first & 0xd0 == 0x50 {
            let (name, _) = entry(input.int(4)?)?;
            (name.as_bytes().to_vec(), input.string(7)?)
        } else if first & 0xe0 == 0x20 {
            (input.string(3)?, input.string(7)?)
        } else {
            return Err(Wrong::Coding);
        };
        size += field.0.len() + field.1.len() + OVERHEAD;
        if size > most {
            return Err(Wrong::TooLarge);
        }
        fields.push(field);
    }
    Ok(fields)
}

fn entry(index: usize) -> Result<(&'static str, &'static str), Wrong> {
    TABLE.get(index).copied().ok_or(Wrong::Coding)
}

struct Input<'a>(&'a [u8]);

impl Input<'_> {
    fn byte(&mut self) -> Result<u8, Wrong> {
        let (first, rest) = self.0.split_first().ok_or(Wrong::Coding)?;
        self.0 = rest;
        Ok(*first)
    }

    /// A number in the last `bits` of a byte, and further bytes if it does not fit (RFC 7541 section 5.1).
    fn int(&mut self, bits: u32) -> Result<usize, Wrong> {
        let full = (1_usize << bits) - 1;
        let mut value = usize::from(self.byte()?) & full;
        if value < full {
            return Ok(value);
        }
        for shift in [0, 7, 14, 21] {
            let byte = self.byte()?;
            value += usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Wrong::Coding)
    }

    /// A string whose length is in the last `bits` of a byte, and before them whether it is coded.
    fn string(&mut self, bits: u32) -> Result<Vec<u8>, Wrong> {
        let coded = self.0.first().is_some_and(|byte| byte >> bits & 1 == 1);
        let length = self.int(bits)?;
        let (text, rest) = self.0.split_at_checked(length).ok_or(Wrong::Coding)?;
        self.0 = rest;
        if coded { huffman::decode(text).ok_or(Wrong::Coding) } else { Ok(text.to_vec()) }
    }
}

/// Encodes fields, with a status if it is a response head and not trailers.
pub(super) fn encode(status: Option<StatusCode>, fields: &HeaderMap) -> Vec<u8> {
    let mut out = vec![0, 0];
    if let Some(status) = status {
        write_field(":status", status.as_str().as_bytes(), &mut out);
    }
    for (name, value) in fields {
        write_field(name.as_str(), value.as_bytes(), &mut out);
    }
    out
}

fn write_field(name: &str, value: &[u8], out: &mut Vec<u8>) {
    let mut same_name = None;
    for (index, (known, text)) in TABLE.iter().enumerate() {
        if *known == name {
            if text.as_bytes() == value {
                return write_int(0xc0, 6, index, out);
            }
            same_name.get_or_insert(index);
        }
    }
    match same_name {
        Some(index) => write_int(0x50, 4, index, out),
        None => {
            write_int(0x20, 3, name.len(), out);
            out.extend_from_slice(name.as_bytes());
        }
    }
    write_int(0, 7, value.len(), out);
    out.extend_from_slice(value);
}

fn write_int(pattern: u8, bits: u32, value: usize, out: &mut Vec<u8>) {
    let full = (1_usize << bits) - 1;
    if value < full {
        return out.push(pattern | value as u8);
    }
    out.push(pattern | full as u8);
    let mut rest = value - full;
    while rest >= 0x80 {
        out.push(0x80 | (rest & 0x7f) as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded() {
        let mut fields = HeaderMap::new();
        for (name, value) in [("content-type", "text/plain"), ("content-length", "7"), ("x-long", &"v".repeat(300))] {
            fields.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap());
        }
        let decoded = decode(&encode(Some(StatusCode::IM_A_TEAPOT), &fields), 1_000).unwrap();
        let expected =
            [(":status", "418"), ("content-type", "text/plain"), ("content-length", "7"), ("x-long", &"v".repeat(300))];
        assert_eq!(decoded, expected.map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())));
    }

    #[test]
    fn what_refers_to_a_dynamic_table_or_is_cut_short_is_an_error() {
        for block in [&[1, 0][..], &[0], &[0, 0, 0x80], &[0, 0, 0x10], &[0, 0, 0x51], &[0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]]
        {
            assert_eq!(decode(block, 1_000), Err(Wrong::Coding), "{block:?}");
        }
        assert_eq!(decode(&[0, 0, 0xd1, 0xd1, 0xd1], 100), Err(Wrong::TooLarge));
    }
}
