//! One message to many peers: each form of its frame is built once, however many get it.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::deflate::{Compressors, WindowBits};
use crate::event::Kind;
use crate::frame::Header;
use crate::writer::{frame, frame_compressed};

/// The form of a frame that a peer can read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Uncompressed.
    Plain,
    /// Compressed with this window, and referring to nothing before.
    Deflate(WindowBits),
}

/// A message for many peers of a server.
///
/// [`Writer::broadcast_class`](crate::Writer::broadcast_class) says which frame a peer needs. A frame is built when the first asks
/// for it; all others, in all threads, share its bytes.
#[derive(Clone, Debug)]
pub struct Broadcast {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    kind: Kind,
    /// The uncompressed frame, which holds the message too.
    plain: Bytes,
    header: usize,
    compressors: Option<Arc<Compressors>>,
    deflated: [OnceLock<Bytes>; WindowBits::COUNT],
}

impl Broadcast {
    /// `text` for everybody. Without `compressors` nobody gets it compressed.
    pub fn text(text: &str, compressors: Option<Arc<Compressors>>) -> Self {
        Self::new(Kind::Text, text.as_bytes(), compressors)
    }

    /// `data` for everybody. Without `compressors` nobody gets it compressed.
    pub fn binary(data: &[u8], compressors: Option<Arc<Compressors>>) -> Self {
        Self::new(Kind::Binary, data, compressors)
    }

    fn new(kind: Kind, data: &[u8], compressors: Option<Arc<Compressors>>) -> Self {
        let mut plain = Vec::new();
        frame(kind, data, &mut plain);
        let header = plain.len() - data.len();
        let shared = Shared { kind, plain: plain.into(), header, compressors, deflated: Default::default() };
        Self { shared: Arc::new(shared) }
    }

    /// Text or binary.
    pub fn kind(&self) -> Kind {
        self.shared.kind
    }

    /// The message.
    pub fn data(&self) -> &[u8] {
        &self.shared.plain[self.shared.header..]
    }

    /// The frame for peers of `class`. It is the plain one if compression would make it larger: every peer can read that.
    pub fn frame(&self, class: Class) -> &Bytes {
        let Shared { plain, compressors, deflated, .. } = &*self.shared;
        match (class, compressors) {
            (Class::Deflate(window), Some(compressors)) => {
                deflated[window.index()].get_or_init(|| self.compress(compressors, window))
            }
            _ => plain,
        }
    }

    fn compress(&self, compressors: &Compressors, window: WindowBits) -> Bytes {
        let mut deflater = compressors.take(window);
        let mut frame = Vec::new();
        let header = Header { fin: true, rsv1: true, opcode: self.kind().opcode(), mask: None, len: 0 };
        frame_compressed(&mut deflater, header, self.data(), &mut frame);
        compressors.give_back(deflater);
        // What grew while the frame was made would be held for as long as the slowest peer takes.
        if frame.len() < self.shared.plain.len() { Bytes::copy_from_slice(&frame) } else { self.shared.plain.clone() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deflate::Config;

    #[test]
    fn every_form_is_built_once() {
        let compressors = Arc::new(Compressors::new(&Config::default()));
        let broadcast = Broadcast::text(&"hello, everybody! ".repeat(20), Some(compressors));
        let address = |class| broadcast.frame(class).as_ptr();
        for class in [Class::Plain, Class::Deflate(WindowBits::MIN), Class::Deflate(WindowBits::MAX)] {
            assert_eq!(address(class), address(class));
        }
        assert!(broadcast.frame(Class::Deflate(WindowBits::MAX)).len() < broadcast.frame(Class::Plain).len() / 4);
    }

    #[test]
    fn what_does_not_compress_is_sent_as_it_is() {
        let compressors = Arc::new(Compressors::new(&Config::default()));
        let broadcast = Broadcast::binary(&[7, 1, 200, 44, 9], Some(compressors));
        assert_eq!(&broadcast.frame(Class::Deflate(WindowBits::MAX))[..], [0x82, 5, 7, 1, 200, 44, 9]);
        assert_eq!(broadcast.data(), [7, 1, 200, 44, 9]);
    }
}
