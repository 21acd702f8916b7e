//! The small page of an app: who may look and act, what it shows, and how it looks in a browser.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use narthex_tests::browser::Browser;
use narthex_tests::client::{Client, Response};
use narthex_tests::{App, AppOptions, Host, Provider};
use serde_json::{Value, json};
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(20);

/// An app with a page.
struct Stage {
    app: App,
    page: SocketAddr,
    token: String,
    host: Option<Host>,
    _directory: TempDir,
}

impl Stage {
    fn start(provider: Provider) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
        let options = AppOptions::new("shop", "http://127.0.0.1:0/shop/").arguments(["--ui", "127.0.0.1:0"]);
        let app = App::start(provider, host.as_ref(), &options);
        // It is printed before the app serves, on another stream than what says so.
        let link = until("the link is printed", || {
            app.process.log().lines().find_map(|line| Some(line.split_once("its page is http://")?.1.to_owned()))
        });
        let (page, token) = link.split_once("/#token=").expect("it ends with the token");
        Self { page: page.parse().expect("an address"), token: token.to_owned(), app, host, _directory: directory }
    }

    fn ask(&self, method: &str, target: &str, fields: &str) -> Response {
        ask(self.page, method, target, &format!("Host: {}\r\n{fields}", self.page)).expect("the page answers")
    }

    fn act(&self, what: &str) -> Response {
        self.ask("POST", what, &format!("{}Content-Length: 0\r\n", self.bearer()))
    }

    fn state(&self, fields: &str) -> Value {
        serde_json::from_str(&self.ask("GET", "/state", fields).text()).expect("the state is JSON")
    }

    fn bearer(&self) -> String {
        format!("Authorization: Bearer {}\r\n", self.token)
    }

    fn shop(&self, target: &str) -> std::io::Result<Response> {
        ask(self.app.address, "GET", target, "Host: a\r\nConnection: close\r\n")
    }
}

