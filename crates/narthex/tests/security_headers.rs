//! What browsers are told of responses, by every provider.
#![cfg(all(unix, feature = "axum"))]

use crate::client::{Place, Running};
use axum::extract::Query;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::IntoResponse;
use axum::{Router, routing::get};
use narthex::SecurityHeaders;

on_both! {
    every_response_has_the_fields_once
    a_value_with_a_line_end_splits_no_response
}

async fn every_response_has_the_fields_once(place: &Place) {
    let framed = async || ([("x-frame-options", "SAMEORIGIN"), ("cache-control", "max-age=60")], "framed");
    let app = Router::new().route("/", get(async || "plain")).route("/framed", get(framed));
    let headers = SecurityHeaders::new().no_store().strict_transport_security(std::time::Duration::from_secs(60), false);
    let running = Running::start(place.serving(app.layer(headers), "http://127.0.0.1:0/")).await;
    let values = |head: &str, name: &str| -> Vec<String> {
        head.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned).collect()
    };
    for (target, status, framing, caching) in
        [("/", 200, "DENY", "no-store"), ("/framed", 200, "SAMEORIGIN", "max-age=60"), ("/none", 404, "DENY", "no-store")]
    {
        let reply = running.get(target).await;
        assert_eq!(reply.status, status);
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", framing),
            ("referrer-policy", "strict-origin-when-cross-origin"),
            ("cache-control", caching),
        ] {
            assert_eq!(values(&reply.head, name), [value], "{}", reply.head);
        }
        assert_eq!(values(&reply.head, "strict-transport-security").len(), 0, "not without TLS");
    }
    running.stop().await;
}

async fn a_value_with_a_line_end_splits_no_response(place: &Place) {
    let echo = async |Query(query): Query<Vec<(String, String)>>| {
        let mut headers = HeaderMap::new();
        for (_, value) in query {
            // What cannot be a value is left out; axum's own conversions make it a 500.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static("x-echo"), value);
            }
        }
        headers
    };
    let tuple = async |Query(query): Query<Vec<(String, String)>>| ([("x-echo", query[0].1.clone())], "").into_response();
    let app = Router::new().route("/map", get(echo)).route("/tuple", get(tuple));
    let running = Running::start(place.serving(app.layer(SecurityHeaders::new()), "http://127.0.0.1:0/")).await;
    let mut client = running.connect().await;
    for (target, status) in [("/map", 200), ("/tuple", 500)] {
        for end in ["%0d%0a", "%0a", "%0d", "%00"] {
            let reply = client.get(&format!("{target}?x=a{end}Set-Cookie:%20evil=1{end}{end}<script>")).await;
            assert_eq!(reply.status, status, "{}", reply.head);
            assert!(!reply.head.to_lowercase().contains("cookie"), "{}", reply.head);
            assert!(!reply.head.contains("evil") && !reply.text().contains("<script>"), "{}", reply.head);
        }
    }
    assert_eq!(client.get("/map?x=fine").await.status, 200, "the connection is in order");
    running.stop().await;
}
