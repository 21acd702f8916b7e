//! Frame headers, RFC 6455 section 5.2: parsed strictly, and written.
//!
//! ```text
//!  0               1               2               3
//!  0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7 0 1 2 3 4 5 6 7
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! |F|R|R|R| opcode|M| length (7)  |  length (16 or 64 bits),      |
//! |I|S|S|S|       |A|             |  if the first is 126 or 127   |
//! |N|1|2|3|       |S|             |  then the key, if MASK        |
//! +-+-+-+-+-------+-+-------------+-------------------------------+
//! ```

use crate::error::ProtocolError;
use crate::mask::MaskKey;

/// The most bytes that a control frame's payload may have, RFC 6455 section 5.5.
pub const MAX_CONTROL_PAYLOAD: usize = 125;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation = 0x0,
    /// A message of text, or its first part.
    Text = 0x1,
    /// A message of bytes, or its first part.
    Binary = 0x2,
    /// The sender sends nothing more.
    Close = 0x8,
    /// To be answered by a pong.
    Ping = 0x9,
    /// The answer to a ping, or a sign of life.
    Pong = 0xa,
}

impl Opcode {
    /// Close, ping and pong may stand between the fragments of a message.
    pub const fn is_control(self) -> bool {
        self as u8 & 0x8 != 0
    }

    fn parse(bits: u8) -> Result<Self, ProtocolError> {
        Ok(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return Err(ProtocolError::ReservedOpcode(bits)),
        })
    }
}

/// All that stands before a frame's payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The last, or only, frame of its message.
    pub fin: bool,
    /// With permessage-deflate, on a message's first frame: the message is compressed (RFC 7692 section 6).
    pub rsv1: bool,
    /// What the frame is.
    pub opcode: Opcode,
    /// Set by clients, and never by servers.
    pub mask: Option<MaskKey>,
    /// Bytes of payload.
    pub len: u64,
}

/// The most bytes that a header has.
pub(crate) const MAX_HEADER: usize = 14;

impl Header {
    /// Reads the header at the front of `bytes`, and says how long it is; `None` if it is not complete.
    ///
    /// # Errors
    ///
    /// What breaks RFC 6455 by itself, whoever sends it and whatever came before. It is told by the first bytes that show it.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & 0x30 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let (fin, rsv1, opcode) = (first & 0x80 != 0, first & 0x40 != 0, Opcode::parse(first & 0x0f)?);
        let (masked, short) = (second & 0x80 != 0, second & 0x7f);
        if opcode.is_control() && (!fin || usize::from(short) > MAX_CONTROL_PAYLOAD) {
            return Err(ProtocolError::ControlFrame);
        }
        let (len, rest) = match short {
            126 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from(u16::from_be_bytes(*len)), rest)
            }
            127 => {
                let Some((len, rest)) = rest.split_first_chunk() else { return Ok(None) };
                (u64::from_be_bytes(*len), rest)
            }
            _ => (u64::from(short), rest),
        };
        if len > i64::MAX as u64 {
            return Err(ProtocolError::LengthRange);
        }
        if short != short_length(len) {
            return Err(ProtocolError::LengthForm);
        }
        let (mask, rest) = if masked {
            let Some((key, rest)) = rest.split_first_chunk() else { return Ok(None) };
            (Some(MaskKey::new(*key)), rest)
        } else {
            (None, rest)
        };
        Ok(Some((Self { fin, rsv1, opcode, mask, len }, bytes.len() - rest.len())))
    }

    /// The header's bytes, for who sends it and the payload from two places in one write.
    #[inline]
    pub fn encode(&self) -> EncodedHeader {
        let mut bytes = [0; MAX_HEADER];
        let short = short_length(self.len);
        bytes[0] = u8::from(self.fin) << 7 | u8::from(self.rsv1) << 6 | self.opcode as u8;
        bytes[1] = u8::from(self.mask.is_some()) << 7 | short;
        let mut end = 2;
        match short {
            126 => {
                // Cannot cut: 126 stands for what fits into 16 bits.
                bytes[2..4].copy_from_slice(&(self.len as u16).to_be_bytes());
                end = 4;
            }
            127 => {
                bytes[2..10].copy_from_slice(&self.len.to_be_bytes());
                end = 10;
            }
            _ => {}
        }
        if let Some(key) = self.mask {
            bytes[end..end + 4].copy_from_slice(&key.to_bytes());
            end += 4;
        }
        EncodedHeader { bytes, len: end as u8 }
    }
}

