//! Where the bytes of a file go while they arrive: into memory while there is room, else to disk, hashed on the way.
//!
//! Writing and hashing are done on the runtime's threads for blocking work, one piece at a time, while the next one is gathered:
//! an upload holds two pieces, however long it is.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use aws_lc_rs::digest::{self, SHA256};
use bytes::Bytes;
use tempfile::NamedTempFile;
use tokio::task::{JoinHandle, spawn_blocking};

use super::error::UploadError;
use super::file::{PREFIX, Storage};

/// How much is written at a time.
const PIECE: usize = 256 * 1024;

/// A file that arrives. Dropped, it leaves nothing behind.
pub(super) struct Spool {
    directory: PathBuf,
    /// How much of it may stay in memory.
    room: usize,
    hashed: bool,
    gathered: Vec<u8>,
    /// The piece that is being written, once the file is on disk.
    writing: Option<JoinHandle<io::Result<Written>>>,
}

struct Written {
    file: NamedTempFile,
    hash: Option<digest::Context>,
    /// The memory of the piece, for the next but one.
    spare: Vec<u8>,
}

/// A file that has arrived.
pub(super) struct Spooled {
    pub(super) storage: Storage,
    pub(super) sha256: Option<[u8; 32]>,
}

impl Spool {
    pub(super) fn new(directory: &Path, room: usize, hashed: bool) -> Self {
        Self { directory: directory.to_owned(), room, hashed, gathered: Vec::new(), writing: None }
    }

    pub(super) async fn push(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.gathered.extend_from_slice(bytes);
        let limit = if self.writing.is_some() { PIECE } else { self.room };
        if self.gathered.len() > limit {
            self.write().await?;
        }
        Ok(())
    }

    pub(super) async fn finish(mut self) -> Result<Spooled, UploadError> {
        if self.writing.is_some() {
            if !self.gathered.is_empty() {
                self.write().await?;
            }
            let Some(Written { file, hash, .. }) = self.written().await? else {
                return Err(self.failed(io::Error::other("lost")));
            };
            let sha256 = hash.and_then(|hash| hash.finish().as_ref().try_into().ok());
            // Closes it: a form may have more files than a process can have open.
            return Ok(Spooled { storage: Storage::Temporary(file.into_temp_path()), sha256 });
        }
        let sha256 = self.hashed.then(|| digest::digest(&SHA256, &self.gathered)).and_then(|hash| hash.as_ref().try_into().ok());
        Ok(Spooled { storage: Storage::Memory(Bytes::from(self.gathered)), sha256 })
    }

    /// Begins to write what is gathered, when the piece before it is written.
    async fn write(&mut self) -> Result<(), UploadError> {
        let written = self.written().await?;
        let (directory, hashed) = (self.directory.clone(), self.hashed);
        let piece = std::mem::take(&mut self.gathered);
        let (on_disk, spare) = match written {
            Some(Written { file, hash, spare }) => (Some((file, hash)), spare),
            None => (None, Vec::new()),
        };
        self.gathered = spare;
        self.writing = Some(spawn_blocking(move || {
            let (mut file, mut hash) = match on_disk {
                Some(on_disk) => on_disk,
                None => {
                    let hash = hashed.then(|| digest::Context::new(&SHA256));
                    (NamedTempFile::with_prefix_in(PREFIX, directory)?, hash)
                }
            };
            file.write_all(&piece)?;
            if let Some(hash) = &mut hash {
                hash.update(&piece);
            }
            let mut spare = piece;
            spare.clear();
            Ok(Written { file, hash, spare })
        }));
        Ok(())
    }

    async fn written(&mut self) -> Result<Option<Written>, UploadError> {
        let Some(writing) = &mut self.writing else { return Ok(None) };
        let written = writing.await.map_err(io::Error::other).and_then(|written| written);
        self.writing = None;
        written.map(Some).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: io::Error) -> UploadError {
        UploadError::disk("keep a file in", &self.directory)(error)
    }
}
