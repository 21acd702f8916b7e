//! The certificates that all servers of a run show.

use std::fs;
use std::path::Path;

use anyhow::Result;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};

pub(crate) fn make(directory: &Path) -> Result<()> {
    let ecdsa = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)?;
    for (name, key) in [("ecdsa", ecdsa), ("rsa", rsa)] {
        let names = ["localhost", "127.0.0.1"].map(str::to_owned);
        let certificate = CertificateParams::new(names)?.self_signed(&key)?;
        fs::write(directory.join(format!("{name}.pem")), certificate.pem())?;
        fs::write(directory.join(format!("{name}.key")), key.serialize_pem())?;
    }
    Ok(())
}
