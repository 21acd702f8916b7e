//! From a binding of the configuration to one of the TLS engine, which reads and checks its files.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex_http::tls::Binding;

use crate::admin::{BindingOption, CertificateState};
use crate::config::Bound;

/// A binding that can answer handshakes.
#[derive(Debug)]
pub(in crate::control) struct Loaded {
    pub(super) binding: Arc<Binding>,
}

impl Loaded {
    /// Its certificate, for people.
    pub(super) fn certificate(&self) -> Option<CertificateState> {
        None
    }
}

/// The certificate of the host's own authority for development.
pub(super) fn authority_file(directory: &Path) -> PathBuf {
    directory.join("tls").join("ca.pem")
}

/// The files that a binding is made from.
pub(super) fn files(directory: &Path, bound: &Bound) -> Vec<PathBuf> {
    use BindingOption as O;
    let named = [O::Certificate, O::Key, O::Pkcs12, O::PassphraseFile, O::Directory, O::Ca, O::Crl];
    named.into_iter().filter_map(|option| bound.options.get(option)).map(|path| directory.join(path)).collect()
}

/// Makes a binding.
pub(in crate::control) fn load(directory: &Path, bound: &Bound) -> Result<Loaded, String> {
    if bound.options.is_set(BindingOption::Acme) {
        return Err("this version has no certificates made over ACME yet: name files (certfile=, keyfile=)".to_owned());
    }
    for file in files(directory, bound) {
        std::fs::metadata(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    }
    Ok(Loaded { binding: Arc::new(Binding) })
}
