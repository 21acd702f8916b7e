//! What outlives the host: accounts, certificates with their keys, and how far their orders have come. One file each, in
//! `acme` beside the configuration, for the host's user alone.
//!
//! A file is written beside its place, synced, and renamed: a kill at any moment leaves the old one or the new one. Certificate
//! and key are one file, so that they are never those of two orders.

use std::ffi::OsString;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use instant_acme::AccountCredentials;
use jiff::Timestamp;
use narthex_http::tls::{PeerCertificate, Source};
use serde::{Deserialize, Serialize};

use crate::config::Challenge;

/// The directory of all this, beside the configuration.
const DIRECTORY: &str = "acme";

/// The files.
#[derive(Clone, Debug)]
pub(crate) struct Store {
    directory: PathBuf,
}

/// What is known of a name's certificate beside itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Progress {
    /// The directory of the CA that has issued the certificate.
    pub(crate) issued_by: Option<String>,
    /// An order that the CA has.
    pub(crate) order: Option<Placed>,
    /// How the CA was convinced the last time.
    pub(crate) challenge: Option<Challenge>,
    /// In a row.
    pub(crate) failures: u32,
    /// The last one.
    pub(crate) problem: Option<String>,
    /// When to ask again after a failure.
    pub(crate) next_try: Option<Timestamp>,
    /// The CA has said so: nobody may be more impatient.
    pub(crate) next_try_is_the_cas: bool,
}

/// An order that the CA has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Placed {
    /// The CA's directory.
    pub(crate) directory: String,
    /// The order itself.
    pub(crate) url: String,
}

/// An account at a CA.
#[derive(Serialize, Deserialize)]
pub(crate) struct SavedAccount {
    /// What the CA was told.
    #[serde(default)]
    pub(crate) contact: Vec<String>,
    /// With the key.
    pub(crate) credentials: AccountCredentials,
}

impl Store {
    /// That of a configuration.
    pub(crate) fn beside(configuration: &Path) -> Self {
        Self { directory: configuration.join(DIRECTORY) }
    }

    fn of(&self, name: &str, kind: &str) -> PathBuf {
        self.directory.join(format!("{name}.{kind}"))
    }

    /// Where the certificate for a name is, with its key.
    pub(crate) fn certificate_file(&self, name: &str) -> PathBuf {
        self.of(name, "pem")
    }

    /// The certificate for a name. `None` if there is none that can be used.
    pub(crate) fn certificate(&self, name: &str) -> Option<PeerCertificate> {
        let file = self.certificate_file(name);
        Source::Pem { certificate: file.clone(), key: file }.certificate().ok()
    }

    pub(crate) fn keep_certificate(&self, name: &str, chain: &str, key: &str) -> io::Result<()> {
        let end = if chain.ends_with('\n') { "" } else { "\n" };
        self.write(&self.certificate_file(name), &format!("{chain}{end}{key}"))?;
        // The next order has a new key.
        remove(&self.of(name, "key"))
    }

    /// The key that an order is for, until its certificate is there.
    pub(crate) fn key(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.of(name, "key")).ok()
    }

    pub(crate) fn keep_key(&self, name: &str, key: &str) -> io::Result<()> {
        self.write(&self.of(name, "key"), key)
    }

    /// How far it has come with a name. A file that cannot be read is as good as none: the CA knows the rest.
    pub(crate) fn progress(&self, name: &str) -> Progress {
        let path = self.of(name, "json");
        let Ok(text) = fs::read_to_string(&path) else { return Progress::default() };
        serde_json::from_str(&text).unwrap_or_else(|error| {
            tracing::warn!("{} is damaged and is not used: {error}", path.display());
            Progress::default()
        })
    }

    pub(crate) fn keep_progress(&self, name: &str, progress: &Progress) -> io::Result<()> {
        self.write(&self.of(name, "json"), &json(progress)?)
    }

    /// Where the account at a CA is.
    pub(crate) fn account_file(&self, directory: &str) -> PathBuf {
        let url = directory.trim_start_matches("https://").trim_end_matches('/');
        let name: String = url.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' }).collect();
        let name = name.trim_start_matches('.');
        // Names of files are at most 255 bytes; that of the copy that is written first is longer.
        self.directory.join("accounts").join(format!("{}.json", name.get(..200).unwrap_or(name)))
    }

    /// The account at a CA. `None` if there is none.
    pub(crate) fn account(&self, directory: &str) -> io::Result<Option<SavedAccount>> {
        match fs::read_to_string(self.account_file(directory)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            text => Ok(Some(serde_json::from_str(&text?)?)),
        }
    }

    pub(crate) fn keep_account(&self, directory: &str, account: &SavedAccount) -> io::Result<()> {
        self.write(&self.account_file(directory), &json(account)?)
    }

    /// Puts an account aside that the CA does not know any more. Its key stays, under another name.
    pub(crate) fn retire_account(&self, directory: &str) -> io::Result<()> {
        let file = self.account_file(directory);
        fs::rename(&file, file.with_extension("json.old"))
    }

    fn write(&self, path: &Path, text: &str) -> io::Result<()> {
        let directory = path.parent().unwrap_or(&self.directory);
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        let mut name = OsString::from(".");
        name.push(path.file_name().unwrap_or_default());
        name.push(".new");
        let new = path.with_file_name(name);
        // One that a kill has left may have another mode.
        remove(&new)?;
        let written = write_new(&new, text).and_then(|()| fs::rename(&new, path));
        if written.is_err() {
            let _ = fs::remove_file(&new);
        }
        written?;
        File::open(directory)?.sync_all()
    }
}

