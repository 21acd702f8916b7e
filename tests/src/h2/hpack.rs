//! Field compression (RFC 7541): an encoder that compresses nothing, and a decoder for what servers send.

use super::huffman;

/// The static table (appendix A).
const STATIC: [(&str, &str); 61] = [
    (":authority", ""),
    (":method", "GET"),
    (":method", "POST"),
    (":path", "/"),
    (":path", "/index.html"),
    (":scheme", "http"),
    (":scheme", "https"),
    (":status", "200"),
    (":status", "204"),
    (":status", "206"),
    (":status", "304"),
    (":status", "400"),
    (":status", "404"),
    (":status", "500"),
    ("accept-charset", ""),
    ("accept-encoding", "gzip, deflate"),
    ("accept-language", ""),
    ("accept-ranges", ""),
    ("accept", ""),
    ("access-control-allow-origin", ""),
    ("age", ""),
    ("allow", ""),
    ("authorization", ""),
    ("cache-control", ""),
    ("content-disposition", ""),
    ("content-encoding", ""),
    ("content-language", ""),
    ("content-length", ""),
    ("content-location", ""),
    ("content-range", ""),
    ("content-type", ""),
    ("cookie", ""),
    ("date", ""),
    ("etag", ""),
    ("expect", ""),
    ("expires", ""),
    ("from", ""),
    ("host", ""),
    ("if-match", ""),
    ("if-modified-since", ""),
    ("if-none-match", ""),
    ("if-range", ""),
    ("if-unmodified-since", ""),
    ("last-modified", ""),
    ("link", ""),
    ("location", ""),
    ("max-forwards", ""),
    ("proxy-authenticate", ""),
    ("proxy-authorization", ""),
    ("range", ""),
    ("referer", ""),
    ("refresh", ""),
    ("retry-after", ""),
    ("server", ""),
    ("set-cookie", ""),
    ("strict-transport-security", ""),
    ("transfer-encoding", ""),
    ("user-agent", ""),
    ("vary", ""),
    ("via", ""),
    ("www-authenticate", ""),
];

/// A field, names in lower case where the sender is right.
pub type Field = (String, String);

/// A field block of these fields, each a literal that no table keeps.
pub fn block<N: AsRef<[u8]>, V: AsRef<[u8]>>(fields: impl IntoIterator<Item = (N, V)>) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        string(name.as_ref(), &mut block);
        string(value.as_ref(), &mut block);
    }
    block
}

/// A literal that the dynamic table is to keep.
pub fn kept(name: &str, value: &str) -> Vec<u8> {
    let mut block = vec![0x40];
    string(name.as_bytes(), &mut block);
    string(value.as_bytes(), &mut block);
    block
}

/// The field of this index.
pub fn indexed(index: usize) -> Vec<u8> {
    let mut block = Vec::new();
    integer(0x80, 7, index, &mut block);
    block
}

/// A change of the dynamic table's size.
pub fn table_size(size: usize) -> Vec<u8> {
    let mut block = Vec::new();
    integer(0x20, 5, size, &mut block);
    block
}

fn string(bytes: &[u8], block: &mut Vec<u8>) {
    integer(0, 7, bytes.len(), block);
    block.extend_from_slice(bytes);
}

/// A number in the last `bits` of a byte, and in further ones if it does not fit.
pub(crate) fn integer(pattern: u8, bits: u32, value: usize, block: &mut Vec<u8>) {
    let most = (1_usize << bits) - 1;
    let low = |value: usize| u8::try_from(value).expect("it has few bits");
    if value < most {
        return block.push(pattern | low(value));
    }
    block.push(pattern | low(most));
    let mut rest = value - most;
    while rest >= 128 {
        block.push(low(rest % 128) | 0x80);
        rest /= 128;
    }
    block.push(low(rest));
}

/// What one side has been told to remember.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The newest comes first.
    dynamic: Vec<Field>,
    limit: Option<usize>,
}

impl Decoder {
    /// The fields of a block; `None` if it is malformed.
    pub fn decode(&mut self, mut block: &[u8]) -> Option<Vec<Field>> {
        let mut fields = Vec::new();
        while let Some(first) = block.first() {
            if first & 0x80 != 0 {
                let index = take_integer(&mut block, 7)?;
                fields.push(self.field(index)?);
            } else if first & 0xe0 == 0x20 {
                self.limit = Some(take_integer(&mut block, 5)?);
                self.evict();
            } else {
                let keep = first & 0x40 != 0;
                let index = take_integer(&mut block, if keep { 6 } else { 4 })?;
                let name = if index == 0 { take_string(&mut block, 7)? } else { self.field(index)?.0 };
                let field = (name, take_string(&mut block, 7)?);
                if keep {
                    self.dynamic.insert(0, field.clone());
                    self.evict();
                }
                fields.push(field);
            }
        }
        Some(fields)
    }

    fn field(&self, index: usize) -> Option<Field> {
        let index = index.checked_sub(1)?;
        match STATIC.get(index) {
            Some((name, value)) => Some(((*name).to_owned(), (*value).to_owned())),
            None => self.dynamic.get(index - STATIC.len()).cloned(),
        }
    }

    fn evict(&mut self) {
        let limit = self.limit.unwrap_or(4096);
        let size = |(name, value): &Field| name.len() + value.len() + 32;
        while self.dynamic.iter().map(size).sum::<usize>() > limit {
            self.dynamic.pop();
        }
    }
}

/// Takes such a number.
pub(crate) fn take_integer(block: &mut &[u8], bits: u32) -> Option<usize> {
    let (first, mut rest) = block.split_first()?;
    let most = (1_usize << bits) - 1;
    let mut value = usize::from(*first) & most;
    if value == most {
        let mut shift = 0;
        loop {
            let (next, more) = rest.split_first()?;
            rest = more;
            value = value.checked_add(usize::from(next & 0x7f).checked_shl(shift)?)?;
            shift += 7;
            if next & 0x80 == 0 {
                break;
            }
        }
    }
    *block = rest;
    Some(value)
}

/// Takes a string whose length is in the last `bits` of a byte, and before them whether it is coded.
pub(crate) fn take_string(block: &mut &[u8], bits: u32) -> Option<String> {
    let coded = block.first()? >> bits & 1 != 0;
    let length = take_integer(block, bits)?;
    let (bytes, rest) = block.split_at_checked(length)?;
    *block = rest;
    let bytes = if coded { huffman::decode(bytes)? } else { bytes.to_vec() };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