/// The 7-bit length, or which of the longer ones follows. RFC 6455 section 5.2: always the shortest that can hold it.
#[inline]
fn short_length(len: u64) -> u8 {
    match len {
        0..126 => len as u8,
        126..0x1_0000 => 126,
        _ => 127,
    }
}

/// The bytes of a [`Header`], on the stack.
#[derive(Clone, Copy, Debug)]
pub struct EncodedHeader {
    bytes: [u8; MAX_HEADER],
    len: u8,
}

impl EncodedHeader {
    /// Writes it to the end of `out`.
    #[inline]
    pub(crate) fn append_to(&self, out: &mut Vec<u8>) {
        let end = out.len() + usize::from(self.len);
        // A copy of a fixed length is two moves.
        out.extend_from_slice(&self.bytes);
        out.truncate(end);
    }
}

impl std::ops::Deref for EncodedHeader {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(len: u64, mask: Option<MaskKey>) -> Header {
        Header { fin: true, rsv1: false, opcode: Opcode::Binary, mask, len }
    }

    #[test]
    fn what_is_encoded_is_parsed_when_its_last_byte_is_there() {
        for len in [0, 1, 125, 126, 127, 65535, 65536, 1 << 32, i64::MAX as u64] {
            for mask in [None, Some(MaskKey::new([1, 2, 3, 4]))] {
                let header = header(len, mask);
                let mut bytes = header.encode().to_vec();
                for end in 0..bytes.len() {
                    assert_eq!(Header::parse(&bytes[..end]), Ok(None));
                }
                let end = bytes.len();
                bytes.extend_from_slice(b"payload");
                assert_eq!(Header::parse(&bytes), Ok(Some((header, end))));
            }
        }
    }

    #[test]
    fn a_length_must_have_its_shortest_form_and_its_highest_bit_clear() {
        assert_eq!(Header::parse(&[0x82, 126, 0, 125]), Err(ProtocolError::LengthForm));
        assert_eq!(Header::parse(&[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff]), Err(ProtocolError::LengthForm));
        assert_eq!(Header::parse(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]), Err(ProtocolError::LengthRange));
    }

    #[test]
    fn reserved_bits_and_opcodes_are_refused() {
        // Autobahn 3 and 4.
        for bits in [0x10, 0x20, 0x30, 0x50, 0x60, 0x70] {
            assert_eq!(Header::parse(&[0x81 | bits, 0]), Err(ProtocolError::ReservedBits));
        }
        for opcode in [3, 4, 5, 6, 7, 0xb, 0xc, 0xd, 0xe, 0xf] {
            assert_eq!(Header::parse(&[0x80 | opcode, 0]), Err(ProtocolError::ReservedOpcode(opcode)));
        }
    }

    #[test]
    fn control_frames_are_short_and_whole() {
        // Autobahn 2.5, 5.1 and 5.2.
        for opcode in [0x8, 0x9, 0xa] {
            assert_eq!(Header::parse(&[opcode, 0]), Err(ProtocolError::ControlFrame));
            assert_eq!(Header::parse(&[0x80 | opcode, 126]), Err(ProtocolError::ControlFrame));
            assert!(Header::parse(&[0x80 | opcode, 125]).is_ok_and(|header| header.is_some()));
        }
    }
}
