//! Session tokens: given for a name and a password, shown instead of them from then on.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use super::users::Users;
use crate::cookies::{CookieRules, CrossSite};
use crate::identity::{Identity, Scheme};
use crate::secret::{Secret, sha256, token};

/// So many tokens one user has at most: else somebody who logs in again and again would end everybody's.
const MOST_OF_ONE: usize = 100;

type Hash = [u8; 32];

/// Tokens that clients get with `POST /auth/session`, for [`Auth::session_tokens`](super::Auth::session_tokens).
///
/// A client sends name and password, as JSON (`{"user": "ann", "password": "…"}`, `Content-Type: application/json`) or by Basic, and gets
/// `{"token": "…", "expires_in": 28800}` and a cookie. `DELETE /auth/session` with the token ends it. Clones are the same tokens.
///
/// Tokens are 256 random bits; their SHA-256 is all that is kept, in memory, so that they end with the process.
#[derive(Clone)]
pub struct SessionTokens {
    pub(super) users: Users,
    pub(super) path: String,
    pub(super) lifetime: Duration,
    pub(super) cookie: Option<CookieRules>,
    most: usize,
    known: Arc<Mutex<Known>>,
}

struct Known {
    tokens: LruCache<Hash, Given>,
    /// The tokens of each user, the oldest first.
    users: HashMap<String, VecDeque<Hash>>,
}

struct Given {
    identity: Identity,
    /// `None`: for ever.
    until: Option<Instant>,
}

impl SessionTokens {
    /// Tokens for these users.
    #[must_use]
    pub fn new(users: Users) -> Self {
        Self {
            users,
            path: "/auth/session".to_owned(),
            lifetime: Duration::from_secs(8 * 3600),
            cookie: Some(CookieRules::named("token")),
            most: 100_000,
            known: Arc::new(Mutex::new(Known { tokens: LruCache::unbounded(), users: HashMap::new() })),
        }
    }

    /// How long a token lasts, however much it is used. Default: 8 hours; [`Duration::MAX`]: as long as the process.
    #[must_use]
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.lifetime = lifetime;
        self
    }

    /// How many there are at most; a new one then ends the one that was not used for the longest time. Default: 100 000. One user has at
    /// most 100; a new one then ends the user's oldest.
    #[must_use]
    pub fn max(mut self, tokens: usize) -> Self {
        self.most = tokens.max(1);
        self
    }

    /// The path of the login. Default: `/auth/session`.
    ///
    /// # Panics
    /// If it does not begin with `/`.
    #[must_use]
    #[track_caller]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        assert!(self.path.starts_with('/'), "{:?} is no path: it has to begin with /", self.path);
        self
    }

    /// The cookie's name. Default: `token`. Where the client has TLS, `__Host-` or `__Secure-` goes before it; see docs/security.md.
    ///
    /// # Panics
    /// If it cannot be one.
    #[must_use]
    #[track_caller]
    pub fn cookie(mut self, name: impl Into<String>, cross_site: CrossSite) -> Self {
        let mut rules = CookieRules { cross_site, ..CookieRules::named("token") };
        rules.rename(name);
        self.cookie = Some(rules);
        self
    }

    /// Tokens are neither given nor taken in cookies: for apps that have no pages.
    #[must_use]
    pub fn without_cookie(mut self) -> Self {
        self.cookie = None;
        self
    }

    /// Ends a token; `false` if there is none.
    pub fn revoke(&self, token: &str) -> bool {
        self.known().end(&sha256(token.as_bytes()))
    }

    /// Ends all tokens of a user, and says how many there were.
    pub fn revoke_all_of(&self, name: &str) -> usize {
        let mut known = self.known();
        let theirs = known.users.get(name).cloned().unwrap_or_default();
        theirs.iter().filter(|hash| known.end(hash)).count()
    }

    /// A new token for somebody, who has shown in another way who they are.
    #[must_use]
    pub fn issue(&self, identity: &Identity) -> Secret {
        let mut same = Identity::new(identity.name(), Scheme::SessionToken).with_scopes(identity.scopes());
        same = same.with_claims(identity.claims().clone());
        let given = Given { identity: same, until: Instant::now().checked_add(self.lifetime) };
        let token = token();
        self.known().add(sha256(token.expose().as_bytes()), given, self.most);
        token
    }

    /// Whose token it is.
    pub(super) fn check(&self, token: &str) -> Option<Identity> {
        let hash = sha256(token.as_bytes());
        let mut known = self.known();
        let given = known.tokens.get(&hash)?;
        if given.until.is_none_or(|until| Instant::now() < until) {
            return Some(given.identity.clone());
        }
        known.end(&hash);
        None
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, hash: Hash, given: Given, most: usize) {
        let theirs = self.users.entry(given.identity.name().to_owned()).or_default();
        theirs.push_back(hash);
        let oldest = if theirs.len() > MOST_OF_ONE { theirs.front().copied() } else { None };
        self.tokens.put(hash, given);
        oldest.map(|oldest| self.end(&oldest));
        while self.tokens.len() > most {
            let Some(unused) = self.tokens.peek_lru().map(|(hash, _)| *hash) else { break };
            self.end(&unused);
        }
    }

    /// Ends a token; `false` if there is none.
    fn end(&mut self, hash: &Hash) -> bool {
        let Some(given) = self.tokens.pop(hash) else { return false };
        let name = given.identity.name();
        if let Some(theirs) = self.users.get_mut(name) {
            theirs.retain(|known| known != hash);
            if theirs.is_empty() {
                self.users.remove(name);
            }
        }
        true
    }
}

