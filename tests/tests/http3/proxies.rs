//! Proxies that speak HTTP/3 to the server.

use narthex_tests::{Provider, Secure, Setup};

use crate::http3::stage::{both, json};

both! {
    a_trusted_proxy_tells_the_client_of_each_request;
    what_a_client_writes_itself_is_not_believed;
}

fn start(provider: Provider, trusted: &str) -> Secure {
    let settings = format!("trusted_proxies = [\"{trusted}\"]");
    let embedded = ["--trusted-proxy", trusted];
    Secure::start(provider, Setup { app: &["--connection-info"], embedded: &embedded, settings: &settings, ..Setup::default() })
}

async fn a_trusted_proxy_tells_the_client_of_each_request(provider: Provider) {
    let secure = start(provider, "127.0.0.0/8");
    let proxy = secure.client();
    let own = proxy.address().to_string();
    let connection = proxy.connect(secure.address()).await.expect("the server speaks HTTP/3");
    for (fields, peer, tls) in [
        (&[("x-forwarded-for", "192.0.2.1")][..], "192.0.2.1:0", true),
        (&[("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "http")], "192.0.2.1:0", false),
        (&[("x-forwarded-for", "203.0.113.66, 192.0.2.2")], "192.0.2.2:0", true),
        (&[("x-forwarded-for", "203.0.113.66"), ("x-forwarded-for", "192.0.2.3, 127.0.0.9")], "192.0.2.3:0", true),
        (&[("forwarded", "for=\"[2001:db8::1]:4711\";proto=https")], "[2001:db8::1]:4711", true),
        (&[("forwarded", "for=192.0.2.4;proto=http")], "192.0.2.4:0", false),
        (&[("x-forwarded-for", "192.0.2.5"), ("forwarded", "for=203.0.113.66")], "192.0.2.5:0", true),
        (&[("x-forwarded-for", "unknown")], own.as_str(), true),
        (&[], own.as_str(), true),
    ] {
        let seen = json(&connection.ask("GET", "/headers", fields).await.body);
        assert_eq!((seen["peer"].as_str(), seen["tls"].as_bool()), (Some(peer), Some(tls)), "{fields:?}");
    }
}

async fn what_a_client_writes_itself_is_not_believed(provider: Provider) {
    let secure = start(provider, "10.0.0.0/8");
    let client = secure.client();
    let connection = client.connect(secure.address()).await.expect("the server speaks HTTP/3");
    let forged = [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-proto", "http"), ("forwarded", "for=127.0.0.1;proto=http")];
    let seen = json(&connection.ask("GET", "/headers", &forged).await.body);
    assert_eq!((&seen["peer"], &seen["tls"]), (&client.address().to_string().into(), &true.into()));
}
