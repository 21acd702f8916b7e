//! A directory's files as a service.

use std::convert::Infallible;
use std::fs::File;
use std::future::{Ready, poll_fn, ready};
use std::io;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_ENCODING, LOCATION, VARY};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tower_service::Service;

use super::body::FileBody;
use super::encoding::{self, Coding};
use super::path::{Place, place};
use super::root::{Root, Symlinks};
use super::send::{SendFile, bare, blocking, type_of};
use crate::error::BoxError;

/// A service that answers with the files below a directory, as [`SendFile`] does.
///
/// ```no_run
/// use narthex::files::StaticDir;
/// # fn main() {
/// # #[cfg(feature = "axum")] {
/// let assets = StaticDir::new("assets").precompressed();
/// let app: axum::Router = axum::Router::new().nest_service("/assets", assets);
/// # } }
/// ```
///
/// A URL leads to a file only if each segment of its path, decoded once, is the plain name of a directory or file. What has `..`,
/// `%2F`, a backslash, a control character or an empty segment in it leads nowhere: 404, as for what is not there. So do, by default,
///
/// * symbolic links that leave the directory ([`symlinks`](Self::symlinks)); links within it are followed,
/// * names that begin with a dot, such as `.git`, but for `/.well-known/` ([`hidden_files`](Self::hidden_files)),
/// * directories without an `index.html` ([`index`](Self::index)). One that has it is answered with it if the path ends with a
///   slash, and redirected there if it does not. The redirect is relative, so it is right wherever the service is mounted.
///
/// Other methods than GET and HEAD are 405. Files are looked for and opened by tokio's threads for blocking work, anew for each
/// request: a directory that is replaced while the server runs (a new release, say) is served from then on.
#[derive(Clone, Debug)]
pub struct StaticDir<F = NoFallback> {
    options: Arc<Options>,
    fallback: F,
}

#[derive(Clone, Debug)]
struct Options {
    root: Root,
    index: Option<PathBuf>,
    hidden: bool,
    precompressed: bool,
    cache_control: Option<HeaderValue>,
}

impl StaticDir {
    /// Serves the files below `root`. It is looked for with each request; a missing one is logged then, and answered with 404.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = Root { path: root.into(), symlinks: Symlinks::default() };
        let options =
            Options { root, index: Some("index.html".into()), hidden: false, precompressed: false, cache_control: None };
        Self { options: Arc::new(options), fallback: NoFallback }
    }
}

impl<F> StaticDir<F> {
    fn with(mut self, set: impl FnOnce(&mut Options)) -> Self {
        set(Arc::make_mut(&mut self.options));
        self
    }

    /// What a directory is answered with: a file in it, `index.html` by default. `None` is 404 for all directories.
    #[must_use]
    pub fn index(self, name: impl Into<Option<&'static str>>) -> Self {
        let name = name.into().map(PathBuf::from);
        self.with(|options| options.index = name)
    }

    /// What symbolic links are to the service: [`Symlinks::WithinRoot`] by default.
    #[must_use]
    pub fn symlinks(self, symlinks: Symlinks) -> Self {
        self.with(|options| options.root.symlinks = symlinks)
    }

    /// Serves names that begin with a dot, too.
    #[must_use]
    pub fn hidden_files(self) -> Self {
        self.with(|options| options.hidden = true)
    }

    /// Sends `NAME.br`, `NAME.zst` or `NAME.gz` in the place of `NAME`, if there is one and the client prefers it
    /// (`Accept-Encoding`, with weights). It has `NAME`'s type and its own tag, and ranges are its own; all answers say
    /// `Vary: Accept-Encoding`.
    ///
    /// Off by default, since `backup.tar.gz` need not have the same content as `backup.tar`.
    #[must_use]
    pub fn precompressed(self) -> Self {
        self.with(|options| options.precompressed = true)
    }

    /// Sets `Cache-Control` of all files, such as `public, max-age=3600`.
    #[must_use]
    pub fn cache_control(self, value: HeaderValue) -> Self {
        self.with(|options| options.cache_control = Some(value))
    }

    /// Lets another service answer a GET or HEAD for which there is no file.
    pub fn fallback<G>(self, fallback: G) -> StaticDir<G> {
        StaticDir { options: self.options, fallback }
    }
}

/// What a look into the directory came to.
enum Found {
    File(SendFile),
    Directory,
    Nothing,
}

impl Options {
    fn find(&self, place: &Place, codings: &[Coding]) -> io::Result<Found> {
        let path = if place.is_directory {
            let Some(index) = &self.index else { return Ok(Found::Nothing) };
            place.path.join(index)
        } else {
            place.path.clone()
        };
        let root = self.root.open()?;
        let file = match root.open_file(&path) {
            Ok(file) => file,
            // Windows does not open directories.
            Err(_) if cfg!(windows) && root.is_directory(&path) => return Ok(self.directory(place)),
            Err(error) => return Err(error),
        };
        if file.metadata()?.is_dir() {
            return Ok(self.directory(place));
        }
        let sent = SendFile::opened(file)?;
        let variant = codings.iter().find_map(|coding| Some((coding, sibling(&root, &path, coding)?)));
        let sent = match variant {
            None => sent,
            Some((coding, sibling)) => sibling.field(CONTENT_ENCODING, HeaderValue::from_static(coding.name)),
        };
        let fields = [
            self.cache_control.clone().map(|value| (CACHE_CONTROL, value)),
            self.precompressed.then_some((VARY, HeaderValue::from_static("accept-encoding"))),
        ];
        let sent = sent.content_type(type_of(&path));
        Ok(Found::File(fields.into_iter().flatten().fold(sent, |sent, (name, value)| sent.field(name, value))))
    }

