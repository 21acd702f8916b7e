//! The Huffman code of HPACK (RFC 7541 appendix B). It is canonical, so the lengths of its codes say all.

/// The length of each byte's code. The 257th symbol, EOS, is thirty ones.
#[rustfmt::skip]
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28,
    28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6,
    6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23,
    23, 23, 24, 23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
    23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19,
    22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27,
    27, 27, 27, 26,
];

/// Codes in order: by their lengths, then by the bytes that they stand for.
fn codes() -> Vec<(u8, u32, u8)> {
    let mut symbols: Vec<u8> = (0..=255).collect();
    symbols.sort_by_key(|symbol| LENGTHS[usize::from(*symbol)]);
    let (mut code, mut before) = (0_u32, 0_u8);
    let mut codes = Vec::new();
    for symbol in symbols {
        let length = LENGTHS[usize::from(symbol)];
        if before > 0 {
            code = (code + 1) << (length - before);
        }
        before = length;
        codes.push((length, code, symbol));
    }
    codes
}

/// The bytes that a string stands for; `None` if it is no valid code.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<u8>> {
    let codes: std::collections::HashMap<(u8, u32), u8> =
        codes().into_iter().map(|(length, code, symbol)| ((length, code), symbol)).collect();
    let (mut code, mut length) = (0_u32, 0_u8);
    let mut decoded = Vec::new();
    for byte in bytes {
        for bit in (0..8).rev() {
            code = code << 1 | u32::from(byte >> bit & 1);
            length += 1;
            if let Some(symbol) = codes.get(&(length, code)) {
                decoded.push(*symbol);
                (code, length) = (0, 0);
            } else if length > 30 {
                return None;
            }
        }
    }
    // What is left is padding: fewer than eight ones.
    (length < 8 && code == (1 << length) - 1).then_some(decoded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_decoded() {
        let example = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decode(&example).as_deref(), Some(&b"www.example.com"[..]));
        assert_eq!(decode(&[0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]).as_deref(), Some(&b"no-cache"[..]));
        assert_eq!(decode(&[0xff, 0xff]), None, "padding of more than seven bits");
    }
}
