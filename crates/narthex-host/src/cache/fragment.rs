//! Fragments: pieces of responses that an app keeps at the host under names of its own.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use narthex_proto::wire::CachePolicy;

use super::entry::{Block, Entry, LastHit, OVERHEAD};
use super::request::{Key, fragment_key};
use super::url::{CacheUrl, CacheUrlError, fragment_url};
use super::{Now, Room};

/// Why a fragment is not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum FragmentError {
    /// Its name is no URL.
    #[error("{0}")]
    Url(#[from] CacheUrlError),
    /// It is longer than what may be cached.
    #[error(
        "the fragment has {length} bytes, and no more than {most} are cached: raise max_cache_response_size, or send it in smaller ones"
    )]
    TooLong { length: usize, most: u64 },
    /// The cache is full.
    #[error("the cache has no room for the fragment: send its bytes instead, or raise max_cache_size")]
    NoRoom,
}

/// A fragment's name among those of a request queue, as it is looked up. Whether an app may store it is for who speaks with the
/// app to check.
#[derive(Clone, Debug)]
pub(crate) struct FragmentName {
    /// The URL.
    pub(crate) url: CacheUrl,
    pub(super) key: Vec<u8>,
}

impl FragmentName {
    /// Reads a whole URL with a host of its own, not `+` or `*`. `queue` is the queue's number.
    pub(crate) fn parse(url: &str, queue: u64) -> Result<Self, CacheUrlError> {
        let url = fragment_url(url)?;
        let key = fragment_key(queue, url.scheme, &url.host, url.port, &url.target);
        Ok(Self { url, key })
    }
}

pub(super) fn new(
    name: FragmentName,
    registration: u32,
    policy: CachePolicy,
    bytes: Bytes,
    id: u64,
    room: &Room<'_>,
) -> Result<Entry, FragmentError> {
    let length = bytes.len();
    if length as u64 > room.most {
        return Err(FragmentError::TooLong { length, most: room.most });
    }
    let Now { running, wall } = room.now;
    let taken = room.take(OVERHEAD + name.key.len() + name.url.size() + length).ok_or(FragmentError::NoRoom)?;
    Ok(Entry {
        id,
        registration,
        url: name.url,
        fragment: true,
        key: Key::new(&name.key),
        status: 0,
        block: Block::default(),
        body: bytes,
        etag: None,
        last_modified: None::<SystemTime>,
        public: false,
        vary: Box::default(),
        created: wall,
        asked: running,
        stored: running,
        age: Duration::ZERO,
        lifetime: match policy {
            CachePolicy::UntilFlushed => None,
            CachePolicy::TimeToLive(seconds) => Some(Duration::from_secs(seconds.get().into())),
        },
        last_hit: LastHit::new(running),
        _room: taken,
    })
}
