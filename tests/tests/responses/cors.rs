//! Requests of pages of other origins (the Fetch standard's CORS protocol).

use narthex_tests::matrix::{Ask, Reply, Scene};
use narthex_tests::responses::FRIEND;

const ORIGIN: &str = "access-control-allow-origin";
const CREDENTIALS: &str = "access-control-allow-credentials";
const STRANGERS: [&str; 5] =
    ["https://evil.example", "http://shop.example", "https://shop.example.evil.example", "https://shop.example:444", "null"];

fn from(scene: &Scene, ask: Ask, origin: &str) -> Reply {
    scene.wire().ask(&ask.field("origin", origin)).unwrap_or_else(|problem| panic!("{origin}: {problem}"))
}

/// The names in a list, in order.
fn names(reply: &Reply, field: &str) -> Vec<String> {
    let mut names: Vec<_> =
        reply.all(field).iter().flat_map(|list| list.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect();
    names.sort();
    names
}

pub(crate) fn friends(scene: &Scene) {
    let reply = from(scene, Ask::get("/friends"), FRIEND);
    assert_eq!((reply.status, reply.text().as_str()), (200, "for friends"));
    assert_eq!((reply.all(ORIGIN), reply.header(CREDENTIALS)), (vec![FRIEND], Some("true")));
    assert_eq!(reply.header("access-control-expose-headers"), Some("x-total"));
    assert!(names(&reply, "vary").contains(&"origin".to_owned()), "a cache would give it to others: {reply:?}");
    for stranger in STRANGERS {
        let reply = from(scene, Ask::get("/friends"), stranger);
        assert_eq!(reply.all(ORIGIN), [""; 0], "{stranger}");
        assert!(names(&reply, "vary").contains(&"origin".to_owned()), "{stranger}");
    }
    // Who may be anybody gets no credentials.
    for origin in [FRIEND, STRANGERS[0]] {
        let reply = from(scene, Ask::get("/all"), origin);
        assert_eq!((reply.all(ORIGIN), reply.all(CREDENTIALS)), (vec!["*"], vec![]), "{origin}");
    }
    let together = std::panic::catch_unwind(|| {
        let layer = tower_http::cors::CorsLayer::new().allow_credentials(true).allow_origin(tower_http::cors::Any);
        axum::Router::<()>::new().route("/", axum::routing::get(|| async {})).layer(layer)
    });
    assert!(together.is_err(), "credentials for everybody are no app that starts");
}

pub(crate) fn preflight(scene: &Scene) {
    let ask = || {
        let ask = Ask::new("OPTIONS", "/friends").field("access-control-request-method", "PUT");
        ask.field("access-control-request-headers", "content-type,x-token")
    };
    let allowed = from(scene, ask(), FRIEND);
    assert_eq!((allowed.status, allowed.body.len()), (200, 0));
    assert_eq!((allowed.all(ORIGIN), allowed.header(CREDENTIALS)), (vec![FRIEND], Some("true")));
    assert_eq!(names(&allowed, "access-control-allow-methods"), ["get", "put"]);
    assert_eq!(names(&allowed, "access-control-allow-headers"), ["content-type", "x-token"]);
    assert_eq!(allowed.header("access-control-max-age"), Some("600"));
    assert!(names(&allowed, "vary").contains(&"origin".to_owned()));
    for stranger in STRANGERS {
        assert_eq!(from(scene, ask(), stranger).all(ORIGIN), [""; 0], "{stranger}");
    }
}
