//! PKCS#12 files (`.pfx`, `.p12`).

use std::path::Path;

use p12_keystore::error::Error;
use p12_keystore::{CertificateBag, Pkcs12Archive};
use rustls::crypto::aws_lc_rs::sign::any_supported_type;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::error::TlsError;
use super::identity::Identity;

/// The first private key that there is a certificate for, with what leads to its root.
///
/// Files say by an attribute which certificate is a key's, but not all do, and the order of certificates means nothing. So they
/// are put together by what is in them.
pub(super) fn load(path: &Path, bytes: &[u8], passphrase: &str) -> Result<Identity, TlsError> {
    let error = |problem: String| TlsError::Pkcs12 { path: path.to_owned(), problem };
    let archive = Pkcs12Archive::from_pkcs12(bytes, passphrase).map_err(|failure| {
        error(match failure {
            Error::MacError(_) => "the passphrase is wrong".to_owned(),
            other if bytes.starts_with(b"-----") => format!("{other}; this is a PEM file, give it as one"),
            other => format!("{other}; check the passphrase"),
        })
    })?;
    if archive.keys.is_empty() {
        return Err(error("it has no private key; export it together with the key".to_owned()));
    }
    let certificates: Vec<X509Certificate<'_>> = archive.certs.iter().filter_map(parsed).collect();
    let place = path.display().to_string();
    let mut unusable = None;
    for bag in &archive.keys {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(bag.key.as_der().to_vec()));
        let signing = match any_supported_type(&key) {
            Ok(signing) => signing,
            Err(failure) => {
                unusable = Some(TlsError::Key { place: place.clone(), problem: failure.to_string() });
                continue;
            }
        };
        let Some(public) = signing.public_key() else { continue };
        if let Some(leaf) = certificates.iter().find(|certificate| certificate.public_key().raw == public.as_ref()) {
            return Identity::new(&place, chain(leaf, &certificates), &place, key);
        }
    }
    Err(unusable.unwrap_or_else(|| error("it has no certificate for its private key; export both together".to_owned())))
}

fn parsed(bag: &CertificateBag) -> Option<X509Certificate<'_>> {
    X509Certificate::from_der(bag.cert.as_der()).ok().map(|(_, certificate)| certificate)
}

/// Each followed by its issuer. The root is left out: who trusts it has it.
fn chain(leaf: &X509Certificate<'_>, all: &[X509Certificate<'_>]) -> Vec<CertificateDer<'static>> {
    let mut chain = vec![leaf];
    let mut last = leaf;
    // There are no more steps than certificates, even if they certify one another.
    for _ in all {
        let issuer = all.iter().find(|other| other.subject() == last.issuer() && other.subject() != other.issuer());
        let Some(issuer) = issuer.filter(|issuer| !chain.contains(issuer)) else { break };
        chain.push(issuer);
        last = issuer;
    }
    chain.into_iter().map(|certificate| certificate.as_raw().to_vec().into()).collect()
}

#[cfg(test)]
mod tests {
    use p12_keystore::{Certificate, KeyStore, KeyStoreEntry, PrivateKey, PrivateKeyChain};
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

    use super::*;

    type Authority = CertifiedIssuer<'static, KeyPair>;

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params
    }

    fn pair() -> (Authority, Authority) {
        let root = CertifiedIssuer::self_signed(params("root"), KeyPair::generate().unwrap()).unwrap();
        let middle = CertifiedIssuer::signed_by(params("middle"), KeyPair::generate().unwrap(), &root).unwrap();
        (root, middle)
    }

    fn file(key: &KeyPair, certificates: &[&CertificateDer<'_>]) -> Vec<u8> {
        let certificates: Vec<_> = certificates.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
        let key = PrivateKey::from_der(&key.serialize_der()).unwrap();
        let mut store = KeyStore::new();
        store.add_entry("one", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new("1", key, certificates)));
        store.writer("secret").write().unwrap()
    }

    #[test]
    fn the_chain_is_put_in_order_and_ends_before_the_root() {
        let (root, middle) = pair();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().signed_by(&key, &middle).unwrap();
        let bytes = file(&key, &[root.der(), middle.der(), leaf.der()]);
        let identity = load(Path::new("a.pfx"), &bytes, "secret").unwrap();
        assert_eq!(identity.key.cert, [leaf.der().clone(), middle.der().clone()]);
    }

    #[test]
    fn what_is_wrong_with_a_file_is_told() {
        let (root, middle) = pair();
        let (key, stranger) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let leaf = CertificateParams::new(vec!["a.test".to_owned()]).unwrap().signed_by(&key, &middle).unwrap();
        let told = |bytes: &[u8], passphrase| load(Path::new("a.pfx"), bytes, passphrase).unwrap_err().to_string();
        let good = file(&key, &[leaf.der()]);
        assert!(told(&good, "wrong").contains("the passphrase is wrong"), "{}", told(&good, "wrong"));
        assert!(told(b"-----BEGIN CERTIFICATE-----", "").contains("this is a PEM file"));
        assert!(told(&file(&stranger, &[leaf.der(), root.der()]), "secret").contains("no certificate for its private key"));
        assert!(told(&good[..good.len() / 2], "secret").contains("a.pfx"));
    }
}
