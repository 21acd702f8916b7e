//! What the app itself says of who somebody is.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use http::request::Parts;
use http::{HeaderMap, Method, Uri};
use narthex_http::tls::PeerCertificate;

use super::credentials::Credentials;
use crate::identity::Identity;
use crate::request::ConnectionInfo;

/// A request that no built-in scheme has decided about, for [`Auth::custom`](super::Auth::custom).
#[derive(Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// What the client shows of itself.
    pub credentials: Credentials,
    /// The method.
    pub method: Method,
    /// The target, as the app sees it.
    pub uri: Uri,
    /// The header fields.
    pub headers: HeaderMap,
    /// The certificate that the client has shown.
    pub certificate: Option<PeerCertificate>,
    /// The client's connection, if the server tells of it.
    pub connection: Option<ConnectionInfo>,
}

/// What a hook says.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Verdict {
    /// It is somebody.
    Accept(Identity),
    /// The credentials are wrong: 401, also where anonymous requests are let in; 403 if no scheme has a challenge
    /// ([`Auth::challenge`](super::Auth::challenge)).
    Refuse,
    /// It does not know. The request is anonymous.
    Unknown,
    /// It cannot be found out just now: 503.
    Unavailable,
}

type Judging = Pin<Box<dyn Future<Output = Verdict> + Send>>;

#[derive(Clone)]
pub(super) struct Hook(Arc<dyn Fn(Attempt) -> Judging + Send + Sync>);

impl Hook {
    pub(super) fn new<F, Fut>(hook: F) -> Self
    where
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        Self(Arc::new(move |attempt| Box::pin(hook(attempt))))
    }

    pub(super) fn ask(&self, parts: &Parts, credentials: Credentials) -> Judging {
        (self.0)(Attempt {
            credentials,
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            headers: parts.headers.clone(),
            certificate: parts.extensions.get().cloned(),
            connection: parts.extensions.get().copied(),
        })
    }
}

impl fmt::Debug for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hook")
    }
}
