//! Who may come in with a name and a password.

use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};

use aws_lc_rs::hmac;
use lru::LruCache;
use tokio::time::Instant;

use super::passwords::{Bench, Hashing, Overloaded, PasswordHash};
use crate::BoxError;
use crate::secret::{Secret, random};

/// So many names and passwords are remembered as right.
const REMEMBERED: usize = 10_000;

type Looked = Pin<Box<dyn Future<Output = Result<Option<PasswordHash>, BoxError>> + Send>>;
type Lookup = Arc<dyn Fn(String) -> Looked + Send + Sync>;

/// Names and the hashes of their passwords. Clones are the same users, who can be changed while clients are served.
///
/// ```
/// use narthex::auth::{PasswordHash, Users};
///
/// let users = Users::new();
/// users.insert("ann", PasswordHash::of("correct horse battery staple"));
/// ```
#[derive(Clone)]
pub struct Users {
    listed: Arc<RwLock<HashMap<String, PasswordHash>>>,
    lookup: Option<Lookup>,
    checks: Arc<Checks>,
}

struct Checks {
    bench: Bench,
    hashing: Hashing,
    /// What hides from clients, by taking the same time, that a name is unknown.
    decoy: OnceLock<PasswordHash>,
    /// What was right, until when; by a hash that is worth nothing without `key`.
    remembered: Mutex<LruCache<[u8; 32], Instant>>,
    key: hmac::Key,
}

/// What users know of a name and password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Right,
    Wrong,
    /// Nobody has this name.
    Unknown,
}

/// Why a name and password could not be checked.
#[derive(Debug)]
pub(super) enum Unchecked {
    Overloaded,
    Lookup(BoxError),
}

impl From<Overloaded> for Unchecked {
    fn from(Overloaded: Overloaded) -> Self {
        Self::Overloaded
    }
}

impl Default for Users {
    fn default() -> Self {
        Self::new()
    }
}

impl Users {
    /// Nobody yet.
    #[must_use]
    pub fn new() -> Self {
        Self { listed: Arc::default(), lookup: None, checks: Arc::new(Checks::new(Hashing::default())) }
    }

    /// Users that a database knows: `lookup` gives the hash of a name's password, or `None` if nobody has the name. Names that
    /// were inserted are found first. If it fails, the answer is 503.
    #[must_use]
    pub fn found_by<F, Fut, E>(lookup: F) -> Self
    where
        F: Fn(String) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Option<PasswordHash>, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let lookup: Lookup = Arc::new(move |name| {
            let looked = lookup(name);
            Box::pin(async move { looked.await.map_err(Into::into) })
        });
        Self { lookup: Some(lookup), ..Self::new() }
    }

    /// What checking passwords may cost.
    #[must_use]
    pub fn hashing(mut self, hashing: Hashing) -> Self {
        self.checks = Arc::new(Checks::new(hashing));
        self
    }

    /// Adds a user, or changes the password of one.
    pub fn insert(&self, name: impl Into<String>, password: PasswordHash) {
        self.listed.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), password);
    }

    /// Removes a user; `false` if there was none. Session tokens that they have are another matter:
    /// [`SessionTokens::revoke_all_of`](super::SessionTokens::revoke_all_of).
    pub fn remove(&self, name: &str) -> bool {
        self.listed.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    pub(super) async fn check(&self, name: &str, password: &Secret) -> Result<Checked, Unchecked> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let hash = match (listed, &self.lookup) {
            (None, Some(lookup)) => lookup(name.to_owned()).await.map_err(Unchecked::Lookup)?,
            (listed, _) => listed,
        };
        let Some(hash) = hash else {
            let similar = self.listed.read().unwrap_or_else(PoisonError::into_inner).values().next().cloned();
            self.checks.pretend(password, similar).await?;
            return Ok(Checked::Unknown);
        };
        let is_right = self.checks.is_right(name, password, hash).await?;
        Ok(if is_right { Checked::Right } else { Checked::Wrong })
    }
}

