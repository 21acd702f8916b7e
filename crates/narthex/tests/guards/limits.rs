//! Who may send how much, and from where.

use std::time::Duration;

use axum::Router;
use axum::routing::get;
use narthex::auth::{Auth, PasswordHash, Users};
use narthex::hub::{Code, Hub};
use narthex::limits::{IpFilter, IpList, Limit, Limiter, RateLimit};

use super::stage::{ask, open, say, start, value, values};
use crate::client::Place;

on_both! {
    who_sends_too_much_is_told_when_to_come_back
    limits_are_looked_at_before_anything_costly
    several_limits_tell_of_themselves
    a_list_of_addresses_can_be_changed_while_clients_come
    handshakes_count_and_messages_can
}

const HOUR: Duration = Duration::from_secs(3600);

fn app() -> Router {
    Router::new().route("/", get(|| async { "in" })).route("/other", get(|| async { "in" }))
}

async fn who_sends_too_much_is_told_when_to_come_back(place: &Place) {
    for limit in [Limit::bucket(2, HOUR), Limit::window(2, HOUR)] {
        let running = start(place, app().layer(RateLimit::per_ip(limit))).await;
        for remaining in [1, 0] {
            let reply = ask(&running, "GET /", &[]).await;
            assert_eq!(reply.text(), "in");
            assert_eq!(value(&reply, "ratelimit-policy"), "\"ip\";q=2;w=3600");
            assert!(value(&reply, "ratelimit").starts_with(&format!("\"ip\";r={remaining};t=")), "{reply:?}");
        }
        let reply = ask(&running, "GET /", &[]).await;
        assert_eq!((reply.status, value(&reply, "ratelimit-policy")), (429, "\"ip\";q=2;w=3600"));
        let after: u64 = value(&reply, "retry-after").parse().unwrap();
        assert!((1..=7200).contains(&after), "{after}");
        assert_eq!(value(&reply, "ratelimit"), format!("\"ip\";r=0;t={after}"));
    }
}

async fn limits_are_looked_at_before_anything_costly(place: &Place) {
    let users = Users::new();
    users.insert("ann", PasswordHash::of("one"));
    let limit = RateLimit::per_ip(Limit::bucket(1, HOUR));
    let app = app().layer(Auth::new("Orders").basic(users)).layer(limit);
    let running = start(place, app).await;
    assert_eq!(ask(&running, "GET /", &[("Authorization", "Basic YW5uOm9uZQ==")]).await.status, 200);
    let flood = (0..200).map(|_| ask(&running, "GET /", &[("Authorization", "Basic YW5uOndyb25n")]));
    let replies = futures_util::future::join_all(flood).await;
    assert!(replies.iter().all(|reply| reply.status == 429), "no password is hashed");
}

async fn several_limits_tell_of_themselves(place: &Place) {
    let hourly = RateLimit::per_route(Limit::window(10, HOUR)).named("hourly");
    let burst = RateLimit::per_ip(Limit::bucket(5, Duration::from_secs(60))).named("burst");
    let running = start(place, app().layer(hourly).layer(burst)).await;
    let reply = ask(&running, "GET /", &[]).await;
    assert_eq!(values(&reply, "ratelimit-policy"), ["\"hourly\";q=10;w=3600", "\"burst\";q=5;w=60"]);
    let other = ask(&running, "GET /other", &[]).await;
    assert!(values(&other, "ratelimit")[0].starts_with("\"hourly\";r=9;"), "{other:?}");
    assert!(values(&other, "ratelimit")[1].starts_with("\"burst\";r=3;"), "{other:?}");
}

async fn a_list_of_addresses_can_be_changed_while_clients_come(place: &Place) {
    let denied = IpList::default();
    let running = start(place, app().layer(IpFilter::deny(denied.clone()))).await;
    assert_eq!(ask(&running, "GET /", &[]).await.status, 200);
    denied.add("127.0.0.0/8").unwrap();
    assert_eq!(ask(&running, "GET /", &[]).await.status, 403);
    denied.replace(["::/0", "192.0.2.0/24"]).unwrap();
    assert_eq!(ask(&running, "GET /", &[]).await.status, 200, "all of IPv6 is none of IPv4");
    let running = start(place, app().layer(IpFilter::allow(IpList::new(["192.0.2.0/24"]).unwrap()))).await;
    assert_eq!(ask(&running, "GET /", &[]).await.status, 403);
}

async fn handshakes_count_and_messages_can(place: &Place) {
    let hub = Hub::new();
    let limiter = Limiter::new(Limit::bucket(2, HOUR));
    hub.on_message(move |peer, text| {
        let allowed = limiter.take(&peer.id().to_string(), 1).is_ok();
        async move {
            if allowed {
                let _ = peer.send(text);
            } else {
                peer.close(Code::POLICY_VIOLATION, "too many messages");
            }
        }
    });
    let app = Router::new().route("/ws", hub.route()).layer(RateLimit::per_ip(Limit::bucket(2, HOUR)));
    let running = start(place, app).await;
    let mut first = open(&running, "/ws", &[]).await.unwrap();
    let mut second = open(&running, "/ws", &[]).await.unwrap();
    assert_eq!(open(&running, "/ws", &[]).await.unwrap_err(), 429);
    for _ in 0..2 {
        assert_eq!(say(&mut first, "hello").await, "hello");
    }
    assert_eq!(super::stage::closed_after(&mut first, "hello").await, 1008);
    assert_eq!(say(&mut second, "hello").await, "hello", "each has a limit of its own");
}
