//! Where HTTP/3 is offered, and where it is not.

use narthex_tests::{Client, Provider, Secure, Setup};

use crate::http3::stage::{both, eventually, run, start};

both! {
    responses_over_tcp_name_the_port;
    where_it_is_turned_off_there_is_no_socket_and_nobody_is_told;
    where_clients_show_certificates_it_is_not_offered;
    where_headers_of_the_proxy_protocol_come_it_is_not_offered;
}

fn ask(client: &mut Client) -> Option<String> {
    client.send(b"GET /whoami HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("the server reads");
    let response = client.response(false).expect("an answer");
    assert_eq!((response.status, response.text().as_str()), (200, "app"));
    response.header("alt-svc").map(str::to_owned)
}

fn told_over_http1(secure: &Secure) -> Option<String> {
    ask(&mut secure.http1())
}

fn told_over_http2(secure: &Secure) -> Option<String> {
    let mut connection = secure.http2();
    connection.get(1, "/whoami");
    let answer = connection.answer(1).expect("an answer");
    assert_eq!((answer.status, answer.text().as_str()), (200, "app"));
    answer.header("alt-svc").map(str::to_owned)
}

async fn responses_over_tcp_name_the_port(provider: Provider) {
    let secure = start(provider);
    eventually("responses tell of HTTP/3", async || told_over_http1(&secure).is_some()).await;
    let port = secure.address().port();
    for told in [told_over_http1(&secure), told_over_http2(&secure)] {
        let told = told.expect("it is told");
        assert!(told.starts_with(&format!("h3=\":{port}\"")), "{told}");
    }
    assert!(secure.has_udp());
    assert_eq!(secure.http3().await.get("/whoami").await.text(), "app");
}

/// HTTP/3 is not there.
fn is_not_offered(secure: &Secure) {
    assert!(!secure.has_udp(), "there is a socket");
    assert_eq!((told_over_http1(secure), told_over_http2(secure)), (None, None));
}

async fn where_it_is_turned_off_there_is_no_socket_and_nobody_is_told(provider: Provider) {
    is_not_offered(&Secure::start(provider, Setup { embedded: &["--no-http3"], settings: "http3 = false", ..Setup::default() }));
    if provider == Provider::Shared {
        is_not_offered(&Secure::start(provider, Setup { binding: &["disablequic=enable"], ..Setup::default() }));
    }
}

async fn where_clients_show_certificates_it_is_not_offered(provider: Provider) {
    let binding = ["clientcertnegotiation=enable", "cafile={ca}"];
    // They are asked, and need not show one.
    let setup = Setup { embedded: &["--client-ca", "{ca}", "--client-may-be-unknown"], binding: &binding, ..Setup::default() };
    is_not_offered(&Secure::start(provider, setup));
    let binding = ["clientcertnegotiation=require", "cafile={ca}"];
    let secure = Secure::start(provider, Setup { embedded: &["--client-ca", "{ca}"], binding: &binding, ..Setup::default() });
    assert!(!secure.has_udp(), "there is a socket");
}

async fn where_headers_of_the_proxy_protocol_come_it_is_not_offered(provider: Provider) {
    let settings = "proxy_protocol = [\"127.0.0.1:{port}\"]";
    let secure = Secure::start(provider, Setup { embedded: &["--proxy-protocol"], settings, ..Setup::default() });
    assert!(!secure.has_udp(), "there is a socket");
    let mut client = Client::connect(secure.address()).expect("the server accepts connections");
    client.send(b"PROXY TCP4 192.0.2.1 10.0.0.1 4711 443\r\n").expect("the server reads");
    let mut client = client.with_tls(&secure.authority.file()).expect("a handshake follows");
    assert_eq!(ask(&mut client), None);
}

#[test]
fn operators_turn_it_off_and_on_while_clients_are_connected() {
    run(async {
        let secure = start(Provider::Shared);
        let host = secure.host.as_ref().expect("there is a host");
        let set = |setting: &str, value: &str| {
            host.operate(&["add", "setting", &format!("settingtype={setting}"), &format!("value={value}")]);
        };
        let is_told = || told_over_http2(&secure).is_some();
        let connection = secure.http3().await;
        eventually("responses tell of HTTP/3", async || is_told()).await;
        set("alt_svc", "false");
        eventually("responses tell nothing", async || !is_told()).await;
        assert_eq!(secure.http3().await.get("/whoami").await.status, 200, "who knows of it may use it");
        set("http3", "false");
        assert_eq!(connection.get("/whoami").await.status, 200, "who is there stays");
        connection.leave();
        eventually("there is no socket", async || !secure.has_udp()).await;
        set("http3", "true");
        set("alt_svc", "true");
        eventually("responses tell of HTTP/3 again", async || is_told()).await;
        assert_eq!(secure.http3().await.get("/whoami").await.status, 200);
        // An address that PROXY headers are expected at from now on.
        set("proxy_protocol", &secure.address().to_string());
        eventually("there is no socket", async || !secure.has_udp()).await;
        set("proxy_protocol", "none");
        eventually("there is a socket", async || secure.has_udp()).await;
        assert_eq!(secure.http3().await.get("/whoami").await.status, 200);
    });
}
