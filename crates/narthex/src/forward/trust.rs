//! TLS to servers: which authorities are trusted, and what is shown.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::upstream::{Identity, Settings};

/// Why no server can be talked to over TLS.
#[derive(Clone, Debug, thiserror::Error)]
#[error("TLS to the servers cannot be set up: {0}")]
pub(super) struct TrustError(String);

/// The two ways to greet a server.
pub(super) struct Trust {
    /// Offers what the upstream is set to.
    pub(super) usual: TlsConnector,
    /// Offers HTTP/1.1 only: upgrades need it.
    pub(super) http1: TlsConnector,
}

impl Trust {
    pub(super) fn new(settings: &Settings) -> Result<Self, TrustError> {
        let wrong = |what: &str, error: &dyn std::fmt::Display| TrustError(format!("{what}: {error}"));
        let mut roots = RootCertStore::empty();
        match &settings.authorities {
            Some(pem) => {
                for authority in CertificateDer::pem_slice_iter(pem) {
                    let authority = authority.map_err(|error| wrong("Upstream::authorities are not PEM", &error))?;
                    roots.add(authority).map_err(|error| wrong("Upstream::authorities have one that is none", &error))?;
                }
            }
            None => {
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            }
        }
        if roots.is_empty() {
            return Err(TrustError(
                "no authority is trusted: give the upstream some with Upstream::authorities, or install those of the system \
                 (on Debian: apt-get install ca-certificates)"
                    .to_owned(),
            ));
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| wrong("no version is left", &error))?.with_root_certificates(roots);
        let mut config = match &settings.identity {
            None => builder.with_no_client_auth(),
            Some(Identity { certificate, key }) => {
                let chain = CertificateDer::pem_slice_iter(certificate).collect::<Result<Vec<_>, _>>();
                let chain = chain.map_err(|error| wrong("the certificate of Upstream::identity is not PEM", &error))?;
                let key = PrivateKeyDer::from_pem_slice(key);
                let key = key.map_err(|error| wrong("the key of Upstream::identity is not PEM", &error))?;
                let with = builder.with_client_auth_cert(chain, key);
                with.map_err(|error| wrong("Upstream::identity cannot be used", &error))?
            }
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let http1 = TlsConnector::from(Arc::new(config.clone()));
        if settings.http2_only {
            config.alpn_protocols = vec![b"h2".to_vec()];
        } else if !settings.http1_only {
            config.alpn_protocols.insert(0, b"h2".to_vec());
        }
        Ok(Self { usual: TlsConnector::from(Arc::new(config)), http1 })
    }
}
