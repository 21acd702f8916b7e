//! The order in which it is found out who sends a request; the documentation of [`auth`](super) has it in words.

use http::header::WWW_AUTHENTICATE;
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use super::Auth;
use super::credentials::Credentials;
use super::custom::Verdict;
use super::jwt::BadToken;
use super::login::{hide, unchecked};
use super::users::{Checked, Unchecked};
use crate::BoxError;
use crate::guard::{Answer, Gate, busy, client_ip, foreign, is_preflight, is_web_socket, status};
use crate::identity::{Identity, Scheme};
use crate::secret::Secret;

/// What a scheme makes of credentials.
enum Judged {
    Accepted(Identity),
    Refused,
    /// It does not know them.
    Undecided,
}

impl<B> Gate<B> for Auth
where
    B: http_body::Body<Data: Send, Error: Into<BoxError>> + Send + 'static,
{
    type Pass = ();

    async fn admit(&self, parts: &mut Parts, body: &mut Option<B>) -> Result<(), Answer> {
        if parts.extensions.get::<Identity>().is_some() || is_preflight(parts, body.as_ref()) {
            return Ok(());
        }
        if let Some(tokens) = self.tokens.as_ref().filter(|tokens| tokens.is_at(parts)) {
            let challenge = HeaderValue::try_from(self.bearer_challenge(false)).unwrap_or(HeaderValue::from_static("Bearer"));
            return Err(tokens.answer(parts, body.take(), &challenge).await);
        }
        if let Some(identity) = self.identify(parts).await? {
            let is_web_socket = is_web_socket(parts);
            hide(&mut parts.headers, is_web_socket);
            if let Some(cookie) = self.tokens.as_ref().and_then(|tokens| tokens.cookie.as_ref()) {
                cookie.hide(&mut parts.headers, is_web_socket);
            }
            parts.extensions.insert(identity);
        }
        Ok(())
    }
}

impl Auth {
    /// Who it is; `None`: somebody who need not say it.
    async fn identify(&self, parts: &mut Parts) -> Result<Option<Identity>, Answer> {
        let of_handshake = self.places.take(parts);
        let shown = match Credentials::of(&parts.headers) {
            Ok(Credentials::None) => of_handshake.map_or(Credentials::None, Credentials::Bearer),
            Ok(shown) => shown,
            Err(_) => return Err(self.refuse(false)),
        };
        let is_bearer = matches!(shown, Credentials::Bearer(_));
        let has_shown = !matches!(shown, Credentials::None);
        match self.judge(parts, &shown).await? {
            // All but a token browsers add by themselves, whichever page asks.
            Judged::Accepted(_) if !is_bearer && !self.origins.trust(parts) => return Err(foreign()),
            Judged::Accepted(identity) => return Ok(Some(identity)),
            Judged::Refused => return Err(self.refuse(is_bearer)),
            Judged::Undecided => {}
        }
        if let Some(hook) = &self.hook {
            match hook.ask(parts, shown).await {
                Verdict::Accept(identity) => return Ok(Some(identity)),
                Verdict::Refuse => return Err(self.refuse(is_bearer)),
                Verdict::Unavailable => return Err(busy("nobody can be let in just now\n")),
                Verdict::Unknown => {}
            }
        }
        // Who tries to be somebody and is not wants to know it.
        if has_shown || !self.anonymous.covers(&parts.method, &parts.uri) {
            return Err(self.refuse(is_bearer));
        }
        Ok(None)
    }

    async fn judge(&self, parts: &Parts, shown: &Credentials) -> Result<Judged, Answer> {
        match shown {
            Credentials::Basic { name, password } => self.judge_password(name, password, parts).await.map_err(unchecked),
            Credentials::Bearer(token) => self.judge_token(token).await,
            Credentials::Other { .. } => Ok(Judged::Undecided),
            Credentials::None => {
                let of_certificate = || self.certificates.as_ref()?.identify(&parts.extensions);
                Ok(self.of_cookie(parts).or_else(of_certificate).map_or(Judged::Undecided, Judged::Accepted))
            }
        }
    }

    async fn judge_password(&self, name: &str, password: &Secret, parts: &Parts) -> Result<Judged, Unchecked> {
        let Some(users) = &self.users else { return Ok(Judged::Undecided) };
        Ok(match users.check(name, password, client_ip(&parts.extensions)).await? {
            Checked::Right => Judged::Accepted(Identity::new(name, Scheme::Basic)),
            Checked::Wrong => Judged::Refused,
            Checked::Unknown => Judged::Undecided,
        })
    }

    async fn judge_token(&self, token: &Secret) -> Result<Judged, Answer> {
        if let Some(identity) = self.tokens.as_ref().and_then(|tokens| tokens.check(token.expose())) {
            return Ok(Judged::Accepted(identity));
        }
        // A JWT has three parts; what has not is somebody else's.
        let Some(jwt) = self.jwt.as_ref().filter(|_| token.expose().matches('.').count() == 2) else {
            return Ok(Judged::Undecided);
        };
        match jwt.check(token).await {
            Ok(identity) => Ok(Judged::Accepted(identity)),
            // A client that was told 401 would throw away a token that may be good.
            Err(BadToken::NoKeysYet) => Err(busy("nobody can be let in just now\n")),
            Err(error) => {
                tracing::debug!("a JSON Web Token is refused: {error}");
                Ok(Judged::Refused)
            }
        }
    }

    fn of_cookie(&self, parts: &Parts) -> Option<Identity> {
        let tokens = self.tokens.as_ref()?;
        tokens.check(tokens.cookie.as_ref()?.read(&parts.headers, &parts.extensions)?)
    }

    /// 401 with a challenge for each scheme; 403 if there is none to make, as with certificates.
    fn refuse(&self, bad_token: bool) -> Answer {
        let challenges = self.challenges(bad_token);
        if challenges.is_empty() {
            return status(StatusCode::FORBIDDEN, "you may not come in\n");
        }
        let mut answer = status(StatusCode::UNAUTHORIZED, "say who you are\n");
        for challenge in challenges {
            answer.headers_mut().append(WWW_AUTHENTICATE, challenge);
        }
        answer
    }
}