impl Checks {
    fn new(hashing: Hashing) -> Self {
        Self {
            bench: Bench::new(hashing),
            hashing,
            decoy: OnceLock::new(),
            remembered: Mutex::new(LruCache::unbounded()),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()),
        }
    }

    async fn is_right(&self, name: &str, password: &Secret, hash: PasswordHash) -> Result<bool, Overloaded> {
        let remembers = !self.hashing.remembered_for.is_zero();
        let tag = self.tag(name, password, &hash);
        if remembers && self.remembered().get(&tag).is_some_and(|until| Instant::now() < *until) {
            return Ok(true);
        }
        let password = password.clone();
        let is_right = self.bench.run(move || hash.is_of(&password)).await?;
        if is_right && remembers {
            let until = Instant::now() + self.hashing.remembered_for;
            let mut remembered = self.remembered();
            remembered.put(tag, until);
            if remembered.len() > REMEMBERED {
                remembered.pop_lru();
            }
        }
        Ok(is_right)
    }

    /// Takes as long as a password that is wrong.
    async fn pretend(&self, password: &Secret, similar: Option<PasswordHash>) -> Result<(), Overloaded> {
        let password = password.clone();
        if let Some(decoy) = similar.or_else(|| self.decoy.get().cloned()) {
            return self.bench.run(move || _ = decoy.is_of(&password)).await;
        }
        let decoy = self.bench.run(|| PasswordHash::of("")).await?;
        let _ = self.decoy.set(decoy);
        Ok(())
    }

    /// The password's hash is in it, so that nothing is remembered of a password that was changed.
    fn tag(&self, name: &str, password: &Secret, hash: &PasswordHash) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.key);
        for part in [name, password.expose(), hash.as_str()] {
            context.update(&part.len().to_be_bytes());
            context.update(part.as_bytes());
        }
        let mut tag = [0; 32];
        tag.copy_from_slice(context.sign().as_ref());
        tag
    }

    fn remembered(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], Instant>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner).len();
        f.debug_struct("Users").field("listed", &listed).field("hashing", &self.checks.hashing).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::time::Duration;

    #[tokio::test]
    async fn a_password_is_checked_and_then_remembered() {
        let users = Users::new();
        users.insert("ann", PasswordHash::of("one"));
        assert_eq!(users.check("ann", &"one".into()).await.unwrap(), Checked::Right);
        assert_eq!(users.checks.remembered().len(), 1);
        assert_eq!(users.check("ann", &"one".into()).await.unwrap(), Checked::Right);
        assert_eq!(users.check("ann", &"two".into()).await.unwrap(), Checked::Wrong);
        assert_eq!(users.check("bob", &"one".into()).await.unwrap(), Checked::Unknown);
        assert_eq!(users.checks.remembered().len(), 1, "only what was right");
    }

    #[tokio::test]
    async fn a_changed_password_and_a_removed_user_count_at_once() {
        let users = Users::new();
        users.insert("ann", PasswordHash::of("one"));
        assert_eq!(users.check("ann", &"one".into()).await.unwrap(), Checked::Right);
        users.insert("ann", PasswordHash::of("two"));
        assert_eq!(users.check("ann", &"one".into()).await.unwrap(), Checked::Wrong);
        assert_eq!(users.check("ann", &"two".into()).await.unwrap(), Checked::Right);
        assert!(users.remove("ann"));
        assert_eq!(users.check("ann", &"two".into()).await.unwrap(), Checked::Unknown);
    }

    #[tokio::test]
    async fn a_remembered_password_is_not_hashed_again_and_not_forever_remembered() {
        let users = Users::new().hashing(Hashing { remembered_for: Duration::from_secs(60), ..Hashing::default() });
        let hash = PasswordHash::of("one");
        users.insert("ann", hash.clone());
        let tag = users.checks.tag("ann", &"other".into(), &hash);
        users.checks.remembered().put(tag, Instant::now() + Duration::from_secs(60));
        assert_eq!(users.check("ann", &"other".into()).await.unwrap(), Checked::Right, "it was not hashed");
        users.checks.remembered().put(tag, Instant::now());
        assert_eq!(users.check("ann", &"other".into()).await.unwrap(), Checked::Wrong, "it was hashed");
    }

    #[tokio::test]
    async fn a_database_is_asked_for_names_that_are_not_listed() {
        let hash = PasswordHash::of("one");
        let users = Users::found_by(move |name| {
            let found = (name == "ann").then(|| hash.clone());
            async { Ok::<_, Infallible>(found) }
        });
        assert_eq!(users.check("ann", &"one".into()).await.unwrap(), Checked::Right);
        assert_eq!(users.check("bob", &"one".into()).await.unwrap(), Checked::Unknown);
        let failing = Users::found_by(|_| async { Err::<Option<PasswordHash>, _>("the database is gone") });
        assert!(matches!(failing.check("ann", &"one".into()).await, Err(Unchecked::Lookup(_))));
    }

    /// Both run argon2 with the same parameters: the unknown name does not come back in microseconds.
    #[tokio::test]
    async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
        let users = Users::new();
        users.insert("ann", PasswordHash::of("one"));
        let time = async |name| {
            let mut times = Vec::new();
            for _ in 0..5 {
                let start = Instant::now();
                users.check(name, &"wrong".into()).await.unwrap();
                times.push(start.elapsed());
            }
            times.into_iter().min().unwrap()
        };
        let (known, unknown) = (time("ann").await, time("bob").await);
        assert!(unknown > known / 3, "{known:?} {unknown:?}");
    }
}
