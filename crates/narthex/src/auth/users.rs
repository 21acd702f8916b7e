//! Who may come in with a name and a password.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use aws_lc_rs::hmac;
use lru::LruCache;
use tokio::time::Instant;

use super::passwords::{Bench, Hashing, Overloaded, PasswordHash};
use crate::BoxError;
#[cfg(feature = "rate-limit")]
use crate::limits::{Limit, Limiter, TooMany};
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
    #[cfg(feature = "rate-limit")]
    attempts: Option<Limiter>,
}

struct Checks {
    bench: Bench,
    hashing: Hashing,
    /// What hides from clients, by taking the same time, that a name is unknown: the last hash that a password was compared with.
    decoy: Mutex<Option<PasswordHash>>,
    /// What was right, until when (`None`: for ever); by a hash that is worth nothing without `key`.
    remembered: Mutex<LruCache<[u8; 32], Option<Instant>>>,
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
    #[cfg(feature = "rate-limit")]
    TooMany(TooMany),
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
        Self {
            listed: Arc::default(),
            lookup: None,
            checks: Arc::new(Checks::new(Hashing::default())),
            #[cfg(feature = "rate-limit")]
            attempts: None,
        }
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

    /// So many passwords may be tried from one address (for IPv6, one network of 64 bits), by Basic and at the login together; more are
    /// answered 429. What is [remembered](Hashing::remembered_for) as right does not count, all else does, right or wrong: nobody finds out
    /// by it whether the last one was right. Clients that the server does not [know](crate::Server::connection_info) share one limit.
    /// Default: no limit.
    ///
    /// ```
    /// use std::time::Duration;
    /// use narthex::auth::Users;
    /// use narthex::limits::Limit;
    ///
    /// let users = Users::new().attempts(Limit::bucket(10, Duration::from_secs(300)));
    /// ```
    #[cfg(feature = "rate-limit")]
    #[must_use]
    pub fn attempts(mut self, limit: Limit) -> Self {
        self.attempts = Some(Limiter::new(limit));
        self
    }

    /// Adds a user, or changes the password of one. Session tokens that they have are another matter, and if the old password was
    /// stolen, so may they be: [`SessionTokens::revoke_all_of`](super::SessionTokens::revoke_all_of).
    pub fn insert(&self, name: impl Into<String>, password: PasswordHash) {
        self.listed.write().unwrap_or_else(PoisonError::into_inner).insert(name.into(), password);
    }

    /// Removes a user; `false` if there was none. Session tokens that they have are another matter:
    /// [`SessionTokens::revoke_all_of`](super::SessionTokens::revoke_all_of).
    pub fn remove(&self, name: &str) -> bool {
        self.listed.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }

    pub(super) async fn check(&self, name: &str, password: &Secret, from: Option<IpAddr>) -> Result<Checked, Unchecked> {
        let listed = self.listed.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        let hash = match (listed, &self.lookup) {
            (None, Some(lookup)) => lookup(name.to_owned()).await.map_err(Unchecked::Lookup)?,
            (listed, _) => listed,
        };
        let Some(hash) = hash else {
            self.attempt(from)?;
            let similar = self.listed.read().unwrap_or_else(PoisonError::into_inner).values().next().cloned();
            self.checks.pretend(password, similar, from).await?;
            return Ok(Checked::Unknown);
        };
        let tag = self.checks.tag(name, password, &hash);
        if self.checks.remembers(&tag) {
            return Ok(Checked::Right);
        }
        self.attempt(from)?;
        let is_right = self.checks.is_right(tag, password, hash, from).await?;
        Ok(if is_right { Checked::Right } else { Checked::Wrong })
    }

    #[cfg(feature = "rate-limit")]
    fn attempt(&self, from: Option<IpAddr>) -> Result<(), Unchecked> {
        let taken = self.attempts.as_ref().map(|limiter| limiter.take_from(from, 1));
        taken.transpose().map(|_| ()).map_err(Unchecked::TooMany)
    }

    #[cfg(not(feature = "rate-limit"))]
    #[expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "with limits it needs both")]
    fn attempt(&self, _: Option<IpAddr>) -> Result<(), Unchecked> {
        Ok(())
    }
}

