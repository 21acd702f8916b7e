//! Passwords: argon2id, away from the threads that do I/O, and never more at once than the memory is for.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::secret::Secret;

/// What is kept of a password: argon2id (RFC 9106) as a PHC string, `$argon2id$v=19$m=19456,t=2,p=1$…`.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash(Box<str>);

/// A text is no hash that passwords can be compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no argon2id hash: make one with PasswordHash::of, or take it over from another program as a PHC string ($argon2id$…)"
)]
pub struct NotAPasswordHash;

/// What checking passwords may cost, for [`Users::hashing`](super::Users::hashing).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hashing {
    /// So many are hashed at once, each in 19 MiB unless its hash says otherwise. Default: one per core.
    pub at_once: usize,
    /// So many requests wait for that. More are answered 503. Default: 64.
    pub waiting: usize,
    /// A name and password that were right are taken for right for so long without being hashed, since Basic sends them with
    /// every request. A password that is changed counts at once nevertheless. Default: 60 s; zero: never.
    pub remembered_for: Duration,
}

impl Default for Hashing {
    fn default() -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        Self { at_once, waiting: 64, remembered_for: Duration::from_secs(60) }
    }
}

/// More passwords are being checked than may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Overloaded;

impl PasswordHash {
    /// Hashes a password, with a new salt, in 19 MiB and two passes. It takes tens of milliseconds and blocks for so long.
    ///
    /// # Panics
    /// If the system has no randomness.
    #[must_use]
    pub fn of(password: &str) -> Self {
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::DEFAULT);
        let hash = argon2.hash_password(password.as_bytes()).expect("any text can be hashed with these parameters");
        Self(hash.to_string().into())
    }

    /// A hash that was made before.
    ///
    /// # Errors
    /// If it is none of argon2id.
    pub fn parse(text: &str) -> Result<Self, NotAPasswordHash> {
        let hash = phc::PasswordHash::new(text).map_err(|_| NotAPasswordHash)?;
        let usable = hash.algorithm.as_str() == "argon2id" && hash.hash.is_some() && Params::try_from(&hash).is_ok();
        if usable { Ok(Self(text.into())) } else { Err(NotAPasswordHash) }
    }

    /// The PHC string, to be stored.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a password is the one. Costs as much as hashing it.
    pub(super) fn is_of(&self, password: &Secret) -> bool {
        // The crate compares in constant time, with the parameters of the hash.
        let hash = phc::PasswordHash::new(&self.0);
        hash.is_ok_and(|hash| Argon2::default().verify_password(password.expose().as_bytes(), &hash).is_ok())
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Where hashing is done.
#[derive(Debug)]
pub(super) struct Bench {
    running: Arc<Semaphore>,
    /// Who runs and who waits.
    admitted: Arc<Semaphore>,
}

impl Bench {
    pub(super) fn new(hashing: Hashing) -> Self {
        let at_once = hashing.at_once.max(1);
        let admitted = at_once.saturating_add(hashing.waiting).min(Semaphore::MAX_PERMITS);
        Self {
            running: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            admitted: Arc::new(Semaphore::new(admitted)),
        }
    }

    /// Does `work` on a thread that may block. A request that is given up leaves at once if it waits; work that runs is finished and
    /// counts until then.
    pub(super) async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Overloaded> {
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Overloaded)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted));
            done
        });
        done.await.map_err(|_| Overloaded)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_of_its_password_only() {
        let hash = PasswordHash::of("correct horse");
        assert!(hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{}", hash.as_str());
        assert!(hash.is_of(&"correct horse".into()));
        assert!(!hash.is_of(&"correct horsf".into()));
        assert_eq!(PasswordHash::parse(hash.as_str()), Ok(hash.clone()));
        assert_ne!(PasswordHash::of("correct horse"), hash, "salts differ");
        assert_eq!(format!("{hash:?}"), "PasswordHash(..)");
    }

    #[test]
    fn other_hashes_are_refused_when_they_are_given() {
        for text in
            ["", "secret", "$argon2i$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ$aGFzaGhhc2hoYXNo", "$2b$12$abc", "$argon2id$v=19$m=1"]
        {
            assert_eq!(PasswordHash::parse(text), Err(NotAPasswordHash), "{text}");
        }
    }

    #[tokio::test]
    async fn who_finds_too_many_waiting_is_told_at_once() {
        let bench = Arc::new(Bench::new(Hashing { at_once: 1, waiting: 1, ..Hashing::default() }));
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let working = tokio::spawn({
            let bench = Arc::clone(&bench);
            async move { bench.run(move || gone.recv()).await }
        });
        while bench.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let bench = Arc::clone(&bench);
            async move { bench.run(|| 2).await }
        });
        while bench.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.run(|| 3).await, Err(Overloaded));
        go.send(()).unwrap();
        assert!(working.await.unwrap().is_ok());
        assert_eq!(waiting.await.unwrap(), Ok(2));
        assert_eq!(bench.run(|| 4).await, Ok(4), "there is room again");
    }
}
