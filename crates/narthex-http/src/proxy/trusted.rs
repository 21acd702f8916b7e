//! The proxies whose word is taken for who a client is.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::forwarded;

/// What is no IP network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no IP network: write an address, as in 10.1.2.3, or a network's first address and its length, as in 10.0.0.0/8"
)]
pub struct NotANetwork(String);

/// The networks of the proxies in front of a server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrustedProxies {
    networks: Vec<IpNet>,
}

/// A client as trusted proxies have seen it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Client {
    /// Its address. The port is 0 if they do not tell.
    pub address: SocketAddr,
    /// Whether its connection was encrypted, if they tell.
    pub secure: Option<bool>,
}

impl TrustedProxies {
    /// The proxies in `networks`: addresses, or networks such as `10.0.0.0/8` and `fd00::/8`.
    ///
    /// # Errors
    /// If one of them is neither.
    pub fn parse<T: AsRef<str>>(networks: impl IntoIterator<Item = T>) -> Result<Self, NotANetwork> {
        let networks = networks.into_iter().map(|text| network(text.as_ref()));
        Ok(Self { networks: networks.collect::<Result<_, _>>()? })
    }

    /// Whether no proxy is trusted.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The networks as text, each as it is written best.
    pub fn networks(&self) -> impl Iterator<Item = String> {
        self.networks.iter().map(|network| match network.prefix_len() == network.max_prefix_len() {
            true => network.addr().to_string(),
            false => network.to_string(),
        })
    }

    /// Whether the proxy with this address is trusted.
    #[must_use]
    pub fn trusts(&self, proxy: IpAddr) -> bool {
        let proxy = proxy.to_canonical();
        self.networks.iter().any(|network| network.contains(&proxy))
    }

    /// Who has sent a request that came over a connection of `peer`, by its header fields. `None` if `peer` is not trusted, or
    /// does not tell.
    ///
    /// Each proxy writes down whom it got the request from, after what it was sent: so the last that trusted proxies have
    /// written is true, and anything before that can be anybody's. The client is the last address that is not a trusted proxy's,
    /// or the first of all if there is none such. What cannot be read ends the search: the client is then the last one found.
    ///
    /// `X-Forwarded-For` and `X-Forwarded-Proto` count if there is one of the former, else `Forwarded` (RFC 7239): nearly all
    /// proxies write the former and pass a client's `Forwarded` on as it came.
    pub fn client<'h, H>(&self, peer: SocketAddr, headers: H) -> Option<Client>
    where
        H: DoubleEndedIterator<Item = (&'h str, &'h [u8])> + Clone,
    {
        if !self.trusts(peer.ip()) {
            return None;
        }
        forwarded::client(self, peer, headers)
    }
}

fn network(text: &str) -> Result<IpNet, NotANetwork> {
    let wrong = || NotANetwork(text.to_owned());
    match text.parse::<IpNet>() {
        // Bits after the length: nobody knows whether the address or the length is meant.
        Ok(network) if network.trunc() != network => Err(wrong()),
        Ok(network) => Ok(network),
        Err(_) => text.parse::<IpAddr>().map(|ip| ip.to_canonical().into()).map_err(|_| wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_single_addresses_are_trusted_and_nobody_else_is() {
        let proxies = TrustedProxies::parse(["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1"]).unwrap();
        for proxy in ["10.255.0.1", "192.0.2.1", "fd12::1", "::1", "::ffff:10.0.0.1"] {
            assert!(proxies.trusts(proxy.parse().unwrap()), "{proxy}");
        }
        for other in ["11.0.0.1", "192.0.2.2", "fe80::1", "127.0.0.1", "::2"] {
            assert!(!proxies.trusts(other.parse().unwrap()), "{other}");
        }
        assert_eq!(proxies.networks().collect::<Vec<_>>(), ["10.0.0.0/8", "192.0.2.1", "fd00::/8", "::1"]);
    }

    #[test]
    fn what_is_no_network_is_an_error_that_shows_one() {
        for wrong in ["", "10.0.0.1/8", "10.0.0.0/33", "proxy.example.com", "10.0.0.0/8 ", "10.*"] {
            let error = TrustedProxies::parse([wrong]).unwrap_err().to_string();
            assert!(error.contains("10.0.0.0/8") && error.contains(wrong), "{error}");
        }
    }
}
