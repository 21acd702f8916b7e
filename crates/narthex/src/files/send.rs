//! One file as the answer to a request.

use std::collections::VecDeque;
use std::fs::{File, Metadata, OpenOptions};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
    LAST_MODIFIED, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use tokio::task::spawn_blocking;

use super::body::{FileBody, Part};
use super::conditions::{self, Validators, Verdict};
use super::disposition;
use super::error::FileError;
use super::ranges::{self, Wanted};
use super::tag::EntityTag;

/// A file that becomes the response to a request: all of it, a part, or what the client's conditions say.
///
/// ```
/// use narthex::files::{FileError, SendFile};
/// # #[cfg(feature = "axum")]
/// use axum::{extract::Request, response::IntoResponse};
///
/// # #[cfg(feature = "axum")]
/// async fn report(request: Request) -> Result<impl IntoResponse, FileError> {
///     Ok(SendFile::open("reports/2024.pdf").await?.download_as("Jahresbericht 2024 – Übersicht.pdf").respond_to(&request))
/// }
/// ```
///
/// To GET and HEAD it answers
///
/// * 200 with `Accept-Ranges`, `ETag`, `Last-Modified` and `Content-Type`; 206 to a `Range` of bytes, as `multipart/byteranges`
///   if there are several parts, and 416 if there is nothing of it. Parts that overlap are sent as one. A field that is malformed,
///   asks for more than 64 ranges, for more than 16 that remain, or for everything in several is ignored, as RFC 9110 section 14.2
///   allows.
/// * 304 and 412 to `If-None-Match`, `If-Modified-Since`, `If-Match` and `If-Unmodified-Since`, judged in the order of RFC 9110
///   section 13.2.2. `If-Range` lets a range count only if nothing has changed since.
///
/// To other methods it is an ordinary body: a POST may answer with a file, and has happened by then, whatever its conditions said.
///
/// The **entity tag** is made of the time of modification (nanoseconds), the length and the inode. It is strong, so that downloads
/// can be resumed by it, unless the file was written to within the last two seconds: then it could change once more without
/// another time, so the tag is weak until it cannot.
///
/// The length is that of the file when it was opened. If the file grows meanwhile, the response is what it was; if it becomes shorter,
/// the response is broken off.
#[derive(Debug)]
#[must_use = "it is sent by what respond_to returns"]
pub struct SendFile {
    file: Arc<File>,
    length: u64,
    modified: Option<SystemTime>,
    tag: Option<EntityTag>,
    content_type: HeaderValue,
    inline: bool,
    name: Option<String>,
    fields: Vec<(HeaderName, HeaderValue)>,
    now: SystemTime,
    /// A worker may read it.
    local: bool,
}

impl SendFile {
    /// Opens a file. Its type is told by the extension of its name; text is said to be UTF-8.
    ///
    /// Opening is left to a thread for blocking work. The path is the app's: one that a client has a say in belongs to a
    /// [`StaticDir`](super::StaticDir). Symbolic links are followed. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`FileError::NotFound`] if there is no file there, or something that is none; [`FileError::Io`] for all else.
    pub async fn open(path: impl Into<PathBuf>) -> Result<Self, FileError> {
        let path = path.into();
        blocking(move || {
            let file = options().open(&path).map_err(|error| FileError::of(error, &path))?;
            let file = Self::opened(file).map_err(|error| FileError::of(error, &path))?;
            Ok(file.named(&path))
        })
        .await
    }

    /// Sends a file that is open. Its position is neither used nor changed. Its type is `application/octet-stream` until
    /// [`content_type`](Self::content_type) or [`named`](Self::named) says more.
    ///
    /// # Errors
    /// [`FileError::NotFound`] if it is a directory, or something else that is no file; [`FileError::Io`] if the operating system
    /// tells nothing about it.
    pub async fn new(file: File) -> Result<Self, FileError> {
        blocking(move || Self::opened(file).map_err(|error| FileError::of(error, Path::new("(an open file)")))).await
    }

    /// As [`new`](Self::new), for a thread that may block.
    pub(super) fn opened(file: File) -> io::Result<Self> {
        let metadata = file.metadata()?;
        if !metadata.is_file() {
            return Err(io::Error::new(io::ErrorKind::NotFound, "it is no regular file"));
        }
        Ok(Self::with(file, &metadata))
    }

