//! Passwords: argon2id, away from the threads that do I/O, and never more at once than the memory is for.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use tokio::sync::Semaphore;

use crate::guard::network_of;
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
    /// So many requests wait for that. More are answered 503, and so are those of one address (for IPv6, one network of 64 bits) beyond a
    /// quarter of these: it must not keep everybody else out. Default: 64.
    pub waiting: usize,
    /// A name and password that were right are taken for right for so long without being hashed, since Basic sends them with
    /// every request. A password that is changed counts at once nevertheless. Default: 60 s; zero: never; [`Duration::MAX`]: for ever.
    pub remembered_for: Duration,
}

impl Default for Hashing {
    fn default() -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, usize::from);
        Self { at_once, waiting: 64, remembered_for: Duration::from_secs(60) }
    }
}

/// More passwords are being checked than may be, or the one that was broke off.
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
    /// How many of them come from one network at most, and how many do.
    of_one: usize,
    places: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One that a network has. It is given back when this is dropped.
struct Place {
    network: IpAddr,
    places: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = places.get_mut(&self.network) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                places.remove(&self.network);
            }
        }
    }
}

impl Bench {
    pub(super) fn new(hashing: Hashing) -> Self {
        let at_once = hashing.at_once.max(1);
        let admitted = at_once.saturating_add(hashing.waiting).min(Semaphore::MAX_PERMITS);
        Self {
            running: Arc::new(Semaphore::new(at_once.min(Semaphore::MAX_PERMITS))),
            admitted: Arc::new(Semaphore::new(admitted)),
            of_one: at_once.saturating_add(hashing.waiting.div_ceil(4)),
            places: Arc::default(),
        }
    }

    /// Does `work` on a thread that may block. A request that is given up leaves at once if it waits; work that runs is finished and
    /// counts until then.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        from: Option<IpAddr>,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Overloaded> {
        // Those who are not known have no bound of their own: they may be anybody.
        let place = from.map(|from| self.place(network_of(from))).transpose()?;
        let admitted = Arc::clone(&self.admitted).try_acquire_owned().map_err(|_| Overloaded)?;
        let running = Arc::clone(&self.running).acquire_owned().await.map_err(|_| Overloaded)?;
        let done = tokio::task::spawn_blocking(move || {
            let done = work();
            drop((running, admitted, place));
            done
        });
        done.await.map_err(|_| Overloaded)
    }

    fn place(&self, network: IpAddr) -> Result<Place, Overloaded> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = places.entry(network).or_default();
        if *taken >= self.of_one {
            return Err(Overloaded);
        }
        *taken += 1;
        Ok(Place { network, places: Arc::clone(&self.places) })
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
            async move { bench.run(None, move || gone.recv()).await }
        });
        while bench.running.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let waiting = tokio::spawn({
            let bench = Arc::clone(&bench);
            async move { bench.run(None, || 2).await }
        });
        while bench.admitted.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(bench.run(None, || 3).await, Err(Overloaded));
        go.send(()).unwrap();
        assert!(working.await.unwrap().is_ok());
        assert_eq!(waiting.await.unwrap(), Ok(2));
        assert_eq!(bench.run(None, || 4).await, Ok(4), "there is room again");
    }

    #[tokio::test]
    async fn one_address_cannot_take_all_places() {
        let bench = Arc::new(Bench::new(Hashing { at_once: 1, waiting: 8, ..Hashing::default() }));
        let (go, gone) = std::sync::mpsc::channel::<()>();
        let gone = Arc::new(Mutex::new(gone));
        let from = |last: u8| Some(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last.into()]));
        let many: Vec<_> = (0..20_u8)
            .map(|last| {
                let (bench, gone) = (Arc::clone(&bench), Arc::clone(&gone));
                tokio::spawn(async move { bench.run(from(last), move || _ = gone.lock().unwrap().recv()).await })
            })
            .collect();
        while bench.places.lock().unwrap().values().sum::<usize>() < 3 {
            tokio::task::yield_now().await;
        }
        let other = tokio::spawn({
            let bench = Arc::clone(&bench);
            async move { bench.run(Some([192, 0, 2, 1].into()), || 7).await }
        });
        drop(go);
        assert_eq!(other.await.unwrap(), Ok(7));
        let mut admitted = 0;
        for one in many {
            admitted += usize::from(one.await.unwrap().is_ok());
        }
        assert_eq!(admitted, 3, "one that is hashed, and two of the eight that wait");
        assert!(bench.places.lock().unwrap().is_empty(), "nothing is left of them");
    }
}
