//! Where an app's requests come from: a host that it shares with others, or a listener of its own.

use std::path::{Path, PathBuf};

/// Where an app gets its requests from. A prefix means exactly the same with each of them.
///
/// ```
/// # use narthex::{Provider, Server};
/// # fn server(app: axum::Router) -> Server<axum::Router> {
/// Server::new(app).prefix("http://+:8888/MyApp/").provider(Provider::embedded())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Provider(pub(crate) Kind);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Kind {
    #[default]
    Auto,
    Embedded,
    Shared(Option<PathBuf>),
}

impl Provider {
    /// The host, if one answers; else an embedded listener. One log line says which, and why. The default.
    ///
    /// The host is looked for at the socket that `NARTHEX_HOST` names, else at this user's socket, then at the system's.
    #[must_use]
    pub fn auto() -> Self {
        Self(Kind::Auto)
    }

    /// A listener of the app's own. The app has its ports for itself.
    #[must_use]
    pub fn embedded() -> Self {
        Self(Kind::Embedded)
    }

    /// The host, found as by [`auto`](Self::auto). If none answers when the server starts, that is an error. One that goes
    /// away later is waited for, and the app registers with it again.
    #[must_use]
    pub fn shared() -> Self {
        Self(Kind::Shared(None))
    }

    /// As [`shared`](Self::shared), with the host at this socket.
    #[must_use]
    pub fn shared_at(path: impl AsRef<Path>) -> Self {
        Self(Kind::Shared(Some(path.as_ref().to_owned())))
    }
}
