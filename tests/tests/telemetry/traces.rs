//! Traces: the host's span, the app's below it, and what becomes of what clients say.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use narthex_tests::{Client, Provider};

use crate::telemetry::collector::{Collector, Span};
use crate::telemetry::stage::{SOON, Stage};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

fn sampled() -> String {
    format!("traceparent: 00-{TRACE}-{PARENT}-01\r\n")
}

/// A host that traces and an app that does, too.
fn traced(collector: &Collector, settings: &str) -> Stage {
    let url = collector.url();
    let settings = format!("trace = \"on\"\ntrace_endpoint = \"{url}\"\n{settings}");
    Stage::new(Provider::Shared, &settings, &[format!("--collector={url}")])
}

fn of<'s>(spans: &'s [Span], service: &str) -> &'s Span {
    spans.iter().find(|span| span.service == service).unwrap_or_else(|| panic!("a span of {service}: {spans:#?}"))
}

/// Trace, span and flags of a `traceparent`.
fn parts(text: &str) -> (&str, &str, &str) {
    let parts: Vec<&str> = text.split('-').collect();
    let ["00", trace, span, flags] = parts[..] else { panic!("no traceparent: {text}") };
    (trace, span, flags)
}

#[test]
fn the_apps_span_is_the_hosts_child_and_that_is_the_clients() {
    let collector = Collector::start();
    let stage = traced(&collector, "trusted_proxies = [\"127.0.0.1\"]");
    let seen = stage.seen_once("traceparent", &format!("{}tracestate: a=b\r\nX-Request-Id: my-id\r\n", sampled()));
    let spans = collector.trace(TRACE, 2);
    let (host, app) = (of(&spans, "narthex-host"), of(&spans, "app"));
    assert_eq!((host.parent.as_str(), app.parent.as_str()), (PARENT, host.id.as_str()));
    assert_eq!(parts(&seen), (TRACE, app.id.as_str(), "01"), "what the app sends on is below its own span");

    assert_eq!(host.name, "GET /shop/");
    let expected = [
        ("http.request.method", "GET"),
        ("url.path", "/shop/headers"),
        ("url.scheme", "http"),
        ("http.route", "/shop/"),
        ("http.response.status_code", "200"),
        ("server.address", "a"),
        ("network.protocol.version", "1.1"),
        ("client.address", "127.0.0.1"),
        ("http.request.header.x-request-id", "my-id"),
    ];
    for (key, value) in expected {
        assert_eq!(host.attribute(key), Some(value), "{key}");
    }
    assert_eq!(host.attribute("error.type"), None);
    assert!(host.nanoseconds >= app.nanoseconds, "{spans:#?}");
    assert_eq!((app.attribute("url.path"), app.attribute("request_id")), (Some("/headers"), Some("my-id")));
    assert_eq!(stage.seen_once("tracestate", &format!("{}tracestate: a=b\r\n", sampled())), "a=b");
}

#[test]
fn a_trace_that_nobody_began_begins_at_the_host() {
    let collector = Collector::start();
    let stage = traced(&collector, "");
    for malformed in ["", "traceparent: 00-nonsense-01\r\n", &format!("{}{}", sampled(), sampled())] {
        let seen = stage.seen_once("traceparent", malformed);
        let (trace, span, flags) = parts(&seen);
        assert_ne!(trace, TRACE);
        let spans = collector.trace(trace, 2);
        let (host, app) = (of(&spans, "narthex-host"), of(&spans, "app"));
        assert_eq!((host.parent.as_str(), app.parent.as_str(), app.id.as_str(), flags), ("", host.id.as_str(), span, "01"));
    }
    let state = stage.seen("tracestate", "tracestate: a=b\r\n");
    assert_eq!(state, Vec::<String>::new(), "it belongs to a traceparent");
}

