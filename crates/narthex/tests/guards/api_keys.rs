//! Keys that programs show, and what is left of them when a process is killed.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::routing::{any, get};
use narthex::Identity;
use narthex::api_keys::{ApiKeys, KeyAction, KeyGuard, NewKey};
use narthex::auth::{Auth, PasswordHash, Users};
use narthex::hub::Hub;
use narthex::limits::{Limit, RateLimit};

use super::stage::{ask, open, say, start, value};
use crate::client::Place;

on_both! {
    a_key_opens_the_door_wherever_it_is_looked_for
    keys_over_plain_connections_can_be_refused
    keys_and_passwords_go_together
    a_preflight_needs_no_key_and_a_refusal_names_the_field
    a_limit_for_each_key_counts_keys
    a_hub_behind_keys_knows_whose_it_is
}

fn keys() -> (ApiKeys, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    (ApiKeys::open(directory.path().join("keys.redb")).unwrap(), directory)
}

fn app() -> Router {
    let who = async |identity: Option<Identity>, uri: http::Uri| {
        identity.map_or("nobody".to_owned(), |known| format!("{} {} {uri}", known.name(), known.has_scope("read")))
    };
    Router::new().route("/who", get(who))
}

async fn a_key_opens_the_door_wherever_it_is_looked_for(place: &Place) {
    let (keys, _directory) = keys();
    let (key, about) = keys.issue(NewKey::of("ann").scopes(["read"])).await.unwrap();
    let running = start(place, app().layer(KeyGuard::new(keys.clone()).query("api_key"))).await;
    let key = key.expose();
    let bearer = format!("Bearer {key}");
    for fields in [[("X-API-Key", key)], [("Authorization", bearer.as_str())]] {
        assert_eq!(ask(&running, "GET /who", &fields).await.text(), "ann true /who");
    }
    assert_eq!(ask(&running, &format!("GET /who?a&api_key={key}&b"), &[]).await.text(), "ann true /who?a&b");
    // Keys are random: any character may be the last.
    let (most, last) = key.split_at(key.len() - 1);
    let wrong = format!("{most}{}", if last == "x" { "y" } else { "x" });
    for fields in [&[][..], &[("X-API-Key", &*wrong)], &[("X-API-Key", key), ("X-API-Key", key)], &[("X-API-Key", "")]] {
        let reply = ask(&running, "GET /who", fields).await;
        assert_eq!(reply.status, 401, "{fields:?}");
        assert!(value(&reply, "www-authenticate").starts_with("Bearer realm="), "{reply:?}");
    }
    keys.revoke(&about.id).await.unwrap();
    assert_eq!(ask(&running, "GET /who", &[("X-API-Key", key)]).await.status, 401);
}

async fn keys_over_plain_connections_can_be_refused(place: &Place) {
    let (keys, _directory) = keys();
    let (key, _) = keys.issue(NewKey::of("ann")).await.unwrap();
    let running = start(place, app().layer(KeyGuard::new(keys).https_only())).await;
    assert_eq!(ask(&running, "GET /who", &[("X-API-Key", key.expose())]).await.status, 403);
    assert_eq!(ask(&running, "GET /who", &[]).await.status, 401);
}

async fn keys_and_passwords_go_together(place: &Place) {
    let (keys, _directory) = keys();
    let (key, _) = keys.issue(NewKey::of("machine")).await.unwrap();
    let users = Users::new();
    users.insert("ann", PasswordHash::of("one"));
    let app = app().layer(Auth::new("Orders").basic(users)).layer(KeyGuard::new(keys).optional());
    let running = start(place, app).await;
    assert_eq!(ask(&running, "GET /who", &[("X-API-Key", key.expose())]).await.text(), "machine false /who");
    assert_eq!(ask(&running, "GET /who", &[("Authorization", "Basic YW5uOm9uZQ==")]).await.text(), "ann false /who");
    let bearer = format!("Bearer {}", key.expose());
    assert_eq!(ask(&running, "GET /who", &[("Authorization", &bearer)]).await.text(), "machine false /who");
    for fields in [&[][..], &[("X-API-Key", "nk_wrong")], &[("Authorization", "Bearer abc")]] {
        assert_eq!(ask(&running, "GET /who", fields).await.status, 401, "{fields:?}");
    }
}

async fn a_preflight_needs_no_key_and_a_refusal_names_the_field(place: &Place) {
    let (keys, _directory) = keys();
    let app = Router::new().route("/who", any(async || "app")).layer(KeyGuard::new(keys).header("x-shop-key".parse().unwrap()));
    let running = start(place, app).await;
    let preflight = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT")];
    assert_eq!(ask(&running, "OPTIONS /who", &preflight).await.text(), "app");
    let refused = ask(&running, "OPTIONS /who", &preflight[..1]).await;
    assert_eq!((refused.status, refused.text()), (401, "an API key is needed, in x-shop-key or as a bearer token\n"));
}

