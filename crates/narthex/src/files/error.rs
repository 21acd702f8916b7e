//! Why a file cannot be sent.

use std::io;
use std::path::{Path, PathBuf};

/// Why a file cannot be sent. As axum's response it is 404 or 500, without the path.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// There is no such file, nor can there be one of that name; or a directory, a pipe, a socket or a device is in its place.
    #[error("there is no file {}: {source}", path.display())]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// It cannot be read.
    #[error("cannot read {}: {source}; check its permissions and those of its directories", path.display())]
    Io {
        /// Where it is.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
}

impl FileError {
    pub(super) fn of(source: io::Error, path: &Path) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound
            | io::ErrorKind::NotADirectory
            | io::ErrorKind::IsADirectory
            | io::ErrorKind::InvalidFilename => Self::NotFound { path, source },
            _ if is_a_socket(&source) => Self::NotFound { path, source },
            _ => Self::Io { path, source },
        }
    }
}

/// What Unix says to those who open a socket as a file.
#[cfg(unix)]
fn is_a_socket(error: &io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::NXIO.raw_os_error())
}

/// Elsewhere it says so in other words.
#[cfg(not(unix))]
fn is_a_socket(_: &io::Error) -> bool {
    false
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for FileError {
    fn into_response(self) -> axum::response::Response {
        let status = match &self {
            Self::NotFound { .. } => http::StatusCode::NOT_FOUND,
            Self::Io { .. } => {
                tracing::error!("a file cannot be sent: {self}");
                http::StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        super::send::bare(status).into_response()
    }
}
