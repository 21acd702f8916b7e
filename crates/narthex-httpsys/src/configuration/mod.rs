//! What HTTP.sys is configured with for the whole machine: what `netsh http` and `narthex`'s verbs show and change.
//!
//! [`Configuration`] is the seam, as [`Api`](crate::Api) is for serving. Everything has a [`Key`] by which it is found and replaced.

#[cfg(any(test, feature = "fake"))]
mod fake;
#[cfg_attr(not(windows), allow(dead_code, reason = "only HTTP.sys itself takes addresses so"))]
mod socket_address;
mod sslcert;
#[cfg(windows)]
#[allow(unsafe_code, reason = "it calls Windows; each block says why it may")]
mod system;

use std::fmt;
use std::net::IpAddr;

#[cfg(any(test, feature = "fake"))]
pub use fake::FakeConfiguration;
pub use sslcert::{AppId, CertificateHash, Flag, SslCert, SslKey};
#[cfg(windows)]
pub use system::SystemConfiguration;

use crate::Code;

/// The configuration of the machine's HTTP.sys.
pub trait Configuration {
    /// Adds an entry. One that is there already is [`Code::ALREADY_EXISTS`], but a timer or a parameter, which is replaced.
    ///
    /// # Errors
    /// What Windows says: [`Code::ACCESS_DENIED`] if the process is not elevated.
    fn add(&self, entry: &Entry) -> Result<(), Code>;
    /// Replaces an entry in one step.
    ///
    /// # Errors
    /// What Windows says; [`Code::CALL_NOT_IMPLEMENTED`] if it is older than Windows 10 1703.
    fn update(&self, entry: &Entry) -> Result<(), Code>;
    /// Removes an entry.
    ///
    /// # Errors
    /// What Windows says: [`Code::FILE_NOT_FOUND`] if there is none.
    fn delete(&self, key: &Key) -> Result<(), Code>;
    /// All entries of a kind.
    ///
    /// # Errors
    /// What Windows says.
    fn list(&self, kind: Kind) -> Result<Vec<Entry>, Code>;
    /// The security identifier (SID) of a user or group, as text.
    ///
    /// # Errors
    /// What Windows says: [`Code::NONE_MAPPED`] if there is nobody of this name.
    fn sid(&self, account: &str) -> Result<String, Code>;
}

/// What can be configured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Reservations of URLs.
    UrlAcl,
    /// The addresses that HTTP.sys listens on; none means all.
    IpListen,
    /// The timers of connections whose app is not known yet.
    Timeout,
    /// Parameters of the response cache.
    CacheParam,
    /// TLS bindings.
    SslCert,
}

/// What an entry is found by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// A UrlPrefix.
    UrlAcl(String),
    /// An address.
    IpListen(IpAddr),
    /// A timer.
    Timeout(Timer),
    /// A parameter.
    CacheParam(CacheParam),
    /// For which handshakes a binding is.
    SslCert(SslKey),
}

/// One thing that is configured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A reservation.
    UrlAcl {
        /// The UrlPrefix.
        url: String,
        /// Who may do what, in the security descriptor definition language.
        sddl: String,
    },
    /// An address of the list.
    IpListen(IpAddr),
    /// A timer, in seconds.
    Timeout(Timer, u16),
    /// A parameter of the cache, in bytes.
    CacheParam(CacheParam, u32),
    /// A TLS binding.
    SslCert(SslCert),
}

/// A timer of all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Timer {
    /// Between two requests.
    IdleConnection,
    /// For the whole head of a request.
    HeaderWait,
}

/// A parameter of the response cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CacheParam {
    /// The longest response that is cached.
    MaxCacheResponseSize,
    /// The longest part of a cached response that answers one range request.
    CacheRangeChunkSize,
}

impl Timer {
    /// Both.
    pub const ALL: [Self; 2] = [Self::IdleConnection, Self::HeaderWait];
}

impl CacheParam {
    /// Both.
    pub const ALL: [Self; 2] = [Self::MaxCacheResponseSize, Self::CacheRangeChunkSize];
}

impl Key {
    /// What kind of entry it is for.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::UrlAcl(_) => Kind::UrlAcl,
            Self::IpListen(_) => Kind::IpListen,
            Self::Timeout(_) => Kind::Timeout,
            Self::CacheParam(_) => Kind::CacheParam,
            Self::SslCert(_) => Kind::SslCert,
        }
    }

    /// An entry that says nothing but this key: how HTTP.sys is told what to delete.
    #[cfg_attr(not(windows), allow(dead_code, reason = "only HTTP.sys itself is told so"))]
    fn bare(&self) -> Entry {
        match self {
            Self::UrlAcl(url) => Entry::UrlAcl { url: url.clone(), sddl: String::new() },
            Self::IpListen(address) => Entry::IpListen(*address),
            Self::Timeout(timer) => Entry::Timeout(*timer, 0),
            Self::CacheParam(param) => Entry::CacheParam(*param, 0),
            Self::SslCert(key) => Entry::SslCert(SslCert::new(key.clone())),
        }
    }
}

impl Entry {
    /// What it is found by.
    #[must_use]
    pub fn key(&self) -> Key {
        match self {
            Self::UrlAcl { url, .. } => Key::UrlAcl(url.clone()),
            Self::IpListen(address) => Key::IpListen(*address),
            Self::Timeout(timer, _) => Key::Timeout(*timer),
            Self::CacheParam(param, _) => Key::CacheParam(*param),
            Self::SslCert(binding) => Key::SslCert(binding.key.clone()),
        }
    }
}

/// As netsh has it typed.
impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UrlAcl(url) => write!(f, "url={url}"),
            Self::IpListen(address) => write!(f, "ipaddress={address}"),
            Self::Timeout(Timer::IdleConnection) => f.write_str("timeouttype=idleconnectiontimeout"),
            Self::Timeout(Timer::HeaderWait) => f.write_str("timeouttype=headerwaittimeout"),
            Self::CacheParam(CacheParam::MaxCacheResponseSize) => f.write_str("type=maxcacheresponsesize"),
            Self::CacheParam(CacheParam::CacheRangeChunkSize) => f.write_str("type=cacherangechunksize"),
            Self::SslCert(key) => key.fmt(f),
        }
    }
}
