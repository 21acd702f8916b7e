//! Whether a file is another one than it was, without reading it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Tells two states of a file apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    size: u64,
    modified: Option<SystemTime>,
    /// Device, inode, and when it was last changed in any way.
    #[cfg(unix)]
    identity: (u64, u64, i64, i64),
}

impl Stamp {
    /// What a file is like now; `None` if there is none.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        #[cfg(unix)]
        let identity = {
            use std::os::unix::fs::MetadataExt;
            (metadata.dev(), metadata.ino(), metadata.ctime(), metadata.ctime_nsec())
        };
        Some(Self {
            size: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            identity,
        })
    }
}

/// Files that something was made from, which is to be made again when they change. Made just before they are read.
#[derive(Debug, Default)]
pub struct Watched(Vec<File>);

#[derive(Debug)]
struct File {
    path: PathBuf,
    read: Option<Stamp>,
    /// As it was last looked at.
    seen: Option<Stamp>,
}

impl Watched {
    /// These files, as they are now.
    #[must_use]
    pub fn new(paths: impl IntoIterator<Item = PathBuf>) -> Self {
        let file = |path: PathBuf| {
            let read = Stamp::of(&path);
            File { path, read, seen: read }
        };
        Self(paths.into_iter().map(file).collect())
    }

    /// Whether one of them is another one than was read, and all are as they were at the last look: a certificate and its key
    /// are not replaced at one moment.
    pub fn have_changed(&mut self) -> bool {
        let (mut changed, mut rest) = (false, true);
        for file in &mut self.0 {
            let now = Stamp::of(&file.path);
            changed |= now != file.read;
            rest &= now == file.seen;
            file.seen = now;
        }
        changed && rest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_counts_when_it_has_come_to_rest() {
        let directory = tempfile::TempDir::new().unwrap();
        let path = directory.path().join("file");
        fs::write(&path, "one").unwrap();
        let mut watched = Watched::new([path.clone()]);
        assert!(!watched.have_changed());
        fs::write(&path, "other").unwrap();
        assert!(!watched.have_changed(), "it may not be whole yet");
        assert!(watched.have_changed());
        let mut watched = Watched::new([path.clone()]);
        fs::remove_file(&path).unwrap();
        assert!(!watched.have_changed() && watched.have_changed(), "one that is gone is another one");
    }
}
