//! What an app is asked and told while a form arrives.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use http::HeaderMap;
use http::request::Parts;

use super::error::Refusal;
use super::file::{About, UploadedFile};
use super::file_name::sanitised;

/// What becomes of a part that is not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is received.
    Accept,
    /// It is read and forgotten. The form does not have it.
    Skip,
}

/// A file of which only the header has arrived.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FilePart {
    pub(super) request: Arc<Parts>,
    pub(super) field: String,
    pub(super) sent_file_name: String,
    pub(super) headers: HeaderMap,
}

impl FilePart {
    /// The request: target, header fields, and what middleware and the server have put into its extensions, such as
    /// [`ConnectionInfo`](crate::ConnectionInfo).
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.request
    }

    /// The name of the form's field.
    #[must_use]
    pub fn field(&self) -> &str {
        &self.field
    }

    /// What the client calls the file. Anything can be in there.
    #[must_use]
    pub fn sent_file_name(&self) -> &str {
        &self.sent_file_name
    }

    /// The header fields of the part.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// What the client says that the file is. It need not be true.
    #[must_use]
    pub fn content_type(&self) -> Option<&str> {
        self.headers.get(http::header::CONTENT_TYPE)?.to_str().ok()
    }
}

/// A field that has arrived, of a form of either type.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct FormField {
    pub(super) request: Arc<Parts>,
    pub(super) name: String,
    pub(super) value: String,
}

impl FormField {
    /// The request.
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.request
    }

    /// The field's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its value.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

/// A file that has arrived, as its whole form has, and is about to be saved. [`before_save`](super::Uploads::before_save) gives it
/// back to let it be saved, or refuses the form.
#[derive(Debug)]
pub struct Saving {
    pub(super) request: Arc<Parts>,
    pub(super) file: UploadedFile,
    pub(super) directory: PathBuf,
    pub(super) file_name: String,
}

impl Saving {
    /// The request.
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.request
    }

    /// The file, with its length, and its hash if there is one.
    #[must_use]
    pub fn file(&self) -> &UploadedFile {
        &self.file
    }

    /// Where it will be saved.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Under which name. If another file has it, a number is added.
    #[must_use]
    pub fn file_name(&self) -> &str {
        &self.file_name
    }

    /// Chooses another directory, which has to exist.
    pub fn set_directory(&mut self, directory: impl Into<PathBuf>) {
        self.directory = directory.into();
    }

    /// Chooses another name. It is made safe as names of clients are: no part of it chooses a directory.
    pub fn set_file_name(&mut self, name: impl AsRef<str>) {
        self.file_name = sanitised(name.as_ref());
    }
}

/// A file that was saved.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SavedFile {
    pub(super) request: Arc<Parts>,
    pub(super) about: Arc<About>,
    pub(super) path: PathBuf,
}

impl SavedFile {
    /// The request.
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.request
    }

    /// What is known of the file.
    #[must_use]
    pub fn about(&self) -> &About {
        &self.about
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Hook<A, T> = Arc<dyn Fn(A) -> Pending<T> + Send + Sync>;

/// The hooks that an app has set.
#[derive(Clone, Default)]
pub(super) struct Hooks {
    pub(super) before_accept: Option<Hook<FilePart, Result<Decision, Refusal>>>,
    pub(super) on_field: Option<Hook<FormField, Result<Decision, Refusal>>>,
    pub(super) before_save: Option<Hook<Saving, Result<Saving, Refusal>>>,
    pub(super) after_save: Option<Hook<SavedFile, ()>>,
}

pub(super) fn hook<A, T, F>(run: impl Fn(A) -> F + Send + Sync + 'static) -> Option<Hook<A, T>>
where
    F: Future<Output = T> + Send + 'static,
{
    Some(Arc::new(move |argument| Box::pin(run(argument))))
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hooks")
            .field("before_accept", &self.before_accept.is_some())
            .field("on_field", &self.on_field.is_some())
            .field("before_save", &self.before_save.is_some())
            .field("after_save", &self.after_save.is_some())
            .finish()
    }
}