fn ask(address: SocketAddr, method: &str, target: &str, fields: &str) -> std::io::Result<Response> {
    let mut client = Client::connect(address)?;
    client.send(format!("{method} {target} HTTP/1.1\r\n{fields}\r\n").as_bytes())?;
    client.response(method == "HEAD").map_err(|error| std::io::Error::other(format!("{error:?}")))
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn who_is_on_the_machine_may_look_and_who_has_the_link_may_act() {
    let stage = Stage::start(Provider::Embedded);
    let page = stage.ask("GET", "/", "");
    assert!(page.text().contains("<title>Narthex app</title>"));
    assert!(page.header("content-security-policy").expect("a policy").contains("default-src 'none'"));
    for asset in ["/ui.css", "/ui.js"] {
        assert_eq!(stage.ask("GET", asset, "").status, 200, "{asset}");
    }
    let seen = stage.state("");
    assert_eq!((&seen["may_act"], &seen["log"], &seen["failures"]), (&json!(false), &Value::Null, &Value::Null));
    for fields in
        ["", "Authorization: Bearer\r\n", "Authorization: Bearer 00000000000000000000000000000000\r\n", "Cookie: token=x\r\n"]
    {
        for what in ["/stop", "/start", "/restart"] {
            assert_eq!(stage.ask("POST", what, &format!("{fields}Content-Length: 0\r\n")).status, 403, "{what} {fields}");
        }
    }
    assert_eq!(stage.ask("GET", "/stop", &stage.bearer()).status, 405);
    // A page elsewhere whose name is made to mean this machine.
    let rebound = ask(stage.page, "GET", "/state", "Host: evil.example\r\n").expect("it is answered");
    assert_eq!(rebound.status, 421);
    assert!(!stage.page.ip().is_unspecified() && stage.page.ip().is_loopback());
}

#[test]
fn it_tells_how_the_app_goes_and_stops_and_starts_it() {
    for provider in [Provider::Embedded, Provider::Shared] {
        let stage = Stage::start(provider);
        for target in ["/shop/whoami", "/shop/whoami", "/shop/status/404", "/shop/status/503"] {
            stage.shop(target).expect("the app answers");
        }
        let state = stage.state(&stage.bearer());
        let counts = &state["counts"];
        assert_eq!((&state["state"], &state["may_act"]), (&json!("running"), &json!(true)));
        assert_eq!(state["provider"], json!(provider.to_string()));
        assert_eq!(state["prefixes"], json!([format!("http://127.0.0.1:{}/shop/", stage.app.address.port())]));
        assert_eq!((&counts["requests"], &counts["successful"], &counts["client_errors"]), (&json!(4), &json!(2), &json!(1)));
        let failed = &state["failures"][0];
        assert_eq!((&failed["path"], &failed["status"]), (&json!("/status/503"), &json!(503)));
        assert_eq!(failed["request_id"].as_str().map(str::len), Some(32));
        assert!(state["log"].as_array().is_some_and(|log| !log.is_empty()), "{state:#}");

        assert_eq!(stage.act("/stop").status, 200);
        until("the app is stopped", || (stage.state("")["state"] == "stopped").then_some(()));
        let gone = stage.shop("/shop/whoami").map_or(0, |response| response.status);
        assert_ne!(gone, 200);
        assert_eq!(stage.act("/restart").status, 409, "what does not run cannot be restarted");
        assert_eq!(stage.act("/start").status, 200);
        assert_eq!(stage.shop("/shop/whoami").expect("the app answers").text(), "shop");
        assert_eq!(stage.act("/start").status, 409, "it runs already");
        assert_eq!(stage.act("/restart").status, 200);
        assert_eq!(stage.shop("/shop/whoami").expect("the app answers").text(), "shop");
        assert!(stage.host.is_some() == (provider == Provider::Shared));
    }
}

#[test]
fn a_signal_ends_the_app_whether_it_is_stopped_or_not() {
    for stopped in [false, true] {
        let mut stage = Stage::start(Provider::Embedded);
        if stopped {
            assert_eq!(stage.act("/stop").status, 200);
            until("the app is stopped", || (stage.state("")["state"] == "stopped").then_some(()));
        }
        stage.app.process.terminate();
        assert!(stage.app.process.wait(PATIENCE).success());
    }
}

#[test]
fn a_page_for_others_is_refused() {
    let options = AppOptions::new("shop", "http://127.0.0.1:0/").arguments(["--ui", "0.0.0.0:0"]);
    let mut process = App::spawn(Provider::Embedded, None, &options);
    assert!(!process.wait(PATIENCE).success());
    assert!(process.log().contains("choose a loopback address"), "{}", process.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_page_shows_it_live_and_fits_a_phone() {
    let stage = tokio::task::spawn_blocking(|| Stage::start(Provider::Embedded)).await.unwrap();
    for target in ["/shop/whoami", "/shop/status/404", "/shop/status/503"] {
        stage.shop(target).expect("the app answers");
    }
    let mut browser = Browser::start().await;
    let base = format!("http://{}/", stage.page);
    let page = browser.open(&base).await;
    browser.until(&page, "document.querySelector('#state').textContent === 'running'").await;
    let disabled = "[...document.querySelectorAll('button')].every((button) => button.disabled)";
    assert_eq!(browser.evaluate(&page, disabled).await, json!(true), "who may only look cannot act");

    let page = browser.open(&format!("{base}#token={}", stage.token)).await;
    browser.until(&page, "!document.querySelector('#stop').disabled").await;
    assert_eq!(browser.evaluate(&page, "location.href").await, json!(base), "the token is not left in the address bar");
    browser.until(&page, "document.querySelector('#failures').textContent.includes('/status/503')").await;
    let link = browser.evaluate(&page, "document.querySelector('#prefixes a').href").await;
    assert_eq!(link, json!(format!("http://127.0.0.1:{}/shop/", stage.app.address.port())));
    if let Some(directory) = std::env::var_os("NARTHEX_SCREENSHOTS") {
        for (name, width, dark) in [("app-page.png", 900, false), ("app-page-dark.png", 900, true)] {
            browser.show(&page, width, 900, dark).await;
            let picture = browser.screenshot(&page).await;
            std::fs::write(std::path::Path::new(&directory).join(name), picture).expect("a picture can be written");
        }
    }
    browser.evaluate(&page, "document.querySelector('#stop').click()").await;
    browser.until(&page, "document.querySelector('#state').textContent === 'stopped'").await;
    browser.until(&page, "!document.querySelector('#start').disabled").await;
    browser.evaluate(&page, "document.querySelector('#start').click()").await;
    browser.until(&page, "document.querySelector('#state').textContent === 'running'").await;
    browser.show(&page, 390, 844, true).await;
    browser.until(&page, "document.documentElement.scrollWidth <= 390").await;
    let other = browser.open(&format!("http://127.0.0.1:{}/shop/whoami", stage.app.address.port())).await;
    let wish = format!("fetch('{base}stop', {{method: 'POST'}}).then(() => 'answered', () => 'refused')");
    assert_eq!(browser.evaluate(&other, &wish).await, json!("refused"), "another page cannot even read the refusal");
    assert_eq!(browser.evaluate(&page, "document.querySelector('#state').textContent").await, json!("running"));
}
