//! Forms that clients send: files and fields, received as they arrive, within limits, into memory or onto disk.
//!
//! ```
//! use narthex::uploads::{Form, UploadError, Uploads};
//!
//! async fn upload(mut form: Form) -> Result<String, UploadError> {
//!     let comment = form.field("comment").unwrap_or_default().to_owned();
//!     let Some(file) = form.file_mut("picture") else { return Ok("no picture".to_owned()) };
//!     file.persist(format!("/srv/pictures/{}", file.file_name())).await?;
//!     Ok(format!("{} bytes, {comment}", file.len()))
//! }
//!
//! # #[cfg(feature = "axum")]
//! # fn app() -> axum::Router {
//! let uploads = Uploads::new().max_file(50_000_000).directory("/srv/pictures");
//! axum::Router::new().route("/upload", axum::routing::post(upload)).with_state(uploads)
//! # }
//! ```
//!
//! Both kinds of forms are read: `multipart/form-data` (RFC 7578), and `application/x-www-form-urlencoded` as the URL standard has
//! it. An upload takes the memory that [`memory_up_to`](Uploads::memory_up_to) and [`max_fields`](Uploads::max_fields) allow and
//! less than 1 MiB besides, however long it is; the disk is written by other threads than those that serve clients. What is on
//! disk are temporary files, called `.narthex-upload-…`, which go when the form is dropped, and with everything else that ends a
//! request early: an error, a limit, a client that leaves, a panic. Only a process that is killed leaves them behind.
//!
//! The server's own limit for bodies comes first: [`Server::max_body`](crate::Server::max_body), by default 30 000 000 bytes. A
//! form that is too large is answered 413, and without having been read if the client says its length beforehand.

mod disposition;
mod error;
mod file;
mod file_name;
mod form;
mod hooks;
mod kind;
mod receive;
mod save;
mod source;
mod spool;
mod urlencoded;

pub use error::{Limited, Refusal, UploadError};
pub use file::{About, UploadedFile};
pub use form::Form;
pub use hooks::{Decision, FilePart, FormField, SavedFile, Saving};

use std::path::PathBuf;
use std::sync::Arc;

use http::Request;
use http_body::Body as HttpBody;

use crate::BoxError;
use hooks::{Hooks, hook};

/// How forms are received. Clones share the settings and cost nothing.
#[derive(Clone, Debug, Default)]
#[must_use = "settings do nothing until a form is received"]
pub struct Uploads(Arc<Settings>);

#[derive(Clone, Debug)]
struct Settings {
    memory: usize,
    directory: PathBuf,
    save_in: Option<PathBuf>,
    overwrite: bool,
    hash_sha256: bool,
    max_total: Option<u64>,
    max_file: Option<u64>,
    max_field: usize,
    max_fields: usize,
    max_parts: usize,
    hooks: Hooks,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            memory: 64 * 1024,
            directory: std::env::temp_dir(),
            save_in: None,
            overwrite: false,
            hash_sha256: false,
            max_total: None,
            max_file: None,
            max_field: 64 * 1024,
            max_fields: 1024 * 1024,
            max_parts: 1000,
            hooks: Hooks::default(),
        }
    }
}

/// Where files go.
impl Uploads {
    /// The defaults that each method names.
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, set: impl FnOnce(&mut Settings)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// How many bytes the files of a form may take in memory, all together; those that do not fit go to disk. 0: every file that
    /// is not empty goes to disk. Default: 64 KiB.
    pub fn memory_up_to(self, bytes: usize) -> Self {
        self.with(|settings| settings.memory = bytes)
    }

    /// The directory of temporary files. It has to exist, and is best on the file system where the files are to stay: then they are
    /// moved there, not copied. Default: the system's directory for temporary files, which often is memory.
    pub fn directory(self, path: impl Into<PathBuf>) -> Self {
        self.with(|settings| settings.directory = path.into())
    }

    /// Saves the files of every form in this directory, under their [safe names](UploadedFile::file_name), once the whole form
    /// has arrived: all of them, or none if one cannot be saved or is refused. The directory has to exist. If there is a file of
    /// that name, a number is added: `report (2).pdf`. Default: files are the handler's to [persist](UploadedFile::persist).
    ///
    /// Temporary files are in this directory too, unless [`directory`](Self::directory) is set after it.
    pub fn save_in(self, path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        self.with(|settings| {
            settings.directory.clone_from(&path);
            settings.save_in = Some(path);
        })
    }

