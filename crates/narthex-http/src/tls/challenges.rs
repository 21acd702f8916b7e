//! Certificates that answer an ACME server's question whether a name is ours (TLS-ALPN-01, RFC 8737).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};

use super::error::TlsError;
use super::provider;

const ACME: &[u8] = b"acme-tls/1";

/// What is asked for now. Clones are the same. Looked into only when a client offers nothing but `acme-tls/1`.
#[derive(Clone, Debug, Default)]
pub struct Challenges(Arc<Mutex<HashMap<Box<str>, Arc<ServerConfig>>>>);

impl Challenges {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<Box<str>, Arc<ServerConfig>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers for `name` until it is removed, by a certificate with the digest of this key authorization in it.
    ///
    /// # Errors
    /// If `name` is not ASCII, or no key can be made.
    pub fn add(&self, name: &str, key_authorization: &str) -> Result<(), TlsError> {
        let name = name.to_ascii_lowercase();
        // RFC 8737 section 3: this one name, and the extension, which has to be critical.
        let mut params = CertificateParams::new([name.clone()]).map_err(TlsError::Made)?;
        params
            .custom_extensions
            .push(CustomExtension::new_acme_identifier(digest(&SHA256, key_authorization.as_bytes()).as_ref()));
        let key = KeyPair::generate().map_err(TlsError::Made)?;
        let certificate = params.self_signed(&key).map_err(TlsError::Made)?;
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let certified = CertifiedKey::new(vec![certificate.der().clone()], any_supported_type(&key)?);
        let builder = ServerConfig::builder_with_provider(provider()).with_safe_default_protocol_versions()?;
        let resolver = Arc::new(SingleCertAndKey::from(certified));
        let mut config = builder.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols.push(ACME.to_vec());
        self.all().insert(name.into(), Arc::new(config));
        Ok(())
    }

    /// No longer answers for `name`.
    pub fn remove(&self, name: &str) {
        self.all().remove(name.to_ascii_lowercase().as_str());
    }

    pub(super) fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let mut offered = hello.alpn()?;
        if offered.next() != Some(ACME) || offered.next().is_some() {
            return None;
        }
        self.all().get(hello.server_name()?.to_ascii_lowercase().as_str()).cloned()
    }
}