#[test]
fn what_the_parent_does_not_record_nobody_does_and_the_rest_goes_by_the_share() {
    let collector = Collector::start();
    let stage = traced(&collector, "");
    let unsampled = sampled().replace("-01\r", "-00\r");
    assert_eq!(stage.seen_once("traceparent", &unsampled), format!("00-{TRACE}-{PARENT}-00"), "there is no span between");
    stage.set("trace_sample", "0");
    let seen = stage.seen_once("traceparent", "");
    let (trace, _, flags) = parts(&seen);
    assert_eq!(flags, "00");
    let trace = trace.to_owned();
    // A later span that is recorded comes after what was not.
    stage.seen_once("traceparent", &sampled());
    collector.trace(TRACE, 2);
    assert!(collector.spans().iter().all(|span| span.trace != trace), "{:#?}", collector.spans());
}

#[test]
fn without_traces_a_traceparent_is_a_field_like_any_other() {
    let collector = Collector::start();
    let stage = Stage::new(Provider::Shared, &format!("trace = \"on\"\ntrace_endpoint = \"{}\"", collector.url()), &[]);
    assert_ne!(stage.seen("traceparent", "traceparent: any text\r\n"), ["any text"]);
    stage.set("trace", "off");
    assert_eq!(stage.seen("traceparent", "traceparent: any text\r\n"), ["any text"]);
    assert_eq!(stage.seen("traceparent", ""), Vec::<String>::new());
}

#[test]
fn a_refusal_has_the_token_of_the_error_log() {
    let collector = Collector::start();
    let stage = traced(&collector, "max_request_body = 10");
    assert_eq!(stage.get("/shop/headers", &format!("{}Content-Length: 11\r\n", sampled())).status, 413);
    let spans = collector.trace(TRACE, 1);
    assert_eq!(spans[0].attribute("error.type"), Some("EntityTooLarge"));
    assert_eq!(spans[0].attribute("http.response.status_code"), Some("413"));
}

#[test]
fn a_web_sockets_handshake_is_in_the_trace() {
    let collector = Collector::start();
    let stage = traced(&collector, "");
    let handshake = "Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let mut client = Client::connect(stage.app.address).expect("the host accepts");
    client
        .send(format!("GET /shop/hub HTTP/1.1\r\nHost: a\r\n{handshake}{}\r\n", sampled()).as_bytes())
        .expect("the request can be sent");
    assert_eq!(client.head().expect("it is answered").status, 101);
    let app = collector.trace(TRACE, 1).remove(0);
    assert_eq!((app.service.as_str(), app.attribute("http.response.status_code")), ("app", Some("101")));
    drop(client);
    let spans = collector.trace(TRACE, 2);
    let host = of(&spans, "narthex-host");
    assert_eq!((host.attribute("http.response.status_code"), &app.parent), (Some("101"), &host.id));
}

#[test]
fn an_app_alone_is_in_the_clients_trace() {
    let collector = Collector::start();
    let stage = Stage::new(Provider::Embedded, "", &[format!("--collector={}", collector.url())]);
    let seen = stage.seen_once("traceparent", &sampled());
    let spans = collector.trace(TRACE, 1);
    assert_eq!((spans[0].parent.as_str(), parts(&seen)), (PARENT, (TRACE, spans[0].id.as_str(), "01")));
}

#[test]
fn a_collector_that_is_dead_or_deaf_costs_no_request_and_one_line() {
    // It accepts, and never answers.
    let deaf = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let dead = TcpListener::bind("127.0.0.1:0").expect("a port is free").local_addr().expect("it has an address");
    for url in [format!("http://{}", deaf.local_addr().expect("it has an address")), format!("http://{dead}")] {
        let settings = format!("trace = \"on\"\ntrace_endpoint = \"{url}\"");
        let stage = Stage::new(Provider::Shared, &settings, &[]);
        let mut client = Client::connect(stage.app.address).expect("the host accepts");
        for _ in 0..2000 {
            client.send(b"GET /shop/ HTTP/1.1\r\nHost: a\r\n\r\n").expect("the request can be sent");
            assert_eq!(client.response(false).expect("it is answered").status, 200);
        }
        let complaints = || stage.host().process.log().matches("does not take spans").count();
        let deadline = Instant::now() + SOON;
        while complaints() == 0 {
            assert!(Instant::now() < deadline, "the host does not say so:\n{}", stage.host().process.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_secs(2));
        assert_eq!(complaints(), 1, "{}", stage.host().process.log());
    }
}
