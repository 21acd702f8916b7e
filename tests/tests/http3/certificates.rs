//! Certificates that are renewed while clients are connected.

use narthex_tests::Provider;
use narthex_tests::pki::Use;

use crate::stage::{both, eventually, start};

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
