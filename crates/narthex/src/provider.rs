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
    HttpSys,
    /// An HTTP.sys in memory.
    #[cfg(test)]
    HttpSysAt(InMemory),
}

#[cfg(test)]
#[derive(Clone)]
pub(crate) struct InMemory(pub(crate) narthex_httpsys::fake::Fake);

#[cfg(test)]
impl std::fmt::Debug for InMemory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("InMemory")
    }
}

#[cfg(test)]
impl PartialEq for InMemory {
    fn eq(&self, other: &Self) -> bool {
        self.0.is(&other.0)
    }
}

#[cfg(test)]
impl Eq for InMemory {}

impl Provider {
    /// The host, if one answers; else an embedded listener. One log line says which, and why. The default.
    ///
    /// The host is looked for at the socket that `NARTHEX_HOST` names, else at this user's socket, then at the system's. On Windows,
    /// [HTTP.sys](Self::httpsys) is what the host is elsewhere.
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
    /// Windows' own HTTP.sys, which owns the ports of all programs that use it, IIS among them. An error where there is none.
    ///
    /// What is HTTP.sys's to do is set where it looks: reservations of prefixes, certificates and machine-wide timers with
    /// `narthex` or `netsh http`. What it does not have is an error where the app asks for it (limits), or one warning
    /// (docs/windows.md has the list).
    #[must_use]
    pub fn httpsys() -> Self {
        Self(Kind::HttpSys)
    }

    #[cfg(test)]
    pub(crate) fn httpsys_at(fake: narthex_httpsys::fake::Fake) -> Self {
        Self(Kind::HttpSysAt(InMemory(fake)))
    }
}
