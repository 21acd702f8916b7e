//! All bindings of a server, and which of them answers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};

use narthex_proto::prefix::PrefixHost;
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert, ServerSessionMemoryCache};
use rustls::sign::CertifiedKey;

use super::at::BindingAt;
use super::binding::{Binding, SESSIONS};
use super::challenges::Challenges;
use super::client::Demand;
use super::error::TlsError;
use super::provider;

/// An immutable set of bindings.
#[derive(Debug)]
pub struct Bindings {
    ports: HashMap<u16, Port>,
    /// Whether any of them is stricter about its clients than that it shows a certificate.
    any_strict: bool,
    challenges: Challenges,
    http2: bool,
    http3: bool,
    quic_sessions: QuicSessions,
}

/// What sessions of HTTP/3 are resumed by. All workers have the same, since a client that comes again may come to another one.
#[derive(Debug, Default)]
struct QuicSessions {
    tickets: OnceLock<Arc<dyn ProducesTickets>>,
    table: OnceLock<Arc<ServerSessionMemoryCache>>,
}

/// What is bound on a port. A host may have thousands of names, so that they are not gone through one by one.
#[derive(Debug, Default)]
struct Port {
    names: HashMap<Box<str>, Arc<Binding>>,
    /// By what stands behind the `*.`.
    wildcards: HashMap<Box<str>, Arc<Binding>>,
    directories: Vec<Arc<Binding>>,
    addresses: HashMap<IpAddr, Arc<Binding>>,
}

impl Bindings {
    /// These bindings. Of two at the same place the first answers.
    #[must_use]
    pub fn new(all: Vec<Arc<Binding>>) -> Self {
        let any_strict = all.iter().any(|binding| is_strict(binding));
        let mut ports: HashMap<u16, Port> = HashMap::new();
        for binding in all {
            ports.entry(binding.at().port()).or_default().add(binding);
        }
        Self {
            ports,
            any_strict,
            challenges: Challenges::default(),
            http2: true,
            http3: true,
            quic_sessions: QuicSessions::default(),
        }
    }

    /// Answers ACME servers too.
    #[must_use]
    pub fn with_challenges(mut self, challenges: Challenges) -> Self {
        self.challenges = challenges;
        self
    }

    /// Whether any of them may offer HTTP/2. Default: yes.
    #[must_use]
    pub fn http2(mut self, offered: bool) -> Self {
        self.http2 = offered;
        self
    }

    /// Whether any of them may offer HTTP/3. Default: yes.
    #[must_use]
    pub fn http3(mut self, offered: bool) -> Self {
        self.http3 = offered;
        self
    }

    /// The binding that answers a client that has connected to `local` and asks for `server_name`.
    #[must_use]
    pub fn find(&self, local: SocketAddr, server_name: Option<&str>) -> Option<&Arc<Binding>> {
        let port = self.ports.get(&local.port())?;
        server_name.and_then(|name| port.by_name(&lower(name))).or_else(|| port.by_address(local.ip()))
    }

    /// What to go on with after this greeting. `None`: nobody answers, and the handshake is to fail.
    #[must_use]
    pub fn select(&self, local: SocketAddr, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if let Some(challenged) = self.challenges.answer(hello) {
            return Some(challenged);
        }
        let binding = self.find(local, hello.server_name())?;
        (!binding.options().reject).then(|| Arc::clone(binding.config(self.http2)))
    }

    /// Whether a request for `host` may come on a connection whose handshake asked for `server_name`. If not, 421 is the answer
    /// (RFC 9110 section 15.5.20): another binding answers for `host`, and it asks for client certificates, or rejects everybody.
    /// Who only names it in a request must not get past that.
    #[must_use]
    pub fn admits(&self, local: SocketAddr, server_name: Option<&str>, host: &str) -> bool {
        if !self.any_strict || server_name.is_some_and(|name| name.eq_ignore_ascii_case(host)) {
            return true;
        }
        let Some(of_host) = self.find(local, Some(host)).filter(|binding| is_strict(binding)) else { return true };
        self.find(local, server_name).is_some_and(|binding| Arc::ptr_eq(binding, of_host))
    }

    /// Whether there is a binding that can answer for an `https://` prefix with this host and port. What wildcard prefixes are
    /// asked by is not known, so any binding of the port will do for them.
    #[must_use]
    pub fn covers(&self, host: &PrefixHost, port: u16) -> bool {
        let usable = |binding: &Arc<Binding>| !binding.options().reject;
        let Some(port) = self.ports.get(&port) else { return false };
        match host {
            // The most exact binding answers for a name, even if that is by a refusal.
            PrefixHost::Name(_) => match port.by_name(&host.wire_name()) {
                Some(binding) => usable(binding),
                None => port.addresses.values().any(usable),
            },
            // RFC 6066 section 3: no server name is sent for an address.
            PrefixHost::Ip(ip) => port.by_address(*ip).is_some_and(usable),
            PrefixHost::Strong | PrefixHost::Weak => port.all().any(usable),
        }
    }

    /// Whether a binding offers HTTP/3 to connections to `local`.
    #[must_use]
    pub fn offers_http3(&self, local: SocketAddr) -> bool {
        self.with_http3(local).next().is_some()
    }

    /// As [`find`](Self::find), for HTTP/3: one that does not offer it must not be passed by.
    pub(super) fn find_for_quic(&self, local: SocketAddr, server_name: Option<&str>) -> Option<&Arc<Binding>> {
        let found = self.find(local, server_name).filter(|binding| binding.offers_http3())?;
        // Not every system tells which address a datagram was for. Then it may have been for one with a stricter binding.
        let unknown = local.ip().is_unspecified() && matches!(found.at(), BindingAt::IpPort(_));
        let stricter = |port: &Port| port.addresses.values().any(|binding| !binding.offers_http3());
        if unknown && self.ports.get(&local.port()).is_some_and(stricter) { None } else { Some(found) }
    }

