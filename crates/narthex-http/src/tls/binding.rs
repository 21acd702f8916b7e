//! A certificate at a place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::at::BindingAt;
use super::client::Demand;
use super::directory::Directory;
use super::error::TlsError;
use super::facts::PeerCertificate;
use super::identity::Identity;
use super::options::TlsOptions;
use super::source::Source;

/// Sessions that are remembered where tickets are off.
pub(super) const SESSIONS: usize = 4096;

/// A certificate, or a directory of them, at a place. It does not change: a renewal is another one.
#[derive(Debug)]
pub struct Binding {
    at: BindingAt,
    options: TlsOptions,
    shows: Shows,
    /// Of a directory: what all of its certificates have in common.
    config: Arc<ServerConfig>,
    /// The same without HTTP/2.
    only_http1: Arc<ServerConfig>,
    tickets: Option<Arc<dyn ProducesTickets>>,
}

#[derive(Debug)]
pub(super) enum Shows {
    One(Identity),
    Directory(Directory),
}

impl Binding {
    /// A certificate at an address or a name. One that is not valid now is shown all the same, and the log warns of it.
    ///
    /// # Errors
    /// If files cannot be read, certificate and key do not belong together, or options contradict each other.
    pub fn new(at: BindingAt, source: &Source, options: TlsOptions) -> Result<Self, TlsError> {
        Self::build(at, Shows::One(load(source)?), options, None)
    }

    /// As [`new`](Self::new), for one who adds it now: a certificate that is not valid now is an error.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn add(at: BindingAt, source: &Source, options: TlsOptions) -> Result<Self, TlsError> {
        let identity = source.load()?;
        identity.check_time(UnixTime::now())?;
        Self::build(at, Shows::One(identity), options, None)
    }

    /// A directory of certificates on a port: `www.example.com.pem` (certificate, chain and key in one), `.crt` and
    /// `.key`, or `.pfx`; for `*.example.com` it is `_.example.com.pem`. Files are read when a client asks for their name.
    /// `passphrase` is that of all `.pfx` files.
    ///
    /// # Errors
    /// If it is no directory, or options contradict each other.
    pub fn directory(path: PathBuf, port: u16, passphrase: Arc<str>, options: TlsOptions) -> Result<Self, TlsError> {
        let directory = Directory::open(path.clone(), passphrase)?;
        Self::build(BindingAt::Directory { path, port }, Shows::Directory(directory), options, None)
    }

    /// The same with what its files have now. Clients that have a session keep it, unless client certificates are asked for: a
    /// session that is resumed is not checked again, and what has changed may be who is trusted, or who is no longer.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn renewed(&self, source: &Source, options: TlsOptions) -> Result<Self, TlsError> {
        let asks = |options: &TlsOptions| options.client_certificates.demand() != Demand::None;
        let kept = self.tickets.clone().filter(|_| !asks(&options) && !asks(&self.options));
        Self::build(self.at.clone(), Shows::One(load(source)?), options, kept)
    }

    fn build(
        at: BindingAt,
        shows: Shows,
        options: TlsOptions,
        tickets: Option<Arc<dyn ProducesTickets>>,
    ) -> Result<Self, TlsError> {
        let tickets = match tickets {
            _ if !options.session_tickets => None,
            Some(kept) => Some(kept),
            None => Some(Ticketer::new()?),
        };
        let resolver: Arc<dyn ResolvesServerCert> = match &shows {
            Shows::One(identity) => Arc::new(SingleCertAndKey::from(Arc::clone(&identity.key))),
            Shows::Directory(directory) => directory.resolver(),
        };
        let config = tcp_config(&options, resolver, tickets.as_ref())?;
        if let Shows::One(identity) = &shows {
            options.check_key(config.crypto_provider(), identity)?;
            if let Some(warning) = identity.warning(&at) {
                tracing::warn!("{warning}");
            }
        }
        let mut only_http1 = config.clone();
        only_http1.alpn_protocols.retain(|protocol| protocol != b"h2");
        Ok(Self { at, options, shows, config: Arc::new(config), only_http1: Arc::new(only_http1), tickets })
    }

    /// Where it answers.
    #[must_use]
    pub fn at(&self) -> &BindingAt {
        &self.at
    }

    /// Its options.
    #[must_use]
    pub fn options(&self) -> &TlsOptions {
        &self.options
    }

    /// The certificate that it shows. `None` for a directory.
    #[must_use]
    pub fn certificate(&self) -> Option<&PeerCertificate> {
        match &self.shows {
            Shows::One(identity) => Some(&identity.leaf),
            Shows::Directory(_) => None,
        }
    }

    /// Whether it answers any handshakes for this server name: a directory only for names that it has a certificate of.
    pub(super) fn has(&self, server_name: &str) -> bool {
        match &self.shows {
            Shows::One(_) => true,
            Shows::Directory(directory) => directory.find(server_name).is_some(),
        }
    }

    pub(super) fn key(&self, server_name: Option<&str>) -> Option<Arc<CertifiedKey>> {
        match &self.shows {
            Shows::One(identity) => Some(Arc::clone(&identity.key)),
            Shows::Directory(directory) => directory.find(server_name?),
        }
    }

    /// For connections over TCP.
    pub(super) fn config(&self, http2: bool) -> &Arc<ServerConfig> {
        if http2 { &self.config } else { &self.only_http1 }
    }

    /// Whether HTTP/3 is offered: not where client certificates are asked for, nor without a cipher suite of TLS 1.3.
    #[must_use]
    pub fn offers_http3(&self) -> bool {
        let options = &self.options;
        let wanted = options.http3 && !options.reject && options.client_certificates.demand() == Demand::None;
        wanted && options.has_tls13()
    }

    /// The files that it was made from, those of client certificates included.
    pub fn files<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a Path> {
        source.files().chain(self.options.client_certificates.files())
    }
}

/// For use now, whatever the date.
fn load(source: &Source) -> Result<Identity, TlsError> {
    let identity = source.load()?;
    if let Err(problem) = identity.check_time(UnixTime::now()) {
        tracing::warn!("{problem}; until then it is shown as it is");
    }
    Ok(identity)
}

fn tcp_config(
    options: &TlsOptions,
    resolver: Arc<dyn ResolvesServerCert>,
    tickets: Option<&Arc<dyn ProducesTickets>>,
) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(options.provider()?);
    let verifier = options.client_certificates.verifier(&provider)?;
    let builder = ServerConfig::builder_with_provider(provider).with_protocol_versions(options.versions()?)?;
    let mut config = builder.with_client_cert_verifier(verifier).with_cert_resolver(resolver);
    config.ignore_client_order = true;
    match tickets {
        // The table takes its memory at once, for each binding.
        Some(tickets) => {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = Arc::clone(tickets);
        }
        None => config.session_storage = ServerSessionMemoryCache::new(SESSIONS),
    }
    if options.http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}
