//! Keys for programs: issued, checked, rotated and revoked, and kept in a file that survives whatever happens to the process.
//!
//! ```
//! use narthex::api_keys::{ApiKeys, KeyGuard, NewKey};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let keys = ApiKeys::open("keys.redb")?;
//! let (key, about) = keys.issue(NewKey::of("ann").scopes(["orders:read"])).await?;
//! println!("{} (this is shown once; call it {})", key.expose(), about.id);
//! # #[cfg(feature = "axum")]
//! let app: axum::Router = axum::Router::new().layer(KeyGuard::new(keys));
//! # Ok(())
//! # }
//! ```
//!
//! Clients show a key in `X-API-Key` or as a bearer token. Requests with one have an [`Identity`](crate::Identity) with the owner's name, the
//! key's scopes and its id. Of a key only its SHA-256 is kept.

mod layer;
mod record;
mod store;
mod text;

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

pub use ipnet::IpNet;
pub use layer::KeyGuard;
pub use record::{ApiKey, AuditEntry, KeyAction, KeyRefused, NewKey};

use crate::clock::unix_seconds;
use crate::secret::{Secret, equal};
use store::{Changes, Entry, Store};

/// How long a key can be used after another has taken its place, if nothing else is said: a day.
pub const GRACE: Duration = Duration::from_secs(24 * 3600);

const PREFIX: &str = "nk";

/// The keys of an app. Clones are the same keys.
///
/// Checking a key costs a hash and a look into a map. Changes wait for the disk, on a thread that may block; they are made even if the
/// future is dropped meanwhile.
#[derive(Clone)]
pub struct ApiKeys(Arc<Inner>);

struct Inner {
    store: Store,
    /// What the store has.
    known: RwLock<HashMap<String, Entry>>,
    /// One change at a time.
    changing: Mutex<()>,
}

/// The file of keys cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database says no. Two processes cannot have the same file open.
    #[error("cannot use the file of API keys: {0}")]
    Database(#[from] redb::Error),
    /// An entry is of another version, or of another program.
    #[error("cannot read an entry of the file of API keys: {0}")]
    Entry(#[from] serde_json::Error),
    /// The process is ending, or the change has panicked.
    #[error("the change of API keys broke off: the process is ending, or the log tells of a panic")]
    BrokeOff,
}

/// A key could not be changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no key with this id.
    #[error("there is no API key {0:?}: ApiKeys::keys lists those that there are")]
    Unknown(String),
    /// It is over with it.
    #[error("the API key {0:?} has been revoked or rotated, or has expired: issue a new one")]
    Over(String),
    /// The change could not be stored, and was not made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ApiKeys {
    /// The keys of a file, which is made if there is none. It blocks while the file is read.
    ///
    /// # Errors
    /// If it cannot be used, or another process has it open.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, StoreError> {
        Self::with(Store::open(path.as_ref())?)
    }

    fn with(store: Store) -> Result<Self, StoreError> {
        let known = store.entries()?.into_iter().map(|entry| (entry.key.id.clone(), entry)).collect();
        Ok(Self(Arc::new(Inner { store, known: RwLock::new(known), changing: Mutex::new(()) })))
    }

    /// Issues a key. The key itself is shown here and never again.
    ///
    /// # Errors
    /// If it could not be stored: then nobody has it. (What could not be stored may be found stored after a restart, and is of no use
    /// to anybody: the key was not shown.)
    pub async fn issue(&self, new: NewKey) -> Result<(Secret, ApiKey), StoreError> {
        self.change(move |inner| {
            let (secret, entry) = inner.make(&new, unix_seconds());
            let audit = vec![entered(KeyAction::Issued, &entry.key)];
            inner.apply(Changes { put: vec![entry.clone()], audit, ..Changes::default() })?;
            Ok((secret, entry.key))
        })
        .await
    }

    /// Issues a key that takes the place of another, with the same owner, scopes and networks. The other can be used for `grace`
    /// more ([`GRACE`] is usual), if it does not expire before. One that expires gets a successor that lasts as long as it did.
    ///
    /// # Errors
    /// If there is no such key, it is over with it, or the change could not be stored.
    pub async fn rotate(&self, id: &str, grace: Duration) -> Result<(Secret, ApiKey), ChangeError> {
        let id = id.to_owned();
        self.change(move |inner| inner.rotate(&id, grace, unix_seconds())).await
    }

    /// Revokes a key: it cannot be used from now on, whatever the disk says.
    ///
    /// # Errors
    /// If there is no such key, or the change could not be stored: then the key comes back with the next process, unless this is called again
    /// and succeeds. To revoke one twice is none.
    pub async fn revoke(&self, id: &str) -> Result<(), ChangeError> {
        let id = id.to_owned();
        self.change(move |inner| {
            let mut entry = inner.entry(&id)?;
            if entry.key.revoked.is_some() && !entry.is_unsaved {
                return Ok(());
            }
            entry.key.revoked.get_or_insert_with(unix_seconds);
            // A key that leaked has to stop working, also where the disk is full.
            inner.know([Entry { is_unsaved: true, ..entry.clone() }]);
            entry.is_unsaved = false;
            let audit = vec![entered(KeyAction::Revoked, &entry.key)];
            Ok(inner.apply(Changes { put: vec![entry], audit, ..Changes::default() })?)
        })
        .await
    }

    /// Deletes what is known of keys that could not be used any more for so long, and says how many they were. The audit log stays.
    ///
    /// # Errors
    /// If the change could not be stored.
    pub async fn purge(&self, over_for: Duration) -> Result<usize, StoreError> {
        self.change(move |inner| {
            let limit = unix_seconds().saturating_sub(over_for.as_secs());
            let keys = inner.keys(|key| key.over_since().is_some_and(|since| since <= limit));
            let audit = keys.iter().map(|key| entered(KeyAction::Purged, key)).collect();
            let removed: Vec<_> = keys.into_iter().map(|key| key.id).collect();
            let count = removed.len();
            inner.apply(Changes { removed, audit, ..Changes::default() })?;
            Ok(count)
        })
        .await
    }

    /// Whose key it is, if it is one that may be used from there.
    ///
    /// # Errors
    /// If it is not.
    pub fn validate(&self, key: &str, from: Option<IpAddr>) -> Result<ApiKey, KeyRefused> {
        self.0.validate(key, from, unix_seconds())
    }

    /// All keys that satisfy a condition, in no order.
    #[must_use]
    pub fn keys(&self, condition: impl Fn(&ApiKey) -> bool) -> Vec<ApiKey> {
        self.0.keys(condition)
    }

    /// What is known of a key.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<ApiKey> {
        self.0.entry(id).ok().map(|entry| entry.key)
    }

    /// The keys that expire within so long, so that their owners can be told.
    #[must_use]
    pub fn expiring_within(&self, time: Duration) -> Vec<ApiKey> {
        let now = unix_seconds();
        let soon = now.saturating_add(time.as_secs());
        self.0.keys(|key| key.revoked.is_none() && key.expires.is_some_and(|end| (now..=soon).contains(&end)))
    }

    /// What was done with a key, or with all of them: the last entries, the last one first. 100 000 entries are kept. It blocks while
    /// the file is read.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn audit_log(&self, id: Option<&str>, most: usize) -> Result<Vec<AuditEntry>, StoreError> {
        self.0.store.audit_log(id, most)
    }

    async fn change<T, E>(&self, change: impl FnOnce(&Inner) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let inner = Arc::clone(&self.0);
        let changing = move || {
            let _alone = inner.changing.lock().unwrap_or_else(PoisonError::into_inner);
            change(&inner)
        };
        tokio::task::spawn_blocking(changing).await.unwrap_or_else(|_| Err(StoreError::BrokeOff.into()))
    }
}

