//! What a fragment's short name stands for.

use std::fmt::Write as _;
use std::sync::{Arc, PoisonError, RwLock};

use narthex_proto::prefix::{PrefixHost, UrlPrefix};

/// The URL that short names are below, once the server has its prefixes. The workers share it, and look at it for bodies with
/// fragments only; it changes with the server's first prefix.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names(Arc<RwLock<Option<String>>>);

impl Names {
    /// Short names are below the first of the prefixes.
    pub(crate) fn set(&self, prefixes: &[UrlPrefix]) {
        if let Some(first) = prefixes.first() {
            *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(base(first));
        }
    }

    /// The whole URL of a fragment.
    pub(crate) fn url(&self, name: &str) -> String {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some(base) if name.starts_with('/') => format!("{base}{name}"),
            _ => name.to_owned(),
        }
    }
}

/// A URL of the prefix without the last slash. A prefix of any host stands for `localhost` here: a name needs one.
fn base(prefix: &UrlPrefix) -> String {
    let (scheme, port) = (prefix.scheme(), prefix.port());
    let mut base = match prefix.host() {
        PrefixHost::Strong | PrefixHost::Weak => format!("{scheme}://localhost:{port}"),
        PrefixHost::Name(_) => format!("{scheme}://{}:{port}", prefix.wire_host()),
        host @ PrefixHost::Ip(_) => format!("{scheme}://{host}:{port}"),
    };
    for byte in prefix.path().trim_end_matches('/').bytes() {
        match byte {
            _ if byte.is_ascii_alphanumeric() || b"/-._~!$&'()*+,;=:@".contains(&byte) => base.push(char::from(byte)),
            _ => {
                let _ = write!(base, "%{byte:02X}");
            }
        }
    }
    base
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(prefix: &str, name: &str) -> String {
        let names = Names::default();
        names.set(&[prefix.parse().unwrap()]);
        names.url(name)
    }

    #[test]
    fn a_path_is_below_the_prefix_and_a_url_is_itself() {
        assert_eq!(url("http://+:8888/MyApp/", "/menu?v=1"), "http://localhost:8888/MyApp/menu?v=1");
        assert_eq!(url("http://*:80/", "/menu"), "http://localhost:80/menu");
        assert_eq!(url("http://[::1]:80/a/", "/b"), "http://[::1]:80/a/b");
        assert_eq!(url("http://exämple.com:80/a b/ü/", "/b"), "http://xn--exmple-cua.com:80/a%20b/%C3%BC/b");
        assert_eq!(url("http://+:80/a/", "http://shop:80/x"), "http://shop:80/x");
        assert_eq!(Names::default().url("/menu"), "/menu");
    }
}
