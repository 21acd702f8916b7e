//! TLS of an app that has a listener of its own.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex_http::Watched;
use narthex_http::tls::development::Authority;
use narthex_http::tls::{
    Binding, BindingAt, Bindings, CipherSuiteName, ClientCertificates, MinVersion, SecurityLevel, ServerName, Source, TlsError,
    TlsOptions,
};

use crate::error::{Error, Result};

/// The certificate and the rules of an embedded server's `https://` prefixes, for [`Server::tls`](crate::Server::tls).
///
/// ```no_run
/// use narthex::{ClientCertificates, Demand, SecurityLevel, Server, Tls};
///
/// # #[tokio::main]
/// # async fn main() -> narthex::Result<()> {
/// # let app = axum::Router::new();
/// let tls = Tls::pem_files("cert.pem", "key.pem")
///     .security_level(SecurityLevel::Modern)
///     .client_certificates(ClientCertificates::new(Demand::Required).authorities("ca.pem"));
/// Server::new(app).prefix("https://+:8443/MyApp/").tls(tls).run().await
/// # }
/// ```
///
/// Files are looked at again every second: a certificate that is renewed is shown to the next client, and no connection that is
/// open notices. Behind a host none of this is used: there, certificates are the operator's (`narthex add sslcert`).
#[derive(Clone, Debug)]
#[must_use = "it does nothing until a server is given it"]
pub struct Tls {
    certificate: Certificate,
    options: TlsOptions,
    /// A name that is none. Told when the server runs.
    mistake: Option<String>,
}

#[derive(Clone, Debug)]
enum Certificate {
    Source(Source),
    Directory { path: PathBuf, passphrase: Arc<str> },
    Development { directory: PathBuf, names: Vec<String> },
}

impl Tls {
    fn new(certificate: Certificate) -> Self {
        Self { certificate, options: TlsOptions::default(), mistake: None }
    }

    /// From PEM files: the certificate followed by its chain, and the private key. They may be one file.
    pub fn pem_files(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::new(Certificate::Source(Source::Pem { certificate: certificate.into(), key: key.into() }))
    }

    /// From PEM texts.
    pub fn pem(certificate: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Self {
        let (certificate, key) = (certificate.as_ref().into(), key.as_ref().into());
        Self::new(Certificate::Source(Source::PemText { certificate, key }))
    }

    /// From a PKCS#12 file (`.pfx`, `.p12`).
    pub fn pkcs12(file: impl Into<PathBuf>, passphrase: &str) -> Self {
        Self::new(Certificate::Source(Source::Pkcs12 { path: file.into(), passphrase: passphrase.into() }))
    }

    /// From a directory with a file for each host name, read when a client asks for the name: `www.example.com.pem` with
    /// certificate, chain and key, `.crt` and `.key`, or `.pfx` with this passphrase; `_.example.com.pem` for `*.example.com`.
    pub fn directory(path: impl Into<PathBuf>, passphrase: &str) -> Self {
        Self::new(Certificate::Directory { path: path.into(), passphrase: passphrase.into() })
    }

    /// A certificate for development, for these names or addresses, issued by an authority whose files (`ca.pem`, `ca.key`) are
    /// in `directory`, and are made there if there are none. Clients have to trust `ca.pem`.
    pub fn development(directory: impl Into<PathBuf>, names: impl IntoIterator<Item: Into<String>>) -> Self {
        let names = names.into_iter().map(Into::into).collect();
        Self::new(Certificate::Development { directory: directory.into(), names })
    }

    /// Which versions and suites there are. Default: [`SecurityLevel::Intermediate`].
    pub fn security_level(mut self, level: SecurityLevel) -> Self {
        self.options.level = level;
        self
    }

    /// The oldest version. Default: what the security level says, and never older.
    pub fn min_version(mut self, version: MinVersion) -> Self {
        self.options.min_version = Some(version);
        self
    }

    /// The cipher suites, the preferred first, by their registered names or OpenSSL's. Default: those of the security level. One
    /// that there is not is an error when the server runs.
    pub fn cipher_suites(mut self, names: impl IntoIterator<Item: AsRef<str>>) -> Self {
        let suites: Result<Vec<CipherSuiteName>, TlsError> = names.into_iter().map(|name| name.as_ref().parse()).collect();
        match suites {
            Ok(suites) => self.options.cipher_suites = suites,
            Err(error) => self.mistake = Some(error.to_string()),
        }
        self
    }

    /// Whether clients have to show a certificate. Default: they are not asked. What they have shown is in a request's extensions
    /// as a [`PeerCertificate`](crate::PeerCertificate).
    pub fn client_certificates(mut self, rules: ClientCertificates) -> Self {
        self.options.client_certificates = rules;
        self
    }

    /// HTTP/2 is offered. Default: yes.
    pub fn http2(mut self, offered: bool) -> Self {
        self.options.http2 = offered;
        self
    }

    /// HTTP/3 is offered. Default: yes, unless client certificates are asked for.
    pub fn http3(mut self, offered: bool) -> Self {
        self.options.http3 = offered;
        self
    }

    /// HTTP/3 clients that come again may send requests with safe methods in their first packet. Such requests can be replayed
    /// by others. Default: no.
    pub fn early_data(mut self, allowed: bool) -> Self {
        self.options.early_data = allowed;
        self
    }

    /// Sessions are resumed by tickets. Default: yes.
    pub fn session_tickets(mut self, used: bool) -> Self {
        self.options.session_tickets = used;
        self
    }
}

impl Tls {
    /// The files that a certificate is renewed by.
    fn files(&self) -> Watched {
        let Certificate::Source(source) = &self.certificate else { return Watched::default() };
        Watched::new(source.files().chain(self.options.client_certificates.files()).map(Path::to_owned))
    }
}

/// All of a server's TLS: for every name, and for some.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    pub(crate) fallback: Option<Tls>,
    pub(crate) by_name: Vec<(String, Tls)>,
}

