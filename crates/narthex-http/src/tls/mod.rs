//! TLS by rustls: which certificate answers to whom, and by which rules.
//!
//! A [`Binding`] is a certificate at a place ([`BindingAt`]) with its options. [`Bindings`] are all of a server: an immutable
//! set that is replaced as a whole, so that a change never touches a connection that is open.
//!
//! # What is the default, and why
//! * TLS 1.2 and 1.3 with forward-secret AEAD suites alone ([`SecurityLevel::Intermediate`]): what every client of the last ten
//!   years can do. Older versions do not exist here, and neither do compression and renegotiation.
//! * Sessions are resumed by tickets whose key changes by itself. Each binding has its own: a session that was allowed without a
//!   client certificate must not be resumed where one is required.
//! * HTTP/2 and HTTP/3 are offered. HTTP/3 not by bindings that ask for client certificates: in QUIC the rules of a connection
//!   have to be chosen before its server name is known.
//! * 0-RTT is off: what comes by it can be replayed (RFC 8446 section 8).

mod at;
mod binding;
mod bindings;
mod challenges;
mod client;
pub mod development;
mod directory;
mod error;
mod facts;
mod identity;
mod name;
mod options;
mod pkcs12;
mod request;
mod source;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;

pub use at::{BindingAt, BindingAtError, ServerName};
pub use binding::Binding;
pub use bindings::Bindings;
pub use challenges::Challenges;
pub use client::{ClientCertificates, Demand};
pub use error::TlsError;
pub use facts::PeerCertificate;
pub use options::{CipherSuiteName, MinVersion, SecurityLevel, TlsOptions};
pub use request::{CertificateRequest, placeholder};
pub use source::Source;

/// The cryptography: AWS-LC.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}
