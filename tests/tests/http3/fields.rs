//! What handlers see of a request is the same over every version.

use narthex_tests::h2::frame;
use narthex_tests::{Provider, Secure, Setup};
use serde_json::{Value, json};

use crate::http3::stage::{both, json};

both! {
    a_handler_sees_the_same_of_a_request_over_every_version;
    a_handler_sees_its_clients_own_address;
    cookies_in_crumbs_are_one_field;
}

fn start(provider: Provider) -> Secure {
    Secure::start(provider, Setup { path: "My/App/", app: &["--connection-info"], ..Setup::default() })
}

async fn a_handler_sees_the_same_of_a_request_over_every_version(provider: Provider) {
    const PATH: &str = "/my/APP/headers?q=a%20b&c";
    let secure = start(provider);
    let fields =
        [("x-one", "1"), ("accept", "*/*"), ("x-two", "a, b"), ("x-two", "c"), ("priority", "u=1, i"), ("te", "trailers")];
    let http3 = json(&secure.http3().await.ask("GET", PATH, &fields).await.body);
    let mut connection = secure.http2();
    let block = connection.request("GET", PATH, &fields);
    connection.send(&frame::headers(1, frame::END_HEADERS | frame::END_STREAM, block));
    let http2 = json(&connection.answer(1).expect("an answer").body);
    let mut client = secure.http1();
    let lines: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let request = format!("GET {PATH} HTTP/1.1\r\nHost: {}\r\n{lines}\r\n", secure.address());
    client.send(request.as_bytes()).expect("the server reads");
    let http1 = json(&client.response(false).expect("an answer").body);

    assert_eq!(
        (&http1["version"], &http2["version"], &http3["version"]),
        (&json!("HTTP/1.1"), &json!("HTTP/2.0"), &json!("HTTP/3.0"))
    );
    let common = |seen: &Value| {
        let mut seen = seen.clone();
        for differs in ["version", "peer"] {
            assert!(seen[differs].is_string(), "{seen}");
            seen[differs].take();
        }
        // Each request has an id of its own.
        let headers = seen["headers"].as_array_mut().expect("headers are a list");
        let all = headers.len();
        headers.retain(|header| header[0] != "x-request-id");
        assert_eq!(headers.len(), all - 1, "{headers:?}");
        seen
    };
    assert_eq!(common(&http3), common(&http2));
    assert_eq!(common(&http3), common(&http1));
    assert_eq!((&http3["uri"], &http3["original_uri"]), (&json!("/headers?q=a%20b&c"), &json!(PATH)));
    assert_eq!(http3["path_base"], "/my/APP");
    assert_eq!(http3["tls"], true);
}

async fn a_handler_sees_its_clients_own_address(provider: Provider) {
    let secure = start(provider);
    for _ in 0..2 {
        let client = secure.client();
        let connection = client.connect(secure.address()).await.expect("the server speaks HTTP/3");
        let seen = json(&connection.get("/My/App/headers").await.body);
        assert_eq!(seen["peer"], client.address().to_string());
    }
}

async fn cookies_in_crumbs_are_one_field(provider: Provider) {
    let secure = start(provider);
    let seen = json(&secure.http3().await.ask("GET", "/My/App/headers", &[("cookie", "a=1"), ("cookie", "b=2")]).await.body);
    let fields = seen["headers"].as_array().expect("fields");
    let cookies: Vec<_> = fields.iter().filter(|field| field[0] == "cookie").collect();
    assert_eq!(cookies, [&json!(["cookie", "a=1; b=2"])]);
}