impl TlsSettings {
    /// Whether there is nothing to show at an `https` port.
    pub(crate) fn is_empty(&self) -> bool {
        self.fallback.is_none() && self.by_name.is_empty()
    }
}

/// What the bindings of the ports are made from, and made again from when files change.
pub(crate) struct Certificates {
    settings: TlsSettings,
    entries: Vec<Entry>,
    changed: bool,
}

struct Entry {
    at: BindingAt,
    tls: Tls,
    binding: Arc<Binding>,
    files: Watched,
}

impl Certificates {
    /// None yet.
    pub(crate) fn new(settings: TlsSettings) -> Self {
        Self { settings, entries: Vec::new(), changed: false }
    }

    /// Whether there is anything to show at an `https` port.
    pub(crate) fn can_be_had(&self) -> bool {
        !self.settings.is_empty()
    }

    /// Reads what these `https` ports need and do not have yet; all of it or nothing.
    pub(crate) fn load(&mut self, ports: impl Iterator<Item = u16>) -> Result<()> {
        let missing: BTreeSet<u16> = ports.filter(|port| !self.entries.iter().any(|entry| entry.at.port() == *port)).collect();
        let mut entries = Vec::new();
        for port in missing {
            for (name, tls) in &self.settings.by_name {
                let host: ServerName = name.parse().map_err(|error| Error::Tls(format!("{error}")))?;
                entries.push(Entry::load(BindingAt::HostPort { host, port }, tls)?);
            }
            let Some(tls) = &self.settings.fallback else { continue };
            let every = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))];
            let places = match &tls.certificate {
                Certificate::Directory { path, .. } => vec![BindingAt::Directory { path: path.clone(), port }],
                _ => every.map(BindingAt::IpPort).to_vec(),
            };
            for at in places {
                entries.push(Entry::load(at, tls)?);
            }
        }
        self.changed |= !entries.is_empty();
        self.entries.append(&mut entries);
        Ok(())
    }

    /// Forgets what other ports had.
    pub(crate) fn keep_only(&mut self, ports: &BTreeSet<u16>) {
        let before = self.entries.len();
        self.entries.retain(|entry| ports.contains(&entry.at.port()));
        self.changed |= self.entries.len() != before;
    }

    /// Whether the bindings are others than when this was last asked.
    pub(crate) fn have_changed(&mut self) -> bool {
        std::mem::take(&mut self.changed)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn bindings(&self) -> Arc<Bindings> {
        Arc::new(Bindings::new(self.entries.iter().map(|entry| Arc::clone(&entry.binding)).collect()))
    }

    /// Reads the files that have changed and come to rest. Whether something is new. What cannot be used is logged, and what was
    /// there goes on.
    pub(crate) fn follow_files(&mut self) -> bool {
        let mut renewed = false;
        for entry in &mut self.entries {
            renewed |= entry.follow_files();
        }
        self.changed |= renewed;
        renewed
    }
}

impl Entry {
    fn load(at: BindingAt, tls: &Tls) -> Result<Self> {
        if let Some(mistake) = &tls.mistake {
            return Err(Error::Tls(mistake.clone()));
        }
        let files = tls.files();
        let options = tls.options.clone();
        let binding = match &tls.certificate {
            Certificate::Source(source) => Binding::new(at.clone(), source, options),
            Certificate::Directory { path, passphrase } => {
                Binding::directory(path.clone(), at.port(), Arc::clone(passphrase), options)
            }
            Certificate::Development { directory, names } => {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                let issued = Authority::in_directory(directory).and_then(|authority| authority.issue(&names));
                let issued = issued.map_err(|error| Error::Tls(error.to_string()))?;
                let (certificate, key) = (issued.certificate.into_bytes().into(), issued.key.into_bytes().into());
                Binding::new(at.clone(), &Source::PemText { certificate, key }, options)
            }
        };
        let binding = Arc::new(binding.map_err(|error| Error::Tls(error.to_string()))?);
        Ok(Self { at, tls: tls.clone(), binding, files })
    }

    fn follow_files(&mut self) -> bool {
        let Certificate::Source(source) = &self.tls.certificate else { return false };
        if !self.files.have_changed() {
            return false;
        }
        self.files = self.tls.files();
        match self.binding.renewed(source, self.tls.options.clone()) {
            Ok(binding) => {
                tracing::info!("the certificate at {} has been renewed", self.at);
                self.binding = Arc::new(binding);
                true
            }
            Err(error) => {
                tracing::error!("the certificate at {} cannot be renewed, and stays as it was: {error}", self.at);
                false
            }
        }
    }
}
