//! What is sent to a client.

use std::fs::File;
use std::num::NonZeroU32;
use std::sync::Arc;

use bytes::Bytes;

use crate::fields::Fields;

/// The length of a response's body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Length {
    /// As many bytes.
    Exact(u64),
    /// It is known at its end.
    Unknown,
}

/// Status and header fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// The status.
    pub status: u16,
    /// Its phrase.
    pub reason: &'static str,
    /// The fields.
    pub fields: Fields,
}

/// How long HTTP.sys may answer with a response again, without asking the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CachePolicy {
    /// Until it is flushed.
    UntilFlushed,
    /// As many seconds.
    TimeToLive(NonZeroU32),
}

/// A piece of a body.
#[derive(Clone, Debug)]
pub enum Chunk {
    /// Bytes.
    Memory(Bytes),
    /// A part of a file.
    File {
        /// The file.
        file: Arc<File>,
        /// Where the part begins.
        offset: u64,
        /// How long it is.
        length: u64,
    },
    /// The fields behind the body, in HTTP/2 and HTTP/3.
    Trailers(Fields),
}

impl Chunk {
    /// Body bytes in it.
    #[must_use]
    pub fn len(&self) -> u64 {
        match self {
            Self::Memory(bytes) => bytes.len() as u64,
            Self::File { length, .. } => *length,
            Self::Trailers(_) => 0,
        }
    }

    /// There are no body bytes in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One call that sends.
#[derive(Clone, Debug, Default)]
pub struct Sending {
    /// The head, if this begins the response.
    pub head: Option<Head>,
    /// Body bytes.
    pub chunks: Vec<Chunk>,
    /// More follows.
    pub more: bool,
    /// The connection is closed behind it.
    pub disconnect: bool,
    /// The connection leaves HTTP.
    pub opaque: bool,
    /// The response may be kept.
    pub cache: Option<CachePolicy>,
}
