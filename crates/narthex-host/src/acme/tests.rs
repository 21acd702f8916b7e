//! CAs that a real ACME server does not play: one that limits its clients, and those that are none.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use narthex_http::tls::development::Authority;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::*;

/// A server that answers each request by what `answer` says to its first line.
struct FakeCa {
    directory: TempDir,
    settings: AcmeSettings,
}

impl FakeCa {
    async fn start(answer: impl Fn(&str, &str) -> String + Send + 'static) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let authority = Authority::in_directory(directory.path()).unwrap();
        let issued = authority.issue(&["localhost"]).unwrap();
        let chain = vec![CertificateDer::from_pem_slice(issued.certificate.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(issued.key.as_bytes()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(builder.with_no_client_auth().with_single_cert(chain, key).unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let origin = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let settings = AcmeSettings {
            directory: format!("{origin}/dir"),
            terms_agreed: true,
            ca: Some(authority.certificate_file().to_owned()),
            ..AcmeSettings::default()
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut head = vec![0; 16 * 1024];
                let read = stream.read(&mut head).await.unwrap_or_default();
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let answer = answer(head.lines().next().unwrap_or_default(), &origin);
                // Who has enough does not read on.
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { directory, settings }
    }

    /// Asks for a certificate; why there is none.
    async fn ask(&self) -> Trouble {
        let store = Store::beside(&self.directory.path().join("host"));
        let client = Client::new(self.settings.ca.as_deref()).unwrap();
        let account = match account(&self.settings, &store, &client).await {
            Ok(account) => account,
            Err(trouble) => return trouble,
        };
        let mut progress = Progress::default();
        let order = Order::open("a.test", &account, &self.settings.directory, &store, &client, &mut progress).await;
        order.err().expect("there is no certificate to be had here")
    }
}

fn response(status: &str, fields: &str, body: &str) -> String {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\nReplay-Nonce: bm9uY2U\r\nContent-Length: {length}\r\n{fields}\r\n{body}")
}

/// As far as an account, and then this.
fn until_the_order(line: &str, origin: &str, order: &str) -> String {
    let path = line.split_whitespace().nth(1).unwrap_or_default();
    match path {
        "/dir" => {
            let url = |name: &str| format!("{origin}/{name}");
            let directory = serde_json::json!({
                "newNonce": url("nonce"), "newAccount": url("account"), "newOrder": url("order"),
                "revokeCert": url("revoke"), "keyChange": url("key"),
            });
            response("200 OK", "", &directory.to_string())
        }
        "/account" => response("201 Created", &format!("Location: {origin}/account/1\r\n"), "{}"),
        "/order" => order.to_owned(),
        _ => response("200 OK", "", ""),
    }
}

fn limited(fields: &str) -> String {
    let problem = r#"{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many certificates already issued"}"#;
    response("429 Too Many Requests", fields, problem)
}

#[tokio::test]
async fn a_ca_that_limits_its_clients_is_asked_when_it_says() {
    let ca = FakeCa::start(|line, origin| until_the_order(line, origin, &limited("Retry-After: 7200\r\n"))).await;
    let before = Timestamp::now();
    let trouble = ca.ask().await;
    assert_eq!(trouble.kind, Kind::RateLimited, "{}", trouble.message);
    assert!(trouble.message.contains("too many certificates"), "{}", trouble.message);
    let until = trouble.until.expect("the CA has said when");
    let wait = until.duration_since(before);
    assert!(wait >= SignedDuration::from_secs(7200) && wait < SignedDuration::from_secs(7300), "{wait:?}");
    assert_eq!(schedule::after_failure(before, 1, Some(until), true, 0.5), until);

    let ca = FakeCa::start(|line, origin| until_the_order(line, origin, &limited(""))).await;
    let trouble = ca.ask().await;
    assert_eq!((trouble.kind, trouble.until), (Kind::RateLimited, None));
}

#[tokio::test]
async fn what_is_no_ca_is_told_and_its_answers_are_bounded() {
    let page = "<html>It works!</html>";
    for (answer, said) in [
        (response("200 OK", "", page), "does not speak ACME"),
        (response("503 Service Unavailable", "Retry-After: 60\r\n", page), "does not speak ACME"),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned() + &"x".repeat(2 << 20), "cannot ask https://localhost"),
        ("SSH-2.0-OpenSSH_9\r\n".to_owned(), "cannot ask https://localhost"),
        (String::new(), "cannot ask https://localhost"),
    ] {
        let ca = FakeCa::start(move |_, _| answer.clone()).await;
        let trouble = ca.ask().await;
        assert!(trouble.message.contains(said) && trouble.message.contains("acme_directory"), "{said}: {}", trouble.message);
    }
}

#[tokio::test]
async fn a_ca_may_lead_nowhere_but_to_https() {
    let ca = FakeCa::start(|line, origin| until_the_order(line, &origin.replace("https:", "http:"), "")).await;
    let trouble = ca.ask().await;
    assert!(trouble.message.contains("which is not https"), "{}", trouble.message);
}

#[tokio::test]
async fn the_account_is_made_once() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let made = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&made);
    let ca = FakeCa::start(move |line, origin| {
        count.fetch_add(usize::from(line.starts_with("POST /account ")), Ordering::Relaxed);
        until_the_order(line, origin, &limited(""))
    })
    .await;
    ca.ask().await;
    ca.ask().await;
    assert_eq!(made.load(Ordering::Relaxed), 1);
}
