//! One order: from the CA's promise to the certificate. What is done is kept before the next step, so that a host that was
//! killed goes on with the order that it has.

use instant_acme::{
    Account, AuthorizationStatus, ChallengeStatus, ChallengeType, Error, Identifier, NewOrder, OrderStatus, RetryPolicy,
};
use narthex_http::tls::{CertificateRequest, Source};

use super::account::not_kept;
use super::client::Client;
use super::store::{Placed, Progress, Store};
use super::trouble::Trouble;
use crate::config::Challenge;

/// How long a CA may take to look, and to sign. It is not the end: the order is looked at again by the next try.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(std::time::Duration::from_millis(250))
    .backoff(1.4)
    .timeout(std::time::Duration::from_secs(90));

/// An order that is worked on.
pub(crate) struct Order<'a> {
    name: &'a str,
    store: &'a Store,
    client: &'a Client,
    order: instant_acme::Order,
    /// Of the account's key.
    thumbprint: String,
    request: CertificateRequest,
}

/// What the CA looks for, to see that a name is this machine's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Question {
    pub(crate) challenge: Challenge,
    /// The last part of the URL that it asks for by HTTP.
    pub(crate) token: String,
    /// What it finds there, or the digest of it in a certificate.
    pub(crate) key_authorization: String,
}

impl<'a> Order<'a> {
    /// Goes on with the order that there is, or places one.
    pub(crate) async fn open(
        name: &'a str,
        account: &Account,
        directory: &str,
        store: &'a Store,
        client: &'a Client,
        progress: &mut Progress,
    ) -> Result<Self, Trouble> {
        let thumbprint = account.key_thumbprint().to_owned();
        let placed = progress.order.take_if(|placed| placed.directory == directory);
        if let (Some(placed), Some(key)) = (placed, store.key(name)) {
            match account.order(placed.url.clone()).await {
                Ok(mut order) => {
                    let request = CertificateRequest::with_key(name, &key).ok();
                    let goes_on = order.state().status != OrderStatus::Invalid;
                    if let Some(request) = request.filter(|_| goes_on) {
                        progress.order = Some(placed);
                        return Ok(Self { name, store, client, order, thumbprint, request });
                    }
                }
                // The CA has forgotten it.
                Err(Error::Api(_)) => {}
                Err(error) => {
                    progress.order = Some(placed);
                    return Err(Trouble::of("looking at the order", &error, client));
                }
            }
        }
        let request = CertificateRequest::new(name).map_err(|error| Trouble::new(error.to_string()))?;
        let unkept = |error| not_kept(&error, &store.certificate_file(name).display());
        store.keep_key(name, &request.key()).map_err(unkept)?;
        let identifiers = [Identifier::Dns(name.to_owned())];
        let placed = account.new_order(&NewOrder::new(&identifiers)).await;
        let order = placed.map_err(|error| Trouble::of("placing the order", &error, client))?;
        progress.order = Some(Placed { directory: directory.to_owned(), url: order.url().to_owned() });
        store.keep_progress(name, progress).map_err(unkept)?;
        Ok(Self { name, store, client, order, thumbprint, request })
    }

