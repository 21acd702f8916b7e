//! Who is let in, and what the others are told.

use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Method, Request, StatusCode};
use narthex::auth::{
    Algorithm, Auth, CertificateNames, Credentials, Hashing, Jwt, JwtKey, JwtKeys, PasswordHash, Require, SessionTokens, Users,
    Verdict,
};
use narthex::hub::{Channels, Hub};
use narthex::limits::Limit;
use narthex::{Identity, IdentityScheme, PeerCertificate};
use tower::{Layer, ServiceExt};

use super::stage::{ask, open, say, send, start, value, values};
use crate::client::Place;

on_both! {
    basic_lets_in_who_knows_the_password
    every_scheme_is_offered_to_who_says_nothing
    a_session_token_is_had_by_name_and_password_and_can_be_ended
    a_token_in_a_cookie_works_and_a_stale_one_harms_nobody
    what_is_no_login_is_refused
    only_real_preflights_pass
    anonymous_requests_are_let_in_by_method_and_path
    a_flood_of_logins_is_answered_503
    who_tries_passwords_out_is_answered_429_on_every_path
    a_token_is_not_refused_while_there_are_no_keys_to_check_it
    a_hub_behind_the_layer_knows_who_connects
    a_page_can_open_a_web_socket_with_a_token_where_the_app_allows_it
    who_may_not_do_something_is_told_403
    a_hook_is_asked_last
    a_page_of_another_origin_cannot_use_what_a_browser_adds
    a_listener_to_events_leaves_no_password_behind
}

const WRONG: &str = "Basic YW5uOndyb25n";

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn users() -> Users {
    let users = Users::new();
    users.insert("ann", PasswordHash::of("sesame:open"));
    users
}

async fn who(identity: Option<Identity>) -> String {
    identity.map_or("nobody".to_owned(), |identity| format!("{} by {:?}", identity.name(), identity.scheme()))
}

fn app(auth: Auth) -> Router {
    Router::new().route("/who", any(who)).route("/public/who", any(who)).layer(auth)
}

