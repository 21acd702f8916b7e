//! A form that has arrived.

use std::sync::Arc;

use http::request::Parts;

use super::file::UploadedFile;

/// The fields and files of a form, in the order in which they came.
///
/// Dropping it removes what its files have on disk, but for those that were saved or persisted. With the feature `axum` it is an
/// extractor, in routers whose state is an [`Uploads`](super::Uploads) or has one (`axum::extract::FromRef`).
#[derive(Debug)]
pub struct Form {
    pub(super) request: Arc<Parts>,
    pub(super) fields: Vec<(String, String)>,
    pub(super) files: Vec<UploadedFile>,
}

impl Form {
    /// The request without its body.
    #[must_use]
    pub fn request(&self) -> &Parts {
        &self.request
    }

    /// Names and values of the fields that are not files.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The value of the first field with this name.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// The files. Inputs of a page in which no file was chosen have none here.
    #[must_use]
    pub fn files(&self) -> &[UploadedFile] {
        &self.files
    }

    /// The files, to be persisted.
    pub fn files_mut(&mut self) -> &mut [UploadedFile] {
        &mut self.files
    }

    /// The first file of this field.
    #[must_use]
    pub fn file(&self, field: &str) -> Option<&UploadedFile> {
        self.files.iter().find(|file| file.field() == field)
    }

    /// The first file of this field, to be persisted.
    pub fn file_mut(&mut self, field: &str) -> Option<&mut UploadedFile> {
        self.files.iter_mut().find(|file| file.field() == field)
    }

    /// Takes the files out of the form, so that they outlive it.
    #[must_use]
    pub fn into_files(self) -> Vec<UploadedFile> {
        self.files
    }
}

#[cfg(feature = "axum")]
impl<S> axum::extract::FromRequest<S> for Form
where
    S: Send + Sync,
    super::Uploads: axum::extract::FromRef<S>,
{
    type Rejection = super::UploadError;

    async fn from_request(request: axum::extract::Request, state: &S) -> Result<Self, Self::Rejection> {
        let uploads: super::Uploads = axum::extract::FromRef::from_ref(state);
        uploads.receive(request).await
    }
}
