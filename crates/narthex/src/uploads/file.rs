//! A file that was uploaded, in memory or on disk, and how it gets a place of its own.

use std::fmt::Write as _;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use tempfile::{NamedTempFile, TempPath};
use tokio::io::AsyncRead;
use tokio::task::spawn_blocking;

use super::error::UploadError;

/// What temporary files are called at the front, so that those of a process that was killed can be told from others.
pub(super) const PREFIX: &str = ".narthex-upload-";

/// What is known of a file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct About {
    /// The name of the form's field.
    pub field: String,
    /// A name that is safe on every file system: see [`UploadedFile::file_name`].
    pub file_name: String,
    /// What the client calls it. Anything can be in there.
    pub sent_file_name: String,
    /// What the client says that it is. It need not be true.
    pub content_type: Option<String>,
    /// Its length in bytes.
    pub len: u64,
    /// Its hash, if hashes are wanted.
    pub sha256: Option<[u8; 32]>,
}

/// A file of a form.
///
/// If it is on disk, it is a temporary file that goes when this is dropped, unless it was [saved](super::Uploads::save_in) or
/// [persisted](Self::persist) before.
#[derive(Debug)]
pub struct UploadedFile {
    pub(super) about: Arc<About>,
    pub(super) storage: Storage,
}

#[derive(Debug)]
pub(super) enum Storage {
    Memory(Bytes),
    /// Is removed when it is dropped.
    Temporary(TempPath),
    Kept(PathBuf),
}

impl UploadedFile {
    /// All that is known of it.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// The name of the form's field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.about.field
    }

    /// What the client calls the file, made safe: the last component only, without control characters and leading dots, not
    /// a device of Windows, 200 bytes at most, never empty. It is UTF-8 and may have spaces.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.about.file_name
    }

    /// What the client calls the file. Anything can be in there: it is not for file systems.
    #[must_use]
    pub fn sent_file_name(&self) -> &str {
        &self.about.sent_file_name
    }

    /// What the client says that the file is. It need not be true.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.about.content_type.as_deref()
    }

    /// The length in bytes.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "it is a property, not a collection")]
    pub fn len(&self) -> u64 {
        self.about.len
    }

    /// The hash of the content, if [hashes are wanted](super::Uploads::hash_sha256).
    #[must_use]
    pub fn sha256(&self) -> Option<[u8; 32]> {
        self.about.sha256
    }

    /// The hash as 64 hexadecimal digits.
    #[must_use]
    pub fn sha256_hex(&self) -> Option<String> {
        self.about.sha256.map(|hash| {
            hash.iter().fold(String::with_capacity(64), |mut text, byte| {
                let _ = write!(text, "{byte:02x}");
                text
            })
        })
    }

    /// Where the file is, if it is on disk.
    #[must_use]
    pub fn path(&self) -> Option<&Path> {
        match &self.storage {
            Storage::Memory(_) => None,
            Storage::Temporary(path) => Some(path),
            Storage::Kept(path) => Some(path),
        }
    }

    /// The content, if it is in memory.
    #[must_use]
    pub fn bytes(&self) -> Option<&Bytes> {
        match &self.storage {
            Storage::Memory(bytes) => Some(bytes),
            Storage::Temporary(_) | Storage::Kept(_) => None,
        }
    }

    /// The content, from wherever it is, to be read. Cancel safe.
    ///
    /// # Errors
    /// If the file on disk cannot be opened.
    pub async fn open(&self) -> Result<impl AsyncRead + Send + Unpin + use<>, UploadError> {
        let reader: Box<dyn AsyncRead + Send + Unpin> = match &self.storage {
            Storage::Memory(bytes) => Box::new(Cursor::new(bytes.clone())),
            Storage::Temporary(_) | Storage::Kept(_) => {
                let path = self.path().unwrap_or(Path::new(""));
                Box::new(tokio::fs::File::open(path).await.map_err(UploadError::disk("open", path))?)
            }
        };
        Ok(reader)
    }

    /// Gives the file a place of its own, where it stays. It appears there with its whole content or not at all, even if the machine
    /// loses its power, and never in the place of another file. On Unix only its owner, the app's user, can read it (mode 0600).
    ///
    /// It is moved, which takes no time, if the place is on the file system where it [lies already](super::Uploads::directory), and
    /// copied if not. If the future is dropped, it is done all the same, or the file is gone.
    ///
    /// # Errors
    /// [`UploadError::Disk`], of the kind `AlreadyExists` if there is a file. This one then is where it was.
    pub async fn persist(&mut self, to: impl Into<PathBuf>) -> Result<(), UploadError> {
        self.put(to.into(), Existing::Stays).await
    }

    /// As [`persist`](Self::persist), and in the place of a file that may be there.
    ///
    /// # Errors
    /// [`UploadError::Disk`]. This file then is where it was.
    pub async fn replace(&mut self, to: impl Into<PathBuf>) -> Result<(), UploadError> {
        self.put(to.into(), Existing::Goes).await
    }

    async fn put(&mut self, to: PathBuf, existing: Existing) -> Result<(), UploadError> {
        let storage = std::mem::replace(&mut self.storage, Storage::Memory(Bytes::new()));
        let place = to.clone();
        let moved = spawn_blocking(move || {
            let kept = matches!(storage, Storage::Kept(_));
            match storage.put(&place, existing) {
                Ok(path) => (Storage::Kept(keep(path)), Ok(())),
                Err((Storage::Temporary(path), error)) if kept => (Storage::Kept(keep(path)), Err(error)),
                Err((storage, error)) => (storage, Err(error)),
            }
        });
        let (storage, result) = moved.await.map_err(io::Error::other).map_err(UploadError::disk("save a file as", &to))?;
        self.storage = storage;
        result.map_err(UploadError::disk("save a file as", &to))
    }
}

