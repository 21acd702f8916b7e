//! A directory of certificates, one file for each host name, read when a client asks for the name.

use std::collections::HashMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::Instant;

use super::at::is_name;
use super::error::TlsError;
use super::source::Source;

/// How long what was found, or not, holds before the disk is asked again. A flood of names must not become one of files.
const HOLDS: Duration = Duration::from_secs(2);
/// Names that are remembered. When there are more, all are forgotten.
const MOST: usize = 4096;

#[derive(Debug)]
pub(super) struct Directory(Arc<Shelf>);

struct Shelf {
    path: PathBuf,
    passphrase: Arc<str>,
    /// Looked into once per handshake.
    known: Mutex<HashMap<Box<str>, Known>>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("path", &self.path).finish_non_exhaustive()
    }
}

#[derive(Clone)]
struct Known {
    key: Option<Arc<CertifiedKey>>,
    /// The file, as it was when it was read.
    file: Option<(PathBuf, Stamp)>,
    looked: Instant,
}

type Stamp = (Option<SystemTime>, u64);

fn stamp(path: &Path) -> Option<Stamp> {
    let metadata = std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    Some((metadata.modified().ok(), metadata.len()))
}

impl Directory {
    pub(super) fn open(path: PathBuf, passphrase: Arc<str>) -> Result<Self, TlsError> {
        match std::fs::metadata(&path) {
            Ok(metadata) if metadata.is_dir() => Ok(Self(Arc::new(Shelf { path, passphrase, known: Mutex::default() }))),
            Ok(_) => Err(TlsError::Read { path, source: std::io::ErrorKind::NotADirectory.into() }),
            Err(source) => Err(TlsError::Read { path, source }),
        }
    }

    pub(super) fn find(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.0.find(server_name)
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.0) as _
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(hello.server_name()?)
    }
}

impl Shelf {
    fn find(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        // What is a name is no path to somewhere else.
        if !is_name(server_name) {
            return None;
        }
        let name = server_name.to_ascii_lowercase();
        let now = crate::clock::now();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let before = known.get(name.as_str()).cloned();
        if let Some(before) = &before
            && now.saturating_duration_since(before.looked) < HOLDS
        {
            return before.key.clone();
        }
        let found = self.look(&name, before, now);
        if known.len() >= MOST {
            known.clear();
        }
        let key = found.key.clone();
        known.insert(name.into(), found);
        key
    }

    fn look(&self, name: &str, before: Option<Known>, now: Instant) -> Known {
        let wildcard = name.split_once('.').map(|(_, parent)| format!("_.{parent}"));
        for stem in std::iter::once(name.to_owned()).chain(wildcard) {
            for extension in ["pem", "pfx", "p12"] {
                let path = self.path.join(format!("{stem}.{extension}"));
                let Some(stamp) = stamp(&path) else { continue };
                if let Some(same) = before.clone().filter(|before| before.file == Some((path.clone(), stamp))) {
                    return Known { looked: now, ..same };
                }
                let key = match self.source(&path, extension).load() {
                    Ok(identity) => Some(identity.key),
                    Err(error) => {
                        tracing::error!("{error}");
                        // A file that is being replaced may be half there; what it had is still good.
                        before.as_ref().and_then(|before| before.key.clone())
                    }
                };
                return Known { key, file: Some((path, stamp)), looked: now };
            }
        }
        Known { key: None, file: None, looked: now }
    }

    fn source(&self, path: &Path, extension: &str) -> Source {
        if extension == "pem" {
            return Source::Pem { certificate: path.to_owned(), key: path.to_owned() };
        }
        Source::Pkcs12 { path: path.to_owned(), passphrase: Arc::clone(&self.passphrase) }
    }
}