    #[expect(clippy::disallowed_methods, reason = "files are dated by the wall's clock")]
    fn with(file: File, metadata: &Metadata) -> Self {
        let (now, local) = (SystemTime::now(), narthex_http::is_local(&file));
        Self {
            file: Arc::new(file),
            length: metadata.len(),
            modified: metadata.modified().ok(),
            tag: EntityTag::of_file(metadata, now),
            content_type: HeaderValue::from_static(OCTETS),
            inline: false,
            name: None,
            fields: Vec::new(),
            now,
            local,
        }
    }

    /// Takes the type from the extension of a name.
    pub fn named(self, path: impl AsRef<Path>) -> Self {
        Self { content_type: type_of(path.as_ref()), ..self }
    }

    /// Sets the type.
    pub fn content_type(self, content_type: HeaderValue) -> Self {
        Self { content_type, ..self }
    }

    /// Has browsers save the file under this name, in any script (`Content-Disposition: attachment`, RFC 6266). Of a path they are
    /// told the last component.
    pub fn download_as(self, name: impl Into<String>) -> Self {
        Self { name: Some(name.into()), inline: false, ..self }
    }

    /// Has browsers show the file, and save it under the name of [`download_as`](Self::download_as), if that was called before,
    /// only when they are told to.
    pub fn inline(self) -> Self {
        Self { inline: true, ..self }
    }

    /// Sets `Cache-Control`, such as `public, max-age=3600`. By default there is none: caches ask whether the file has changed
    /// whenever they feel like it.
    pub fn cache_control(self, value: HeaderValue) -> Self {
        self.field(CACHE_CONTROL, value)
    }

    /// Sets the entity tag, or does without one.
    pub fn etag(self, tag: impl Into<Option<EntityTag>>) -> Self {
        Self { tag: tag.into(), ..self }
    }

    pub(super) fn field(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.fields.push((name, value));
        self
    }

    /// The file's length in bytes.
    #[must_use]
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The response to this request.
    pub fn respond_to<B>(self, request: &Request<B>) -> Response<FileBody> {
        self.respond(request.method(), request.headers())
    }

    /// The response to a request of this method with these header fields.
    pub fn respond(self, method: &Method, headers: &HeaderMap) -> Response<FileBody> {
        let is_get = method == Method::GET;
        if is_get || method == Method::HEAD {
            let validators = Validators { tag: self.tag.as_ref(), modified: self.modified };
            match conditions::judge(headers, validators) {
                Verdict::Proceed => {}
                Verdict::NotModified => return self.not_modified(),
                Verdict::Failed => return bare(StatusCode::PRECONDITION_FAILED),
            }
            // A range is defined for GET only (RFC 9110 section 14.2).
            if is_get && conditions::range_counts(headers, validators, self.now) {
                match ranges::wanted(headers, self.length) {
                    Wanted::Whole => {}
                    Wanted::Unsatisfiable => return self.unsatisfiable(),
                    Wanted::Parts(parts) => return self.partial(&parts),
                }
            }
        }
        let whole = if self.length > 0 { VecDeque::from([Part::File(0..self.length)]) } else { VecDeque::new() };
        let content_type = self.content_type.clone();
        self.with_body(StatusCode::OK, content_type, whole)
    }

    fn partial(self, parts: &[Range<u64>]) -> Response<FileBody> {
        let length = self.length;
        let content_type = self.content_type.clone();
        if let [only] = parts {
            let mut response =
                self.with_body(StatusCode::PARTIAL_CONTENT, content_type, VecDeque::from([Part::File(only.clone())]));
            insert(&mut response, CONTENT_RANGE, content_range(only, length));
            return response;
        }
        // Nobody who has a say in the file knows it, so that no part can pretend to be the end of another.
        let boundary: String = std::iter::repeat_with(fastrand::alphanumeric).take(32).collect();
        let mut body = VecDeque::new();
        for part in parts {
            let mut head =
                format!("\r\n--{boundary}\r\nContent-Range: {}\r\nContent-Type: ", content_range(part, length)).into_bytes();
            head.extend_from_slice(content_type.as_bytes());
            head.extend_from_slice(b"\r\n\r\n");
            body.push_back(Part::Bytes(head.into()));
            body.push_back(Part::File(part.clone()));
        }
        body.push_back(Part::Bytes(Bytes::from(format!("\r\n--{boundary}--\r\n"))));
        let multipart = HeaderValue::try_from(format!("multipart/byteranges; boundary={boundary}"));
        self.with_body(StatusCode::PARTIAL_CONTENT, multipart.unwrap_or(content_type), body)
    }

