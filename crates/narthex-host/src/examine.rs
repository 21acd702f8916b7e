//! A configuration without a host: whether it is valid, and whether what it names is there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::admin::SslcertState;
use crate::config::{ConfigError, ConfigFile};
use crate::control::answers::Configuration;
use crate::control::certificates::Certificates;

/// What a host would find in its configuration file.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Examined {
    /// Whether there is a file. One that is not there is valid: everything has defaults.
    pub exists: bool,
    /// The ports of its reservations and TLS bindings.
    pub ports: BTreeSet<u16>,
    /// The only addresses to listen on, if it names any.
    pub iplisten: Vec<IpAddr>,
    /// The TLS bindings, with their certificates as this process can read them.
    pub bindings: Vec<SslcertState>,
    /// Where logs are written, if it says so.
    pub logs: Option<PathBuf>,
}

/// Reads the configuration file of a host, and the certificates that it names.
///
/// # Errors
/// If it has a mistake, or cannot be read.
pub fn examine(path: &Path) -> Result<Examined, ConfigError> {
    let configuration = Configuration::open(ConfigFile::new(path.to_owned()))?;
    let config = configuration.current();
    let mut certificates = Certificates::new(configuration.directory());
    certificates.follow(config);
    let reserved = config.reservations.iter().map(|reserved| reserved.prefix.port().get());
    let bound = config.bindings.iter().map(|bound| bound.key.port());
    Ok(Examined {
        exists: path.exists(),
        ports: reserved.chain(bound).collect(),
        iplisten: config.iplisten.clone(),
        bindings: certificates.states(None),
        logs: config.settings.log_directory.clone(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_examined_without_a_host() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("narthex.toml");
        let nothing = examine(&path).unwrap();
        assert!(!nothing.exists && nothing.ports.is_empty() && nothing.bindings.is_empty());
        let text = "iplisten = [\"127.0.0.1\"]\n\
            [[urlacl]]\nurl = \"http://+:80/shop/\"\nallow = [{ everyone = true }]\n\
            [[binding]]\nhostnameport = \"a.example:443\"\ncertificate = \"gone.pem\"\nkey = \"gone.key\"\n";
        std::fs::write(&path, text).unwrap();
        let found = examine(&path).unwrap();
        assert_eq!(found.ports, [80, 443].into());
        assert_eq!(found.iplisten, [std::net::Ipv4Addr::LOCALHOST]);
        assert!(found.bindings[0].problem.as_deref().unwrap().contains("gone."), "{:?}", found.bindings);
        std::fs::write(&path, "nonsense = 1\n").unwrap();
        assert!(examine(&path).unwrap_err().to_string().contains("nonsense"));
    }
}
