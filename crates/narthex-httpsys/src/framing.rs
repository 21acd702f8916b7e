//! How a body's end is told: HTTP.sys frames HTTP/2 and HTTP/3, and leaves chunks of HTTP/1.1 to the app.

use bytes::Bytes;

use crate::fields::Fields;
use crate::request::Version;
use crate::response::{Chunk, Length};

/// How the end of a body is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// By its length, of which so much is left.
    Exact(u64),
    /// By an empty chunk of HTTP/1.1.
    Chunked,
    /// By the end of the stream of HTTP/2 and HTTP/3.
    Stream,
    /// By the end of the connection.
    Close,
    /// No body is sent: the answer to HEAD.
    Absent,
    /// The bytes of an upgraded connection.
    Opaque,
}

impl Framing {
    pub(crate) fn new(version: Version, length: Length, head_only: bool) -> Self {
        match (length, version) {
            _ if head_only => Self::Absent,
            (Length::Exact(length), _) => Self::Exact(length),
            (Length::Unknown, Version::Http10) => Self::Close,
            (Length::Unknown, Version::Http11) => Self::Chunked,
            (Length::Unknown, Version::Http2 | Version::Http3) => Self::Stream,
        }
    }

    /// The fields that say so.
    pub(crate) fn announce(self, length: Length, version: Version, fields: &mut Fields) {
        match (self, length) {
            (Self::Exact(length), _) | (Self::Absent, Length::Exact(length)) => {
                fields.push(b"Content-Length", length.to_string().as_bytes());
            }
            (Self::Chunked, _) => fields.push(b"Transfer-Encoding", b"chunked"),
            (Self::Absent, Length::Unknown) if version == Version::Http11 => fields.push(b"Transfer-Encoding", b"chunked"),
            _ => {}
        }
    }

    /// Puts what is between pieces of a body around them, and its end behind them.
    pub(crate) fn frame(self, chunks: &mut Vec<Chunk>, trailers: Option<Fields>, end: bool) {
        match self {
            Self::Chunked => {
                let length: u64 = chunks.iter().map(Chunk::len).sum();
                if length > 0 {
                    chunks.insert(0, Chunk::Memory(Bytes::from(format!("{length:x}\r\n"))));
                    chunks.push(Chunk::Memory(Bytes::from_static(b"\r\n")));
                }
                if end {
                    chunks.push(Chunk::Memory(last_chunk(trailers.as_ref())));
                }
            }
            Self::Stream => chunks.extend(trailers.map(Chunk::Trailers)),
            // Nothing carries them.
            Self::Exact(_) | Self::Close | Self::Absent | Self::Opaque => {}
        }
    }
}

fn last_chunk(trailers: Option<&Fields>) -> Bytes {
    let mut last = b"0\r\n".to_vec();
    for (name, value) in trailers.into_iter().flat_map(Fields::iter) {
        last.extend([name, b": ", value, b"\r\n"].concat());
    }
    last.extend_from_slice(b"\r\n");
    last.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(chunks: &[Chunk]) -> String {
        let bytes = chunks.iter().filter_map(|chunk| if let Chunk::Memory(bytes) = chunk { Some(&bytes[..]) } else { None });
        String::from_utf8(bytes.collect::<Vec<_>>().concat()).unwrap()
    }

    #[test]
    fn pieces_that_are_sent_together_are_one_chunk() {
        let mut chunks = vec![Chunk::Memory("hello".into()), Chunk::Memory(" narthex!!".into())];
        Framing::Chunked.frame(&mut chunks, None, false);
        assert_eq!(text(&chunks), "f\r\nhello narthex!!\r\n");
    }

    #[test]
    fn the_last_chunk_has_the_trailers() {
        let trailers = [(&b"x-sum"[..], &b"7"[..])].into_iter().collect();
        let mut chunks = Vec::new();
        Framing::Chunked.frame(&mut chunks, Some(trailers), true);
        assert_eq!(text(&chunks), "0\r\nx-sum: 7\r\n\r\n");
    }

    #[test]
    fn each_version_tells_the_end_of_an_unknown_length_its_own_way() {
        let framing = |version| Framing::new(version, Length::Unknown, false);
        assert_eq!(framing(Version::Http10), Framing::Close);
        assert_eq!(framing(Version::Http11), Framing::Chunked);
        assert_eq!(framing(Version::Http2), Framing::Stream);
        assert_eq!(Framing::new(Version::Http11, Length::Exact(3), false), Framing::Exact(3));
        assert_eq!(Framing::new(Version::Http11, Length::Exact(3), true), Framing::Absent);
    }
}
