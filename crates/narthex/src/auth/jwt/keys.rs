//! What checks the signature of a JWT: a key, for one algorithm (RFC 8725 section 3.1, RFC 7517).

use std::fmt;

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, PublicKeyUse};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// A key that JSON Web Tokens are checked with, for exactly one algorithm.
#[derive(Clone)]
pub struct JwtKey {
    id: Option<String>,
    algorithm: Algorithm,
    pub(super) key: DecodingKey,
}

/// What was given is no key for its algorithm.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadJwtKey {
    /// A secret that could be guessed (RFC 7518 section 3.2).
    #[error("a secret of {0} bytes is too short for {1:?}: use {2} random bytes")]
    TooShort(usize, Algorithm, usize),
    /// The algorithm needs another kind of key.
    #[error("{0:?} has no key of this kind: HS256 and its like have a secret, all others a public key in PEM")]
    OtherKind(Algorithm),
    /// The key cannot be read.
    #[error("cannot read the key: {0}")]
    Unreadable(String),
    /// A set of keys cannot be read.
    #[error("cannot read the key set: {0}")]
    Set(String),
}

impl JwtKey {
    /// A secret that issuer and app share, for HS256, HS384 or HS512.
    ///
    /// # Errors
    /// If it is shorter than the algorithm's digest, or the algorithm has no secret.
    pub fn secret(algorithm: Algorithm, secret: &[u8]) -> Result<Self, BadJwtKey> {
        let least = match algorithm {
            Algorithm::HS256 => 32,
            Algorithm::HS384 => 48,
            Algorithm::HS512 => 64,
            _ => return Err(BadJwtKey::OtherKind(algorithm)),
        };
        if secret.len() < least {
            return Err(BadJwtKey::TooShort(secret.len(), algorithm, least));
        }
        Self::read(algorithm, DecodingKey::from_secret(secret))
    }

    /// The public key of the issuer in PEM, for an algorithm with one.
    ///
    /// # Errors
    /// If it is none of the algorithm's kind.
    pub fn pem(algorithm: Algorithm, pem: &[u8]) -> Result<Self, BadJwtKey> {
        let key = match family(algorithm) {
            AlgorithmFamily::Hmac => return Err(BadJwtKey::OtherKind(algorithm)),
            AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem),
            AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem),
            AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem),
        };
        Self::read(algorithm, key)
    }

    fn read(algorithm: Algorithm, key: jsonwebtoken::errors::Result<DecodingKey>) -> Result<Self, BadJwtKey> {
        let key = key.map_err(|error| BadJwtKey::Unreadable(error.to_string()))?;
        Ok(Self { id: None, algorithm, key })
    }

    /// Gives it an id (`kid`): tokens that name another are not checked with it.
    #[must_use]
    pub fn with_id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Whether a token with this header may be checked with it.
    pub(super) fn fits(&self, id: Option<&str>, algorithm: Algorithm) -> bool {
        let names_another = id.zip(self.id.as_deref()).is_some_and(|(wanted, own)| wanted != own);
        self.algorithm == algorithm && !names_another
    }

    /// The keys of a JWK set that can check signatures. Others are left out, as RFC 7517 section 5 has it, and so are secrets:
    /// a set is public.
    pub(super) fn set(json: &str) -> Result<Vec<Self>, BadJwtKey> {
        #[derive(Deserialize)]
        struct Set {
            keys: Vec<Value>,
        }
        let set: Set = serde_json::from_str(json).map_err(|error| BadJwtKey::Set(error.to_string()))?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(keys.filter_map(|key: Jwk| Self::of(&key)).collect())
    }

    fn of(jwk: &Jwk) -> Option<Self> {
        if jwk.common.public_key_use.as_ref().is_some_and(|purpose| *purpose != PublicKeyUse::Signature) {
            return None;
        }
        let named = jwk.common.key_algorithm.and_then(algorithm);
        if jwk.common.key_algorithm.is_some() && named.is_none() {
            return None;
        }
        let possible: &[Algorithm] = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => AlgorithmFamily::Rsa.algorithms(),
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => &[Algorithm::ES256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P384 => &[Algorithm::ES384],
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => &[Algorithm::EdDSA],
            _ => return None,
        };
        // A key that does not say what it is for is for the first, which for RSA is what nearly everybody uses: RS256.
        let algorithm = named.or_else(|| possible.first().copied()).filter(|named| possible.contains(named))?;
        let key = DecodingKey::from_jwk(jwk).ok()?;
        Some(Self { id: jwk.common.key_id.clone(), algorithm, key })
    }
}

fn family(algorithm: Algorithm) -> AlgorithmFamily {
    let families = [AlgorithmFamily::Rsa, AlgorithmFamily::Ec, AlgorithmFamily::Ed];
    families.into_iter().find(|family| family.algorithms().contains(&algorithm)).unwrap_or(AlgorithmFamily::Hmac)
}

fn algorithm(named: KeyAlgorithm) -> Option<Algorithm> {
    named.to_string().parse().ok()
}

impl fmt::Debug for JwtKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtKey").field("id", &self.id).field("algorithm", &self.algorithm).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_refused_that_does_not_suit_its_algorithm() {
        assert_eq!(JwtKey::secret(Algorithm::HS512, &[0; 32]).unwrap_err(), BadJwtKey::TooShort(32, Algorithm::HS512, 64));
        assert_eq!(JwtKey::secret(Algorithm::RS256, &[0; 64]).unwrap_err(), BadJwtKey::OtherKind(Algorithm::RS256));
        let rsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap().public_key_pem();
        let rsa = rsa.as_bytes();
        assert_eq!(JwtKey::pem(Algorithm::HS256, rsa).unwrap_err(), BadJwtKey::OtherKind(Algorithm::HS256));
        assert!(matches!(JwtKey::pem(Algorithm::ES256, rsa), Err(BadJwtKey::Unreadable(_))));
        assert!(matches!(JwtKey::pem(Algorithm::RS256, b"no key"), Err(BadJwtKey::Unreadable(_))));
    }

    #[test]
    fn a_set_gives_the_keys_that_check_signatures() {
        let set = r#"{"keys": [
            {"kty": "RSA", "kid": "a", "n": "AQAB", "e": "AQAB"},
            {"kty": "RSA", "kid": "b", "n": "AQAB", "e": "AQAB", "alg": "PS256", "use": "sig"},
            {"kty": "RSA", "kid": "for encryption", "n": "AQAB", "e": "AQAB", "use": "enc"},
            {"kty": "RSA", "kid": "of another kind", "n": "AQAB", "e": "AQAB", "alg": "ES256"},
            {"kty": "RSA", "kid": "of no algorithm", "n": "AQAB", "e": "AQAB", "alg": "XX1"},
            {"kty": "EC", "kid": "c", "crv": "P-256", "x": "AQAB", "y": "AQAB"},
            {"kty": "OKP", "kid": "d", "crv": "Ed25519", "x": "AQAB"},
            {"kty": "oct", "kid": "a secret", "k": "AQAB", "alg": "HS256"},
            {"kty": "new", "kid": "unheard of"}, 7
        ]}"#;
        let keys = JwtKey::set(set).unwrap();
        let seen: Vec<_> = keys.iter().map(|key| (key.id.as_deref().unwrap(), key.algorithm)).collect();
        assert_eq!(seen, [("a", Algorithm::RS256), ("b", Algorithm::PS256), ("c", Algorithm::ES256), ("d", Algorithm::EdDSA)]);
        assert!(matches!(JwtKey::set("[]"), Err(BadJwtKey::Set(_))));
    }
}