    fn trouble<'e>(&self, doing: &'e str) -> impl Fn(Error) -> Trouble + use<'a, 'e> {
        let client = self.client;
        move |error| Trouble::of(doing, &error, client)
    }

    /// What the CA would look for, one question for each way that the host knows. None if it is convinced.
    pub(crate) async fn questions(&mut self) -> Result<Vec<Question>, Trouble> {
        let trouble = self.trouble("asking what the CA wants to see");
        if self.order.state().status != OrderStatus::Pending {
            return Ok(Vec::new());
        }
        let mut authorizations = self.order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let authorization = authorization.map_err(&trouble)?;
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                other => {
                    let name = self.name;
                    return Err(Trouble::new(format!("the CA's authorization of {name} is {other:?}; a new order is placed")));
                }
            }
            let mut questions = Vec::new();
            for offered in &authorization.challenges {
                let Some(challenge) = Challenge::ALL.into_iter().find(|known| of_acme(*known) == offered.r#type) else {
                    continue;
                };
                // RFC 8555 section 8.1.
                let key_authorization = format!("{}.{}", offered.token, self.thumbprint);
                let question = Question { challenge, token: offered.token.clone(), key_authorization };
                // The CA was told to look before the host was killed: it looks for this, and for nothing else.
                if offered.status == ChallengeStatus::Processing {
                    return Ok(vec![question]);
                }
                questions.push(question);
            }
            return match questions.is_empty() {
                true => Err(Trouble::new("the CA knows neither TLS-ALPN-01 nor HTTP-01 for this name: it cannot be convinced")),
                false => Ok(questions),
            };
        }
        Ok(Vec::new())
    }

    /// Has the CA look. Returns when it has seen the answer.
    pub(crate) async fn have_looked(&mut self, challenge: Challenge) -> Result<(), Trouble> {
        let trouble = self.trouble("having the CA look");
        let mut authorizations = self.order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(&trouble)?;
            if authorization.status != AuthorizationStatus::Pending {
                continue;
            }
            let handle = authorization.challenge(of_acme(challenge));
            if let Some(mut handle) = handle.filter(|handle| handle.status == ChallengeStatus::Pending) {
                handle.set_ready().await.map_err(&trouble)?;
            }
        }
        match self.order.poll_ready(&POLLING).await {
            Ok(OrderStatus::Invalid) | Err(Error::Api(_)) => Err(self.why_not(challenge).await),
            Ok(_) => Ok(()),
            Err(error) => Err(trouble(error)),
        }
    }

    /// What the CA has not liked about the answer.
    async fn why_not(&mut self, challenge: Challenge) -> Trouble {
        let mut authorizations = self.order.authorizations();
        while let Some(Ok(mut authorization)) = authorizations.next().await {
            if authorization.refresh().await.is_err() {
                break;
            }
            if let Some(problem) = authorization.challenges.iter().find_map(|challenge| challenge.error.as_ref()) {
                return Trouble::unproved(self.name, challenge, Some(problem));
            }
        }
        Trouble::unproved(self.name, challenge, self.order.state().error.as_ref())
    }

    /// Has the certificate signed, and keeps it.
    pub(crate) async fn finish(mut self) -> Result<(), Trouble> {
        let trouble = self.trouble("having the certificate signed");
        // The CA may not have put two and two together yet.
        if self.order.state().status == OrderStatus::Pending {
            self.order.poll_ready(&POLLING).await.map_err(&trouble)?;
        }
        if self.order.state().status == OrderStatus::Ready {
            self.order.finalize_csr(self.request.der()).await.map_err(&trouble)?;
        }
        let chain = match self.order.state().status {
            OrderStatus::Valid => self.order.certificate().await.map_err(&trouble)?,
            _ => Some(self.order.poll_certificate(&POLLING).await.map_err(&trouble)?),
        };
        let chain = chain.ok_or_else(|| Trouble::new("the CA has signed the certificate, and does not hand it over"))?;
        let key = self.request.key();
        let shown = Source::PemText { certificate: chain.as_bytes().into(), key: key.as_bytes().into() };
        let unusable = |what: String| Trouble::new(format!("the certificate that the CA has sent cannot be used: {what}"));
        let certificate = shown.certificate().map_err(|error| unusable(error.to_string()))?;
        if !certificate.is_for(self.name) {
            return Err(unusable(format!("it is not for {}", self.name)));
        }
        let unkept = |error| not_kept(&error, &self.store.certificate_file(self.name).display());
        self.store.keep_certificate(self.name, &chain, &key).map_err(unkept)
    }
}

fn of_acme(challenge: Challenge) -> ChallengeType {
    match challenge {
        Challenge::TlsAlpn01 => ChallengeType::TlsAlpn01,
        Challenge::Http01 => ChallengeType::Http01,
    }
}
