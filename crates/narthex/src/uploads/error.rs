//! What can keep a form from being received, with the status that its sender gets and what to do about it.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use http::{Response, StatusCode};

use crate::BoxError;
use crate::body::BodyError;
use crate::json_error::json_error_with;

/// Why a form was not received. Nothing of it is left, in memory or on disk.
///
/// It says what to do to those who run the app; clients get the status and its name, as in `{"error":"Payload Too Large"}`. With
/// the feature `axum` handlers can return it, elsewhere there is [`to_response`](Self::to_response).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UploadError {
    /// The request has no form. 415.
    #[error(
        "cannot read a body of type {0:?} as a form: send multipart/form-data or application/x-www-form-urlencoded, in UTF-8"
    )]
    UnsupportedType(String),
    /// The form breaks RFC 7578 or RFC 2046. 400.
    #[error("the form is malformed: {0}")]
    Malformed(String),
    /// The body ended before the form did, or the client went away. 400.
    #[error("the form breaks off before its last boundary: the client sent too little, or went away")]
    Truncated,
    /// The form is too large in some way. 413.
    #[error("the form is too large: {what} of at most {limit} bytes are allowed here; {}", .what.remedy())]
    TooLarge {
        /// What is.
        what: Limited,
        /// Its limit.
        limit: u64,
    },
    /// The form has more parts than it may. 413.
    #[error("the form has too many parts: {limit} are allowed here; Uploads::max_parts sets that")]
    TooManyParts {
        /// How many it may have.
        limit: usize,
    },
    /// The server allows no body of this length. 413.
    #[error("the request body is longer than the server allows: Server::max_body sets that, or the operator of the host")]
    BodyTooLarge,
    /// The body stopped arriving. 408.
    #[error("the form stopped arriving: the client is to send it again")]
    TimedOut,
    /// A hook refuses it, with status and text for the client. 422 if the hook gives none.
    #[error("the form was refused: {0}")]
    Refused(Refusal),
    /// A file cannot be kept on disk. 507 if there is no room, else 500.
    #[error("cannot {doing} {}: {source}; {}", .path.display(), remedy(.source))]
    Disk {
        /// What was to be done.
        doing: &'static str,
        /// Where.
        path: PathBuf,
        /// What the OS said.
        source: io::Error,
    },
}

/// What a limit in bytes is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Limited {
    /// The body as a whole.
    Total,
    /// One file.
    File,
    /// The value of one field.
    Field,
    /// The names and values of all fields, and the names of files.
    Fields,
    /// What stands before a part, or before the first one.
    Header,
}

impl Limited {
    fn remedy(self) -> &'static str {
        match self {
            Self::Total => "Uploads::max_total sets that",
            Self::File => "Uploads::max_file sets that",
            Self::Field => "Uploads::max_field sets that",
            Self::Fields => "Uploads::max_fields sets that",
            Self::Header => "no form needs more",
        }
    }
}

impl fmt::Display for Limited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Total => "a body",
            Self::File => "files",
            Self::Field => "fields",
            Self::Fields => "names and fields together",
            Self::Header => "headers of parts",
        })
    }
}

/// What a hook says to a client whose form it does not want.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: StatusCode,
    text: String,
}

impl Refusal {
    /// A refusal with status 422. The client gets the text, as in `{"error":"only pictures, please"}`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self { status: StatusCode::UNPROCESSABLE_ENTITY, text: text.into() }
    }

    /// With another status. One that is not an error's becomes 422.
    #[must_use]
    pub fn status(mut self, status: StatusCode) -> Self {
        let refuses = status.is_client_error() || status.is_server_error();
        self.status = if refuses { status } else { StatusCode::UNPROCESSABLE_ENTITY };
        self
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "create the directory, or choose another",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "let the app's user write there, or choose another directory"
        }
        io::ErrorKind::AlreadyExists => "choose another name, or replace what is there on purpose",
        kind if is_full(kind) => "make room, or choose another directory",
        _ => "look at the disk",
    }
}

fn is_full(kind: io::ErrorKind) -> bool {
    matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge)
}

impl UploadError {
    /// The status that the client is to get.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self {
            Self::UnsupportedType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Malformed(_) | Self::Truncated => StatusCode::BAD_REQUEST,
            Self::TooLarge { .. } | Self::TooManyParts { .. } | Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TimedOut => StatusCode::REQUEST_TIMEOUT,
            Self::Refused(refusal) => refusal.status,
            Self::Disk { source, .. } if is_full(source.kind()) => StatusCode::INSUFFICIENT_STORAGE,
            Self::Disk { .. } => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What the client is to get: JSON that names the status and nothing of the server, or what a hook said. What is the
    /// server's own fault is logged here, since nobody else will see it.
    #[must_use]
    pub fn to_response(&self) -> Response<String> {
        let status = self.status();
        if status.is_server_error() && !matches!(self, Self::Refused(_)) {
            tracing::error!("a form was not received: {self}");
        }
        let text = match self {
            Self::Refused(refusal) => &refusal.text,
            _ => status.canonical_reason().unwrap_or("Error"),
        };
        json_error_with(status, text)
    }

    pub(super) fn malformed(what: impl Into<String>) -> Self {
        Self::Malformed(what.into())
    }

    pub(super) fn disk(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Disk { doing, path: path.to_owned(), source }
    }

    /// What became of a body that cannot be read on.
    pub(super) fn of_body(error: &BoxError) -> Self {
        match BodyError::within(error.as_ref()) {
            Some(BodyError::TooLarge) => Self::BodyTooLarge,
            Some(BodyError::TimedOut) => Self::TimedOut,
            Some(BodyError::Malformed) => Self::malformed("its framing breaks HTTP"),
            Some(BodyError::Disconnected) | None => Self::Truncated,
        }
    }

    /// What the parser says. What its source said comes back as it was.
    pub(super) fn of_parser(error: multer::Error) -> Self {
        match error {
            multer::Error::StreamReadFailed(source) => match source.downcast() {
                Ok(error) => *error,
                Err(source) => Self::of_body(&source),
            },
            multer::Error::IncompleteStream | multer::Error::IncompleteFieldData { .. } => Self::Truncated,
            multer::Error::IncompleteHeaders | multer::Error::ReadHeaderFailed(_) => {
                Self::malformed("the header of a part cannot be read")
            }
            other => Self::Malformed(other.to_string()),
        }
    }
}

#[cfg(feature = "axum")]
impl axum::response::IntoResponse for UploadError {
    fn into_response(self) -> axum::response::Response {
        self.to_response().map(axum::body::Body::from)
    }
}