async fn log_in(running: &crate::client::Running) -> (String, String) {
    let fields = [("Content-Type", "application/json; charset=utf-8")];
    let reply = send(running, "POST /auth/session", &fields, r#"{"user": "ann", "password": "sesame:open"}"#).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(value(&reply, "cache-control"), "no-store");
    let answer: serde_json::Value = serde_json::from_slice(&reply.body).unwrap();
    assert_eq!(answer["expires_in"], 8 * 3600);
    (answer["token"].as_str().unwrap().to_owned(), value(&reply, "set-cookie").to_owned())
}

async fn basic_lets_in_who_knows_the_password(place: &Place) {
    let running = start(place, app(Auth::new("Orders").basic(users()))).await;
    let right = basic("ann", "sesame:open");
    for _ in 0..2 {
        let reply = ask(&running, "GET /who", &[("Authorization", &right)]).await;
        assert_eq!((reply.status, reply.text()), (200, "ann by Basic"));
    }
    for wrong in [WRONG, &basic("bob", "sesame:open"), &basic("ann", "sesame"), "Basic ???", "Basic", "xBasic YQ==", "Bearer a"] {
        let reply = ask(&running, "GET /who", &[("Authorization", wrong)]).await;
        assert_eq!(reply.status, 401, "{wrong}");
        assert_eq!(values(&reply, "www-authenticate"), [r#"Basic realm="Orders", charset="UTF-8""#], "{wrong}");
    }
    let twice = ask(&running, "GET /who", &[("Authorization", &right), ("Authorization", &right)]).await;
    assert_eq!(twice.status, 401);
}

async fn every_scheme_is_offered_to_who_says_nothing(place: &Place) {
    let jwt = Jwt::new(JwtKeys::fixed([JwtKey::secret(Algorithm::HS256, &[7; 32]).unwrap()]));
    let running = start(place, app(Auth::new("Orders").basic(users()).bearer(jwt))).await;
    let reply = ask(&running, "GET /who", &[]).await;
    let (bearer, basic) = (r#"Bearer realm="Orders""#, r#"Basic realm="Orders", charset="UTF-8""#);
    assert_eq!((reply.status, values(&reply, "www-authenticate")), (401, vec![bearer, basic]));
    let reply = ask(&running, "GET /who", &[("Authorization", "Bearer a.b.c")]).await;
    let bearer = r#"Bearer realm="Orders", error="invalid_token""#;
    assert_eq!((reply.status, values(&reply, "www-authenticate")), (401, vec![bearer, basic]));
    // Negotiate is the app's own.
    let own = Auth::new("Orders").custom(async |_| Verdict::Unknown);
    let running = start(place, app(own.clone())).await;
    assert_eq!(ask(&running, "GET /who", &[]).await.status, 403);
    let running = start(place, app(own.challenge(HeaderValue::from_static("Negotiate")))).await;
    let reply = ask(&running, "GET /who", &[]).await;
    assert_eq!((reply.status, values(&reply, "www-authenticate")), (401, vec!["Negotiate"]));
    // Nothing can be offered here.
    let running = start(place, app(Auth::new("Orders").client_certificates(CertificateNames::common_name()))).await;
    assert_eq!(ask(&running, "GET /who", &[]).await.status, 403);
}

async fn a_session_token_is_had_by_name_and_password_and_can_be_ended(place: &Place) {
    let running = start(place, app(Auth::new("Orders").session_tokens(SessionTokens::new(users())))).await;
    let (token, _) = log_in(&running).await;
    let bearer = format!("bearer {token}");
    let reply = ask(&running, "GET /who", &[("Authorization", &bearer)]).await;
    assert_eq!(reply.text(), "ann by SessionToken");
    // By Basic, too.
    let by_basic = ask(&running, "POST /auth/session", &[("Authorization", &basic("ann", "sesame:open"))]).await;
    assert_eq!(by_basic.status, 200);
    assert_eq!(ask(&running, "DELETE /auth/session", &[("Authorization", &bearer)]).await.status, 204);
    assert_eq!(ask(&running, "GET /who", &[("Authorization", &bearer)]).await.status, 401);
}

async fn a_token_in_a_cookie_works_and_a_stale_one_harms_nobody(place: &Place) {
    let auth = Auth::new("Orders").session_tokens(SessionTokens::new(users())).anonymous([Method::GET], ["/public/*"]);
    let running = start(place, app(auth)).await;
    let (token, cookie) = log_in(&running).await;
    // There is no TLS here.
    assert_eq!(cookie, format!("token={token}; HttpOnly; SameSite=Lax; Path=/; Max-Age=28800"));
    let cookie = format!("a=b; token={token}");
    assert_eq!(ask(&running, "GET /who", &[("Cookie", &cookie)]).await.text(), "ann by SessionToken");
    assert_eq!(ask(&running, "GET /public/who", &[("Cookie", &cookie)]).await.text(), "ann by SessionToken");
    let reply = ask(&running, "DELETE /auth/session", &[("Cookie", &cookie)]).await;
    assert!(value(&reply, "set-cookie").starts_with("token=; "), "{reply:?}");
    assert!(value(&reply, "set-cookie").ends_with("Max-Age=0"), "{reply:?}");
    assert_eq!(ask(&running, "GET /who", &[("Cookie", &cookie)]).await.status, 401);
    assert_eq!(ask(&running, "GET /public/who", &[("Cookie", &cookie)]).await.text(), "nobody");
}

async fn what_is_no_login_is_refused(place: &Place) {
    let running = start(place, app(Auth::new("Orders").session_tokens(SessionTokens::new(users())))).await;
    let json = [("Content-Type", "application/json")];
    let form = [("Content-Type", "application/x-www-form-urlencoded")];
    let long = format!(r#"{{"user": "ann", "password": "{}"}}"#, "x".repeat(9_000));
    for (fields, body, status) in [
        (&json, r#"{"user": "ann", "password": "wrong"}"#, 401),
        (&json, r#"{"user": "bob", "password": "wrong"}"#, 401),
        (&json, r#"{"user": "ann"}"#, 400),
        (&json, "", 400),
        (&form, "user=ann&password=sesame:open", 415),
        (&json, &long, 413),
    ] {
        assert_eq!(send(&running, "POST /auth/session", fields, body).await.status, status, "{body}");
    }
    let reply = ask(&running, "GET /auth/session", &[]).await;
    assert_eq!((reply.status, value(&reply, "allow")), (405, "POST, DELETE"));
    assert_eq!(ask(&running, "GET /sgc/req/auth/session/ann/sesame:open", &[]).await.status, 401, "there is no such thing");
}

async fn only_real_preflights_pass(place: &Place) {
    let running = start(place, app(Auth::new("Orders").basic(users()))).await;
    let fields = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    assert_eq!(ask(&running, "OPTIONS /who", &fields).await.text(), "nobody");
    for fields in [&[][..], &fields[..1], &fields[1..]] {
        assert_eq!(ask(&running, "OPTIONS /who", fields).await.status, 401, "{fields:?}");
    }
    assert_eq!(ask(&running, "GET /who", &fields).await.status, 401);
    assert_eq!(send(&running, "OPTIONS /who", &fields, "a body").await.status, 401, "browsers send none");
}

async fn anonymous_requests_are_let_in_by_method_and_path(place: &Place) {
    let running = start(place, app(Auth::new("Orders").basic(users()).anonymous([Method::GET], ["/public/*"]))).await;
    assert_eq!(ask(&running, "GET /public/who", &[]).await.text(), "nobody");
    assert_eq!(ask(&running, "GET /public/who", &[("Authorization", &basic("ann", "sesame:open"))]).await.text(), "ann by Basic");
    assert_eq!(ask(&running, "GET /public/who", &[("Authorization", WRONG)]).await.status, 401, "who tries wants to know");
    for line in ["POST /public/who", "GET /who", "GET /public/%2e%2e/who", "GET //public/who", "GET /public/../who"] {
        assert_eq!(ask(&running, line, &[]).await.status, 401, "{line}");
    }
}

async fn a_flood_of_logins_is_answered_503(place: &Place) {
    let users = users().hashing(Hashing { at_once: 1, waiting: 1, ..Hashing::default() });
    let running = start(place, app(Auth::new("Orders").basic(users))).await;
    let fields = [("Authorization", WRONG)];
    let many = (0..24).map(|_| ask(&running, "GET /who", &fields));
    let replies = futures_util::future::join_all(many).await;
    let count = |status| replies.iter().filter(|reply| reply.status == status).count();
    assert!(count(401) >= 2 && count(503) >= 1 && count(401) + count(503) == 24, "{} {}", count(401), count(503));
    assert!(replies.iter().filter(|reply| reply.status == 503).all(|reply| value(reply, "retry-after") == "1"));
    assert_eq!(ask(&running, "GET /who", &[("Authorization", &basic("ann", "sesame:open"))]).await.status, 200);
}

async fn who_tries_passwords_out_is_answered_429_on_every_path(place: &Place) {
    let users = users().attempts(Limit::window(3, Duration::from_secs(3600)));
    let running = start(place, app(Auth::new("Orders").basic(users.clone()).session_tokens(SessionTokens::new(users)))).await;
    let right = basic("ann", "sesame:open");
    assert_eq!(ask(&running, "GET /who", &[("Authorization", &right)]).await.status, 200);
    assert_eq!(ask(&running, "GET /who", &[("Authorization", WRONG)]).await.status, 401);
    let json = [("Content-Type", "application/json")];
    let guess = r#"{"user": "ann", "password": "wrong"}"#;
    assert_eq!(send(&running, "POST /auth/session", &json, guess).await.status, 401);
    for reply in [
        send(&running, "POST /auth/session", &json, guess).await,
        ask(&running, "GET /who", &[("Authorization", WRONG)]).await,
        ask(&running, "GET /public/who", &[("Authorization", &basic("bob", "x"))]).await,
    ] {
        assert_eq!(reply.status, 429);
        assert!(value(&reply, "retry-after").parse::<u64>().unwrap() > 0);
    }
    assert_eq!(ask(&running, "GET /who", &[("Authorization", &right)]).await.status, 200, "it is remembered");
}

async fn a_token_is_not_refused_while_there_are_no_keys_to_check_it(place: &Place) {
    let hour = Duration::from_secs(3600);
    let keys = JwtKeys::fetched(hour, hour, || async { Err::<String, _>("the issuer is gone") });
    let running = start(place, app(Auth::new("Orders").bearer(Jwt::new(keys)))).await;
    let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbm4ifQ.AAAA";
    for _ in 0..2 {
        let reply = ask(&running, "GET /who", &[("Authorization", &format!("Bearer {token}"))]).await;
        assert_eq!((reply.status, value(&reply, "retry-after")), (503, "1"));
    }
}

/// Another port of the same host is the same site, so that `SameSite` lets its pages send the cookie.
async fn a_page_of_another_origin_cannot_use_what_a_browser_adds(place: &Place) {
    let auth =
        Auth::new("Orders").basic(users()).session_tokens(SessionTokens::new(users())).anonymous([Method::GET], ["/public/*"]);
    let running = start(place, app(auth.clone())).await;
    let (token, _) = log_in(&running).await;
    let (cookie, bearer) = (format!("token={token}"), format!("Bearer {token}"));
    let (neighbour, site) = (("Origin", "http://a:9999"), ("Sec-Fetch-Site", "same-site"));
    for added in [("Cookie", cookie.as_str()), ("Authorization", &basic("ann", "sesame:open"))] {
        for fields in [&[added, neighbour][..], &[added, site], &[added, site, neighbour], &[added, ("Origin", "null")]] {
            assert_eq!(ask(&running, "POST /who", fields).await.status, 403, "{fields:?}");
            assert_eq!(ask(&running, "GET /who", fields).await.status, 200, "{fields:?}");
        }
        for fields in [&[added][..], &[added, ("Origin", "http://a")], &[added, ("Sec-Fetch-Site", "same-origin")]] {
            assert_eq!(ask(&running, "POST /who", fields).await.status, 200, "{fields:?}");
        }
    }
    let reply = ask(&running, "POST /who", &[("Authorization", &bearer), neighbour, site]).await;
    assert_eq!(reply.status, 200, "no browser adds a bearer token by itself");
    let (token, running) = (token, start(place, app(auth.origins(["http://a:9999"]))).await);
    let cookie = format!("token={token}");
    assert_eq!(ask(&running, "POST /who", &[("Cookie", &cookie), neighbour, site]).await.status, 200);
}

async fn a_listener_to_events_leaves_no_password_behind(place: &Place) {
    let hub = Hub::builder().channels(Channels::new().may_subscribe(|_, _| async { true })).build();
    let app = Router::new().route_service("/events", hub.events()).layer(Auth::new("Orders").basic(users()));
    let running = start(place, app).await;
    let mut client = running.connect().await;
    let password = basic("ann", "sesame:open");
    let head = format!("GET /events?channel=a HTTP/1.1\r\nHost: a\r\nAuthorization: {password}\r\nX-Seen: yes\r\n\r\n");
    client.send(head.as_bytes()).await;
    assert_eq!(client.reply_to_head().await.status, 200);
    let peers = hub.peers();
    let seen: Vec<_> = peers.iter().map(|peer| (peer.header("x-seen"), peer.header("authorization"))).collect();
    assert_eq!(seen, [(Some("yes"), None)]);
}

fn hub() -> Hub {
    let hub = Hub::builder().protocols(["chat"]).build();
    hub.on_connect(|mut connect| async move {
        let Some(identity) = connect.request().extensions.get::<Identity>().cloned() else {
            return Err(connect.refuse(StatusCode::FORBIDDEN, "nobody"));
        };
        let seen = (connect.header("authorization").or(connect.header("cookie")).is_some(), connect.request().uri.to_string());
        connect.set_data((identity, seen));
        Ok(connect)
    });
    hub.on_message(|peer, _| async move {
        let data = peer.data::<(Identity, (bool, String))>().unwrap();
        peer.send(format!("{} {:?}", data.0.name(), data.1))
    });
    hub
}

async fn a_hub_behind_the_layer_knows_who_connects(place: &Place) {
    let app = Router::new().route("/ws", hub().route()).layer(Auth::new("Orders").basic(users()));
    let running = start(place, app).await;
    assert_eq!(open(&running, "/ws", &[]).await.unwrap_err(), 401);
    assert_eq!(open(&running, "/ws", &[("authorization", WRONG)]).await.unwrap_err(), 401);
    let mut socket = open(&running, "/ws", &[("authorization", &basic("ann", "sesame:open"))]).await.unwrap();
    assert_eq!(say(&mut socket, "who?").await, r#"ann (false, "/ws")"#, "the password is not kept");
}

async fn a_page_can_open_a_web_socket_with_a_token_where_the_app_allows_it(place: &Place) {
    let tokens = SessionTokens::new(users());
    let token = tokens.issue(&Identity::new("ann", IdentityScheme::Custom));
    let auth = Auth::new("Orders").session_tokens(tokens);
    let offer = format!("chat, narthex.token.{}", token.expose());
    let target = format!("/ws?token={}&a=b", token.expose());

    let closed = start(place, Router::new().route("/ws", hub().route()).layer(auth.clone())).await;
    assert_eq!(open(&closed, "/ws", &[("sec-websocket-protocol", &offer)]).await.unwrap_err(), 401);
    assert_eq!(open(&closed, &target, &[]).await.unwrap_err(), 401);

    let auth = auth.token_in_protocol().token_in_query("token");
    let app = Router::new().route("/ws", hub().route()).route("/who", get(who)).layer(auth);
    let running = start(place, app).await;
    let mut socket = open(&running, "/ws", &[("sec-websocket-protocol", &offer)]).await.unwrap();
    assert_eq!(say(&mut socket, "who?").await, r#"ann (false, "/ws")"#);
    let cookie = format!("token={}", token.expose());
    let mut socket = open(&running, "/ws", &[("cookie", &cookie)]).await.unwrap();
    assert_eq!(say(&mut socket, "who?").await, r#"ann (false, "/ws")"#, "the cookie is not kept");
    let mut socket = open(&running, &target, &[]).await.unwrap();
    assert_eq!(say(&mut socket, "who?").await, r#"ann (false, "/ws?a=b")"#, "the app does not see the token");
    assert_eq!(open(&running, "/ws", &[("sec-websocket-protocol", "chat, narthex.token.abc")]).await.unwrap_err(), 401);
    assert_eq!(ask(&running, &format!("GET {}", target.replace("ws", "who")), &[]).await.status, 401, "only handshakes");
}

async fn who_may_not_do_something_is_told_403(place: &Place) {
    let tokens = SessionTokens::new(users());
    let token = |scope: &'static str| {
        let identity = Identity::new("ann", IdentityScheme::Custom).with_scopes([scope]);
        format!("Bearer {}", tokens.issue(&identity).expose())
    };
    let (reads, writes) = (token("read"), token("write"));
    let app = Router::new()
        .route("/write", get(|| async { "written" }).layer(Require::scope("write")))
        .layer(Auth::new("Orders").session_tokens(tokens).anonymous([Method::GET], ["/write"]));
    let running = start(place, app).await;
    assert_eq!(ask(&running, "GET /write", &[("Authorization", &writes)]).await.text(), "written");
    let reply = ask(&running, "GET /write", &[("Authorization", &reads)]).await;
    assert_eq!((reply.status, value(&reply, "www-authenticate")), (403, r#"Bearer error="insufficient_scope", scope="write""#));
    assert_eq!(ask(&running, "GET /write", &[]).await.status, 403);
}

async fn a_hook_is_asked_last(place: &Place) {
    let auth = Auth::new("Orders").basic(users()).anonymous([Method::GET], ["/public/*"]).custom(|attempt| async move {
        match attempt.credentials {
            Credentials::Basic { name, password } if password.expose() == "from elsewhere" => {
                Verdict::Accept(Identity::new(name, IdentityScheme::Custom))
            }
            Credentials::Other { scheme, .. } if scheme == "negotiate" => Verdict::Unavailable,
            Credentials::None if attempt.headers.contains_key("x-bad") => Verdict::Refuse,
            _ => Verdict::Unknown,
        }
    });
    let running = start(place, app(auth)).await;
    let status = async |line, fields: &[(&str, &str)]| ask(&running, line, fields).await.status;
    let reply = ask(&running, "GET /who", &[("Authorization", &basic("bob", "from elsewhere"))]).await;
    assert_eq!(reply.text(), "bob by Custom", "the list does not know bob");
    assert_eq!(status("GET /who", &[("Authorization", &basic("ann", "from elsewhere"))]).await, 401, "it knows ann");
    assert_eq!(status("GET /who", &[("Authorization", &basic("bob", "wrong"))]).await, 401);
    assert_eq!(status("GET /who", &[("Authorization", "Negotiate abc")]).await, 503);
    assert_eq!(status("GET /public/who", &[("X-Bad", "1")]).await, 401);
    assert_eq!(status("GET /public/who", &[]).await, 200);
}

#[tokio::test]
async fn a_certificate_gives_its_name() {
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).unwrap();
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "device 7");
    parameters.subject_alt_names.push(rcgen::SanType::DnsName("device.example".try_into().unwrap()));
    parameters.subject_alt_names.push(rcgen::SanType::URI("spiffe://a/b".try_into().unwrap()));
    parameters.subject_alt_names.push(rcgen::SanType::URI("spiffe://a/c".try_into().unwrap()));
    let certificate = parameters.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
    let certificate = PeerCertificate::new(certificate.der().to_vec().into());
    let known = [(certificate.fingerprint().to_uppercase(), "the seventh")];
    for (names, expected) in [
        (CertificateNames::common_name(), Some("device 7 by ClientCertificate")),
        (CertificateNames::dns_name(), Some("device.example by ClientCertificate")),
        (CertificateNames::uri(), None),
        (CertificateNames::email(), None),
        (CertificateNames::fingerprints(known), Some("the seventh by ClientCertificate")),
        (CertificateNames::fingerprints([("00", "another")]), None),
    ] {
        let shown = format!("{names:?}");
        let service = Auth::new("Orders").client_certificates(names).layer(Router::new().route("/who", get(who)));
        let mut request = Request::get("/who").body(axum::body::Body::empty()).unwrap();
        request.extensions_mut().insert(certificate.clone());
        let response = service.oneshot(request).await.unwrap();
        let status = response.status();
        let body = axum::body::to_bytes(axum::body::Body::new(response.into_body()), 100).await.unwrap();
        match expected {
            Some(expected) => assert_eq!(body, expected, "{shown}"),
            None => assert_eq!(status, 403, "{shown}"),
        }
    }
}
