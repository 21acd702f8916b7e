//! The directory that is served, and how files are opened below it without ever leaving it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions};

use super::send;

/// What symbolic links below the root of a [`StaticDir`](super::StaticDir) may lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Symlinks {
    /// To what is below the root: a link that leaves it is as if it were not there, and so is one with an absolute target. That
    /// holds at every moment, whoever changes links while a file is opened (`openat2` on Linux).
    #[default]
    WithinRoot,
    /// To wherever they lead. Whoever may make links there may have every file sent that the server may read.
    Follow,
}

#[derive(Clone, Debug)]
pub(super) struct Root {
    pub(super) path: PathBuf,
    pub(super) symlinks: Symlinks,
}

/// The root for the length of one request.
pub(super) enum Opened {
    Confined(Dir),
    Anywhere(PathBuf),
}

impl Root {
    /// Opens the root. May block.
    pub(super) fn open(&self) -> io::Result<Opened> {
        match self.symlinks {
            Symlinks::Follow => Ok(Opened::Anywhere(self.path.clone())),
            Symlinks::WithinRoot => {
                let opened = Dir::open_ambient_dir(&self.path, ambient_authority());
                Ok(Opened::Confined(opened.inspect_err(|error| {
                    tracing::error!(root = %self.path.display(), %error, "the directory whose files are to be served cannot be opened");
                })?))
            }
        }
    }
}

impl Opened {
    /// Opens a file by its relative path. May block, but not for a pipe to have a writer.
    pub(super) fn open_file(&self, path: &Path) -> io::Result<File> {
        match self {
            Self::Anywhere(root) => send::options().open(root.join(path)),
            Self::Confined(root) => {
                let mut options = OpenOptions::new();
                options.read(true);
                #[cfg(unix)]
                cap_std::fs::OpenOptionsExt::custom_flags(&mut options, send::non_blocking());
                // The root itself has no name in itself.
                let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
                root.open_with(path, &options).map(cap_std::fs::File::into_std)
            }
        }
    }

    pub(super) fn is_directory(&self, path: &Path) -> bool {
        match self {
            Self::Anywhere(root) => root.join(path).is_dir(),
            Self::Confined(root) => root.is_dir(path),
        }
    }
}