fn json(value: &impl Serialize) -> io::Result<String> {
    Ok(serde_json::to_string_pretty(value)? + "\n")
}

fn write_new(path: &Path, text: &str) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use tempfile::TempDir;

    use super::*;

    fn store() -> (TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::beside(directory.path());
        (directory, store)
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn only_the_hosts_user_can_read_what_is_kept() {
        let (directory, store) = store();
        store.keep_key("a.test", "KEY\n").unwrap();
        store.keep_progress("a.test", &Progress::default()).unwrap();
        store.keep_certificate("b.test", "CHAIN", "KEY\n").unwrap();
        assert_eq!(mode(&directory.path().join("acme")), 0o700);
        for file in ["a.test.key", "a.test.json", "b.test.pem"] {
            assert_eq!(mode(&directory.path().join("acme").join(file)), 0o600, "{file}");
        }
        assert_eq!(fs::read_to_string(store.certificate_file("b.test")).unwrap(), "CHAIN\nKEY\n");
    }

    #[test]
    fn what_a_kill_has_left_is_in_nobodys_way_and_a_certificate_takes_its_key_along() {
        let (directory, store) = store();
        store.keep_key("a.test", "KEY\n").unwrap();
        fs::write(directory.path().join("acme/.a.test.pem.new"), "half").unwrap();
        store.keep_certificate("a.test", "CHAIN\n", "KEY\n").unwrap();
        assert_eq!(store.key("a.test"), None);
        let mut left: Vec<_> =
            fs::read_dir(directory.path().join("acme")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["a.test.pem"]);
    }

    #[test]
    fn progress_is_read_as_it_was_written_and_a_damaged_file_is_none() {
        let (directory, store) = store();
        assert_eq!(store.progress("a.test"), Progress::default());
        let progress = Progress {
            order: Some(Placed { directory: "https://ca/dir".to_owned(), url: "https://ca/order/1".to_owned() }),
            challenge: Some(Challenge::Http01),
            failures: 3,
            next_try: Some(Timestamp::UNIX_EPOCH),
            ..Progress::default()
        };
        store.keep_progress("a.test", &progress).unwrap();
        assert_eq!(store.progress("a.test"), progress);
        fs::write(directory.path().join("acme/a.test.json"), "{").unwrap();
        assert_eq!(store.progress("a.test"), Progress::default());
    }

    #[test]
    fn every_ca_has_an_account_file_of_its_own_inside_the_directory() {
        let (directory, store) = store();
        let name = |url: &str| store.account_file(url).strip_prefix(directory.path()).unwrap().display().to_string();
        let production = name("https://acme-v02.api.letsencrypt.org/directory");
        assert_eq!(production, "acme/accounts/acme-v02.api.letsencrypt.org-directory.json");
        assert_ne!(production, name("https://acme-staging-v02.api.letsencrypt.org/directory"));
        assert_eq!(name("https://../../etc/x"), "acme/accounts/-..-etc-x.json");
        assert!(name(&format!("https://{}/", "a".repeat(900))).len() < 250);
    }
}
