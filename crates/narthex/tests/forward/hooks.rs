//! The app's word before and after.

use axum::Router;
use axum::routing::any;
use http::{HeaderValue, Response, StatusCode};
use narthex::forward::{Forward, ForwardError, ResponseBody, Upstream};

use super::stage::{app, running};
use crate::client::Place;

on_both! {
    a_hook_changes_requests_and_nothing_is_left_for_the_next
    a_hook_refuses_requests
    a_hook_sees_what_came_and_changes_it
}

fn named(name: &'static str) -> Router {
    Router::new().fallback(any(async move |uri: http::Uri, headers: http::HeaderMap| {
        let text = |field: &str| headers.get(field).map_or("-", |value| value.to_str().unwrap()).to_owned();
        format!("{name} {uri} host={} x={}", text("host"), text("x"))
    }))
}

async fn a_hook_changes_requests_and_nothing_is_left_for_the_next(place: &Place) {
    let (one, two) = (app(named("one")).await, app(named("two")).await);
    let other = Upstream::new(format!("http://{two}")).unwrap();
    let forward = Forward::to(format!("http://{one}")).unwrap().before(move |mut parts| {
        let other = other.clone();
        async move {
            match parts.uri.path() {
                "/changed" => {
                    parts.uri = "/elsewhere?q=1".parse().unwrap();
                    parts.headers.insert("host", HeaderValue::from_static("mine"));
                    parts.headers.insert("x", HeaderValue::from_static("1"));
                    parts.headers.insert("transfer-encoding", HeaderValue::from_static("gzip"));
                    parts.headers.insert("content-length", HeaderValue::from_static("7"));
                }
                "/two" => {
                    parts.extensions.insert(other);
                }
                _ => {}
            }
            Ok::<_, Response<&str>>(parts)
        }
    });
    let running = running(place, forward).await;
    let mut client = running.connect().await;
    for _ in 0..2 {
        assert_eq!(client.get("/changed").await.text(), "one /elsewhere?q=1 host=mine x=1");
        assert_eq!(client.get("/two").await.text(), "two /two host=a x=-");
        assert_eq!(client.get("/as-it-is").await.text(), "one /as-it-is host=a x=-");
    }
}

async fn a_hook_refuses_requests(place: &Place) {
    let forward = Forward::to("http://127.0.0.1:1").unwrap().before(|_| async {
        Err(Response::builder().status(StatusCode::UNAUTHORIZED).header("x-why", "because").body("who are you?").unwrap())
    });
    let forward = forward.after(|_, _| async { panic!("what is refused does not come here") });
    let reply = running(place, forward).await.get("/").await;
    assert_eq!((reply.status, reply.text()), (401, "who are you?"));
    assert!(reply.head.contains("x-why: because\r\n"));
}

async fn a_hook_sees_what_came_and_changes_it(place: &Place) {
    let one = app(named("one")).await;
    let upstream = Upstream::new(format!("http://{one}")).unwrap();
    let nobody = Upstream::new("http://127.0.0.1:1").unwrap();
    let forward = Forward::new().route("/", upstream).route("/nobody", nobody).after(|request, outcome| async move {
        match outcome {
            Ok(mut response) => {
                response.headers_mut().insert("x-after", HeaderValue::from_static("1"));
                response
            }
            Err(ForwardError::Unreachable { server, .. }) => {
                let text = format!("{} {} cannot go to {server}", request.method, request.uri);
                Response::new(ResponseBody::from(text))
            }
            Err(error) => error.response(),
        }
    });
    let running = running(place, forward).await;
    let reply = running.get("/x").await;
    assert_eq!(reply.text(), "one /x host=a x=-");
    assert!(reply.head.contains("x-after: 1\r\n"), "{}", reply.head);
    assert_eq!(running.get("/nobody/x").await.text(), "GET /nobody/x cannot go to http://127.0.0.1:1");
}

#[tokio::test]
async fn what_cannot_be_forwarded_says_no_more_than_its_status() {
    let forward = Forward::new().route("/nobody", Upstream::new("http://127.0.0.1:1").unwrap());
    let running = running(&Place::embedded(), forward).await;
    for (path, status, text) in [("/", 404, r#"{"error":"Not Found"}"#), ("/nobody", 502, r#"{"error":"Bad Gateway"}"#)] {
        let reply = running.get(path).await;
        assert_eq!((reply.status, reply.text()), (status, text), "{path}");
        assert!(reply.head.contains("content-type: application/json\r\n"));
    }
}
