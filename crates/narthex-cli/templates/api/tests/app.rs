//! The API without a server: requests go straight to the router.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request, StatusCode, header};
use serde_json::{Value, json};
use tower::ServiceExt;

async fn ask(
    app: &Router,
    method: &str,
    target: &str,
    body: &str,
) -> (StatusCode, HeaderMap, Value) {
    let request = Request::builder()
        .method(method)
        .uri(target)
        .header(header::CONTENT_TYPE, "application/json");
    let request = request
        .body(Body::from(body.to_owned()))
        .expect("a request");
    let (head, body) = app
        .clone()
        .oneshot(request)
        .await
        .expect("a router does not fail")
        .into_parts();
    let bytes = to_bytes(body, 1_000_000).await.expect("the body comes");
    (
        head.status,
        head.headers,
        serde_json::from_slice(&bytes).unwrap_or_default(),
    )
}

#[tokio::test]
async fn a_note_is_added_found_and_removed() {
    let app = my_app::app();
    let (status, headers, note) = ask(&app, "POST", "/notes", r#"{"text":"milk"}"#).await;
    assert_eq!(
        (status, &note),
        (StatusCode::CREATED, &json!({ "id": 1, "text": "milk" }))
    );
    let location = headers[header::LOCATION].to_str().expect("it is text");
    assert_eq!(ask(&app, "GET", location, "").await.2, note);
    assert_eq!(ask(&app, "GET", "/notes", "").await.2, json!([note]));
    assert_eq!(
        ask(&app, "DELETE", location, "").await.0,
        StatusCode::NO_CONTENT
    );
    assert_eq!(
        ask(&app, "GET", location, "").await.0,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn what_is_wrong_is_told_as_json() {
    let app = my_app::app();
    for (method, target, body, status) in [
        ("GET", "/nothing", "", StatusCode::NOT_FOUND),
        ("DELETE", "/notes/7", "", StatusCode::NOT_FOUND),
        ("POST", "/notes", "{", StatusCode::BAD_REQUEST),
        (
            "POST",
            "/notes",
            r#"{"txet":"milk"}"#,
            StatusCode::UNPROCESSABLE_ENTITY,
        ),
    ] {
        let (found, _, told) = ask(&app, method, target, body).await;
        assert!(
            found == status && told["error"].is_string(),
            "{method} {target}: {found} {told}"
        );
    }
}
