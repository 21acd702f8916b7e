//! What can go wrong with a CA, in words that say what to do next.

use instant_acme::{Error, Problem};
use jiff::{SignedDuration, Timestamp};

use super::client::{Client, Unreachable};
use crate::config::Challenge;

/// Why there is no certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// What is wrong, and what to do.
    pub(crate) message: String,
    pub(crate) kind: Kind,
    /// Not before then, says the CA.
    pub(crate) until: Option<Timestamp>,
}

/// What the trouble means for the next try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The CA has looked, and has not seen that the name is this machine's.
    Unproved(Challenge),
    /// The CA does not know the account.
    NoAccount,
    /// There have been too many orders.
    RateLimited,
    Other,
}

impl Trouble {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), kind: Kind::Other, until: None }
    }

    /// What the ACME crate says, when this was done.
    pub(crate) fn of(doing: &str, error: &Error, client: &Client) -> Self {
        match error {
            Error::Api(problem) => {
                let trouble = refused(doing, problem);
                Self { until: client.asked_to_wait(), ..trouble }
            }
            Error::Timeout(at) => {
                let until = at.map(|at| {
                    #[expect(clippy::disallowed_methods, reason = "the ACME crate says it in these")]
                    let wait = at.saturating_duration_since(std::time::Instant::now());
                    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
                    Timestamp::now().checked_add(wait).unwrap_or(Timestamp::MAX)
                });
                Self { until, ..Self::new(format!("{doing}: the CA is not done with it yet; it is looked at again")) }
            }
            Error::Other(other) if other.is::<Unreachable>() => Self::new(format!(
                "{doing}: {other}; check acme_directory, and that this machine reaches the CA (behind a private one, acme_ca)"
            )),
            Error::Json(_) => Self {
                // An overloaded CA answers with a page for people.
                until: client.asked_to_wait(),
                ..Self::new(format!("{doing}: what answers does not speak ACME ({error}); check acme_directory"))
            },
            _ => Self::new(format!("{doing}: {error}")),
        }
    }

    /// The CA has looked for an answer to a challenge and found none, or a wrong one.
    pub(crate) fn unproved(name: &str, challenge: Challenge, problem: Option<&Problem>) -> Self {
        let said = problem.map_or_else(|| "it does not say why".to_owned(), said);
        let port = match challenge {
            Challenge::TlsAlpn01 => 443,
            Challenge::Http01 => 80,
        };
        let message = format!(
            "the CA has not found by {challenge} that {name} is this machine: {said}; the DNS has to lead {name} here, and port \
             {port} from the internet to the host"
        );
        Self { message, kind: Kind::Unproved(challenge), until: None }
    }
}

fn refused(doing: &str, problem: &Problem) -> Trouble {
    let kind = problem.r#type.as_deref().and_then(|kind| kind.strip_prefix("urn:ietf:params:acme:error:")).unwrap_or_default();
    let advice = match kind {
        "accountDoesNotExist" => "the host makes a new account",
        "badCSR" | "badPublicKey" => "this CA does not take the host's keys (ECDSA P-256): choose another CA with acme_directory",
        "badSignatureAlgorithm" => "this CA does not take ES256: choose another CA with acme_directory",
        "caa" => "the name's CAA record has to allow this CA",
        "dns" => "the DNS has to lead the name to this machine",
        "connection" | "tls" | "incorrectResponse" => "ports 80 and 443 have to lead from the internet to the host",
        "externalAccountRequired" => {
            "the CA wants to know whose account it is: set acme_eab_key_id and acme_eab_key_file as it says"
        }
        "invalidContact" | "unsupportedContact" => "set acme_contact to a mail address that the CA takes",
        "rateLimited" => "it is asked again when the CA allows it",
        "rejectedIdentifier" | "unsupportedIdentifier" => {
            "this CA gives out no certificates for that name: choose another name or CA"
        }
        "serverInternal" => "the fault is the CA's; it is asked again",
        "unauthorized" => "check acme_eab_key_id and acme_eab_key_file if they are set, and that the account was not closed",
        "userActionRequired" => "somebody has to look at the CA's terms of service",
        _ => "it is asked again",
    };
    let kind = match kind {
        "accountDoesNotExist" => Kind::NoAccount,
        "rateLimited" => Kind::RateLimited,
        _ => Kind::Other,
    };
    Trouble { kind, ..Trouble::new(format!("{doing}: the CA refuses: {}; {advice}", said(problem))) }
}

/// What a CA says, on one line and not endless: it goes into logs and terminals.
fn said(problem: &Problem) -> String {
    let details = problem.detail.iter().chain(problem.subproblems.iter().filter_map(|sub| sub.detail.as_ref()));
    let text = details.map(String::as_str).collect::<Vec<_>>().join("; ");
    let text = match (text.is_empty(), &problem.r#type) {
        (true, Some(kind)) => kind.clone(),
        (true, None) => "without a reason".to_owned(),
        (false, _) => text,
    };
    let plain: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(500).collect();
    plain.trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Problem {
        let text = serde_json::json!({ "type": format!("urn:ietf:params:acme:error:{kind}"), "detail": detail });
        serde_json::from_value(text).unwrap()
    }

    #[test]
    fn what_a_ca_refuses_is_told_with_what_to_do() {
        for (kind, advice) in [
            ("caa", "CAA record"),
            ("externalAccountRequired", "acme_eab_key_id"),
            ("invalidContact", "acme_contact"),
            ("rejectedIdentifier", "another name"),
            ("unheardOf", "asked again"),
        ] {
            let trouble = refused("ordering", &problem(kind, "because"));
            assert!(trouble.message.contains("because") && trouble.message.contains(advice), "{}", trouble.message);
        }
        assert_eq!(refused("", &problem("rateLimited", "")).kind, Kind::RateLimited);
        assert_eq!(refused("", &problem("accountDoesNotExist", "")).kind, Kind::NoAccount);
    }

    #[test]
    fn what_a_ca_says_is_one_line_and_bounded() {
        let trouble = refused("ordering", &problem("dns", &format!("a\r\nb\u{1b}[31m{}", "x".repeat(10_000))));
        assert!(!trouble.message.contains(char::is_control) && trouble.message.len() < 1_000, "{}", trouble.message);
        let trouble = Trouble::unproved("a.test", Challenge::Http01, Some(&problem("connection", "refused.")));
        assert!(trouble.message.contains("HTTP-01") && trouble.message.contains("refused; "), "{}", trouble.message);
    }
}
