//! The chunked transfer coding, RFC 9112 section 7.1: decoded strictly and incrementally, and written.

use bytes::{Buf, Bytes, BytesMut};

use crate::fields::may_trail;
use crate::reason::Reason;

/// Chunk extensions say nothing that anybody uses; a line longer than this is an attack.
const MAX_CHUNK_LINE: usize = 4096;
/// And so are this many of them in one body, as a way to send what no limit on bodies counts.
const MAX_EXTENSIONS: usize = 16 * 1024;
/// All trailer lines together.
const MAX_TRAILERS: usize = 8192;

/// What the decoder found at the start of the input.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Decoded {
    Data(Bytes),
    /// The end, with the trailer lines as they came, final empty line excluded.
    End(Bytes),
    NeedMore,
}

#[derive(Clone, Debug)]
enum State {
    Size,
    Data(u64),
    DataEnd,
    Trailers,
    Done,
}

#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    state: State,
    extensions: usize,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { state: State::Size, extensions: 0 }
    }

    /// Whether the body's end, or an error, is in `input`, which is looked at and left alone.
    pub(crate) fn ends_within(&self, input: &BytesMut) -> bool {
        let (mut decoder, mut input) = (self.clone(), input.clone());
        loop {
            match decoder.decode(&mut input) {
                Ok(Decoded::Data(_)) => {}
                Ok(Decoded::NeedMore) => return false,
                Ok(Decoded::End(_)) | Err(_) => return true,
            }
        }
    }

    /// How much of the present chunk is still to come.
    pub(crate) fn left_of_chunk(&self) -> u64 {
        if let State::Data(left) = self.state { left } else { 0 }
    }

    /// Takes one piece off the front of `input`.
    pub(crate) fn decode(&mut self, input: &mut BytesMut) -> Result<Decoded, Reason> {
        loop {
            match self.state {
                State::Size => {
                    let Some(line) = take_line(input, MAX_CHUNK_LINE, Reason::Number)? else { return Ok(Decoded::NeedMore) };
                    let (size, extensions) = chunk_size(&line)?;
                    self.extensions += extensions;
                    if self.extensions > MAX_EXTENSIONS {
                        return Err(Reason::RequestLength);
                    }
                    self.state = if size == 0 { State::Trailers } else { State::Data(size) };
                }
                State::Data(left) => {
                    if input.is_empty() {
                        return Ok(Decoded::NeedMore);
                    }
                    let take = usize::try_from(left).unwrap_or(usize::MAX).min(input.len());
                    let left = left - take as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                    return Ok(Decoded::Data(input.split_to(take).freeze()));
                }
                State::DataEnd => match input.as_ref() {
                    [b'\r', b'\n', ..] => {
                        input.advance(2);
                        self.state = State::Size;
                    }
                    [] | [b'\r'] => return Ok(Decoded::NeedMore),
                    _ => return Err(Reason::InvalidCrLf),
                },
                State::Trailers => return self.trailers(input),
                State::Done => return Ok(Decoded::End(Bytes::new())),
            }
        }
    }

    fn trailers(&mut self, input: &mut BytesMut) -> Result<Decoded, Reason> {
        if input.starts_with(b"\r\n") {
            input.advance(2);
            self.state = State::Done;
            return Ok(Decoded::End(Bytes::new()));
        }
        let end = memchr::memmem::find(input, b"\r\n\r\n");
        let seen = &input[..end.unwrap_or(input.len())];
        if memchr::memchr_iter(b'\n', seen).any(|at| at == 0 || seen[at - 1] != b'\r') {
            return Err(Reason::InvalidCrLf);
        }
        let Some(end) = end else {
            return if input.len() > MAX_TRAILERS { Err(Reason::RequestLength) } else { Ok(Decoded::NeedMore) };
        };
        let block = input.split_to(end + 4).freeze();
        let mut fields = [httparse::EMPTY_HEADER; 64];
        match httparse::parse_headers(&block, &mut fields) {
            Ok(httparse::Status::Complete((length, fields))) if length == block.len() => {
                if fields.iter().any(|field| !may_trail(field.name.as_bytes())) {
                    return Err(Reason::Header);
                }
            }
            Err(httparse::Error::TooManyHeaders) => return Err(Reason::RequestLength),
            _ => return Err(Reason::Header),
        }
        self.state = State::Done;
        Ok(Decoded::End(block.slice(..end + 2)))
    }
}

/// The line at the front without its CRLF, or `None` when it is not complete.
fn take_line(input: &mut BytesMut, longest: usize, too_long: Reason) -> Result<Option<BytesMut>, Reason> {
    let Some(at) = memchr::memchr(b'\n', input) else {
        return if input.len() > longest { Err(too_long) } else { Ok(None) };
    };
    if at == 0 || input[at - 1] != b'\r' {
        return Err(Reason::InvalidCrLf);
    }
    if at > longest {
        return Err(too_long);
    }
    let mut line = input.split_to(at + 1);
    line.truncate(at - 1);
    Ok(Some(line))
}

