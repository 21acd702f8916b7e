//! Where the keys come from that check JWTs, and when they are fetched again.

use std::fmt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use jsonwebtoken::Algorithm;
use tokio::time::{Instant, timeout};

use super::keys::{BadJwtKey, JwtKey};
use crate::BoxError;

/// A fetch that takes longer has failed, and nobody waits longer for one.
const FETCH: Duration = Duration::from_secs(10);

type Fetching = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;

/// The keys of an issuer, for [`Jwt`](super::Jwt).
#[derive(Clone)]
pub struct JwtKeys(Arc<Inner>);

struct Inner {
    keys: RwLock<Arc<[JwtKey]>>,
    source: Option<Source>,
}

struct Source {
    fetch: Box<dyn Fn() -> Fetching + Send + Sync>,
    max_age: Duration,
    min_interval: Duration,
    /// When it last was done, and last tried. The latter is set by who has `fetching`.
    fetched: Moment,
    tried: Moment,
    /// Who fetches, others wait for.
    fetching: tokio::sync::Mutex<()>,
}

/// The keys have never been fetched: no token can be judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoKeysYet;

/// A point in time that every request looks at, so that it is no lock.
struct Moment {
    began: Instant,
    /// Nanoseconds since then, and one; 0: never.
    after: AtomicU64,
}

impl Moment {
    fn never() -> Self {
        Self { began: Instant::now(), after: AtomicU64::new(0) }
    }

    fn is_now(&self) {
        let nanoseconds = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.after.store(nanoseconds.saturating_add(1), Ordering::Release);
    }

    /// `None`: it has never been.
    fn elapsed(&self) -> Option<Duration> {
        let nanoseconds = self.after.load(Ordering::Acquire).checked_sub(1)?;
        Some(self.began.elapsed().saturating_sub(Duration::from_nanos(nanoseconds)))
    }
}

impl JwtKeys {
    /// These keys, for as long as the app runs.
    #[must_use]
    pub fn fixed(keys: impl IntoIterator<Item = JwtKey>) -> Self {
        Self(Arc::new(Inner { keys: RwLock::new(keys.into_iter().collect()), source: None }))
    }

    /// The keys of a JWK set (RFC 7517). Secrets in it are left out.
    ///
    /// # Errors
    /// If it is no JWK set.
    pub fn jwks(json: &str) -> Result<Self, BadJwtKey> {
        Ok(Self::fixed(JwtKey::set(json)?))
    }

    /// The keys of a file with a JWK set, which is read again after a minute, or 5 s if a token names a key that is not there.
    #[must_use]
    pub fn jwks_file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        let read = move || {
            let path = path.clone();
            async move { tokio::task::spawn_blocking(move || std::fs::read_to_string(path)).await? }
        };
        Self::with_source(Duration::from_secs(60), Duration::from_secs(5), move || {
            let read = read();
            Box::pin(async move { read.await.map_err(Into::into) })
        })
    }

    /// The keys of the JWK set that `fetch` gets: from the issuer's `jwks_uri`, with the HTTP client of the app. It is called with
    /// the first token, again when the keys are older than `max_age`, and when a token names a key that is not there, but not
    /// more often than every `min_interval`, whoever sends such tokens. If it fails or takes longer than 10 s, the keys stay as they are;
    /// until there are any, the answer is 503.
    #[must_use]
    pub fn fetched<F, Fut, E>(max_age: Duration, min_interval: Duration, fetch: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        Self::with_source(max_age, min_interval, move || {
            let fetching = fetch();
            Box::pin(async move { fetching.await.map_err(Into::into) })
        })
    }

    fn with_source(max_age: Duration, min_interval: Duration, fetch: impl Fn() -> Fetching + Send + Sync + 'static) -> Self {
        let source = Source {
            fetch: Box::new(fetch),
            max_age,
            min_interval,
            fetched: Moment::never(),
            tried: Moment::never(),
            fetching: tokio::sync::Mutex::new(()),
        };
        Self(Arc::new(Inner { keys: RwLock::new([].into()), source: Some(source) }))
    }

    /// The keys, among which is one for such a token if the source has it.
    pub(super) async fn of(&self, id: Option<&str>, algorithm: Algorithm) -> Result<Arc<[JwtKey]>, NoKeysYet> {
        let keys = self.0.keys();
        let Some(source) = &self.0.source else { return Ok(keys) };
        let missing = !keys.iter().any(|key| key.fits(id, algorithm));
        // Where one is there, and somebody is at it, these will do.
        let is_due = || source.is_stale() && source.may_fetch() && source.fetching.try_lock().is_ok();
        if !missing && !is_due() {
            return Ok(keys);
        }
        if source.may_fetch() {
            // A task of its own: a client that leaves must not keep the keys from being fetched.
            let inner = Arc::clone(&self.0);
            let _ = timeout(FETCH, tokio::spawn(async move { inner.fetch().await })).await;
        } else {
            // If that is since somebody has begun, the key may be among what comes.
            let _ = timeout(FETCH, source.fetching.lock()).await;
        }
        if source.fetched.elapsed().is_none() { Err(NoKeysYet) } else { Ok(self.0.keys()) }
    }
}

impl Inner {
    fn keys(&self) -> Arc<[JwtKey]> {
        Arc::clone(&self.keys.read().unwrap_or_else(PoisonError::into_inner))
    }

