//! A certificate at a place.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::{ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache};
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
const SESSIONS: usize = 4096;

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
    /// A certificate at an address or a name.
    ///
    /// # Errors
    /// If files cannot be read, certificate and key do not belong together, or options contradict each other.
    pub fn new(at: BindingAt, source: &Source, options: TlsOptions) -> Result<Self, TlsError> {
        Self::build(at, Shows::One(source.load()?), options, None)
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

    /// A directory of certificates on a port: `www.example.com.pem` (certificate, chain and key in one) or `.pfx`; for
    /// `*.example.com` it is `_.example.com.pem`. Files are read when a client asks for their name. `passphrase` is that of
    /// all `.pfx` files.
    ///
    /// # Errors
    /// If it is no directory, or options contradict each other.
    pub fn directory(path: PathBuf, port: u16, passphrase: Arc<str>, options: TlsOptions) -> Result<Self, TlsError> {
        let directory = Directory::open(path.clone(), passphrase)?;
        Self::build(BindingAt::Directory { path, port }, Shows::Directory(directory), options, None)
    }

    /// The same with what its files have now. Clients that have a session keep it.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    pub fn renewed(&self, source: &Source, options: TlsOptions) -> Result<Self, TlsError> {
        let kept =
            self.tickets.clone().filter(|_| options.client_certificates.demand() == self.options.client_certificates.demand());
        Self::build(self.at.clone(), Shows::One(source.load()?), options, kept)
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

    /// Whether HTTP/3 is offered: not where client certificates are asked for.
    #[must_use]
    pub fn offers_http3(&self) -> bool {
        self.options.http3 && !self.options.reject && self.options.client_certificates.demand() == Demand::None
    }

    /// The files that it was made from, those of client certificates included.
    pub fn files<'a>(&'a self, source: &'a Source) -> impl Iterator<Item = &'a Path> {
        source.files().chain(self.options.client_certificates.files())
    }
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
    config.session_storage = ServerSessionMemoryCache::new(SESSIONS);
    if let Some(tickets) = tickets {
        config.ticketer = Arc::clone(tickets);
    }
    if options.http2 {
        config.alpn_protocols.push(b"h2".to_vec());
    }
    config.alpn_protocols.push(b"http/1.1".to_vec());
    Ok(config)
}
