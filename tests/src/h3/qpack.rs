//! Field compression (RFC 9204) without a dynamic table: an encoder that compresses nothing, and a decoder.

use super::table::STATIC;
use crate::h2::hpack::{Field, integer, take_integer, take_string};

/// A field section of these fields, each a literal.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, V)>) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in fields {
        integer(0x20, 3, name.as_ref().len(), &mut block);
        block.extend_from_slice(name.as_ref());
        integer(0, 7, value.as_ref().len(), &mut block);
        block.extend_from_slice(value.as_ref());
    }
    block
}

/// The fields of a section; `None` if it is malformed, or refers to a dynamic table.
pub fn decode(mut block: &[u8]) -> Option<Vec<Field>> {
    if (take_integer(&mut block, 8)?, take_integer(&mut block, 7)?) != (0, 0) {
        return None;
    }
    let mut fields = Vec::new();
    while let Some(first) = block.first() {
        fields.push(match first >> 4 {
            0b1100..=0b1111 => {
                let (name, value) = STATIC.get(take_integer(&mut block, 6)?)?;
                ((*name).to_owned(), (*value).to_owned())
            }
            0b0101 | 0b0111 => {
                let (name, _) = STATIC.get(take_integer(&mut block, 4)?)?;
                ((*name).to_owned(), take_string(&mut block, 7)?)
            }
            0b0010 | 0b0011 => (take_string(&mut block, 3)?, take_string(&mut block, 7)?),
            _ => return None,
        });
    }
    Some(fields)
}