    fn with_http3(&self, local: SocketAddr) -> impl Iterator<Item = &Arc<Binding>> {
        let port = self.ports.get(&local.port()).filter(|_| self.http3);
        port.into_iter().flat_map(move |port| port.at(local.ip())).filter(|binding| binding.offers_http3())
    }

    /// Whether HTTP/3 clients at `local` may send requests before the handshake is complete.
    #[must_use]
    pub(crate) fn allows_early_data(&self, local: SocketAddr) -> bool {
        let mut here = self.with_http3(local).peekable();
        here.peek().is_some() && here.all(|binding| binding.options().early_data)
    }

    /// For HTTP/3 at `local`. `None` if no binding there offers it.
    ///
    /// QUIC has one set of rules for all names of an address: they are settled before the client has named one. So there are the
    /// cipher suites that all bindings here allow, and early data if all allow it.
    ///
    /// # Errors
    /// If they have no cipher suite in common.
    pub fn quic(self: &Arc<Self>, local: SocketAddr) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        let here: Vec<_> = self.with_http3(local).collect();
        if here.is_empty() {
            return Ok(None);
        }
        let mut provider = CryptoProvider::clone(&provider());
        for binding in &here {
            provider.cipher_suites.retain(|suite| binding.options().allows(*suite));
        }
        if provider.cipher_suites.is_empty() {
            return Err(TlsError::Contradiction(format!(
                "the bindings on port {} have no cipher suite of TLS 1.3 in common, which HTTP/3 needs: give them one, or turn \
                 HTTP/3 off for some",
                local.port()
            )));
        }
        let builder = ServerConfig::builder_with_provider(provider.into()).with_protocol_versions(&[&rustls::version::TLS13])?;
        let resolver = Arc::new(ForQuic { bindings: Arc::clone(self), local });
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.ignore_client_order = true;
        config.alpn_protocols.push(b"h3".to_vec());
        let early_data = here.iter().all(|binding| binding.options().early_data);
        if early_data {
            // The only value besides 0 that QUIC allows (RFC 9001 section 4.6.1).
            config.max_early_data_size = u32::MAX;
        }
        // Early data is taken once only, which a ticket that the server does not remember cannot tell.
        if early_data || !here.iter().all(|binding| binding.options().session_tickets) {
            config.session_storage = self.quic_sessions.table();
        } else {
            config.session_storage = Arc::new(NoServerSessionStorage {});
            config.ticketer = self.quic_sessions.tickets()?;
        }
        Ok(Some(Arc::new(config)))
    }
}

impl QuicSessions {
    fn tickets(&self) -> Result<Arc<dyn ProducesTickets>, TlsError> {
        let made = match self.tickets.get() {
            Some(made) => made,
            None => {
                let new = Ticketer::new()?;
                self.tickets.get_or_init(|| new)
            }
        };
        Ok(Arc::clone(made))
    }

    fn table(&self) -> Arc<ServerSessionMemoryCache> {
        Arc::clone(self.table.get_or_init(|| ServerSessionMemoryCache::new(SESSIONS)))
    }
}

impl Port {
    fn add(&mut self, binding: Arc<Binding>) {
        match binding.at() {
            BindingAt::HostPort { host, .. } => {
                let (of, name) = match host.wildcard_of() {
                    Some(parent) => (&mut self.wildcards, parent),
                    None => (&mut self.names, host.as_str()),
                };
                of.entry(name.into()).or_insert_with(|| Arc::clone(&binding));
            }
            BindingAt::Directory { .. } => self.directories.push(binding),
            BindingAt::IpPort(address) => {
                self.addresses.entry(address.ip().to_canonical()).or_insert_with(|| Arc::clone(&binding));
            }
        }
    }

    /// Exact names, wildcards, directories. `name` is in lower case.
    fn by_name(&self, name: &str) -> Option<&Arc<Binding>> {
        let wildcard = || {
            let (label, parent) = name.split_once('.')?;
            self.wildcards.get(parent).filter(|_| !label.is_empty())
        };
        let directory = || self.directories.iter().find(|binding| binding.has(name));
        self.names.get(name).or_else(wildcard).or_else(directory)
    }

    /// This address, then every interface. A socket of both families shows IPv4 clients' addresses as mapped ones.
    fn by_address(&self, ip: IpAddr) -> Option<&Arc<Binding>> {
        let ip = ip.to_canonical();
        let every: IpAddr = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        self.addresses.get(&ip).or_else(|| self.addresses.get(&every))
    }

    fn all(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.named().chain(self.addresses.values())
    }

    /// Those that may answer clients of `ip`.
    fn at(&self, ip: IpAddr) -> impl Iterator<Item = &Arc<Binding>> {
        self.named().chain(self.by_address(ip))
    }

    fn named(&self) -> impl Iterator<Item = &Arc<Binding>> {
        self.names.values().chain(self.wildcards.values()).chain(&self.directories)
    }
}

fn is_strict(binding: &Binding) -> bool {
    binding.options().reject || binding.options().client_certificates.demand() != Demand::None
}

/// Most clients ask in lower case.
fn lower(name: &str) -> Cow<'_, str> {
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) { name.to_ascii_lowercase().into() } else { name.into() }
}

/// Chooses the certificate of a QUIC connection, whose rules are settled before.
#[derive(Debug)]
struct ForQuic {
    bindings: Arc<Bindings>,
    local: SocketAddr,
}

impl ResolvesServerCert for ForQuic {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.bindings.find_for_quic(self.local, hello.server_name())?.key(hello.server_name())
    }
}