impl Inner {
    fn make(&self, new: &NewKey, now: u64) -> (Secret, Entry) {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        // An id is a part of the hash. That two keys have the same will not be seen before there are billions.
        let (secret, hash, id) = loop {
            let secret = text::new(PREFIX);
            let (hash, id) = text::digest(secret.expose());
            if !known.contains_key(&id) {
                break (secret, hash, id);
            }
        };
        let key = ApiKey {
            id,
            owner: new.owner.clone(),
            scopes: new.scopes.clone(),
            networks: new.networks.clone(),
            issued: now,
            expires: new.lifetime.map(|lifetime| now.saturating_add(lifetime.as_secs())),
            revoked: None,
            rotated_to: None,
        };
        (secret, Entry { hash, key, is_unsaved: false })
    }

    fn rotate(&self, id: &str, grace: Duration, now: u64) -> Result<(Secret, ApiKey), ChangeError> {
        let mut old = self.entry(id)?;
        let is_over = old.key.over_since().is_some_and(|since| since <= now);
        if is_over || old.key.rotated_to.is_some() {
            return Err(ChangeError::Over(id.to_owned()));
        }
        let lifetime = old.key.expires.map(|end| Duration::from_secs(end.saturating_sub(old.key.issued)));
        let like =
            NewKey { owner: old.key.owner.clone(), scopes: old.key.scopes.clone(), networks: old.key.networks.clone(), lifetime };
        let (secret, new) = self.make(&like, now);
        let end = now.saturating_add(grace.as_secs());
        old.key.expires = Some(old.key.expires.map_or(end, |expires| expires.min(end)));
        old.key.rotated_to = Some(new.key.id.clone());
        let audit = vec![entered(KeyAction::Rotated, &old.key), entered(KeyAction::Issued, &new.key)];
        self.apply(Changes { put: vec![old, new.clone()], audit, ..Changes::default() })?;
        Ok((secret, new.key))
    }