impl fmt::Debug for SessionTokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionTokens")
            .field("path", &self.path)
            .field("lifetime", &self.lifetime)
            .field("known", &self.known().tokens.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Identity {
        Identity::new("ann", Scheme::Basic).with_scopes(["read"])
    }

    #[tokio::test(start_paused = true)]
    async fn a_token_is_its_users_until_it_expires() {
        let tokens = SessionTokens::new(Users::new()).lifetime(Duration::from_secs(60));
        let token = tokens.issue(&ann());
        let identity = tokens.check(token.expose()).unwrap();
        assert_eq!((identity.name(), identity.scheme(), identity.has_scope("read")), ("ann", Scheme::SessionToken, true));
        assert_eq!(tokens.check("another"), None);
        assert_ne!(tokens.issue(&ann()).expose(), token.expose());
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(tokens.check(token.expose()), None);
    }

    #[tokio::test]
    async fn tokens_can_be_ended_one_or_all() {
        let tokens = SessionTokens::new(Users::new());
        let all = [tokens.issue(&ann()), tokens.issue(&ann()), tokens.issue(&Identity::new("bob", Scheme::Basic))];
        assert!(tokens.revoke(all[0].expose()));
        assert!(!tokens.revoke(all[0].expose()));
        assert_eq!(tokens.revoke_all_of("ann"), 1);
        assert_eq!(tokens.check(all[1].expose()), None);
        assert!(tokens.check(all[2].expose()).is_some());
    }

    #[tokio::test]
    async fn there_are_no_more_tokens_than_may_be() {
        let tokens = SessionTokens::new(Users::new()).max(2);
        let (first, second) = (tokens.issue(&ann()), tokens.issue(&ann()));
        assert!(tokens.check(first.expose()).is_some());
        let third = tokens.issue(&ann());
        assert!(tokens.check(second.expose()).is_none(), "it was not used for the longest time");
        assert!(tokens.check(first.expose()).is_some() && tokens.check(third.expose()).is_some());
    }

    #[tokio::test]
    async fn a_token_may_last_for_ever() {
        let tokens = SessionTokens::new(Users::new()).lifetime(Duration::MAX);
        let token = tokens.issue(&ann());
        assert!(tokens.check(token.expose()).is_some());
    }

    #[tokio::test]
    async fn one_user_cannot_end_the_tokens_of_others() {
        let tokens = SessionTokens::new(Users::new()).max(MOST_OF_ONE + 1);
        let bobs = tokens.issue(&Identity::new("bob", Scheme::Basic));
        let anns: Vec<_> = (0..1_000).map(|_| tokens.issue(&ann())).collect();
        assert!(tokens.check(bobs.expose()).is_some());
        assert_eq!(anns.iter().filter(|token| tokens.check(token.expose()).is_some()).count(), MOST_OF_ONE);
        assert!(tokens.check(anns[999].expose()).is_some());
        assert_eq!(tokens.revoke_all_of("ann"), MOST_OF_ONE);
        assert_eq!(tokens.known().users.len(), 1);
    }
}