/// What becomes of a file that is where another is to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Existing {
    Stays,
    Goes,
}

/// Lets a file stay when its path is dropped.
pub(super) fn keep(mut path: TempPath) -> PathBuf {
    path.disable_cleanup(true);
    path.to_path_buf()
}

impl Storage {
    /// Moves the file to `to`, where it still goes with the path that this gives. Blocks.
    pub(super) fn put(self, to: &Path, existing: Existing) -> Result<TempPath, (Self, io::Error)> {
        let path = match self {
            Self::Memory(bytes) => {
                let put =
                    write_beside(to, &mut bytes.as_ref()).and_then(|path| rename(path, to, existing).map_err(|(_, error)| error));
                return put.map_err(|error| (Self::Memory(bytes), error));
            }
            // A name must not be there before what it names is.
            Self::Temporary(path) => match sync(&path) {
                Ok(()) => path,
                Err(error) => return Err((Self::Temporary(path), error)),
            },
            Self::Kept(path) => match TempPath::try_from_path(path.clone()) {
                Ok(path) => path,
                Err(error) => return Err((Self::Kept(path), error)),
            },
        };
        match rename(path, to, existing) {
            Err((path, error)) if error.kind() == io::ErrorKind::CrossesDevices => {
                let copied = std::fs::File::open(&path).and_then(|mut file| write_beside(to, &mut file));
                let put = copied.and_then(|copy| rename(copy, to, existing).map_err(|(_, error)| error));
                put.map_err(|error| (Self::Temporary(path), error))
            }
            other => other.map_err(|(path, error)| (Self::Temporary(path), error)),
        }
    }
}

fn write_beside(to: &Path, content: &mut dyn io::Read) -> io::Result<TempPath> {
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = NamedTempFile::with_prefix_in(PREFIX, directory)?;
    io::copy(content, &mut file)?;
    file.as_file().sync_all()?;
    Ok(file.into_temp_path())
}

/// Has the disk keep what was written. Windows wants the file open for writing for that.
fn sync(path: &Path) -> io::Result<()> {
    std::fs::OpenOptions::new().write(true).open(path)?.sync_all()
}

fn rename(path: TempPath, to: &Path, existing: Existing) -> Result<TempPath, (TempPath, io::Error)> {
    let mut place = match TempPath::try_from_path(to) {
        Ok(place) => place,
        Err(error) => return Err((path, error)),
    };
    // What is there already is not ours to remove.
    place.disable_cleanup(true);
    let renamed = match existing {
        Existing::Stays => path.persist_noclobber(to),
        Existing::Goes => path.persist(to),
    };
    match renamed {
        Ok(()) => {
            place.disable_cleanup(false);
            Ok(place)
        }
        Err(failed) => Err((failed.path, failed.error)),
    }
}
