//! The app without a server: requests go straight to the router.

use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use axum::{Router, response::Response};
use tower::ServiceExt;

async fn ask(app: &Router, request: Request<Body>) -> Response {
    app.clone()
        .oneshot(request)
        .await
        .expect("a router does not fail")
}

async fn text(response: Response) -> String {
    let bytes = to_bytes(response.into_body(), 1_000_000)
        .await
        .expect("the body comes");
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

#[tokio::test]
async fn what_guests_write_is_on_the_page_and_is_no_html() {
    let app = my_app::app();
    let form = Request::post("/")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .body(Body::from(
            "name=Ann&text=%3Cscript%3Ealert(1)%3C/script%3E",
        ));
    let written = ask(&app, form.expect("a request")).await;
    assert_eq!(written.status(), StatusCode::SEE_OTHER);

    let page = ask(
        &app,
        Request::get("/").body(Body::empty()).expect("a request"),
    )
    .await;
    assert_eq!(page.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    let page = text(page).await;
    assert!(
        page.contains("<b>Ann</b> &lt;script&gt;") && !page.contains("<script"),
        "{page}"
    );
}

#[tokio::test]
async fn the_page_s_style_is_where_it_says() {
    let app = my_app::app();
    let style = ask(
        &app,
        Request::get("/style.css")
            .body(Body::empty())
            .expect("a request"),
    )
    .await;
    assert_eq!(
        style.headers()[header::CONTENT_TYPE],
        "text/css; charset=utf-8"
    );
    assert!(text(style).await.contains("system-ui"));
}
