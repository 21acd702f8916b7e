//! A directory of certificates, one for each host name, read when a client asks for the name.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use std::{fmt, io};

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::Instant;

use crate::stamp::Stamp;

use super::at::is_name;
use super::error::TlsError;
use super::source::Source;

/// How long holds what the disk has told. Names are looked up in the list of the files, so that a flood of names, which clients
/// can make up, never becomes one of disk accesses, and displaces no certificate.
const HOLDS: Duration = Duration::from_secs(2);

#[derive(Debug)]
pub(super) struct Directory(Arc<Shelf>);

struct Shelf {
    path: PathBuf,
    passphrase: Arc<str>,
    /// Looked into once per handshake; not held while the disk is asked.
    listed: Mutex<Listed>,
}

struct Listed {
    looked: Instant,
    /// By the name that they are for; wildcards by `_.` and their parent.
    entries: HashMap<Box<str>, Entry>,
}

#[derive(Clone)]
struct Entry {
    source: Source,
    key: Option<Arc<CertifiedKey>>,
    /// The files as they were just before they were read, and when they were last looked at.
    read: Option<(Vec<Option<Stamp>>, Instant)>,
}

impl fmt::Debug for Shelf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shelf").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Directory {
    pub(super) fn open(path: PathBuf, passphrase: Arc<str>) -> Result<Self, TlsError> {
        let entries = match list(&path, &passphrase) {
            Ok(sources) => sources.into_iter().map(|(stem, source)| (stem, Entry::new(source))).collect(),
            Err(source) => return Err(TlsError::Read { path, source }),
        };
        let listed = Mutex::new(Listed { looked: crate::clock::now(), entries });
        Ok(Self(Arc::new(Shelf { path, passphrase, listed })))
    }

    /// The certificate for a name in lower case.
    pub(super) fn find(&self, server_name: &str) -> Option<Arc<CertifiedKey>> {
        self.0.find(server_name, crate::clock::now())
    }

    pub(super) fn resolver(&self) -> Arc<dyn ResolvesServerCert> {
        Arc::clone(&self.0) as _
    }
}

impl ResolvesServerCert for Shelf {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.find(&hello.server_name()?.to_ascii_lowercase(), crate::clock::now())
    }
}

impl Shelf {
    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, name: &str, now: Instant) -> Option<Arc<CertifiedKey>> {
        self.list_again(now);
        let wildcard = || name.split_once('.').map(|(_, parent)| format!("_.{parent}"));
        let mut listed = self.listed();
        let stem = if listed.entries.contains_key(name) { name.to_owned() } else { wildcard()? };
        let entry = listed.entries.get_mut(stem.as_str())?;
        match &mut entry.read {
            Some((_, looked)) if now.saturating_duration_since(*looked) < HOLDS => return entry.key.clone(),
            // Others go on with what there is while this one looks at the disk.
            Some((_, looked)) => *looked = now,
            None => {}
        }
        let mut looked_at = entry.clone();
        drop(listed);
        looked_at.look(now);
        let key = looked_at.key.clone();
        if let Some(entry) = self.listed().entries.get_mut(stem.as_str()).filter(|entry| entry.has_files_of(&looked_at.source)) {
            *entry = looked_at;
        }
        key
    }

    /// Learns of files that have come or gone.
    fn list_again(&self, now: Instant) {
        {
            let mut listed = self.listed();
            if now.saturating_duration_since(listed.looked) < HOLDS {
                return;
            }
            listed.looked = now;
        }
        let sources = match list(&self.path, &self.passphrase) {
            Ok(sources) => sources,
            // What was listed goes on.
            Err(error) => return tracing::error!("cannot read {}: {error}", self.path.display()),
        };
        let mut listed = self.listed();
        let mut before = std::mem::take(&mut listed.entries);
        let entries = sources.into_iter().map(|(stem, source)| {
            let entry = match before.remove(&stem) {
                Some(same) if same.has_files_of(&source) => same,
                Some(other) => Entry { key: other.key, ..Entry::new(source) },
                None => Entry::new(source),
            };
            (stem, entry)
        });
        listed.entries = entries.collect();
    }
}

impl Entry {
    fn new(source: Source) -> Self {
        Self { source, key: None, read: None }
    }

    fn has_files_of(&self, source: &Source) -> bool {
        self.source.files().eq(source.files())
    }

    /// Reads the files if they are others than were read.
    fn look(&mut self, now: Instant) {
        let stamps: Vec<_> = self.source.files().map(Stamp::of).collect();
        if self.read.as_ref().is_none_or(|(read, _)| *read != stamps) {
            match self.source.load() {
                Ok(identity) => self.key = Some(identity.key),
                // Files that are being replaced may be half there; what they had is still good.
                Err(error) => tracing::error!("{error}"),
            }
        }
        self.read = Some((stamps, now));
    }
}

/// The files of one name.
#[derive(Default)]
struct Files {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    pkcs12: Option<PathBuf>,
}

impl Files {
    fn source(self, passphrase: &Arc<str>) -> Option<Source> {
        if let Some(certificate) = self.certificate {
            let key = self.key.unwrap_or_else(|| certificate.clone());
            return Some(Source::Pem { certificate, key });
        }
        self.pkcs12.map(|path| Source::Pkcs12 { path, passphrase: Arc::clone(passphrase) })
    }
}

