//! Who may come in: [`Auth`], a layer that finds out who sends a request, and refuses those who do not say so.
//!
//! ```
//! use http::Method;
//! use narthex::auth::{Auth, PasswordHash, SessionTokens, Users};
//!
//! let users = Users::new();
//! users.insert("ann", PasswordHash::of("correct horse battery staple"));
//! let auth = Auth::new("Orders")
//!     .basic(users.clone())
//!     .session_tokens(SessionTokens::new(users))
//!     .anonymous([Method::GET], ["/", "/public/*"]);
//! # #[cfg(feature = "axum")]
//! let app: axum::Router = axum::Router::new().layer(auth);
//! ```
//!
//! A request that is let in has an [`Identity`](crate::Identity) in its extensions, and so has the handshake of a WebSocket: the layer goes
//! around [`Hub::route`](crate::hub::Hub::route) as around any other route, and `on_connect` sees the identity.
//!
//! # The order
//!
//! 1. A request that has an [`Identity`](crate::Identity) from a layer further out, such as that of API keys, passes.
//! 2. So does a preflight request of CORS: browsers send no credentials with it.
//! 3. The login's path is answered by the layer, if there are session tokens.
//! 4. The first place that has credentials counts: the field `Authorization`, a token in a handshake (if allowed), the token's cookie, a
//!    client certificate. A cookie or certificate that says nothing is passed over, since nobody can help sending it.
//! 5. The scheme that knows the credentials decides: of Basic, the users whose name it is; of bearer tokens, first the session tokens,
//!    then JWTs.
//! 6. What none of them knows (another name, another token, another scheme, nothing at all) goes to the [custom hook](Auth::custom).
//! 7. Who is still unknown and has shown nothing in `Authorization` or a handshake passes where [anonymous](Auth::anonymous) requests
//!    may; else the answer is 401, with a challenge for each scheme (RFC 9110 section 11.6.1), or 403 if there is none to make: certificates
//!    and hooks have only [those that the app adds](Auth::challenge).
//! 8. A request that changes something, has been let in for what browsers add by themselves, and comes from a page of another origin is
//!    answered 403 ([`Auth::origins`]).
//!
//! So a hook never overrules the users that the app has listed, nor they the hook. docs/security.md compares this with other servers.

mod admit;
mod anonymous;
mod certificates;
mod credentials;
mod custom;
mod jwt;
mod login;
mod passwords;
mod require;
mod tokens;
mod users;

use std::sync::Arc;

use http::{HeaderValue, Method};
use tower_layer::Layer;

pub use certificates::CertificateNames;
pub use credentials::{Credentials, TOKEN_PROTOCOL};
pub use custom::{Attempt, Verdict};
pub use jwt::{Algorithm, BadJwtKey, Jwt, JwtKey, JwtKeys};
pub use passwords::{Hashing, NotAPasswordHash, PasswordHash};
pub use require::{Require, Required};
pub use tokens::SessionTokens;
pub use users::Users;

use crate::guard::Guarded;
use crate::origins::Origins;
use anonymous::Anonymous;
use credentials::WebSocketPlaces;
use custom::Hook;

/// A layer that lets in who says who they are. The [module](self) has the order in which it looks.
#[derive(Clone, Debug)]
#[must_use = "it guards nothing until it is a layer of an app"]
pub struct Auth {
    realm: String,
    users: Option<Users>,
    jwt: Option<Jwt>,
    tokens: Option<SessionTokens>,
    certificates: Option<CertificateNames>,
    hook: Option<Hook>,
    anonymous: Anonymous,
    places: WebSocketPlaces,
    further_challenges: Vec<HeaderValue>,
    origins: Origins,
}

