//! The string code of QPACK, which is HPACK's (RFC 7541 appendix B).

/// Bits of each byte's code. The code is canonical: the lengths say all.
const LENGTHS: [u8; 256] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28,
    28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, 15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7,
    6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24,
    23, 24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22,
    23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, 26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27,
    26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25,
    24, 24, 26, 23, 26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
];
const LONGEST: usize = 30;

/// For each length: its first code, how many there are, and where their bytes begin in [`Code::bytes`].
struct Code {
    first: [u32; LONGEST + 1],
    count: [u32; LONGEST + 1],
    start: [u32; LONGEST + 1],
    bytes: [u8; 256],
}

const CODE: Code = code();

const fn code() -> Code {
    let mut made = Code { first: [0; LONGEST + 1], count: [0; LONGEST + 1], start: [0; LONGEST + 1], bytes: [0; 256] };
    let (mut length, mut next, mut placed) = (1, 0, 0);
    while length <= LONGEST {
        next <<= 1;
        made.first[length] = next;
        made.start[length] = placed;
        let mut byte = 0;
        while byte < 256 {
            if LENGTHS[byte] as usize == length {
                made.bytes[placed as usize] = byte as u8;
                placed += 1;
                next += 1;
            }
            byte += 1;
        }
        made.count[length] = placed - made.start[length];
        length += 1;
    }
    made
}

/// Decodes a string. `None` if it is not one, or ends in what is no padding.
pub(super) fn decode(coded: &[u8]) -> Option<Vec<u8>> {
    static CODE_OF_ALL: Code = CODE;
    let mut out = Vec::with_capacity(coded.len() * 8 / 5);
    let (mut value, mut length) = (0_u32, 0_usize);
    for bit in coded.iter().flat_map(|byte| (0..8).rev().map(move |shift| u32::from(byte >> shift & 1))) {
        value = value << 1 | bit;
        length += 1;
        let first = *CODE_OF_ALL.first.get(length)?;
        if let Some(nth) = value.checked_sub(first).filter(|nth| *nth < CODE_OF_ALL.count[length]) {
            out.push(*CODE_OF_ALL.bytes.get((CODE_OF_ALL.start[length] + nth) as usize)?);
            (value, length) = (0, 0);
        }
    }
    // Less than a byte of ones is padding.
    (length < 8 && value == (1 << length) - 1).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_are_understood() {
        let coded = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(decode(&coded).unwrap(), b"www.example.com");
        assert_eq!(decode(&[0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f]).unwrap(), b"custom-key");
    }

    #[test]
    fn padding_is_ones_and_less_than_a_byte() {
        assert_eq!(decode(&[0xff]), None);
        assert_eq!(decode(&[0b0001_1000]), None);
        assert_eq!(decode(&[0xff, 0xff, 0xff, 0xff]), None, "the end of a string is not coded");
    }
}
