//! The dashboard of a running host: who may look and act, what it shows, and how it looks in a browser.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;
use std::time::{Duration, Instant};

use narthex_tests::browser::Browser;
use narthex_tests::client::{Client, Response};
use narthex_tests::process::narthex_program;
use narthex_tests::secure::free_port;
use narthex_tests::{App, AppOptions, Host, Provider};
use serde_json::{Value, json};
use tempfile::TempDir;

const TOKEN: &str = "a-token-of-the-tests-own";
const PATIENCE: Duration = Duration::from_secs(20);

/// A host with a dashboard, and an app behind it on the same port.
struct Stage {
    address: SocketAddr,
    app: App,
    host: Host,
    _directory: TempDir,
}

impl Stage {
    fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let port = free_port();
        let mut command = Command::new("sh");
        let url = format!("http://+:{port}/dashboard/");
        let script = r#"exec "$NARTHEX" "$@" --dashboard "$URL" --dashboard-token "$TOKEN""#;
        command.args(["-c", script, "sh"]).env("NARTHEX", narthex_program()).env("URL", url).env("TOKEN", TOKEN);
        let host = Host::start_by(command, directory.path(), 2);
        let app = App::start(Provider::Shared, Some(&host), &AppOptions::new("shop", format!("http://+:{port}/shop/")));
        let stage = Self { address: (Ipv4Addr::LOCALHOST, port).into(), app, host, _directory: directory };
        stage.until(|| stage.get("/dashboard/", "").status == 200);
        stage
    }

    fn until(&self, condition: impl Fn() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "it does not come to that; the host says:\n{}", self.host.process.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn ask(&self, request: &str) -> Response {
        let mut client = Client::connect(self.address).expect("the host accepts");
        client.send(request.as_bytes()).expect("the request can be sent");
        client.response(false).expect("it is answered")
    }

    fn get(&self, target: &str, fields: &str) -> Response {
        self.ask(&format!("GET {target} HTTP/1.1\r\nHost: localhost:{}\r\n{fields}\r\n", self.address.port()))
    }

    fn act(&self, wish: &Value, fields: &str) -> Response {
        let body = wish.to_string();
        let port = self.address.port();
        let head = format!("POST /dashboard/act HTTP/1.1\r\nHost: localhost:{port}\r\nContent-Length: {}\r\n", body.len());
        self.ask(&format!("{head}Content-Type: application/json\r\n{fields}\r\n{body}"))
    }

    fn state(&self) -> Value {
        serde_json::from_str(&self.get("/dashboard/state", "").text()).expect("the state is JSON")
    }
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

#[test]
fn who_is_on_the_machine_may_look_and_who_has_the_token_may_act() {
    let stage = Stage::start();
    let page = stage.get("/dashboard/", "");
    assert!(page.text().contains("<title>Narthex</title>"));
    assert!(page.header("content-security-policy").is_some_and(|policy| policy.contains("default-src 'none'")));
    // A page whose name was made to mean this machine.
    let elsewhere = format!("GET /dashboard/state HTTP/1.1\r\nHost: evil.example:{}\r\n", stage.address.port());
    assert_eq!(stage.ask(&format!("{elsewhere}\r\n")).status, 403);
    assert_eq!(stage.ask(&format!("{elsewhere}{}\r\n", bearer(TOKEN))).status, 200);
    assert_eq!(stage.get("/dashboard/log?site=error", "").status, 403);
    assert_eq!(stage.act(&json!({"do": "flush-logs"}), "").status, 403);
    assert_eq!(stage.act(&json!({"do": "flush-logs"}), &bearer("wrong")).status, 403);
    assert_eq!(stage.act(&json!({"do": "flush-logs"}), &bearer(TOKEN)).text(), "Log buffers successfully flushed");
    assert_eq!(stage.act(&json!({"do": "something"}), &bearer(TOKEN)).status, 422);
    assert_eq!(stage.act(&json!({"do": "stop-queue", "id": 999}), &bearer(TOKEN)).status, 409);
}

/// A cookie would go to every port of the machine, and with whatever another page of the origin asks for; a query is in logs.
#[test]
fn a_token_counts_where_a_browser_puts_it_for_the_dashboards_own_script_only() {
    let stage = Stage::start();
    let elsewhere = |target: &str, fields: &str| stage.ask(&format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n{fields}\r\n"));
    // Who comes by the link asks for the page without its fragment: everybody may have that, and nothing else.
    for file in ["", "dashboard.js", "dashboard.css"] {
        let part = elsewhere(&format!("/dashboard/{file}"), "");
        assert_eq!((part.status, part.header("set-cookie")), (200, None), "{file}");
    }
    for shown in [String::new(), format!("Cookie: narthex-dashboard={TOKEN}\r\n"), bearer("wrong")] {
        for target in ["state", "metrics", "explain?url=http://localhost/", "live", "log?site=error"] {
            assert_eq!(elsewhere(&format!("/dashboard/{target}"), &shown).status, 403, "{target} {shown}");
        }
        assert_eq!(stage.act(&json!({"do": "flush-logs"}), &shown).status, 403, "{shown}");
    }
    let link = stage.get(&format!("/dashboard/?token={TOKEN}"), "");
    assert_eq!((link.status, link.header("set-cookie")), (200, None));
    let handshake = |offer: &str| {
        let fields = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n";
        let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        elsewhere(
            "/dashboard/live",
            &format!("{fields}{key}Sec-WebSocket-Protocol: narthex.dashboard, narthex.token.{offer}\r\n"),
        )
    };
    assert_eq!(handshake("wrong").status, 403);
    let opened = handshake(TOKEN);
    assert_eq!((opened.status, opened.header("sec-websocket-protocol")), (101, Some("narthex.dashboard")));
}

#[test]
fn what_goes_through_the_host_is_counted_and_a_stopped_queue_answers_503() {
    let stage = Stage::start();
    for _ in 0..3 {
        assert_eq!(stage.get("/shop/whoami", "").status, 200);
    }
    assert_eq!(stage.get("/shop/nobody-has-this", "").status, 404);
    assert_eq!(stage.get("/nobody", "").status, 404);
    let groups = |state: &Value| {
        state["state"]["sessions"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|session| session["groups"].as_array().unwrap().clone())
            .collect::<Vec<_>>()
    };
    let shop =
        |state: &Value| groups(state).into_iter().find(|group| group["urls"][0].as_str().unwrap().contains("/shop/")).unwrap();
    // A request counts when its response is with the kernel, which may be a moment after the client has it.
    stage.until(|| shop(&stage.state())["traffic"]["requests"] == 4);
    let state = stage.state();
    let traffic = &shop(&state)["traffic"];
    assert_eq!((&traffic["successful"], &traffic["client_errors"], &traffic["server_errors"]), (&json!(3), &json!(1), &json!(0)));
    assert!(traffic["latency_us"]["max"].as_u64() > Some(0));
    assert_eq!(state["state"]["refused"][0], json!(["NotFound", 1]));
    let url = format!("url=\"http://+:{}/shop/\"", stage.address.port());
    let metrics = stage.get("/dashboard/metrics", "").text();
    for line in [
        format!("narthex_responses_total{{{url},status=\"2xx\"}} 3"),
        format!("narthex_request_duration_seconds_count{{{url}}} 4"),
        "narthex_refused_total{reason=\"NotFound\"} 1".to_owned(),
    ] {
        assert!(metrics.lines().any(|there| there == line), "{line} is not in\n{metrics}");
    }
    let explained = stage.get(&format!("/dashboard/explain?url=http://localhost:{}/shop/x", stage.address.port()), "").text();
    assert!(explained.contains("which has registered") && explained.contains("/shop/"), "{explained}");

    let queue = shop(&state)["queue"].clone();
    assert_eq!(stage.act(&json!({"do": "stop-queue", "id": queue}), &bearer(TOKEN)).status, 200);
    assert_eq!(stage.get("/shop/whoami", "").status, 503);
    assert_eq!(stage.act(&json!({"do": "start-queue", "id": queue}), &bearer(TOKEN)).status, 200);
    assert_eq!(stage.get("/shop/whoami", "").status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_it_live_and_asks_before_it_acts() {
    let stage = tokio::task::spawn_blocking(Stage::start).await.unwrap();
    let mut browser = Browser::start().await;
    let base = format!("http://localhost:{}/dashboard/", stage.address.port());
    let page = browser.open(&base).await;
    browser.until(&page, "document.querySelector('#live').className === 'on'").await;
    browser.until(&page, "document.querySelector('#urls').textContent.includes('/shop/')").await;
    let all_disabled = "[...document.querySelectorAll('.act, #queues button')].every((button) => button.disabled)";
    assert_eq!(browser.evaluate(&page, all_disabled).await, json!(true), "who may only look cannot act");
    let explain =
        "document.querySelector('#url').value = 'http://localhost:1/'; document.querySelector('#explain button').click()";
    browser.evaluate(&page, explain).await;
    browser.until(&page, "document.querySelector('#explanation').textContent.includes('http://localhost:1/')").await;

    let page = browser.open(&format!("{base}#token={TOKEN}")).await;
    let row = "[...document.querySelectorAll('#queues tr')].find((row) => row.textContent.includes('/shop/'))";
    browser.until(&page, &format!("{row} && !{row}.querySelector('button').disabled")).await;
    assert_eq!(browser.evaluate(&page, "location.href").await, json!(base), "the token is not left in the address bar");
    let stored = browser.evaluate(&page, "sessionStorage.length + localStorage.length + document.cookie.length").await;
    assert_eq!(stored, json!(0), "no other page finds it");
    // A press that lasts until the numbers have changed is a click all the same.
    let began = "host = document.querySelector('#host').textContent, pressed = document.querySelector('#queues button'), 0";
    browser.evaluate(&page, began).await;
    browser.until(&page, "document.querySelector('#host').textContent !== host").await;
    assert_eq!(browser.evaluate(&page, "pressed.isConnected").await, json!(true));
    browser.evaluate(&page, &format!("{row}.querySelector('button').click()")).await;
    browser.until(&page, "document.querySelector('#confirm').open").await;
    browser.evaluate(&page, "document.querySelector('#confirm button[value=no]').click()").await;
    browser.until(&page, "!document.querySelector('#confirm').open").await;
    browser.evaluate(&page, &format!("{row}.querySelector('button').click()")).await;
    browser.evaluate(&page, "document.querySelector('#confirm button[value=yes]').click()").await;
    browser.until(&page, &format!("{row}.textContent.includes('inactive')")).await;
    browser.evaluate(&page, &format!("{row}.querySelector('button').click()")).await;
    browser.until(&page, &format!("{row}.querySelector('.good')")).await;
    // A page of another app on the port is of the same origin, and has no rights by that.
    let other = browser.open(&format!("http://localhost:{}/shop/whoami", stage.address.port())).await;
    let wish = r#"fetch('/dashboard/act', {method: 'POST', headers: {'content-type': 'application/json'}, body: '{"do": "flush-logs"}'})"#;
    assert_eq!(browser.evaluate(&other, &format!("{wish}.then((answer) => answer.status)")).await, json!(403));
    // It fits a phone: nothing is wider than the screen.
    browser.show(&page, 390, 844, true).await;
    browser.until(&page, "document.documentElement.scrollWidth <= 390").await;
    drop(stage.app);
    browser.until(&page, "!document.querySelector('#urls').textContent.includes('/shop/')").await;
}
