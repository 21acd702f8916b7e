//! Tells a flood from use. Frames that cost the server work and the client nothing are counted against those that get
//! something done; a client that has used up its allowance is sent away.
//!
//! The `h2` crate bounds what a flood can make it keep, but goes on answering. What it hides, the frame headers, is read here
//! from the bytes that pass by (RFC 9113 sections 4.1 and 10.5). So are the frames that cannot be of the length they have, for
//! which it knows no error code of their own.

use h2::Reason;

/// The allowance, at most and at first.
const FULL: u32 = 2_000;
/// What a reset costs: opening a stream and closing it is much work (CVE-2023-44487).
const RESET: u32 = 10;
/// What a response that was completed gives back.
pub(super) const COMPLETED: u32 = 20;
/// Bytes that a client takes, for one more window update or ping.
const SENT_STEP: u64 = 512;

const HEADER: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PRIORITY: u8 = 2;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
/// `END_STREAM` and, for other types, `ACK`.
const END_OR_ACK: u8 = 1;

/// What is left of a connection's allowance, and where in the stream of frames its input is.
pub(super) struct Meter {
    left: u32,
    /// Bytes of the frame at hand, or of the preface, that are still to come.
    skip: usize,
    header: [u8; HEADER],
    /// How much of `header` is there.
    have: usize,
    sent: u64,
    /// Frames that have begun.
    began: bool,
    /// What is wrong with the last frame that was looked at.
    wrong: Option<Reason>,
}

impl Meter {
    /// A meter for a connection whose first `preface` bytes are no frame.
    pub(super) fn new(preface: usize) -> Self {
        Self { left: FULL, skip: preface, header: [0; HEADER], have: 0, sent: 0, began: false, wrong: None }
    }

    /// Whether the allowance is used up.
    fn is_used_up(&self) -> bool {
        self.left == 0
    }

    /// Why the client is to be sent away, if it is: its allowance is used up, its first frame was not the one that belongs there
    /// (RFC 9113 section 3.4), which the `h2` crate takes, or a frame cannot be of its length.
    pub(super) fn verdict(&self) -> Option<Reason> {
        if self.is_used_up() { Some(Reason::ENHANCE_YOUR_CALM) } else { self.wrong }
    }

    /// The connection has got something done.
    pub(super) fn earn(&mut self, much: u32) {
        if self.left > 0 {
            self.left = self.left.saturating_add(much).min(FULL);
        }
    }

    /// The client has taken so many bytes.
    pub(super) fn sent(&mut self, bytes: usize) {
        self.sent += bytes as u64;
        if self.sent >= SENT_STEP {
            self.earn(u32::try_from(self.sent / SENT_STEP).unwrap_or(FULL));
            self.sent %= SENT_STEP;
        }
    }

    /// Bytes have arrived. So many of them, from the first, come before a frame that is wrong.
    pub(super) fn received(&mut self, bytes: &[u8]) -> usize {
        let mut left = bytes;
        while !left.is_empty() && self.wrong.is_none() {
            let skipped = self.skip.min(left.len());
            self.skip -= skipped;
            left = left.get(skipped..).unwrap_or_default();
            let take = (HEADER - self.have).min(left.len());
            let (now, rest) = left.split_at(take);
            if let Some(place) = self.header.get_mut(self.have..self.have + take) {
                place.copy_from_slice(now);
            }
            self.have += take;
            if self.have == HEADER {
                self.have = 0;
                self.frame();
                if self.wrong.is_some() {
                    break;
                }
            }
            left = rest;
        }
        bytes.len() - left.len()
    }