impl Auth {
    /// Guards the realm with this name, which clients may show to people. Nobody is let in until a scheme is added.
    ///
    /// # Panics
    /// If the name is not of printable ASCII characters.
    #[track_caller]
    pub fn new(realm: impl Into<String>) -> Self {
        let realm = realm.into();
        let is_plain =
            !realm.is_empty() && realm.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'"' && byte != b'\\');
        assert!(is_plain, "{realm:?} cannot name a realm: use printable ASCII characters without \" and \\");
        Self {
            realm,
            users: None,
            jwt: None,
            tokens: None,
            certificates: None,
            hook: None,
            anonymous: Anonymous::default(),
            places: WebSocketPlaces::default(),
            further_challenges: Vec::new(),
            origins: Origins::default(),
        }
    }

    /// Takes name and password with every request (RFC 7617).
    pub fn basic(mut self, users: Users) -> Self {
        self.users = Some(users);
        self
    }

    /// Takes JSON Web Tokens as bearer tokens (RFC 6750).
    pub fn bearer(mut self, jwt: Jwt) -> Self {
        self.jwt = Some(jwt);
        self
    }

    /// Gives session tokens for a name and a password, and takes them as bearer tokens and in a cookie. `POST` and `DELETE` of their
    /// path are answered by this layer, which has to be around more than single routes for that.
    pub fn session_tokens(mut self, tokens: SessionTokens) -> Self {
        self.tokens = Some(tokens);
        self
    }

    /// Takes the certificates that clients show in the TLS handshake.
    pub fn client_certificates(mut self, names: CertificateNames) -> Self {
        self.certificates = Some(names);
        self
    }

    /// Asks the app about requests that no other scheme has decided about. The last that is asked.
    pub fn custom<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn(Attempt) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Verdict> + Send + 'static,
    {
        self.hook = Some(Hook::new(hook));
        self
    }

    /// Offers a scheme that the [hook](Self::custom) knows, such as `Negotiate`, in `WWW-Authenticate`, after those that are built in. May be
    /// called more than once. Where there is no challenge at all, refusals are 403 instead of 401, which would need one.
    pub fn challenge(mut self, challenge: HeaderValue) -> Self {
        self.further_challenges.push(challenge);
        self
    }

    /// Pages of these origins, too, may send requests that change something with what a browser adds by itself: the token's cookie, a
    /// password by Basic, a certificate. `https://shop.example.com`, `http://127.0.0.1:*` for any port, or `*` for all. Other pages but those
    /// of the request's own origin are answered 403, as `Sec-Fetch-Site` or `Origin` says, unless the method is safe (`GET`, `HEAD`,
    /// `OPTIONS`). Default: none. Who shows a bearer token, or is known to the [hook](Self::custom), may send from everywhere.
    ///
    /// # Panics
    /// If a text is none of these.
    #[track_caller]
    pub fn origins<I: IntoIterator<Item: AsRef<str>>>(mut self, origins: I) -> Self {
        self.origins = Origins::of(origins);
        self
    }

    /// Lets requests with these methods for these paths in without an identity: `/path` for one, `/path/*` for all below it, as
    /// the layer sees them. `GET` includes `HEAD`. May be called more than once.
    ///
    /// # Panics
    /// If a path is neither.
    #[track_caller]
    pub fn anonymous(mut self, methods: impl IntoIterator<Item = Method>, paths: impl IntoIterator<Item: AsRef<str>>) -> Self {
        self.anonymous.add(methods, paths);
        self
    }

    /// Takes a bearer token from the sub-protocols that the handshake of a WebSocket offers, as
    /// `new WebSocket(url, ["chat", "narthex.token." + token])`: pages cannot set header fields. The hub has to speak one of the
    /// others, since browsers want an answer. The token is taken out before the app sees the handshake. Default: no.
    pub fn token_in_protocol(mut self) -> Self {
        self.places.protocol = true;
        self
    }

    /// Takes a bearer token from this parameter of the query of a WebSocket's handshake. The app does not see it, but access logs of
    /// the host and of proxies do, so that [`token_in_protocol`](Self::token_in_protocol) is better. Default: no.
    pub fn token_in_query(mut self, parameter: impl Into<String>) -> Self {
        self.places.query = Some(parameter.into());
        self
    }

    /// What is offered to who has not said who they are, the preferred first.
    fn challenges(&self, bad_token: bool) -> Vec<HeaderValue> {
        let mut challenges = Vec::new();
        if self.jwt.is_some() || self.tokens.is_some() {
            challenges.push(self.bearer_challenge(bad_token));
        }
        if self.users.is_some() {
            challenges.push(format!("Basic realm=\"{}\", charset=\"UTF-8\"", self.realm));
        }
        let built_in = challenges.into_iter().filter_map(|challenge| HeaderValue::try_from(challenge).ok());
        built_in.chain(self.further_challenges.iter().cloned()).collect()
    }

    fn bearer_challenge(&self, bad_token: bool) -> String {
        let error = if bad_token { ", error=\"invalid_token\"" } else { "" };
        format!("Bearer realm=\"{}\"{error}", self.realm)
    }
}

impl<S> Layer<S> for Auth {
    type Service = Guarded<Self, S>;

    fn layer(&self, inner: S) -> Self::Service {
        Guarded::new(Arc::new(self.clone()), inner)
    }
}
