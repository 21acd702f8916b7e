//! JSON Web Tokens (RFC 7519), checked as RFC 8725 asks for.

mod keys;
mod source;

use std::time::Duration;

use jsonwebtoken::{Header, Validation, decode, decode_header};
use serde_json::{Map, Value};

pub use jsonwebtoken::Algorithm;
pub use keys::{BadJwtKey, JwtKey};
pub use source::JwtKeys;

use crate::identity::{Identity, Scheme};
use crate::secret::Secret;
use source::NoKeysYet;

/// So many keys are tried for a token that does not name one.
const MOST_TRIED: usize = 32;

/// Which JSON Web Tokens say who somebody is, for [`Auth::bearer`](super::Auth::bearer).
///
/// A token is checked with a key of exactly the algorithm that its header names, so that no key is ever taken for one of another
/// algorithm; `none` is not an algorithm. A token has to expire (`exp`), and what it says of `nbf`, `aud` and `iss` has to be right. A
/// token for an audience is refused until [`audience`](Self::audience) says which one the app is.
///
/// ```
/// use narthex::auth::{Algorithm, Auth, Jwt, JwtKey, JwtKeys};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let secret = [7; 32];
/// let keys = JwtKeys::fixed([JwtKey::secret(Algorithm::HS256, &secret)?]);
/// let auth = Auth::new("Orders").bearer(Jwt::new(keys).issuer("https://login.example.com").audience("orders"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Jwt {
    keys: JwtKeys,
    /// `None`: those of the keys.
    algorithms: Option<Vec<Algorithm>>,
    validation: Validation,
    kind: Option<String>,
    name: String,
}

/// Why a token is worth nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum BadToken {
    #[error("it is no JWT: {0}")]
    Malformed(jsonwebtoken::errors::Error),
    #[error("its algorithm, {0:?}, is not allowed")]
    Algorithm(Algorithm),
    #[error("it has a header that must be understood and is not")]
    Critical,
    #[error("it is of another type")]
    Kind,
    #[error("there is no key for it")]
    NoKey,
    #[error("nobody knows what it is worth: the keys could not be fetched so far")]
    NoKeysYet,
    #[error("{0}")]
    Invalid(jsonwebtoken::errors::Error),
    #[error("it does not say whose it is: claim {0:?}")]
    NoName(String),
}

impl Jwt {
    /// Tokens that these keys have signed.
    #[must_use]
    pub fn new(keys: JwtKeys) -> Self {
        // Where another crate has turned on a second provider, jsonwebtoken would panic for want of a choice.
        if jsonwebtoken::crypto::CryptoProvider::try_get_default().is_none() {
            let _ = jsonwebtoken::crypto::aws_lc::DEFAULT_PROVIDER.install_default();
        }
        let validation = Validation { validate_nbf: true, ..Validation::default() };
        Self { keys, algorithms: None, validation, kind: None, name: "sub".to_owned() }
    }

    /// Only these algorithms. Default: those of the keys.
    #[must_use]
    pub fn algorithms(mut self, allowed: impl IntoIterator<Item = Algorithm>) -> Self {
        self.algorithms = Some(allowed.into_iter().collect());
        self
    }

    /// Who the app is: a token has to be for it (`aud`). May be called more than once: one of them is enough.
    #[must_use]
    pub fn audience(mut self, name: impl Into<String>) -> Self {
        self.validation.aud.get_or_insert_default().insert(name.into());
        self.validation.required_spec_claims.insert("aud".to_owned());
        self
    }

    /// Who has to have issued a token (`iss`). May be called more than once: one of them is enough.
    #[must_use]
    pub fn issuer(mut self, name: impl Into<String>) -> Self {
        self.validation.iss.get_or_insert_default().insert(name.into());
        self.validation.required_spec_claims.insert("iss".to_owned());
        self
    }

    /// By how much the issuer's clock may be wrong. Default: 60 s; at most an hour.
    #[must_use]
    pub fn leeway(mut self, leeway: Duration) -> Self {
        self.validation.leeway = leeway.as_secs().min(3600);
        self
    }

    /// The type that a token has to have (`typ`), such as `at+jwt` for access tokens (RFC 9068). Default: any.
    #[must_use]
    pub fn token_type(mut self, kind: impl Into<String>) -> Self {
        self.kind = Some(kind.into());
        self
    }

    /// The claim that is the identity's name. Default: `sub`.
    #[must_use]
    pub fn name_claim(mut self, claim: impl Into<String>) -> Self {
        self.name = claim.into();
        self
    }