    /// Whether saved files take the place of those that have their names. What was there is gone then, even if the form cannot
    /// be saved as a whole. Default: `false`.
    pub fn overwrite(self, overwrite: bool) -> Self {
        self.with(|settings| settings.overwrite = overwrite)
    }

    /// Whether files are hashed while they arrive, for [`UploadedFile::sha256`]. Default: `false`.
    pub fn hash_sha256(self, wanted: bool) -> Self {
        self.with(|settings| settings.hash_sha256 = wanted)
    }
}

/// Limits. What is beyond one ends the form with 413.
impl Uploads {
    /// The longest body in bytes, `None` for what the server allows. Default: `None`.
    pub fn max_total(self, bytes: impl Into<Option<u64>>) -> Self {
        self.with(|settings| settings.max_total = bytes.into())
    }

    /// The longest file in bytes, `None` for any. Default: `None`.
    pub fn max_file(self, bytes: impl Into<Option<u64>>) -> Self {
        self.with(|settings| settings.max_file = bytes.into())
    }

    /// The longest value of a field in bytes. Fields are kept in memory. Default: 64 KiB.
    pub fn max_field(self, bytes: usize) -> Self {
        self.with(|settings| settings.max_field = bytes)
    }

    /// How many bytes all names and values of fields and the names of files may have together. Default: 1 MiB.
    pub fn max_fields(self, bytes: usize) -> Self {
        self.with(|settings| settings.max_fields = bytes)
    }

    /// How many fields and files a form may have. Default: 1000.
    pub fn max_parts(self, parts: usize) -> Self {
        self.with(|settings| settings.max_parts = parts)
    }
}

/// Hooks. Each is asked in the order in which things arrive, and the form waits for its answer. A hook that panics ends the request as
/// a handler that does.
impl Uploads {
    /// Asked about each file when its header has arrived, before anything is kept of it.
    ///
    /// ```
    /// # use narthex::uploads::{Decision, Refusal, Uploads};
    /// # use http::StatusCode;
    /// let uploads = Uploads::new().before_accept(async |file| match file.content_type() {
    ///     Some("image/png" | "image/jpeg") => Ok(Decision::Accept),
    ///     _ => Err(Refusal::new("only pictures, please").status(StatusCode::UNSUPPORTED_MEDIA_TYPE)),
    /// });
    /// # let _ = uploads;
    /// ```
    pub fn before_accept<F>(self, run: impl Fn(FilePart) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Decision, Refusal>> + Send + 'static,
    {
        self.with(|settings| settings.hooks.before_accept = hook(run))
    }

    /// Asked about each field that is no file when it has arrived.
    pub fn on_field<F>(self, run: impl Fn(FormField) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Decision, Refusal>> + Send + 'static,
    {
        self.with(|settings| settings.hooks.on_field = hook(run))
    }

    /// Asked about each file that is about to be [saved](Self::save_in): it can have another name or directory, or the form is
    /// refused. The whole form has arrived then.
    pub fn before_save<F>(self, run: impl Fn(Saving) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Saving, Refusal>> + Send + 'static,
    {
        self.with(|settings| settings.hooks.before_save = hook(run))
    }

    /// Told of each file that was [saved](Self::save_in), when all files of the form are. If the client leaves meanwhile, the files
    /// stay, and who has not been told is not.
    pub fn after_save<F>(self, run: impl Fn(SavedFile) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.with(|settings| settings.hooks.after_save = hook(run))
    }
}

impl Uploads {
    /// Receives the form of a request, to the end of its body.
    ///
    /// Values are UTF-8; bytes that are not become U+FFFD. Inputs of a page in which no file was chosen are left out. Bodies of
    /// other servers than Narthex's do as well, on a tokio runtime. Dropping the future drops what has arrived.
    ///
    /// # Errors
    /// See [`UploadError`]: nothing is left of the form then.
    pub async fn receive<B>(&self, request: Request<B>) -> Result<Form, UploadError>
    where
        B: HttpBody<Error: Into<BoxError>> + Send,
    {
        let (parts, body) = request.into_parts();
        let mut form = receive::receive(&self.0, parts, body).await?;
        save::save(&self.0, &mut form).await?;
        Ok(form)
    }
}
