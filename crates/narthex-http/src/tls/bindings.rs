//! All bindings of a server, and which of them answers.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use narthex_proto::prefix::PrefixHost;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::at::BindingAt;
use super::binding::Binding;
use super::challenges::Challenges;
use super::error::TlsError;
use super::provider;

/// An immutable set of bindings.
#[derive(Debug)]
pub struct Bindings {
    /// In the order in which they answer.
    all: Vec<Arc<Binding>>,
    challenges: Challenges,
    http2: bool,
    http3: bool,
}

impl Bindings {
    /// These bindings. Of two at the same place the first answers.
    #[must_use]
    pub fn new(mut all: Vec<Arc<Binding>>) -> Self {
        all.sort_by_key(|binding| rank(binding.at()));
        Self { all, challenges: Challenges::default(), http2: true, http3: true }
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
        let name = server_name.map(str::to_ascii_lowercase);
        self.all.iter().filter(|binding| binding.at().is_at(local)).find(|binding| match binding.at() {
            BindingAt::HostPort { host, .. } => name.as_deref().is_some_and(|name| host.matches(name)),
            BindingAt::Directory { .. } => name.as_deref().is_some_and(|name| binding.has(name)),
            BindingAt::IpPort(_) => true,
        })
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

    /// Whether there is a binding that can answer for an `https://` prefix with this host and port. What wildcard prefixes and
    /// addresses are asked by is not known, so any binding of the port will do for them.
    #[must_use]
    pub fn covers(&self, host: &PrefixHost, port: u16) -> bool {
        let name = match host {
            PrefixHost::Name(name) => Some(name.to_ascii_lowercase()),
            PrefixHost::Ip(_) | PrefixHost::Strong | PrefixHost::Weak => None,
        };
        self.all.iter().filter(|binding| binding.at().port() == port && !binding.options().reject).any(|binding| {
            match (binding.at(), &name, host) {
                (BindingAt::HostPort { host, .. }, Some(name), _) => host.matches(name),
                (BindingAt::Directory { .. }, Some(name), _) => binding.has(name),
                // RFC 6066 section 3: no server name is sent for an address.
                (BindingAt::IpPort(address), _, PrefixHost::Ip(ip)) => {
                    address.ip() == *ip || address.ip().is_unspecified() && address.is_ipv4() == ip.is_ipv4()
                }
                (_, _, PrefixHost::Ip(_)) => false,
                _ => true,
            }
        })
    }

    /// Whether a binding offers HTTP/3 to connections to `local`.
    #[must_use]
    pub fn offers_http3(&self, local: SocketAddr) -> bool {
        self.http3 && self.all.iter().any(|binding| binding.at().is_at(local) && binding.offers_http3())
    }

    /// Whether HTTP/3 clients at `local` may send requests before the handshake is complete.
    #[must_use]
    pub(crate) fn allows_early_data(&self, local: SocketAddr) -> bool {
        let mut here = self.all.iter().filter(|binding| binding.at().is_at(local) && binding.offers_http3()).peekable();
        here.peek().is_some() && here.all(|binding| binding.options().early_data)
    }

    /// For HTTP/3 at `local`. `None` if no binding there offers it.
    ///
    /// # Errors
    /// What rustls says.
    pub fn quic(self: &Arc<Self>, local: SocketAddr) -> Result<Option<Arc<ServerConfig>>, TlsError> {
        if !self.offers_http3(local) {
            return Ok(None);
        }
        let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(&[&rustls::version::TLS13])?;
        let resolver = Arc::new(ForQuic { bindings: Arc::clone(self), local });
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols.push(b"h3".to_vec());
        if self.allows_early_data(local) {
            // The only value besides 0 that QUIC allows (RFC 9001 section 4.6.1).
            config.max_early_data_size = u32::MAX;
        }
        Ok(Some(Arc::new(config)))
    }
}

/// Places in the order in which they answer: names, wildcards, directories, addresses, every interface.
fn rank(at: &BindingAt) -> u8 {
    match at {
        BindingAt::HostPort { host, .. } if host.wildcard_of().is_none() => 0,
        BindingAt::HostPort { .. } => 1,
        BindingAt::Directory { .. } => 2,
        BindingAt::IpPort(address) if !IpAddr::is_unspecified(&address.ip()) => 3,
        BindingAt::IpPort(_) => 4,
    }
}

/// Chooses the certificate of a QUIC connection, whose rules are settled before.
#[derive(Debug)]
struct ForQuic {
    bindings: Arc<Bindings>,
    local: SocketAddr,
}

impl ResolvesServerCert for ForQuic {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let binding = self.bindings.find(self.local, hello.server_name())?;
        // One that asks for certificates must not be passed by.
        if binding.offers_http3() { binding.key(hello.server_name()) } else { None }
    }
}