    /// Whose token it is.
    pub(super) async fn check(&self, token: &Secret) -> Result<Identity, BadToken> {
        let header = decode_header(token.expose()).map_err(BadToken::Malformed)?;
        self.judge(&header)?;
        let keys = self.keys.of(header.kid.as_deref(), header.alg).await.map_err(|NoKeysYet| BadToken::NoKeysYet)?;
        let mut fitting = keys.iter().filter(|key| key.fits(header.kid.as_deref(), header.alg));
        let mut validation = self.validation.clone();
        validation.algorithms = vec![header.alg];
        let mut failure = BadToken::NoKey;
        for key in fitting.by_ref().take(MOST_TRIED) {
            match decode::<Map<String, Value>>(token.expose(), &key.key, &validation) {
                Ok(valid) => return self.identity(valid.claims),
                Err(error) => failure = BadToken::Invalid(error),
            }
        }
        if fitting.next().is_some() {
            tracing::warn!(
                "a JSON Web Token names no key, and only {MOST_TRIED} of those that it may be for are tried: have the issuer set kid"
            );
        }
        Err(failure)
    }

    /// RFC 8725 sections 3.1 and 3.11, RFC 7515 section 4.1.11.
    fn judge(&self, header: &Header) -> Result<(), BadToken> {
        if self.algorithms.as_ref().is_some_and(|allowed| !allowed.contains(&header.alg)) {
            return Err(BadToken::Algorithm(header.alg));
        }
        if header.crit.is_some() {
            return Err(BadToken::Critical);
        }
        let Some(wanted) = &self.kind else { return Ok(()) };
        let short = |kind: &str| kind.to_ascii_lowercase().trim_start_matches("application/").to_owned();
        if header.typ.as_deref().map(short) == Some(short(wanted)) { Ok(()) } else { Err(BadToken::Kind) }
    }

    fn identity(&self, claims: Map<String, Value>) -> Result<Identity, BadToken> {
        let name = claims.get(&self.name).and_then(Value::as_str).filter(|name| !name.is_empty());
        let name = name.ok_or_else(|| BadToken::NoName(self.name.clone()))?.to_owned();
        let scopes = scopes(&claims);
        Ok(Identity::new(name, Scheme::Jwt).with_scopes(scopes).with_claims(claims))
    }
}

