//! Decompression, RFC 7692 section 7.2.2, never beyond a limit.

use zlib_rs::{Inflate, InflateFlush, Status};

use super::TAIL;

/// The most that the output grows by at a time: what is not written has been zeroed for nothing.
const STEP: usize = 64 * 1024;

/// One direction's decompressor: 47 KiB, whatever the window.
pub(crate) struct Inflater {
    stream: Inflate,
    /// The last block that was read had BFINAL set, and nothing has come since.
    at_end: bool,
}

/// Why a message cannot be decompressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// It is not DEFLATE data, or refers to what was before its window.
    Corrupt,
    /// There is more than the limit.
    TooBig,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { stream: raw(), at_end: false }
    }

    /// Appends what `input`, any part of a message, inflates to: at most `limit` bytes.
    pub(crate) fn inflate(&mut self, mut input: &[u8], output: &mut Vec<u8>, limit: usize) -> Result<(), Stop> {
        let limit = output.len().saturating_add(limit);
        let mut room = (input.len() * 4).clamp(128, STEP);
        loop {
            // One byte more than allowed shows that there is more.
            let room_left = (limit - output.len()).saturating_add(1);
            let step = self.step(input, output, room.min(room_left))?;
            if output.len() > limit {
                return Err(Stop::TooBig);
            }
            let stuck = step.left.len() == input.len() && !step.at_end;
            input = step.left;
            if !step.full && input.is_empty() {
                return Ok(());
            }
            if !step.full && stuck {
                return Err(Stop::Corrupt);
            }
            room = (room * 2).min(STEP);
        }
    }

    /// The message ends here.
    pub(crate) fn finish(&mut self, output: &mut Vec<u8>, limit: usize) -> Result<(), Stop> {
        if std::mem::take(&mut self.at_end) {
            return Ok(());
        }
        self.inflate(&TAIL, output, limit)
    }

    /// One call of the library, with `room` bytes for its output.
    fn step<'a>(&mut self, input: &'a [u8], output: &mut Vec<u8>, room: usize) -> Result<Step<'a>, Stop> {
        let start = output.len();
        output.resize(start + room, 0);
        let (taken, written) = (self.stream.total_in(), self.stream.total_out());
        let status = self.stream.decompress(input, &mut output[start..], InflateFlush::SyncFlush);
        let taken = (self.stream.total_in() - taken) as usize;
        let written = (self.stream.total_out() - written) as usize;
        output.truncate(start + written);
        let at_end = status.map_err(|_| Stop::Corrupt)? == Status::StreamEnd;
        if at_end {
            // RFC 7692 section 7.2.3.4: blocks with BFINAL may stand anywhere in a message. A sender whose library makes them
            // starts afresh after each, so that nothing refers to what was before.
            self.stream = raw();
        }
        if at_end || taken > 0 {
            self.at_end = at_end;
        }
        Ok(Step { left: &input[taken..], full: written == room, at_end })
    }
}

struct Step<'a> {
    left: &'a [u8],
    full: bool,
    at_end: bool,
}

/// The largest window reads what any other wrote, and zlib-rs has room for it in any case.
fn raw() -> Inflate {
    Inflate::new(false, 15)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inflate(message: &[u8], piece: usize, limit: usize) -> Result<Vec<u8>, Stop> {
        let (mut inflater, mut output) = (Inflater::new(), Vec::new());
        for piece in message.chunks(piece) {
            let left = limit - output.len();
            inflater.inflate(piece, &mut output, left)?;
        }
        let left = limit - output.len();
        inflater.finish(&mut output, left)?;
        Ok(output)
    }

    /// RFC 7692 section 7.2.3: each is "Hello".
    const HELLO: [(&str, &[u8]); 5] = [
        ("one block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
        ("no compression", &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]),
        ("BFINAL", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00]),
        ("two blocks", &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00]),
        ("BFINAL, and no byte to put the end right", &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]),
    ];

    #[test]
    fn the_examples_of_the_rfc_are_read_in_pieces_of_any_size() {
        for (name, message) in HELLO {
            for piece in 1..=message.len() {
                assert_eq!(inflate(message, piece, 5).as_deref(), Ok(&b"Hello"[..]), "{name}, in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_second_message_may_refer_to_the_first() {
        let (mut inflater, mut output) = (Inflater::new(), Vec::new());
        for message in [HELLO[0].1, &[0xf2, 0x00, 0x11, 0x00, 0x00]] {
            inflater.inflate(message, &mut output, 10).unwrap();
            inflater.finish(&mut output, 10).unwrap();
        }
        assert_eq!(output, b"HelloHello");
        assert_eq!(inflate(&[0xf2, 0x00, 0x11, 0x00, 0x00], 9, 99), Err(Stop::Corrupt));
    }

    #[test]
    fn the_end_of_one_message_is_not_taken_for_the_start_of_the_next() {
        for (name, message) in HELLO {
            let (mut inflater, mut output) = (Inflater::new(), Vec::new());
            for _ in 0..2 {
                inflater.inflate(message, &mut output, 10).unwrap();
                inflater.finish(&mut output, 10).unwrap();
            }
            assert_eq!(output, b"HelloHello", "{name}");
        }
    }

    #[test]
    fn an_empty_message_is_one_zero() {
        assert_eq!(inflate(&[0], 1, 0).as_deref(), Ok(&b""[..]));
    }

    #[test]
    fn the_limit_is_exact() {
        for (name, message) in HELLO {
            assert_eq!(inflate(message, 99, 4), Err(Stop::TooBig), "{name}");
        }
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let mut bomb = Vec::new();
        let mut deflater = super::super::Deflater::new(9, 9, super::super::WindowBits::MAX);
        deflater.compress(&vec![0; 10_000_000], true, &mut bomb);
        assert!(bomb.len() < 100_000);
        let mut output = Vec::new();
        assert_eq!(Inflater::new().inflate(&bomb, &mut output, 1_000_000), Err(Stop::TooBig));
        assert!(output.capacity() <= 2 << 20);
        assert_eq!(inflate(&bomb, bomb.len(), 10_000_000).map(|bytes| bytes.len()), Ok(10_000_000));
    }
}
