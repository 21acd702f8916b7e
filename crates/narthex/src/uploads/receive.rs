//! From a request's body to a form: limits, hooks, and what goes where.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use http_body::Body as HttpBody;

use super::Settings;
use super::disposition::Disposition;
use super::error::{Limited, UploadError};
use super::file::{About, UploadedFile};
use super::file_name::sanitised;
use super::form::Form;
use super::hooks::{Decision, FilePart, FormField};
use super::kind::Kind;
use super::source::Source;
use super::spool::{Spool, Spooled};
use super::urlencoded::Pairs;
use crate::BoxError;

/// Receives a form, but does not save its files.
pub(super) async fn receive<B>(settings: &Settings, request: Parts, body: B) -> Result<Form, UploadError>
where
    B: HttpBody<Error: Into<BoxError>> + Send,
{
    let kind = Kind::of(&request.headers)?;
    let mut source = Source::new(body, settings.max_total)?;
    let form = Form { request: Arc::new(request), fields: Vec::new(), files: Vec::new() };
    let mut receiving = Receiving { settings, form, parts: 0, text: 0, room: settings.memory };
    match kind {
        Kind::UrlEncoded => receiving.urlencoded(&mut source).await?,
        Kind::Multipart { boundary } => receiving.multipart(&mut source, boundary).await?,
    }
    source.finish().await?;
    Ok(receiving.form)
}

/// A form that arrives, and how much of its limits is used up.
struct Receiving<'a> {
    settings: &'a Settings,
    form: Form,
    parts: usize,
    /// Bytes of names and values.
    text: usize,
    /// How much memory is left for files.
    room: usize,
}

impl Receiving<'_> {
    async fn urlencoded<B>(&mut self, source: &mut Source<B>) -> Result<(), UploadError>
    where
        B: HttpBody<Error: Into<BoxError>> + Send,
    {
        let mut pairs = Pairs::new(self.settings.max_field);
        while let Some(piece) = source.piece().await? {
            pairs.push(&piece)?;
            while let Some((name, value)) = pairs.next() {
                self.pair(name, value).await?;
            }
        }
        if let Some((name, value)) = pairs.last() {
            self.pair(name, value).await?;
        }
        Ok(())
    }

    async fn pair(&mut self, name: String, value: String) -> Result<(), UploadError> {
        self.count_part()?;
        self.count_text(name.len() + value.len())?;
        self.check_field(value.len())?;
        self.keep_field(name, value).await
    }

    async fn multipart<B>(&mut self, source: &mut Source<B>, boundary: String) -> Result<(), UploadError>
    where
        B: HttpBody<Error: Into<BoxError>> + Send,
    {
        let header_room = source.header_room();
        let mut multipart = multer::Multipart::new(source, boundary);
        loop {
            header_room.begin();
            let Some(part) = multipart.next_field().await.map_err(UploadError::of_parser)? else { return Ok(()) };
            header_room.end();
            self.count_part()?;
            check_encoding(part.headers())?;
            let Disposition { name, file_name } = Disposition::of(part.headers())?;
            self.count_text(name.len() + file_name.as_ref().map_or(0, String::len))?;
            match file_name {
                None => self.field(name, part).await?,
                Some(file_name) => self.file(name, file_name, part).await?,
            }
        }
    }

    async fn field(&mut self, name: String, mut part: multer::Field<'_>) -> Result<(), UploadError> {
        let mut value = Vec::new();
        while let Some(bytes) = next(&mut part).await? {
            self.check_field(value.len() + bytes.len())?;
            self.count_text(bytes.len())?;
            value.extend_from_slice(&bytes);
        }
        let value = String::from_utf8(value).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned());
        self.keep_field(name, value).await
    }

    async fn keep_field(&mut self, name: String, value: String) -> Result<(), UploadError> {
        let Some(hook) = &self.settings.hooks.on_field else {
            self.form.fields.push((name, value));
            return Ok(());
        };
        let field = FormField { request: Arc::clone(&self.form.request), name: name.clone(), value: value.clone() };
        match hook(field).await.map_err(UploadError::Refused)? {
            Decision::Accept => self.form.fields.push((name, value)),
            Decision::Skip => {}
        }
        Ok(())
    }

    async fn file(&mut self, field: String, sent: String, mut part: multer::Field<'_>) -> Result<(), UploadError> {
        let mut bytes = next(&mut part).await?;
        // What browsers send of an input in which no file was chosen.
        if sent.is_empty() && bytes.is_none() {
            return Ok(());
        }
        let headers = part.headers().clone();
        let request = Arc::clone(&self.form.request);
        let described = FilePart { request, field, sent_file_name: sent, headers };
        let decision = match &self.settings.hooks.before_accept {
            Some(hook) => hook(described.clone()).await.map_err(UploadError::Refused)?,
            None => Decision::Accept,
        };
        if decision == Decision::Skip {
            while next(&mut part).await?.is_some() {}
            return Ok(());
        }
        let mut spool = Spool::new(&self.settings.directory, self.room, self.settings.hash_sha256);
        let mut len = 0;
        while let Some(piece) = bytes {
            len += piece.len() as u64;
            if let Some(limit) = self.settings.max_file.filter(|&limit| len > limit) {
                return Err(UploadError::TooLarge { what: Limited::File, limit });
            }
            spool.push(&piece).await?;
            bytes = next(&mut part).await?;
        }
        let Spooled { storage, sha256 } = spool.finish().await?;
        let content_type = described.content_type().map(str::to_owned);
        let FilePart { field, sent_file_name, .. } = described;
        let file_name = sanitised(&sent_file_name);
        let about = About { field, file_name, sent_file_name, content_type, len, sha256 };
        let file = UploadedFile { about: Arc::new(about), storage };
        self.room -= file.bytes().map_or(0, Bytes::len).min(self.room);
        self.form.files.push(file);
        Ok(())
    }

    fn count_part(&mut self) -> Result<(), UploadError> {
        self.parts += 1;
        let limit = self.settings.max_parts;
        if self.parts > limit { Err(UploadError::TooManyParts { limit }) } else { Ok(()) }
    }

    fn count_text(&mut self, bytes: usize) -> Result<(), UploadError> {
        self.text += bytes;
        within(self.text, self.settings.max_fields, Limited::Fields)
    }

    fn check_field(&self, bytes: usize) -> Result<(), UploadError> {
        within(bytes, self.settings.max_field, Limited::Field)
    }
}

fn within(bytes: usize, limit: usize, what: Limited) -> Result<(), UploadError> {
    if bytes > limit { Err(UploadError::TooLarge { what, limit: limit as u64 }) } else { Ok(()) }
}

/// The next piece of a part that is not empty.
async fn next(part: &mut multer::Field<'_>) -> Result<Option<Bytes>, UploadError> {
    loop {
        match part.chunk().await.map_err(UploadError::of_parser)? {
            Some(bytes) if bytes.is_empty() => {}
            other => return Ok(other),
        }
    }
}

/// RFC 7578 section 4.7: encodings are not used any more. To keep what is encoded as if it were not would be worse than to refuse it.
fn check_encoding(headers: &HeaderMap) -> Result<(), UploadError> {
    let Some(encoding) = headers.get("content-transfer-encoding") else { return Ok(()) };
    let plain = |name: &&str| encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(name.as_bytes());
    if ["7bit", "8bit", "binary"].iter().any(plain) {
        return Ok(());
    }
    Err(UploadError::malformed("a part has a Content-Transfer-Encoding, which forms must not have: send it as it is"))
}