/// `scope` as RFC 8693 section 4.2 has it, `scp` as others do; each a text or a list.
fn scopes(claims: &Map<String, Value>) -> Vec<String> {
    let words = |text: &str| text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>();
    let values = ["scope", "scp"].into_iter().filter_map(|name| claims.get(name));
    let of = |value: &Value| match value {
        Value::String(text) => words(text),
        Value::Array(list) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    values.flat_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::unix_seconds;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use jsonwebtoken::{EncodingKey, encode};
    use serde_json::json;

    const SECRET: [u8; 32] = [7; 32];
    fn pair(kind: &'static rcgen::SignatureAlgorithm) -> (String, String) {
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        (pair.serialize_pem(), pair.public_key_pem())
    }

    fn claims(change: Value) -> Value {
        let mut claims = json!({"sub": "ann", "exp": unix_seconds() + 600, "scope": "read write"});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }

    fn signed(algorithm: Algorithm, key: &EncodingKey, change: Value) -> Secret {
        encode(&Header::new(algorithm), &claims(change), key).unwrap().into()
    }

    fn hs(change: Value) -> Secret {
        signed(Algorithm::HS256, &EncodingKey::from_secret(&SECRET).unwrap(), change)
    }

    fn jwt() -> Jwt {
        Jwt::new(JwtKeys::fixed([JwtKey::secret(Algorithm::HS256, &SECRET).unwrap()]))
    }

    #[tokio::test]
    async fn a_token_says_whose_it_is_and_what_they_may_do() {
        let identity = jwt().check(&hs(json!({"scp": ["admin"], "tenant": 7}))).await.unwrap();
        assert_eq!((identity.name(), identity.scheme()), ("ann", Scheme::Jwt));
        assert_eq!(identity.scopes().collect::<Vec<_>>(), ["admin", "read", "write"]);
        assert_eq!(identity.claim("tenant"), Some(&json!(7)));
    }

    #[tokio::test]
    async fn all_kinds_of_keys_check_what_they_have_signed() {
        let rsa = pair(&rcgen::PKCS_RSA_SHA256);
        let of_rsa = EncodingKey::from_rsa_pem(rsa.0.as_bytes()).unwrap();
        let ec = pair(&rcgen::PKCS_ECDSA_P256_SHA256);
        let ed = pair(&rcgen::PKCS_ED25519);
        let pairs = [
            (Algorithm::RS256, of_rsa.clone(), &rsa.1),
            (Algorithm::PS384, of_rsa, &rsa.1),
            (Algorithm::ES256, EncodingKey::from_ec_pem(ec.0.as_bytes()).unwrap(), &ec.1),
            (Algorithm::EdDSA, EncodingKey::from_ed_pem(ed.0.as_bytes()).unwrap(), &ed.1),
        ];
        for (algorithm, private, public) in pairs {
            let jwt = Jwt::new(JwtKeys::fixed([JwtKey::pem(algorithm, public.as_bytes()).unwrap()]));
            let token = signed(algorithm, &private, json!({}));
            assert!(jwt.check(&token).await.is_ok(), "{algorithm:?}");
            assert!(jwt.check(&hs(json!({}))).await.is_err(), "{algorithm:?}");
            let mut broken = token.expose().to_owned();
            let middle = broken.len() - 20;
            let other = if &broken[middle..=middle] == "A" { "B" } else { "A" };
            broken.replace_range(middle..=middle, other);
            assert!(jwt.check(&broken.into()).await.is_err(), "{algorithm:?}");
        }
    }

    #[tokio::test]
    async fn a_token_that_names_no_key_is_checked_with_all_that_it_may_be_for() {
        let others = (1..9).map(|byte| [byte + 10; 32]);
        let secrets = others.chain([SECRET]);
        let keys = secrets.map(|secret| JwtKey::secret(Algorithm::HS256, &secret).unwrap());
        let jwt = Jwt::new(JwtKeys::fixed(keys));
        assert_eq!(jwt.check(&hs(json!({}))).await.unwrap().name(), "ann", "it is of the ninth");
    }

    #[tokio::test]
    async fn a_token_without_a_signature_is_none() {
        let payload = URL_SAFE_NO_PAD.encode(claims(json!({})).to_string());
        for alg in ["none", "None", "NONE", "nOnE"] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
            for signature in ["", "AAAA"] {
                let token = format!("{header}.{payload}.{signature}");
                assert!(jwt().check(&token.into()).await.is_err(), "{alg}");
            }
        }
        for text in ["", ".", "..", "a.b.c", "a.b", "....."] {
            assert!(jwt().check(&text.into()).await.is_err(), "{text}");
        }
    }

    #[tokio::test]
    async fn a_public_key_is_never_taken_for_a_secret() {
        let public = pair(&rcgen::PKCS_RSA_SHA256).1;
        let jwt = Jwt::new(JwtKeys::fixed([JwtKey::pem(Algorithm::RS256, public.as_bytes()).unwrap()]));
        let forged = signed(Algorithm::HS256, &EncodingKey::from_secret(public.as_bytes()).unwrap(), json!({}));
        assert!(matches!(jwt.check(&forged).await, Err(BadToken::NoKey)));
    }

    #[tokio::test]
    async fn only_algorithms_that_are_allowed_are_looked_at() {
        let jwt = jwt().algorithms([Algorithm::RS256]);
        assert!(matches!(jwt.check(&hs(json!({}))).await, Err(BadToken::Algorithm(Algorithm::HS256))));
    }

    #[tokio::test]
    async fn time_is_judged_with_leeway() {
        let now = unix_seconds();
        let strict = jwt().leeway(Duration::ZERO);
        for (change, strictly, leniently) in [
            (json!({"exp": now - 30}), false, true),
            (json!({"exp": now - 90}), false, false),
            (json!({"nbf": now + 30}), false, true),
            (json!({"nbf": now + 90}), false, false),
            (json!({"exp": null}), false, false),
            (json!({"exp": "tomorrow"}), false, false),
            (json!({"exp": -1}), false, false),
            (json!({"nbf": "tomorrow"}), false, false),
            (json!({"exp": now + 600}), true, true),
        ] {
            assert_eq!(strict.check(&hs(change.clone())).await.is_ok(), strictly, "{change}");
            assert_eq!(jwt().check(&hs(change.clone())).await.is_ok(), leniently, "{change}");
        }
    }

    #[tokio::test]
    async fn audience_and_issuer_have_to_be_right_once_they_matter() {
        let jwt = jwt().audience("orders").issuer("login");
        for (change, right) in [
            (json!({"aud": "orders", "iss": "login"}), true),
            (json!({"aud": ["other", "orders"], "iss": "login"}), true),
            (json!({"aud": "other", "iss": "login"}), false),
            (json!({"aud": "orders", "iss": "other"}), false),
            (json!({"aud": "orders"}), false),
            (json!({"iss": "login"}), false),
        ] {
            assert_eq!(jwt.check(&hs(change.clone())).await.is_ok(), right, "{change}");
        }
        assert!(super::tests::jwt().check(&hs(json!({"aud": "other"}))).await.is_err(), "it is for somebody else");
    }

    #[tokio::test]
    async fn a_type_a_critical_header_and_a_name_are_looked_at() {
        let key = EncodingKey::from_secret(&SECRET).unwrap();
        let mut header = Header::new(Algorithm::HS256);
        header.typ = Some("application/AT+JWT".into());
        let access: Secret = encode(&header, &claims(json!({})), &key).unwrap().into();
        assert!(jwt().token_type("at+jwt").check(&access).await.is_ok());
        assert!(matches!(jwt().token_type("at+jwt").check(&hs(json!({}))).await, Err(BadToken::Kind)));
        let critical = URL_SAFE_NO_PAD.encode(json!({"alg": "HS256", "crit": ["exp"], "exp": 1}).to_string());
        let rest = hs(json!({}));
        let token = format!("{critical}.{}", rest.expose().split_once('.').unwrap().1);
        assert!(matches!(jwt().check(&token.into()).await, Err(BadToken::Critical | BadToken::Malformed(_))));
        assert!(matches!(jwt().check(&hs(json!({"sub": 7}))).await, Err(BadToken::NoName(_))));
        assert_eq!(jwt().name_claim("mail").check(&hs(json!({"mail": "a@b"}))).await.unwrap().name(), "a@b");
    }
}
