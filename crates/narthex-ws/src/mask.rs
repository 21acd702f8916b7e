//! Masking, RFC 6455 section 5.3: the one thing that is done to every byte a client sends.

/// The four bytes with which a client masks the payload of one frame.
///
/// Masking and unmasking are the same operation. A payload that arrives in pieces is unmasked piece by piece: after each,
/// the key is [advanced](Self::advanced) by the piece's length.
///
/// ```
/// use narthex_ws::MaskKey;
///
/// let key = MaskKey::new([0x37, 0xfa, 0x21, 0x3d]);
/// let mut payload = *b"Hello";
/// key.apply(&mut payload);
/// assert_eq!(payload, [0x7f, 0x9f, 0x4d, 0x51, 0x58]);
///
/// key.apply(&mut payload[..3]);
/// key.advanced(3).apply(&mut payload[3..]);
/// assert_eq!(&payload, b"Hello");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaskKey([u8; 4]);

/// So many bytes are masked without a branch.
const BLOCK: usize = 128;

impl MaskKey {
    /// A client takes every frame's key from a strong source of randomness, RFC 6455 section 10.3: a server's administrator
    /// must not be able to choose what bytes a browser puts on the wire.
    pub const fn new(bytes: [u8; 4]) -> Self {
        Self(bytes)
    }

    /// The key's bytes, as they stand in a frame's header.
    pub const fn to_bytes(self) -> [u8; 4] {
        self.0
    }

    /// Masks or unmasks `payload`, whose first byte goes with the key's first.
    ///
    /// Whole words first: the compiler makes vectors of that loop (45 GB/s here, the same as any way with `unsafe`), and
    /// small messages, which most are, do not pay for finding out how they are aligned.
    #[inline]
    pub fn apply(self, payload: &mut [u8]) {
        let half = u32::from_ne_bytes(self.0);
        let word = u64::from(half) << 32 | u64::from(half);
        let mask = |words: &mut [[u8; 8]]| {
            for bytes in words {
                *bytes = (u64::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
            }
        };
        let (blocks, rest) = payload.as_chunks_mut::<BLOCK>();
        for block in blocks {
            mask(block.as_chunks_mut().0);
        }
        let (words, rest) = rest.as_chunks_mut();
        mask(words);
        let (halves, rest) = rest.as_chunks_mut::<4>();
        for bytes in halves {
            *bytes = (u32::from_ne_bytes(*bytes) ^ half).to_ne_bytes();
        }
        for (byte, key) in rest.iter_mut().zip(self.0) {
            *byte ^= key;
        }
    }

    /// The key for what follows the first `len` bytes of a payload.
    #[must_use]
    pub fn advanced(mut self, len: usize) -> Self {
        self.0.rotate_left(len % 4);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: MaskKey = MaskKey::new([0x12, 0x34, 0x56, 0x78]);

    fn one_by_one(payload: &mut [u8]) {
        for (at, byte) in payload.iter_mut().enumerate() {
            *byte ^= KEY.0[at % 4];
        }
    }

    #[test]
    fn every_length_is_masked_as_byte_by_byte() {
        for len in 0..200 {
            let mut expected: Vec<u8> = (0..len).collect();
            let mut payload = expected.clone();
            one_by_one(&mut expected);
            KEY.apply(&mut payload);
            assert_eq!(payload, expected);
        }
    }

    #[test]
    fn a_payload_may_be_cut_anywhere() {
        let mut expected: Vec<u8> = (0..77).collect();
        one_by_one(&mut expected);
        for cut in 0..77 {
            let mut payload: Vec<u8> = (0..77).collect();
            let (first, second) = payload.split_at_mut(cut);
            KEY.apply(first);
            KEY.advanced(cut).apply(second);
            assert_eq!(payload, expected);
        }
    }
}
