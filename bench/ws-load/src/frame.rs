//! One message, as it is sent and as it comes back.

/// The key of every frame. It has to be there, and a server cannot tell that it is always the same.
const KEY: [u8; 4] = [0x5a, 0xc3, 0x17, 0x88];

pub(crate) const FINAL_TEXT: u8 = 0x81;
const FINAL_BINARY: u8 = 0x82;
const CLOSE: u8 = 0x88;
const MASKED: u8 = 0x80;

pub(crate) struct Frame {
    /// From the client: masked.
    pub(crate) sent: Vec<u8>,
    /// From the server: not masked, in one frame.
    pub(crate) expected: Vec<u8>,
}

impl Frame {
    /// A binary message of so many bytes.
    pub(crate) fn of_size(size: usize) -> Self {
        let payload: Vec<u8> = (0..=u8::MAX).cycle().take(size).collect();
        Self::with(FINAL_BINARY, &payload)
    }

    /// A text message.
    pub(crate) fn of_text(text: &str) -> Self {
        Self::with(FINAL_TEXT, text.as_bytes())
    }

    /// A Close with the code 1000, which is answered by the same (RFC 6455 section 5.5.1).
    pub(crate) fn close() -> Self {
        Self::with(CLOSE, &1000_u16.to_be_bytes())
    }

    /// Nothing is sent, and nothing may come.
    pub(crate) fn none() -> Self {
        Self { sent: Vec::new(), expected: Vec::new() }
    }

    /// What comes back has the same first byte and the same payload.
    pub(crate) fn with(first: u8, payload: &[u8]) -> Self {
        let mut sent = head(first, payload.len(), MASKED);
        sent.extend(KEY);
        sent.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
        let mut expected = head(first, payload.len(), 0);
        expected.extend(payload);
        Self { sent, expected }
    }
}

/// RFC 6455 section 5.2: the shortest of three forms of the length.
fn head(first: u8, size: usize, mask_bit: u8) -> Vec<u8> {
    let mut head = vec![first];
    if size < 126 {
        head.push(mask_bit | size as u8);
    } else if let Ok(size) = u16::try_from(size) {
        head.push(mask_bit | 126);
        head.extend(size.to_be_bytes());
    } else {
        head.push(mask_bit | 127);
        head.extend((size as u64).to_be_bytes());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_takes_the_shortest_of_its_forms() {
        assert_eq!(Frame::of_size(16).expected[..3], [0x82, 16, 0]);
        assert_eq!(Frame::of_size(1024).expected[..5], [0x82, 126, 4, 0, 0]);
        assert_eq!(Frame::of_size(1 << 16).expected[..10], [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn what_is_sent_is_what_is_expected_under_the_mask() {
        let frame = Frame::of_size(3);
        assert_eq!(frame.sent, [0x82, 0x83, 0x5a, 0xc3, 0x17, 0x88, 0x5a, 0xc3 ^ 1, 0x17 ^ 2]);
    }
}