/// What there are certificates for, by the names of files. A client's text only ever is compared with these.
fn list(directory: &Path, passphrase: &Arc<str>) -> io::Result<HashMap<Box<str>, Source>> {
    let mut all: HashMap<Box<str>, Files> = HashMap::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).map(str::to_ascii_lowercase);
        let Some((stem, extension)) = name.as_deref().and_then(|name| name.rsplit_once('.')) else { continue };
        if !is_name(stem.strip_prefix("_.").unwrap_or(stem)) {
            continue;
        }
        let place = |files: &mut Files| match extension {
            "pem" => files.certificate = Some(path.clone()),
            "crt" => files.certificate = files.certificate.take().or(Some(path.clone())),
            "key" => files.key = Some(path.clone()),
            "pfx" | "p12" => files.pkcs12 = Some(path.clone()),
            _ => {}
        };
        place(all.entry(stem.into()).or_default());
    }
    Ok(all.into_iter().filter_map(|(stem, files)| Some((stem, files.source(passphrase)?))).collect())
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::development::{Authority, Issued};
    use super::*;

    struct Made {
        shelf: TempDir,
        _ca: TempDir,
        authority: Authority,
    }

    impl Made {
        fn new() -> Self {
            let ca = TempDir::new().unwrap();
            let authority = Authority::in_directory(ca.path()).unwrap();
            Self { shelf: TempDir::new().unwrap(), authority, _ca: ca }
        }

        fn write(&self, name: &str, host: &str) -> Issued {
            let issued = self.authority.issue(&[host]).unwrap();
            issued.write(&self.path(name)).unwrap();
            issued
        }

        fn path(&self, name: &str) -> PathBuf {
            self.shelf.path().join(name)
        }

        fn open(&self) -> Arc<Shelf> {
            Directory::open(self.shelf.path().to_owned(), "".into()).unwrap().0
        }
    }

    fn shown(key: Option<Arc<CertifiedKey>>) -> Option<Vec<u8>> {
        key.map(|key| key.cert[0].to_vec())
    }

    #[test]
    fn a_name_has_a_file_of_both_or_a_pair_or_that_of_a_wildcard() {
        let made = Made::new();
        made.write("One.test.pem", "one.test");
        made.write("_.wild.test.pem", "*.wild.test");
        let pair = made.authority.issue(&["pair.test"]).unwrap();
        std::fs::write(made.path("pair.test.crt"), &pair.certificate).unwrap();
        std::fs::write(made.path("pair.test.key"), &pair.key).unwrap();
        std::fs::write(made.path("alone.test.key"), &pair.key).unwrap();
        let (shelf, now) = (made.open(), crate::clock::now());
        for (name, found) in [
            ("one.test", true),
            ("pair.test", true),
            ("a.wild.test", true),
            ("wild.test", false),
            ("a.b.wild.test", false),
            ("alone.test", false),
            ("none.test", false),
            ("../one.test", false),
            ("", false),
        ] {
            assert_eq!(shelf.find(name, now).is_some(), found, "{name:?}");
        }
    }

    #[test]
    fn what_changes_on_the_disk_is_noticed_after_a_while_and_not_before() {
        let made = Made::new();
        made.write("a.test.pem", "a.test");
        let (shelf, now) = (made.open(), crate::clock::now());
        let first = shown(shelf.find("a.test", now));
        assert!(first.is_some() && shelf.find("b.test", now).is_none());
        std::fs::remove_file(made.path("a.test.pem")).unwrap();
        made.write("b.test.pem", "b.test");
        assert_eq!(shown(shelf.find("a.test", now)), first);
        assert!(shelf.find("b.test", now).is_none());
        let later = now + HOLDS;
        assert!(shelf.find("a.test", later).is_none() && shelf.find("b.test", later).is_some());
    }

    #[test]
    fn a_file_that_is_replaced_by_a_bad_one_goes_on_with_what_it_had() {
        let made = Made::new();
        made.write("a.test.pem", "a.test");
        let (shelf, now) = (made.open(), crate::clock::now());
        let first = shown(shelf.find("a.test", now));
        std::fs::write(made.path("a.test.pem"), "half a").unwrap();
        assert_eq!(shown(shelf.find("a.test", now + HOLDS)), first);
        // Of another length, since the file system's clock may be too coarse for two moments.
        made.authority.issue(&["a.test", "longer.a.test"]).unwrap().write(&made.path("a.test.pem")).unwrap();
        let renewed = shown(shelf.find("a.test", now + 2 * HOLDS));
        assert!(renewed.is_some() && renewed != first);
    }

    #[test]
    fn a_flood_of_names_is_not_remembered() {
        let made = Made::new();
        made.write("a.test.pem", "a.test");
        let (shelf, now) = (made.open(), crate::clock::now());
        for number in 0..10_000 {
            assert!(shelf.find(&format!("{number}.b.test"), now).is_none());
        }
        assert_eq!(shelf.listed().entries.len(), 1);
    }
}