    fn frame(&mut self) {
        let [a, b, c, kind, flags, ..] = self.header;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        self.skip = length;
        let has_flag = flags & END_OR_ACK != 0;
        let has_its_length = match kind {
            PRIORITY => length == 5,
            RST_STREAM | WINDOW_UPDATE => length == 4,
            SETTINGS => length % 6 == 0 && !(has_flag && length > 0),
            PING => length == 8,
            GOAWAY => length >= 8,
            _ => true,
        };
        if !std::mem::replace(&mut self.began, true) && kind != SETTINGS {
            self.wrong = Some(Reason::PROTOCOL_ERROR);
        } else if !has_its_length {
            self.wrong = Some(Reason::FRAME_SIZE_ERROR);
        }
        match kind {
            DATA if length > 0 => self.earn(1),
            HEADERS => {}
            RST_STREAM => self.spend(RESET),
            CONTINUATION if length > 0 => {}
            DATA if has_flag => {}
            _ => self.spend(1),
        }
    }

    fn spend(&mut self, much: u32) {
        self.left = self.left.saturating_sub(much);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0, 0, u8::try_from(payload.len()).unwrap(), kind, flags, 0, 0, 0, 1];
        bytes.extend_from_slice(payload);
        bytes
    }

    fn after(frames: &[Vec<u8>], times: usize) -> Meter {
        let mut meter = Meter::new(3);
        meter.received(b"PRI");
        meter.received(&frame(SETTINGS, END_OR_ACK, &[]));
        for _ in 0..times {
            for frame in frames {
                assert_eq!(meter.received(frame), frame.len());
            }
        }
        meter
    }

    #[test]
    fn floods_use_the_allowance_up() {
        for flood in [frame(6, 0, &[0; 8]), frame(4, 0, &[]), frame(8, 0, &[0; 4]), frame(2, 0, &[0; 5]), frame(0, 0, &[])] {
            assert!(!after(std::slice::from_ref(&flood), 1_000).is_used_up());
            assert!(after(&[flood], 2_000).is_used_up());
        }
        assert!(after(&[frame(1, 4, &[0; 20]), frame(3, 0, &[0; 4])], 200).is_used_up(), "rapid reset");
    }

    #[test]
    fn use_does_not() {
        let request = frame(1, 5, &[0; 40]);
        assert!(!after(std::slice::from_ref(&request), 100_000).is_used_up());
        assert!(!after(&[frame(0, 0, &[7; 100]), frame(6, 0, &[0; 8])], 100_000).is_used_up(), "a ping for each piece of data");
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let mut whole = after(&[], 0);
        let mut pieces = after(&[], 0);
        for _ in 0..100 {
            for frame in [frame(6, 0, &[6; 8]), frame(0, 0, &[3; 70]), frame(3, 0, &[0; 4])] {
                whole.received(&frame);
                for piece in frame.chunks(4) {
                    assert_eq!(pieces.received(piece), piece.len());
                }
            }
        }
        assert_eq!(whole.left, pieces.left);
        assert_eq!(whole.left, FULL - 1_001, "one is the first SETTINGS");
    }

    #[test]
    fn what_a_client_takes_earns_it_window_updates() {
        let mut meter = after(&[], 0);
        for _ in 0..100_000 {
            meter.received(&frame(8, 0, &[0; 4]));
            meter.sent(600);
        }
        assert!(!meter.is_used_up());
    }

    #[test]
    fn a_frame_that_cannot_be_of_its_length_ends_the_connection_and_passes_no_further() {
        for (kind, flags, wrong, right) in [
            (PRIORITY, 0, 4, 5),
            (RST_STREAM, 0, 5, 4),
            (SETTINGS, 0, 7, 12),
            (SETTINGS, END_OR_ACK, 6, 0),
            (PING, 0, 6, 8),
            (GOAWAY, 0, 7, 8),
            (WINDOW_UPDATE, 0, 3, 4),
        ] {
            let first = frame(SETTINGS, 0, &[]);
            let right = frame(kind, flags, &vec![0; right]);
            let bytes = [&first[..], &right, &frame(kind, flags, &vec![0; wrong]), &right].concat();
            let mut meter = Meter::new(0);
            // The header itself is not passed on, unless it comes in pieces.
            assert_eq!(meter.received(&bytes), first.len() + right.len(), "{kind}");
            assert_eq!(meter.verdict(), Some(Reason::FRAME_SIZE_ERROR));
            assert_eq!(meter.received(&right), 0);
        }
    }
}
