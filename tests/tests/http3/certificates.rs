//! Certificates that are renewed while clients are connected.

use narthex_tests::Provider;
use narthex_tests::h3::Connection;
use narthex_tests::pki::Use;

use crate::http3::stage::{both, eventually, run, start};

both! {
    a_renewal_drops_no_connection_and_new_ones_are_shown_the_new_certificate;
}

async fn a_renewal_drops_no_connection_and_new_ones_are_shown_the_new_certificate(provider: Provider) {
    let secure = start(provider);
    let client = secure.client();
    let connection = client.connect(secure.address()).await.expect("the server speaks HTTP/3");
    let old = connection.certificate();
    let mut upload = connection.open("POST", "/echo", &[]).await.expect("the connection is there");
    upload.request.data(b"before ").await.expect("the server reads");
    upload.response.body(7).await.expect("a beginning");

    // The same file, with another certificate and another key.
    assert_eq!(secure.authority.issue("server", Use::Server), secure.certificate());
    eventually("new connections are shown the new certificate", async || secure.http3().await.certificate() != old).await;
    assert_eq!(connection.get("/whoami").await.text(), "app");
    upload.request.data(b"after").await.expect("the server reads");
    assert_eq!(upload.answer().await.expect("an answer").text(), "before after");
    // A session of before is no obstacle: it is resumed or it is not.
    let again = client.connect(secure.address()).await.expect("the server speaks HTTP/3");
    assert_eq!(again.get("/whoami").await.text(), "app");
}

#[test]
fn who_names_another_host_in_the_request_does_not_get_past_its_client_certificates() {
    run(async {
        let secure = start(Provider::Shared);
        let host = secure.host.as_ref().expect("there is a host");
        let before = secure.http3().await;
        let certificate = secure.authority.issue("other", Use::Server).display().to_string();
        let (ca, port) = (secure.authority.file(), secure.address().port());
        let key = format!("hostnameport=secret.test:{port}");
        let (file, key_file, ca) =
            (format!("certfile={certificate}"), format!("keyfile={certificate}"), format!("cafile={}", ca.display()));
        host.operate(&["add", "sslcert", &key, &file, &key_file, &ca, "clientcertnegotiation=require"]);
        eventually("connections of before know it", async || ask_secret(&before).await == 421).await;
        let after = secure.http3().await;
        assert_eq!(ask_secret(&after).await, 421);
        assert_eq!(after.get("/whoami").await.status, 200);
    });
}

async fn ask_secret(connection: &Connection) -> u16 {
    let head = [(":method", "GET"), (":scheme", "https"), (":authority", "secret.test"), (":path", "/whoami")];
    connection.send_head(head).await.expect("it is there").answer().await.expect("an answer").status
}