impl Checks {
    fn new(hashing: Hashing) -> Self {
        Self {
            bench: Bench::new(hashing),
            hashing,
            decoy: Mutex::new(None),
            remembered: Mutex::new(LruCache::unbounded()),
            key: hmac::Key::new(hmac::HMAC_SHA256, &random::<32>()),
        }
    }

    fn remembers(&self, tag: &[u8; 32]) -> bool {
        let until = self.remembered().get(tag).copied();
        until.is_some_and(|until| until.is_none_or(|until| Instant::now() < until))
    }

    async fn is_right(
        &self,
        tag: [u8; 32],
        password: &Secret,
        hash: PasswordHash,
        from: Option<IpAddr>,
    ) -> Result<bool, Overloaded> {
        let password = password.clone();
        let compared = hash.clone();
        let is_right = self.bench.run(from, move || compared.is_of(&password)).await?;
        *self.decoy() = Some(hash);
        if is_right && !self.hashing.remembered_for.is_zero() {
            let until = Instant::now().checked_add(self.hashing.remembered_for);
            let mut remembered = self.remembered();
            remembered.put(tag, until);
            if remembered.len() > REMEMBERED {
                remembered.pop_lru();
            }
        }
        Ok(is_right)
    }

    /// Takes as long as a password that is wrong.
    async fn pretend(&self, password: &Secret, similar: Option<PasswordHash>, from: Option<IpAddr>) -> Result<(), Overloaded> {
        let password = password.clone();
        let decoy = self.decoy().clone().or(similar);
        if let Some(decoy) = decoy {
            return self.bench.run(from, move || _ = decoy.is_of(&password)).await;
        }
        let made = self.bench.run(from, || PasswordHash::of("")).await?;
        self.decoy().get_or_insert(made);
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

    fn remembered(&self) -> std::sync::MutexGuard<'_, LruCache<[u8; 32], Option<Instant>>> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn decoy(&self) -> std::sync::MutexGuard<'_, Option<PasswordHash>> {
        self.decoy.lock().unwrap_or_else(PoisonError::into_inner)
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
        assert_eq!(users.check("ann", &"one".into(), None).await.unwrap(), Checked::Right);
        assert_eq!(users.checks.remembered().len(), 1);
        assert_eq!(users.check("ann", &"one".into(), None).await.unwrap(), Checked::Right);
        assert_eq!(users.check("ann", &"two".into(), None).await.unwrap(), Checked::Wrong);
        assert_eq!(users.check("bob", &"one".into(), None).await.unwrap(), Checked::Unknown);
        assert_eq!(users.checks.remembered().len(), 1, "only what was right");
    }

    #[tokio::test]
    async fn a_changed_password_and_a_removed_user_count_at_once() {
        let users = Users::new();
        users.insert("ann", PasswordHash::of("one"));
        assert_eq!(users.check("ann", &"one".into(), None).await.unwrap(), Checked::Right);
        users.insert("ann", PasswordHash::of("two"));
        assert_eq!(users.check("ann", &"one".into(), None).await.unwrap(), Checked::Wrong);
        assert_eq!(users.check("ann", &"two".into(), None).await.unwrap(), Checked::Right);
        assert!(users.remove("ann"));
        assert_eq!(users.check("ann", &"two".into(), None).await.unwrap(), Checked::Unknown);
    }

    #[tokio::test]
    async fn a_remembered_password_is_not_hashed_again_and_not_forever_remembered() {
        let users = Users::new().hashing(Hashing { remembered_for: Duration::from_secs(60), ..Hashing::default() });
        let hash = PasswordHash::of("one");
        users.insert("ann", hash.clone());
        let tag = users.checks.tag("ann", &"other".into(), &hash);
        users.checks.remembered().put(tag, Some(Instant::now() + Duration::from_secs(60)));
        assert_eq!(users.check("ann", &"other".into(), None).await.unwrap(), Checked::Right, "it was not hashed");
        users.checks.remembered().put(tag, Some(Instant::now()));
        assert_eq!(users.check("ann", &"other".into(), None).await.unwrap(), Checked::Wrong, "it was hashed");
    }

    #[tokio::test]
    async fn a_database_is_asked_for_names_that_are_not_listed() {
        let hash = PasswordHash::of("one");
        let users = Users::found_by(move |name| {
            let found = (name == "ann").then(|| hash.clone());
            async { Ok::<_, Infallible>(found) }
        });
        assert_eq!(users.check("ann", &"one".into(), None).await.unwrap(), Checked::Right);
        assert_eq!(users.check("bob", &"one".into(), None).await.unwrap(), Checked::Unknown);
        let failing = Users::found_by(|_| async { Err::<Option<PasswordHash>, _>("the database is gone") });
        assert!(matches!(failing.check("ann", &"one".into(), None).await, Err(Unchecked::Lookup(_))));
    }

    /// The shortest time of five.
    async fn least(work: impl AsyncFn()) -> Duration {
        let mut least = Duration::MAX;
        for _ in 0..5 {
            let start = Instant::now();
            work().await;
            least = least.min(start.elapsed());
        }
        least
    }

    /// Both run argon2 with the same parameters: the unknown name does not come back in microseconds. The bound is wide, since a machine
    /// that does much else at one moment may do little at the next.
    #[tokio::test]
    async fn an_unknown_name_takes_as_long_as_a_wrong_password() {
        let users = Users::new();
        users.insert("ann", PasswordHash::of("one"));
        let known = least(async || _ = users.check("ann", &"wrong".into(), None).await.unwrap()).await;
        let unknown = least(async || _ = users.check("bob", &"wrong".into(), None).await.unwrap()).await;
        assert!(unknown > known / 20, "{known:?} {unknown:?}");
    }

    /// One that takes no time and no memory.
    fn cheap(password: &str) -> PasswordHash {
        use argon2::{Algorithm, Argon2, Params, PasswordHasher, Version};
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8, 1, 1, None).unwrap());
        PasswordHash::parse(&argon2.hash_password(password.as_bytes()).unwrap().to_string()).unwrap()
    }

    #[tokio::test]
    async fn an_unknown_name_takes_as_long_as_the_databases_hashes_do() {
        let hash = cheap("one");
        let users = Users::found_by(move |name| {
            let found = (name == "ann").then(|| hash.clone());
            async { Ok::<_, Infallible>(found) }
        });
        users.check("ann", &"wrong".into(), None).await.unwrap();
        let unknown = least(async || _ = users.check("bob", &"wrong".into(), None).await.unwrap()).await;
        let usual = least(async || _ = PasswordHash::of("")).await;
        assert!(unknown < usual / 4, "{unknown:?} {usual:?}");
    }

    #[tokio::test]
    async fn what_is_remembered_for_ever_is_remembered() {
        let users = Users::new().hashing(Hashing { remembered_for: Duration::MAX, ..Hashing::default() });
        users.insert("ann", cheap("one"));
        assert_eq!(users.check("ann", &"one".into(), None).await.unwrap(), Checked::Right);
        assert_eq!(users.check("ann", &"one".into(), None).await.unwrap(), Checked::Right);
        assert_eq!(users.checks.remembered().len(), 1);
    }

    #[cfg(feature = "rate-limit")]
    #[tokio::test]
    async fn an_address_may_try_so_many_passwords_and_no_more() {
        let users = Users::new().attempts(Limit::window(3, Duration::from_secs(3600)));
        users.insert("ann", cheap("one"));
        let (here, there) = (Some([192, 0, 2, 1].into()), Some([192, 0, 2, 2].into()));
        assert_eq!(users.check("ann", &"one".into(), here).await.unwrap(), Checked::Right);
        assert_eq!(users.check("ann", &"two".into(), here).await.unwrap(), Checked::Wrong);
        assert_eq!(users.check("bob", &"two".into(), here).await.unwrap(), Checked::Unknown);
        for (name, password) in [("ann", "three"), ("bob", "one")] {
            assert!(matches!(users.check(name, &password.into(), here).await, Err(Unchecked::TooMany(_))), "{name}");
        }
        assert_eq!(users.check("ann", &"one".into(), here).await.unwrap(), Checked::Right, "it is remembered, and costs nothing");
        assert_eq!(users.check("ann", &"two".into(), there).await.unwrap(), Checked::Wrong);
    }
}