/// `chunk-size [ chunk-ext ]`. No `0x`, no sign, no blank before or after the size (the grammar's BWS belongs to
/// extensions only, and even there it is a known way to smuggle). Returns the size and the length of the extensions.
fn chunk_size(line: &[u8]) -> Result<(u64, usize), Reason> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, extensions) = line.split_at(digits);
    if size.is_empty() || size.len() > 16 {
        return Err(Reason::Number);
    }
    if !extensions.is_empty() && !valid_extensions(extensions) {
        return Err(Reason::Number);
    }
    let text = std::str::from_utf8(size).map_err(|_| Reason::Number)?;
    let size = u64::from_str_radix(text, 16).map_err(|_| Reason::Number)?;
    Ok((size, extensions.len()))
}

/// `*( BWS ";" BWS chunk-ext-name [ BWS "=" BWS chunk-ext-val ] )`, judged by its characters.
fn valid_extensions(text: &[u8]) -> bool {
    let rest = text.trim_ascii_start();
    rest.first() == Some(&b';') && text.iter().all(|&byte| byte == b'\t' || (b' '..=b'~').contains(&byte) || byte >= 0x80)
}

/// Writes the header of a chunk of `size` bytes; the chunk's data and CRLF follow.
pub(crate) fn write_chunk_size(size: usize, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0_u8; 16];
    let mut at = text.len();
    let mut left = size;
    loop {
        at -= 1;
        text[at] = DIGITS[left % 16];
        left /= 16;
        if left == 0 {
            break;
        }
    }
    out.extend_from_slice(&text[at..]);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A body, its trailers, and how many bytes came after it.
    type Whole = (Vec<u8>, Vec<u8>, usize);

    /// Feeds `text` in pieces of `piece` bytes.
    fn decode(text: &[u8], piece: usize) -> Result<Option<Whole>, Reason> {
        let mut decoder = Decoder::new();
        let mut input = BytesMut::new();
        let mut body = Vec::new();
        let mut chunks = text.chunks(piece);
        let mut fed = 0;
        loop {
            match decoder.decode(&mut input)? {
                Decoded::Data(bytes) => body.extend_from_slice(&bytes),
                Decoded::End(trailers) => return Ok(Some((body, trailers.to_vec(), text.len() - fed + input.len()))),
                Decoded::NeedMore => match chunks.next() {
                    Some(more) => {
                        fed += more.len();
                        input.extend_from_slice(more);
                    }
                    None => return Ok(None),
                },
            }
        }
    }

    #[test]
    fn bodies_survive_any_split() {
        let text = b"5\r\nhello\r\n6;a=\"b\"\r\n world\r\n000\r\nX: y\r\n\r\nGET";
        for piece in 1..text.len() {
            let (body, trailers, left) = decode(text, piece).unwrap().unwrap();
            assert_eq!((body.as_slice(), trailers.as_slice(), left), (&b"hello world"[..], &b"X: y\r\n"[..], 3), "{piece}");
        }
    }

    #[test]
    fn malformed_chunks_are_refused() {
        for text in [
            "0x5\r\nhello\r\n0\r\n\r\n",
            "+5\r\nhello\r\n0\r\n\r\n",
            " 5\r\nhello\r\n0\r\n\r\n",
            "5 \r\nhello\r\n0\r\n\r\n",
            "\r\nhello",
            "5\nhello\r\n0\r\n\r\n",
            "5\r\nhelloX\r\n0\r\n\r\n",
            "5\r\nhello\n0\r\n\r\n",
            "11111111111111111\r\n",
            "5;a\0b\r\nhello\r\n0\r\n\r\n",
            "0\r\nX : y\r\n\r\n",
            "0\r\nContent-Length: 5\r\n\r\n",
            "0\r\nhost: a\r\n\r\n",
            "0\r\nX: y\n\r\n\r\n",
            "0\r\n\n",
            "0\r\n X: y\r\n\r\n",
            "5;\r\r\nhello",
            "g\r\n",
        ] {
            assert!(decode(text.as_bytes(), 1).is_err(), "{text:?}");
            assert!(decode(text.as_bytes(), 1000).is_err(), "{text:?}");
        }
    }

    #[test]
    fn sizes_are_written_in_hexadecimal() {
        for size in [0, 1, 15, 16, 4096, usize::MAX] {
            let mut out = Vec::new();
            write_chunk_size(size, &mut out);
            assert_eq!(out, format!("{size:x}\r\n").into_bytes());
        }
    }
}