    fn directory(&self, place: &Place) -> Found {
        if self.index.is_some() && !place.is_directory { Found::Directory } else { Found::Nothing }
    }
}

fn sibling(root: &super::root::Opened, path: &Path, coding: &Coding) -> Option<SendFile> {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(coding.extension);
    let file: File = root.open_file(Path::new(&name)).ok()?;
    SendFile::opened(file).ok()
}

/// The last segment with a slash, as a reference to be resolved by the client: it need not know what the service is mounted at.
fn redirect(path: &str, query: Option<&str>) -> Response<FileBody> {
    let last = path.rsplit('/').next().unwrap_or_default();
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    // A colon in it would be taken for a scheme's.
    let Ok(location) = HeaderValue::try_from(format!("./{last}/{query}")) else { return bare(StatusCode::NOT_FOUND) };
    let mut response = Response::new(FileBody::empty());
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    response.headers_mut().insert(LOCATION, location);
    response
}

/// The path that the client sees, if more than the service's own part is known.
fn original_path<B>(request: &Request<B>) -> &str {
    #[cfg(feature = "axum")]
    if let Some(original) = request.extensions().get::<axum::extract::OriginalUri>() {
        return original.0.path();
    }
    request.uri().path()
}

impl<F, B, C> Service<Request<B>> for StaticDir<F>
where
    F: Service<Request<B>, Response = Response<C>, Error = Infallible, Future: Send> + Clone + Send + 'static,
    B: Send + 'static,
    C: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<FileBody>, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = bare(StatusCode::METHOD_NOT_ALLOWED);
            response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return Box::pin(ready(Ok(response)));
        }
        let (options, mut fallback) = (Arc::clone(&self.options), self.fallback.clone());
        Box::pin(async move {
            if let Some(response) = respond(options, &request).await {
                return Ok(response);
            }
            poll_fn(|cx| fallback.poll_ready(cx)).await?;
            Ok(fallback.call(request).await?.map(FileBody::other))
        })
    }
}

/// The answer, if there is something to answer with.
fn respond<B>(options: Arc<Options>, request: &Request<B>) -> impl Future<Output = Option<Response<FileBody>>> + Send + use<B> {
    let (method, headers) = (request.method().clone(), request.headers().clone());
    let (original, query) = (original_path(request).to_owned(), request.uri().query().map(str::to_owned));
    let place = place(request.uri().path(), options.hidden);
    async move {
        let place = place?;
        // A router may show the place where it has mounted the service as its root, whether there was a slash or not.
        if place.path.as_os_str().is_empty() && !original.ends_with('/') && options.index.is_some() {
            return Some(redirect(&original, query.as_deref()));
        }
        let codings = if options.precompressed { encoding::accepted(&headers) } else { Vec::new() };
        let found = blocking(move || {
            options.find(&place, &codings).map_err(|error| super::FileError::of(error, &options.root.path.join(&place.path)))
        });
        match found.await {
            Ok(Found::File(file)) => Some(file.respond(&method, &headers)),
            Ok(Found::Directory) => Some(redirect(&original, query.as_deref())),
            Ok(Found::Nothing) => None,
            Err(super::FileError::Io { source, path }) if is_out_of_means(&source) => {
                tracing::error!(path = %path.display(), error = %source, "a file cannot be sent");
                Some(bare(StatusCode::INTERNAL_SERVER_ERROR))
            }
            // What the server may not read, a client need not know of.
            Err(error) => {
                tracing::debug!(%error, "no file is sent");
                None
            }
        }
    }
}

/// Whether an error says nothing about the file, but about the process or the disk.
fn is_out_of_means(error: &io::Error) -> bool {
    let of_the_path = [io::ErrorKind::PermissionDenied, io::ErrorKind::InvalidInput, io::ErrorKind::InvalidFilename];
    #[cfg(unix)]
    let names_nothing = matches!(
        error.raw_os_error().map(rustix::io::Errno::from_raw_os_error),
        Some(rustix::io::Errno::LOOP | rustix::io::Errno::NAMETOOLONG | rustix::io::Errno::NXIO | rustix::io::Errno::XDEV)
    );
    #[cfg(not(unix))]
    let names_nothing = false;
    !of_the_path.contains(&error.kind()) && !names_nothing
}

/// Answers 404: what a [`StaticDir`] without a fallback does where there is no file.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFallback;

impl<B> Service<Request<B>> for NoFallback {
    type Response = Response<FileBody>;
    type Error = Infallible;
    type Future = Ready<Result<Response<FileBody>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        ready(Ok(bare(StatusCode::NOT_FOUND)))
    }
}
