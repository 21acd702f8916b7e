//! Certificates from a CA by ACME (RFC 8555): what is said to it, and what is kept. When, and through which listeners it is
//! shown that a name is ours, `control::acme` decides.

mod account;
mod client;
mod order;
pub(crate) mod schedule;
mod store;
#[cfg(test)]
mod tests;
mod trouble;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use instant_acme::Account;
use narthex_proto::host::RequestHost;

pub(crate) use client::Client;
pub(crate) use order::{Order, Question};
pub(crate) use store::{Progress, Store};
pub(crate) use trouble::{Kind, Trouble};

use crate::config::AcmeSettings;

/// Opens the account at the CA, as [`account::open`] says.
pub(crate) async fn account(settings: &AcmeSettings, store: &Store, client: &Client) -> Result<Account, Trouble> {
    account::open(settings, store, client).await
}

/// What CAs that ask by HTTP are answered now (RFC 8555 section 8.3). Immutable, as all that the data plane reads.
#[derive(Clone, Debug, Default)]
pub(crate) struct HttpAnswers(Option<Arc<HashMap<Box<str>, Answer>>>);

#[derive(Clone, Debug)]
struct Answer {
    host: Box<str>,
    text: Bytes,
}

impl HttpAnswers {
    const PATH: &str = "/.well-known/acme-challenge/";

    /// What a request for this target and host is to be answered, if a CA may be asking. Nearly always there is no question
    /// open, and that is all that is looked at.
    pub(crate) fn find(&self, target: &str, host: Option<&RequestHost<'_>>) -> Option<&Bytes> {
        let answer = self.0.as_ref()?.get(target.strip_prefix(Self::PATH)?)?;
        host.is_some_and(|host| host.name().eq_ignore_ascii_case(&answer.host)).then_some(&answer.text)
    }

    /// Answers one question more.
    pub(crate) fn add(&mut self, host: &str, question: &Question) {
        let mut all = self.0.as_deref().cloned().unwrap_or_default();
        let text = Bytes::copy_from_slice(question.key_authorization.as_bytes());
        all.insert(question.token.as_str().into(), Answer { host: host.into(), text });
        self.0 = Some(Arc::new(all));
    }

    /// Answers one less.
    pub(crate) fn remove(&mut self, token: &str) {
        let mut all = self.0.as_deref().cloned().unwrap_or_default();
        all.remove(token);
        self.0 = (!all.is_empty()).then(|| Arc::new(all));
    }
}

#[cfg(test)]
mod answers {
    use super::*;
    use crate::config::Challenge;

    #[test]
    fn only_what_is_asked_for_now_is_answered_and_only_for_its_host() {
        let question = |token: &str| Question {
            challenge: Challenge::Http01,
            token: token.to_owned(),
            key_authorization: format!("{token}.thumb"),
        };
        let find = |answers: &HttpAnswers, target: &str, host: Option<&str>| {
            let host = host.map(|host| RequestHost::parse(host.as_bytes()).unwrap());
            answers.find(target, host.as_ref()).cloned()
        };
        let mut answers = HttpAnswers::default();
        let path = "/.well-known/acme-challenge/Abc";
        assert_eq!(find(&answers, path, Some("a.test")), None);
        answers.add("a.test", &question("Abc"));
        answers.add("b.test", &question("Def"));
        assert_eq!(find(&answers, path, Some("A.test:80")), Some(Bytes::from_static(b"Abc.thumb")));
        for (target, host) in [
            (path, Some("b.test")),
            (path, None),
            ("/.well-known/acme-challenge/abc", Some("a.test")),
            ("/.well-known/acme-challenge/", Some("a.test")),
            ("/.well-known/acme-challenge/Abc/", Some("a.test")),
            ("/Abc", Some("a.test")),
        ] {
            assert_eq!(find(&answers, target, host), None, "{target} {host:?}");
        }
        answers.remove("Abc");
        assert_eq!(find(&answers, path, Some("a.test")), None);
        assert!(find(&answers, "/.well-known/acme-challenge/Def", Some("b.test")).is_some());
        answers.remove("Def");
        assert!(answers.0.is_none());
    }
}