    fn with_body(self, status: StatusCode, content_type: HeaderValue, parts: VecDeque<Part>) -> Response<FileBody> {
        let mut response = Response::new(FileBody::new(Arc::clone(&self.file), parts, self.local));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, content_type);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        let kind = if self.inline { "inline" } else { "attachment" };
        if (self.inline || self.name.is_some())
            && let Some(disposition) = disposition::value(kind, self.name.as_deref())
        {
            headers.insert(CONTENT_DISPOSITION, disposition);
        }
        self.describe(headers, |_| true);
        response
    }

    /// What a response says of the representation as a whole.
    fn describe(self, headers: &mut HeaderMap, wanted: impl Fn(&HeaderName) -> bool) {
        if let Some(tag) = &self.tag {
            headers.insert(ETAG, tag.value().clone());
        }
        if let Some(modified) = self.modified {
            // Not later than the response itself (RFC 9110 section 8.8.2.1).
            let date = httpdate::fmt_http_date(modified.max(SystemTime::UNIX_EPOCH).min(self.now));
            headers.extend(HeaderValue::try_from(date).ok().map(|date| (LAST_MODIFIED, date)));
        }
        headers.extend(self.fields.into_iter().filter(|(name, _)| wanted(name)));
    }

    /// Tells what the client may put in the place of what it has (RFC 9110 section 15.4.5), and no more.
    fn not_modified(self) -> Response<FileBody> {
        let mut response = Response::new(FileBody::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        self.describe(response.headers_mut(), |name| *name == CACHE_CONTROL || *name == VARY);
        response
    }

    fn unsatisfiable(self) -> Response<FileBody> {
        let mut response = bare(StatusCode::RANGE_NOT_SATISFIABLE);
        insert(&mut response, CONTENT_RANGE, format!("bytes */{}", self.length));
        response.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        self.describe(response.headers_mut(), |name| *name != CONTENT_ENCODING);
        response
    }
}

/// A response that says nothing but its status.
pub(super) fn bare(status: StatusCode) -> Response<FileBody> {
    let text = match status {
        StatusCode::NOT_FOUND => "There is no such file.\n",
        StatusCode::METHOD_NOT_ALLOWED => "Files can only be read: GET or HEAD.\n",
        StatusCode::PRECONDITION_FAILED => "The file has changed.\n",
        StatusCode::RANGE_NOT_SATISFIABLE => "The file has no such part.\n",
        _ => "The file cannot be sent.\n",
    };
    let mut response = Response::new(FileBody::text(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    response
}

fn insert(response: &mut Response<FileBody>, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

fn content_range(range: &Range<u64>, length: u64) -> String {
    format!("bytes {}-{}/{length}", range.start, range.end.saturating_sub(1))
}

const OCTETS: &str = "application/octet-stream";

/// The type that goes with the extension of a name.
pub(super) fn type_of(path: &Path) -> HeaderValue {
    let Some(guessed) = mime_guess::from_path(path).first_raw() else { return HeaderValue::from_static(OCTETS) };
    if guessed.starts_with("text/") {
        return HeaderValue::try_from(format!("{guessed}; charset=utf-8")).unwrap_or(HeaderValue::from_static(OCTETS));
    }
    HeaderValue::from_static(guessed)
}

/// How files are opened: a pipe that lies in their place keeps nobody waiting.
pub(super) fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, non_blocking());
    options
}

#[cfg(unix)]
pub(super) fn non_blocking() -> i32 {
    i32::try_from(rustix::fs::OFlags::NONBLOCK.bits()).unwrap_or_default()
}

/// Leaves work to a thread that may block.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FileError> + Send + 'static,
) -> Result<T, FileError> {
    spawn_blocking(work).await.map_err(|error| FileError::Io { path: PathBuf::new(), source: io::Error::other(error) })?
}