async fn a_limit_for_each_key_counts_keys(place: &Place) {
    let (keys, _directory) = keys();
    let (one, _) = keys.issue(NewKey::of("ann")).await.unwrap();
    let (other, _) = keys.issue(NewKey::of("ann")).await.unwrap();
    let limit = RateLimit::per_api_key(Limit::bucket(1, Duration::from_secs(3600)));
    let running = start(place, app().layer(limit).layer(KeyGuard::new(keys))).await;
    for (key, status) in [(&one, 200), (&one, 429), (&other, 200), (&other, 429)] {
        assert_eq!(ask(&running, "GET /who", &[("X-API-Key", key.expose())]).await.status, status);
    }
}

async fn a_hub_behind_keys_knows_whose_it_is(place: &Place) {
    let (keys, _directory) = keys();
    let (key, _) = keys.issue(NewKey::of("ann")).await.unwrap();
    let hub = Hub::new();
    hub.on_connect(|mut connect| async move {
        let identity = connect.request().extensions.get::<Identity>().unwrap().clone();
        assert!(connect.header("x-api-key").is_none(), "it is not kept");
        connect.set_data(identity);
        Ok(connect)
    });
    hub.on_message(|peer, _| async move { peer.send(peer.data::<Identity>().unwrap().name()) });
    let running = start(place, Router::new().route("/ws", hub.route()).layer(KeyGuard::new(keys))).await;
    assert_eq!(open(&running, "/ws", &[]).await.unwrap_err(), 401);
    let mut socket = open(&running, "/ws", &[("x-api-key", key.expose())]).await.unwrap();
    assert_eq!(say(&mut socket, "who?").await, "ann");
}

const FILE: &str = "NARTHEX_TEST_KEYS";

/// Not a test: what the next one kills. It issues keys and tells of each.
#[tokio::test]
async fn issues_keys_until_it_is_killed() {
    let Ok(path) = std::env::var(FILE) else { return };
    let keys = ApiKeys::open(path).unwrap();
    for number in 0..100_000 {
        let (key, about) = keys.issue(NewKey::of(format!("owner {number}"))).await.unwrap();
        println!("\nissued {}", key.expose());
        if number % 3 == 0 {
            keys.revoke(&about.id).await.unwrap();
            println!("\nrevoked {}", about.id);
        }
    }
}

#[test]
fn every_key_that_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("keys.redb");
    let (mut issued, mut revoked) = (Vec::new(), Vec::new());
    for round in 0..12 {
        let lines = kill_while_it_issues(&path, 3 + round * 7 % 23);
        issued.extend(lines.iter().filter_map(|line| line.strip_prefix("issued ").map(str::to_owned)));
        revoked.extend(lines.iter().filter_map(|line| line.strip_prefix("revoked ").map(str::to_owned)));
        let keys = ApiKeys::open(&path).expect("the file is whole");
        for key in &issued {
            // Its end may have been on disk and not have been told.
            let known = keys.validate(key, None);
            assert!(known.is_ok() || known == Err(narthex::api_keys::KeyRefused::Revoked), "{known:?} in round {round}");
        }
        for id in &revoked {
            assert!(keys.get(id).unwrap().revoked.is_some(), "round {round}");
            let log = keys.audit_log(Some(id), 10).unwrap();
            assert_eq!(log.iter().map(|entry| entry.action).collect::<Vec<_>>(), [KeyAction::Revoked, KeyAction::Issued]);
        }
    }
    assert!(issued.len() >= 12 && !revoked.is_empty(), "{} {}", issued.len(), revoked.len());
}

/// Starts the process, kills it soon after it has told of so many keys, and gives all that it has said.
fn kill_while_it_issues(path: &Path, after: usize) -> Vec<String> {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "guards::api_keys::issues_keys_until_it_is_killed", "--nocapture", "--test-threads=1"])
        .env(FILE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut line = String::new();
    while lines.len() < after && output.read_line(&mut line).unwrap() > 0 {
        if line.starts_with("issued ") || line.starts_with("revoked ") {
            lines.push(line.trim().to_owned());
        }
        line.clear();
    }
    // Not when it has just told of one, but somewhere in the next.
    for _ in 0..turns(path, after) {
        std::hint::spin_loop();
    }
    process.kill().unwrap();
    process.wait().unwrap();
    // What it said before it died counts as well; a line that broke off does not.
    while output.read_line(&mut line).unwrap() > 0 {
        if line.ends_with('\n') && (line.starts_with("issued ") || line.starts_with("revoked ")) {
            lines.push(line.trim().to_owned());
        }
        line.clear();
    }
    lines
}

/// Another number each time, up to about a millisecond's worth of turns.
fn turns(path: &Path, salt: usize) -> u64 {
    use std::hash::BuildHasher;
    std::hash::RandomState::new().hash_one((path, salt)) % 200_000
}
