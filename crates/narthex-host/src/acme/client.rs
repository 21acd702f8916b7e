//! The HTTP client by which a CA is asked: one connection for each request, TLS always, and everything bounded, since what
//! answers may not be the CA.

use std::future::Future;
use std::io;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HOST, RETRY_AFTER};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use hyper_util::rt::TokioIo;
use instant_acme::{BodyWrapper, BytesResponse, Error, HttpClient};
use jiff::{SignedDuration, Timestamp};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// For one answer. CAs take seconds for an order at most.
const PATIENCE: Duration = Duration::from_secs(30);
/// Of an answer. A chain of certificates has some kilobytes.
const LONGEST: usize = 1 << 20;

/// Asks a CA.
#[derive(Clone)]
pub(crate) struct Client {
    tls: TlsConnector,
    /// Until when the last refusal asks us to wait. The ACME crate passes on what a CA says in words, not in header fields.
    asked_to_wait: Arc<Mutex<Option<Timestamp>>>,
}

impl Client {
    /// One that takes a server for the CA if this authority has signed its certificate; without one, if this machine trusts it.
    ///
    /// # Errors
    /// If there is no authority to trust: a sentence about it.
    pub(crate) fn new(authority: Option<&Path>) -> Result<Self, String> {
        let mut roots = RootCertStore::empty();
        match authority {
            Some(file) => {
                let unusable = |what: &str| format!("the file of acme_ca, {}, cannot be used: {what}", file.display());
                let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
                let found = found.map_err(|error| unusable(&error.to_string()))?;
                roots.add_parsable_certificates(found);
                if roots.is_empty() {
                    return Err(unusable("there is no certificate in it"));
                }
            }
            None => {
                let found = rustls_native_certs::load_native_certs();
                roots.add_parsable_certificates(found.certs);
                if roots.is_empty() {
                    return Err("this machine trusts no authority, and so no CA: install its certificates (on Debian: \
                                apt-get install ca-certificates), or name the CA's with acme_ca"
                        .to_owned());
                }
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let builder = builder.map_err(|error| format!("TLS cannot be set up: {error}"))?;
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Ok(Self { tls: TlsConnector::from(Arc::new(config)), asked_to_wait: Arc::default() })
    }

    /// Until when the last refusal has asked us to wait, if one has.
    pub(crate) fn asked_to_wait(&self) -> Option<Timestamp> {
        *self.asked_to_wait.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn exchange(&self, mut request: Request<BodyWrapper<Bytes>>) -> io::Result<Response<Bytes>> {
        let uri = request.uri().clone();
        if uri.scheme_str() != Some("https") {
            return Err(io::Error::other(format!("the CA names {uri}, which is not https")));
        }
        let (Some(host), Some(authority)) = (uri.host(), uri.authority()) else {
            return Err(io::Error::other(format!("the CA names {uri}, which has no host")));
        };
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let stream = TcpStream::connect((bare, uri.port_u16().unwrap_or(443))).await?;
        let name = ServerName::try_from(bare.to_owned()).map_err(io::Error::other)?;
        let stream = self.tls.connect(name, stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(io::Error::other)?;
        // It ends with the sender.
        tokio::spawn(connection);
        let host = authority.as_str().parse().map_err(io::Error::other)?;
        request.headers_mut().insert(HOST, host);
        *request.uri_mut() = uri.path_and_query().map_or(Uri::from_static("/"), |path| Uri::from(path.clone()));
        let (head, body) = sender.send_request(request).await.map_err(io::Error::other)?.into_parts();
        let body = Limited::new(body, LONGEST).collect().await.map_err(io::Error::other)?.to_bytes();
        if !head.status.is_success() {
            let field = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let until = field.and_then(|field| retry_after(field, Timestamp::now()));
            *self.asked_to_wait.lock().unwrap_or_else(PoisonError::into_inner) = until;
        }
        Ok(Response::from_parts(head, body))
    }
}

impl HttpClient for Client {
    fn request(
        &self,
        request: Request<BodyWrapper<Bytes>>,
    ) -> Pin<Box<dyn Future<Output = Result<BytesResponse, Error>> + Send>> {
        let (client, uri) = (self.clone(), request.uri().clone());
        Box::pin(async move {
            let said = match timeout(PATIENCE, client.exchange(request)).await {
                Ok(Ok(response)) => {
                    let (parts, body) = response.into_parts();
                    return Ok(BytesResponse { parts, body: Box::new(body) });
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("it does not answer within {} s", PATIENCE.as_secs()),
            };
            Err(Error::Other(Box::new(Unreachable(format!("cannot ask {uri}: {said}")))))
        })
    }
}

/// The CA was not asked, or its answer has not come.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreachable(String);

/// What a `Retry-After` says (RFC 9110 section 10.2.3): seconds, or a date.
fn retry_after(field: &str, now: Timestamp) -> Option<Timestamp> {
    match field.trim().parse::<u32>() {
        Ok(seconds) => now.checked_add(SignedDuration::from_secs(seconds.into())).ok(),
        Err(_) => httpdate::parse_http_date(field.trim()).ok().and_then(|date| Timestamp::try_from(date).ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::from_second(784_111_000).unwrap();
        assert_eq!(retry_after(" 120", now), Timestamp::from_second(784_111_120).ok());
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Timestamp::from_second(784_111_777).ok());
        for nonsense in ["", "-1", "soon", "99999999999999999999"] {
            assert_eq!(retry_after(nonsense, now), None, "{nonsense}");
        }
    }

    #[test]
    fn a_file_without_an_authority_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        for text in [None, Some("nothing")] {
            if let Some(text) = text {
                std::fs::write(&file, text).unwrap();
            }
            let Err(said) = Client::new(Some(&file)) else { panic!("there is nothing to trust") };
            assert!(said.contains("acme_ca") && said.contains("ca.pem"), "{said}");
        }
    }
}