    fn validate(&self, key: &str, from: Option<IpAddr>, now: u64) -> Result<ApiKey, KeyRefused> {
        if !text::is_wellformed(key, PREFIX) {
            return Err(KeyRefused::Malformed);
        }
        let (hash, id) = text::digest(key);
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let entry = known.get(&id).filter(|entry| equal(&entry.hash, &hash)).ok_or(KeyRefused::Unknown)?;
        entry.key.judge(now, from)?;
        Ok(entry.key.clone())
    }

    fn entry(&self, id: &str) -> Result<Entry, ChangeError> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.get(id).cloned().ok_or_else(|| ChangeError::Unknown(id.to_owned()))
    }

    fn keys(&self, condition: impl Fn(&ApiKey) -> bool) -> Vec<ApiKey> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.values().map(|entry| &entry.key).filter(|key| condition(key)).cloned().collect()
    }

    /// First on disk, then for all to see.
    fn apply(&self, changes: Changes) -> Result<(), StoreError> {
        self.store.apply(&changes)?;
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        for id in &changes.removed {
            known.remove(id);
        }
        drop(known);
        self.know(changes.put);
        Ok(())
    }

    fn know(&self, entries: impl IntoIterator<Item = Entry>) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        known.extend(entries.into_iter().map(|entry| (entry.key.id.clone(), entry)));
    }
}

fn entered(action: KeyAction, key: &ApiKey) -> AuditEntry {
    AuditEntry { at: unix_seconds(), action, key: key.id.clone(), owner: key.owner.clone() }
}

