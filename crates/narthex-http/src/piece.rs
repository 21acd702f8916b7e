//! Bytes on their way out: borrowed if they can be written now, shared if they may have to wait.

use bytes::Bytes;

/// A piece of a body.
#[derive(Clone, Debug)]
pub enum Piece<'a> {
    /// Copied if the socket cannot take it at once.
    Slice(&'a [u8]),
    /// Never copied.
    Shared(Bytes),
}

impl Piece<'_> {
    /// Nothing.
    pub const EMPTY: Piece<'static> = Piece::Slice(&[]);

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    pub(crate) fn as_slice(&self) -> &[u8] {
        match self {
            Piece::Slice(bytes) => bytes,
            Piece::Shared(bytes) => bytes,
        }
    }
}

impl<'a> From<&'a [u8]> for Piece<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Slice(bytes)
    }
}

impl From<Bytes> for Piece<'_> {
    fn from(bytes: Bytes) -> Self {
        Self::Shared(bytes)
    }
}