    async fn fetch(&self) {
        let Some(source) = &self.source else { return };
        let _fetching = source.fetching.lock().await;
        if !source.may_fetch() {
            return;
        }
        source.tried.is_now();
        let fetched: Result<Vec<JwtKey>, BoxError> = match timeout(FETCH, (source.fetch)()).await {
            Ok(Ok(json)) => JwtKey::set(&json).map_err(Into::into),
            Ok(Err(error)) => Err(error),
            Err(_) => Err("it takes too long".into()),
        };
        match fetched {
            Ok(keys) => {
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys.into();
                source.fetched.is_now();
            }
            Err(error) => {
                tracing::warn!("cannot fetch the keys of JSON Web Tokens, and go on with those that there are: {error}")
            }
        }
    }
}

impl Source {
    fn is_stale(&self) -> bool {
        self.fetched.elapsed().is_none_or(|since| since > self.max_age)
    }

    fn may_fetch(&self) -> bool {
        self.tried.elapsed().is_none_or(|since| since >= self.min_interval)
    }
}

impl fmt::Debug for JwtKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("JwtKeys").field(&self.0.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::sync::atomic::{AtomicUsize, Ordering};

    fn set(ids: &[&str]) -> String {
        let keys: Vec<_> = ids.iter().map(|id| format!(r#"{{"kty": "RSA", "kid": "{id}", "n": "AQAB", "e": "AQAB"}}"#)).collect();
        format!(r#"{{"keys": [{}]}}"#, keys.join(","))
    }

    async fn has(keys: &JwtKeys, id: &str) -> bool {
        keys.of(Some(id), Algorithm::RS256).await.is_ok_and(|keys| keys.iter().any(|key| key.fits(Some(id), Algorithm::RS256)))
    }

    #[tokio::test(start_paused = true)]
    async fn keys_are_fetched_when_they_are_needed_and_no_more_often() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let keys = JwtKeys::fetched(Duration::from_secs(3600), Duration::from_secs(60), move || {
            let count = counted.fetch_add(1, Ordering::SeqCst);
            async move { if count == 1 { Err("the issuer is gone") } else { Ok(set(&["a", "b", "c"][..=count.min(2)])) } }
        });
        assert_eq!(count.load(Ordering::SeqCst), 0);
        assert!(has(&keys, "a").await);
        for _ in 0..100 {
            assert!(!has(&keys, "c").await);
        }
        assert_eq!(count.load(Ordering::SeqCst), 1, "unknown ids do not make it fetch");
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(!has(&keys, "c").await);
        assert!(has(&keys, "a").await, "a failure leaves the keys");
        assert_eq!(count.load(Ordering::SeqCst), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(has(&keys, "c").await);
        assert!(has(&keys, "a").await);
        assert_eq!(count.load(Ordering::SeqCst), 3);
        tokio::time::advance(Duration::from_secs(3601)).await;
        assert!(has(&keys, "a").await);
        assert_eq!(count.load(Ordering::SeqCst), 4, "they were old");
    }

    #[tokio::test(start_paused = true)]
    async fn many_who_need_keys_wait_for_one_fetch() {
        let count = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&count);
        let keys = JwtKeys::fetched(Duration::from_secs(3600), Duration::from_secs(60), move || {
            counted.fetch_add(1, Ordering::SeqCst);
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, BoxError>(set(&["a"]))
            }
        });
        // The first is at it for half of its time when the last comes.
        let asking: Vec<_> = (0..20)
            .map(|number| {
                tokio::spawn({
                    let keys = keys.clone();
                    async move {
                        tokio::time::sleep(Duration::from_millis(25) * number).await;
                        has(&keys, "a").await
                    }
                })
            })
            .collect();
        for one in asking {
            assert!(one.await.unwrap());
        }
        assert_eq!(count.load(Ordering::SeqCst), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_key_is_waited_for_by_all_whose_tokens_it_signs() {
        let count = Arc::new(AtomicUsize::new(0));
        let keys = JwtKeys::fetched(Duration::from_secs(3600), Duration::from_secs(60), move || {
            let count = count.fetch_add(1, Ordering::SeqCst);
            async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok::<_, BoxError>(set(&["a", "b"][..=count.min(1)]))
            }
        });
        assert!(has(&keys, "a").await);
        tokio::time::advance(Duration::from_secs(60)).await;
        let later = async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let began = Instant::now();
            assert!(has(&keys, "a").await && began.elapsed().is_zero(), "who needs no other does not wait");
            has(&keys, "b").await
        };
        assert_eq!(tokio::join!(has(&keys, "b"), later), (true, true));
    }

    #[tokio::test(start_paused = true)]
    async fn no_token_is_judged_before_there_are_keys() {
        let count = Arc::new(AtomicUsize::new(0));
        let keys = JwtKeys::fetched(Duration::from_secs(3600), Duration::from_secs(60), move || {
            let count = count.fetch_add(1, Ordering::SeqCst);
            async move { if count == 0 { Err("the issuer is gone") } else { Ok(set(&["a"])) } }
        });
        for _ in 0..3 {
            assert_eq!(keys.of(Some("a"), Algorithm::RS256).await.unwrap_err(), NoKeysYet);
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        assert!(has(&keys, "a").await);
        assert!(keys.of(Some("b"), Algorithm::RS256).await.is_ok(), "there is none, and that is known");
    }

    #[tokio::test]
    async fn a_file_gives_its_keys() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(set(&["a"]).as_bytes()).unwrap();
        assert!(has(&JwtKeys::jwks_file(file.path()), "a").await);
        assert!(!has(&JwtKeys::jwks_file("/nowhere/jwks.json"), "a").await);
    }
}
