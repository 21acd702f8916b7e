//! Compressed messages (RFC 7692), without context from one to the next: each is the same bytes as the one before.

use std::io::{Read, Write};

use anyhow::{Context, Result, bail, ensure};
use flate2::read::DeflateDecoder;
use flate2::{Compress, Compression, FlushCompress};

use crate::connection::Connection;
use crate::frame::{FINAL_TEXT, Frame};

/// The bit of a compressed message.
const COMPRESSED: u8 = 0x40;

/// What a flush ends with, and a message does not (RFC 7692 section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// `text` compressed, and what comes back for it: what the first answer is, if it inflates to the text.
pub(crate) fn learn(connection: &mut Connection, text: &str) -> Result<Frame> {
    let mut frame = Frame::with(FINAL_TEXT | COMPRESSED, &compress(text)?);
    connection.transport.write_all(&frame.sent)?;
    frame.expected = answer(&mut connection.transport)?;
    let payload = frame.expected.get(if frame.expected.get(1) == Some(&126) { 4 } else { 2 }..).unwrap_or_default();
    ensure!(inflate(payload)? == text, "the answer inflates to something else than what was sent");
    Ok(frame)
}

fn compress(text: &str) -> Result<Vec<u8>> {
    let mut compressed = Vec::with_capacity(text.len() + 64);
    Compress::new(Compression::default(), false).compress_vec(text.as_bytes(), &mut compressed, FlushCompress::Sync)?;
    let end = compressed.len().checked_sub(TAIL.len()).filter(|end| compressed.ends_with(&TAIL) && *end > 0);
    compressed.truncate(end.context("the text did not compress in one step")?);
    Ok(compressed)
}

fn inflate(payload: &[u8]) -> Result<String> {
    // An empty last block ends the stream behind the flush.
    let whole = [payload, &TAIL, &[1, 0, 0, 0xff, 0xff]].concat();
    let mut text = String::new();
    DeflateDecoder::new(whole.as_slice()).read_to_string(&mut text)?;
    Ok(text)
}

/// One whole frame below 64 KiB.
fn answer(from: &mut impl Read) -> Result<Vec<u8>> {
    let mut frame = vec![0; 2];
    from.read_exact(&mut frame)?;
    let length = match *frame.as_slice() {
        [first, length @ ..126] if first == FINAL_TEXT | COMPRESSED => usize::from(length),
        [first, 126] if first == FINAL_TEXT | COMPRESSED => {
            let mut length = [0; 2];
            from.read_exact(&mut length)?;
            frame.extend(length);
            usize::from(u16::from_be_bytes(length))
        }
        _ => bail!("the answer is no compressed text message: {frame:02x?}"),
    };
    let head = frame.len();
    frame.resize(head + length, 0);
    from.read_exact(frame.get_mut(head..).unwrap_or_default())?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json;

    #[test]
    fn what_is_compressed_is_shorter_and_inflates_to_what_it_was() {
        let text = json::of_size(1024);
        let compressed = compress(&text).unwrap();
        assert!(compressed.len() < 512, "{}", compressed.len());
        assert_eq!(inflate(&compressed).unwrap(), text);
    }

    #[test]
    fn an_answer_that_is_not_compressed_is_an_error() {
        assert!(answer(&mut [0x81, 1, b'x'].as_slice()).is_err());
        assert_eq!(answer(&mut [0xc1, 1, b'x', 0x89].as_slice()).unwrap(), [0xc1, 1, b'x']);
    }
}