impl fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.known.read().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("ApiKeys").field("known", &known).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn keys() -> (ApiKeys, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        (ApiKeys::open(directory.path().join("keys.redb")).unwrap(), directory)
    }

    #[tokio::test]
    async fn a_key_is_its_owners_until_it_is_revoked() {
        let (keys, directory) = keys();
        let (key, about) = keys.issue(NewKey::of("ann").scopes(["read"])).await.unwrap();
        assert_eq!(keys.validate(key.expose(), None), Ok(about.clone()));
        assert_eq!(about.owner, "ann");
        assert_eq!(keys.validate("nk_1", None), Err(KeyRefused::Malformed));
        assert_eq!(keys.validate(text::new(PREFIX).expose(), None), Err(KeyRefused::Unknown));
        keys.revoke(&about.id).await.unwrap();
        keys.revoke(&about.id).await.unwrap();
        assert_eq!(keys.validate(key.expose(), None), Err(KeyRefused::Revoked));
        assert!(matches!(keys.revoke("nobody").await, Err(ChangeError::Unknown(_))));
        let bytes = std::fs::read(directory.path().join("keys.redb")).unwrap();
        let secret = key.expose().as_bytes();
        assert!(!bytes.windows(secret.len()).any(|window| window == secret), "the key is not in the file");
    }

    #[tokio::test]
    async fn keys_and_what_was_done_with_them_are_there_after_a_restart() {
        let (keys, directory) = keys();
        let (key, about) = keys.issue(NewKey::of("ann")).await.unwrap();
        let (revoked, other) = keys.issue(NewKey::of("bob")).await.unwrap();
        keys.revoke(&other.id).await.unwrap();
        let path = directory.path().join("keys.redb");
        assert!(matches!(ApiKeys::open(&path), Err(StoreError::Database(_))), "somebody else has it open");
        drop(keys);
        let keys = ApiKeys::open(&path).unwrap();
        assert_eq!(keys.validate(key.expose(), None).unwrap(), about);
        assert_eq!(keys.validate(revoked.expose(), None), Err(KeyRefused::Revoked));
        let log = keys.audit_log(None, 10).unwrap();
        let seen: Vec<_> = log.iter().map(|entry| (entry.action, entry.owner.as_str())).collect();
        assert_eq!(seen, [(KeyAction::Revoked, "bob"), (KeyAction::Issued, "bob"), (KeyAction::Issued, "ann")]);
        assert_eq!(keys.audit_log(Some(&about.id), 10).unwrap().len(), 1);
        assert_eq!(keys.audit_log(None, 1).unwrap().len(), 1);
    }

    #[tokio::test]
    async fn a_key_expires_when_it_should() {
        let (keys, _directory) = keys();
        let (key, about) = keys.issue(NewKey::of("ann").lifetime(Duration::from_secs(100))).await.unwrap();
        let end = about.expires.unwrap();
        assert!(keys.0.validate(key.expose(), None, end - 1).is_ok());
        assert_eq!(keys.0.validate(key.expose(), None, end), Err(KeyRefused::Expired));
        assert_eq!(keys.expiring_within(Duration::from_secs(200)).len(), 1);
        assert_eq!(keys.expiring_within(Duration::from_secs(10)).len(), 0);
        assert_eq!(keys.purge(Duration::ZERO).await.unwrap(), 0);
        keys.revoke(&about.id).await.unwrap();
        assert_eq!(keys.purge(Duration::from_secs(60)).await.unwrap(), 0);
        assert_eq!(keys.purge(Duration::ZERO).await.unwrap(), 1);
        assert_eq!(keys.validate(key.expose(), None), Err(KeyRefused::Unknown));
    }

    #[tokio::test]
    async fn after_a_rotation_both_keys_work_until_the_grace_is_over() {
        let (keys, _directory) = keys();
        let (old, about) = keys.issue(NewKey::of("ann").scopes(["read"])).await.unwrap();
        let (new, successor) = keys.rotate(&about.id, GRACE).await.unwrap();
        assert_eq!((successor.owner.as_str(), &successor.scopes, successor.expires), ("ann", &about.scopes, None));
        let end = keys.get(&about.id).unwrap().expires.unwrap();
        assert!(end >= about.issued + 86_400);
        for (now, works) in [(end - 1, true), (end, false)] {
            assert_eq!(keys.0.validate(old.expose(), None, now).is_ok(), works);
            assert!(keys.0.validate(new.expose(), None, now).is_ok());
        }
        assert!(matches!(keys.rotate(&about.id, GRACE).await, Err(ChangeError::Over(_))), "once");
        keys.revoke(&successor.id).await.unwrap();
        assert!(matches!(keys.rotate(&successor.id, GRACE).await, Err(ChangeError::Over(_))));
    }

    #[tokio::test]
    async fn a_key_with_networks_works_from_there_only() {
        let (keys, _directory) = keys();
        let networks = ["10.0.0.0/8", "2001:db8::/32", "::ffff:192.0.2.0/120"];
        let new = networks.into_iter().fold(NewKey::of("ann"), |key, network| key.from_network(network.parse().unwrap()));
        let (key, _) = keys.issue(new).await.unwrap();
        for (address, works) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("192.0.2.7", true),
            ("2001:db8::1", true),
            ("11.0.0.1", false),
            ("::1", false),
        ] {
            assert_eq!(keys.validate(key.expose(), Some(address.parse().unwrap())).is_ok(), works, "{address}");
        }
        assert_eq!(keys.validate(key.expose(), None), Err(KeyRefused::Address), "nobody knows from where");
    }

    /// A file on a disk that is full while the flag says so.
    #[derive(Debug)]
    struct Disk {
        file: redb::backends::FileBackend,
        is_full: Arc<AtomicBool>,
    }

    impl Disk {
        fn room(&self) -> std::io::Result<()> {
            if self.is_full.load(Ordering::SeqCst) { Err(std::io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }
    }

    impl redb::StorageBackend for Disk {
        fn len(&self) -> std::io::Result<u64> {
            self.file.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
            self.file.read(offset, out)
        }
        fn set_len(&self, len: u64) -> std::io::Result<()> {
            self.room()?;
            self.file.set_len(len)
        }
        fn sync_data(&self) -> std::io::Result<()> {
            self.room()?;
            self.file.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
            self.room()?;
            self.file.write(offset, data)
        }
        fn close(&self) -> std::io::Result<()> {
            self.file.close()
        }
    }

    #[tokio::test]
    async fn a_full_disk_stops_no_revocation_and_nothing_once_there_is_room() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("keys.redb");
        let is_full = Arc::new(AtomicBool::new(false));
        let (full, file) = (Arc::clone(&is_full), path.clone());
        let store = Store::open_by(Box::new(move || {
            let file = std::fs::File::options().read(true).write(true).create(true).truncate(false).open(&file)?;
            let disk = Disk { file: redb::backends::FileBackend::new(file)?, is_full: Arc::clone(&full) };
            redb::Database::builder().create_with_backend(disk)
        }));
        let keys = ApiKeys::with(store.unwrap()).unwrap();
        let (key, about) = keys.issue(NewKey::of("ann")).await.unwrap();
        is_full.store(true, Ordering::SeqCst);
        assert!(matches!(keys.issue(NewKey::of("bob")).await, Err(StoreError::Database(_))));
        assert!(matches!(keys.revoke(&about.id).await, Err(ChangeError::Store(_))), "it is not stored, and that is told");
        assert_eq!(keys.validate(key.expose(), None), Err(KeyRefused::Revoked));
        is_full.store(false, Ordering::SeqCst);
        let (other, _) = keys.issue(NewKey::of("bob")).await.unwrap();
        keys.revoke(&about.id).await.unwrap();
        drop(keys);
        let keys = ApiKeys::open(&path).unwrap();
        assert_eq!(keys.validate(key.expose(), None), Err(KeyRefused::Revoked));
        assert!(keys.validate(other.expose(), None).is_ok());
    }
}
