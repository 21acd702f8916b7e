//! What an app and its operator see of a provider: registration, routing, path bases, peers, and orderly ends.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use narthex_tests::process::{Process, narthex_program};
use narthex_tests::{App, AppOptions, Client, Ending, Host, Provider, Response, Subject};
use serde_json::Value;
use tempfile::TempDir;

const BOTH: [Provider; 2] = [Provider::Embedded, Provider::Shared];
/// More than the five seconds that a server gives to what still runs.
const DRAINED: Duration = Duration::from_secs(15);

fn get(address: SocketAddr, host: &str, target: &str) -> Response {
    let mut client = Client::connect(address).expect("the server accepts connections");
    let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
    client.send(request.as_bytes()).expect("the server takes a request");
    client.response(false).unwrap_or_else(|error| panic!("{target}: {error}"))
}

fn json(response: &Response) -> Value {
    serde_json::from_slice(&response.body).unwrap_or_else(|error| panic!("{error}: {}", response.text()))
}

fn directory() -> TempDir {
    TempDir::new().expect("a temporary directory can be made")
}

fn shared(host: &Host, name: &str, prefix: impl Into<String>) -> App {
    App::start(Provider::Shared, Some(host), &AppOptions::new(name, prefix))
}

#[test]
fn two_apps_share_a_port() {
    let directory = directory();
    let host = Host::start(directory.path());
    let a = shared(&host, "a", "http://127.0.0.1:0/a/");
    let port = a.address.port();
    let b = shared(&host, "b", format!("http://127.0.0.1:{port}/b/"));
    let deep = shared(&host, "deep", format!("http://127.0.0.1:{port}/a/deep/"));
    assert_eq!([a.address, deep.address], [b.address, b.address]);
    for (path, name) in [("/a/whoami", "a"), ("/b/whoami", "b"), ("/a/deep/whoami", "deep"), ("/A/whoami", "a")] {
        assert_eq!(get(a.address, "x", path).text(), name, "{path}");
    }
    assert_eq!(get(a.address, "x", "/a/deeper").header("x-app"), Some("a"), "prefixes end at segment borders");
}

#[test]
fn names_and_absolute_targets_choose_the_app() {
    let directory = directory();
    let host = Host::start(directory.path());
    let any = shared(&host, "any", "http://127.0.0.1:0/");
    let port = any.address.port();
    let _first = shared(&host, "first", format!("http://first.test:{port}/"));
    assert_eq!(get(any.address, "first.test", "/whoami").text(), "first");
    assert_eq!(get(any.address, "FIRST.test:1", "/whoami").text(), "first");
    assert_eq!(get(any.address, "second.test", "/whoami").text(), "any");
    assert_eq!(get(any.address, "second.test", "http://first.test/whoami").text(), "first");
    assert_eq!(get(any.address, "first.test", "http://second.test/whoami").text(), "any");
}

#[test]
fn a_url_that_nobody_serves_is_refused() {
    for provider in BOTH {
        let subject = Subject::start_with(provider, &AppOptions::new("app", "http://127.0.0.1:0/app/"));
        for path in ["/", "/apple", "/other/app/"] {
            let response = get(subject.app.address, "x", path);
            assert_eq!(response.status, 404, "{provider}: {path}");
            assert_eq!(response.header("connection"), Some("close"), "{provider}: {path}");
            assert!(!response.has("x-app"), "{provider}: {path}");
        }
    }
}

#[test]
fn a_host_name_that_nobody_serves_is_refused() {
    let directory = directory();
    let host = Host::start(directory.path());
    let app = shared(&host, "app", "http://only.test:0/");
    assert_eq!(get(app.address, "only.test", "/whoami").text(), "app");
    let refused = get(app.address, "other.test", "/whoami");
    assert_eq!((refused.status, refused.header("connection")), (400, Some("close")));
}

#[test]
fn a_prefix_that_another_app_has_is_an_error_that_names_both() {
    let directory = directory();
    let host = Host::start(directory.path());
    let owner = shared(&host, "owner", "http://127.0.0.1:0/shop/");
    let prefix = format!("http://127.0.0.1:{}/shop/", owner.address.port());
    let mut second = App::spawn(Provider::Shared, Some(&host), &AppOptions::new("second", &prefix));
    assert!(!second.wait(DRAINED).success());
    let log = second.log();
    assert!(log.contains(&format!("cannot register {prefix}")), "{log}");
    assert!(log.contains(&owner.process.id().to_string()), "the owner's process id is missing: {log}");
    assert_eq!(get(owner.address, "x", "/shop/whoami").text(), "owner");
}

#[test]
fn the_end_of_an_app_frees_its_prefix_and_closes_a_port_that_nobody_else_has() {
    let directory = directory();
    let host = Host::start(directory.path());
    let mut first = shared(&host, "first", "http://127.0.0.1:0/x/");
    let address = first.address;
    let prefix = format!("http://127.0.0.1:{}/x/", address.port());

    first.process.crash();
    let mut second = shared(&host, "second", &prefix);
    assert_eq!(get(address, "x", "/x/whoami").text(), "second");

    second.process.terminate();
    assert!(second.process.wait(DRAINED).success());
    let refused = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        Client::connect(address).is_err()
    });
    assert!(refused, "the port is still open");

    let third = shared(&host, "third", &prefix);
    assert_eq!(get(third.address, "x", "/x/whoami").text(), "third");
}

#[test]
fn the_app_sees_paths_relative_to_its_prefix() {
    for provider in BOTH {
        let subject = Subject::start_with(provider, &AppOptions::new("app", "http://127.0.0.1:0/My/App/"));
        let address = subject.app.address;
        for (target, uri, base) in
            [("/My/App/headers?q=/a", "/headers?q=/a", "/My/App"), ("/my/APP/headers", "/headers", "/my/APP")]
        {
            let seen = json(&get(address, "x", target));
            assert_eq!(seen["uri"], uri, "{provider}: {seen}");
            assert_eq!(seen["original_uri"], target, "{provider}: {seen}");
            let path_base = seen["path_base"].as_str().unwrap_or_default().trim_end_matches('/');
            assert!(path_base.eq_ignore_ascii_case(base), "{provider}: {seen}");
        }
        assert_eq!(get(address, "x", "/My/App").text(), "OK", "{provider}: without the last slash");
        assert_eq!(get(address, "x", "/My/App/").text(), "OK", "{provider}");

        let root = Subject::start(provider);
        let seen = json(&get(root.app.address, "x", "/headers"));
        assert_eq!((&seen["uri"], &seen["original_uri"]), (&Value::from("/headers"), &Value::from("/headers")));
    }
}

#[test]
fn an_app_may_have_several_prefixes() {
    for provider in BOTH {
        // Two free ports: what each of them is, the ready line says.
        let options = AppOptions::new("app", "http://127.0.0.1:0/one/").prefix("http://127.0.0.1:0/two/");
        let mut process = None;
        let directory = directory();
        let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
        let ready = process.insert(App::spawn(provider, host.as_ref(), &options)).line("ready ");
        let prefixes: Vec<&str> = ready.split_whitespace().collect();
        assert_eq!(prefixes.len(), 2, "{provider}: {ready}");
        for prefix in prefixes {
            let (authority, path) = prefix.trim_start_matches("http://").split_once('/').expect("a prefix has a path");
            let address = authority.parse().expect("the ready line has real addresses");
            assert_eq!(get(address, "x", &format!("/{path}whoami")).text(), "app", "{provider}: {prefix}");
        }
    }
}

#[test]
fn the_app_sees_the_clients_address() {
    for provider in BOTH {
        let subject = Subject::start(provider);
        let mut client = subject.connect();
        client.send(b"GET /headers HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server takes a request");
        let seen = json(&client.response(false).expect("it is answered"));
        let address = client.local_address().expect("the connection lives");
        assert_eq!(seen["peer"], address.to_string(), "{provider}");
    }
}

#[test]
fn an_app_that_is_told_to_stop_finishes_what_runs() {
    for provider in BOTH {
        let mut subject = Subject::start(provider);
        let mut running = subject.connect();
        let mut idle = subject.connect();
        running.send(b"GET /slow?ms=1000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server takes a request");
        std::thread::sleep(Duration::from_millis(300));
        subject.app.process.terminate();
        std::thread::sleep(Duration::from_millis(300));

        // Behind a host the port may outlive the app for a moment; what counts is that nothing new is served.
        if let Ok(mut late) = Client::connect(subject.app.address) {
            let _ = late.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            if let Ok(response) = late.response(false) {
                assert_ne!(response.status, 200, "{provider}: a new connection was served");
            }
        }
        let response = running.response(false).unwrap_or_else(|error| panic!("{provider}: {error}"));
        assert_eq!((response.status, response.text().as_str()), (200, "slow"), "{provider}");
        let status = subject.app.process.wait(Duration::from_secs(4));
        assert_eq!(status.code(), Some(0), "{provider}: {}", subject.app.process.log());
        if provider == Provider::Embedded {
            assert_ne!(idle.ending(Duration::from_secs(1)), Ending::Open, "an idle connection stays open");
        }
    }
}

#[test]
fn an_app_that_is_told_to_stop_does_not_wait_forever() {
    for provider in BOTH {
        let mut subject = Subject::start(provider);
        let mut endless = subject.connect();
        endless.send(b"GET /slow?ms=600000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("the server takes a request");
        std::thread::sleep(Duration::from_millis(300));
        subject.app.process.terminate();
        subject.app.process.wait(DRAINED);
        if let Ok(response) = endless.response(false) {
            assert!(response.status >= 500, "{provider}: {response:?}");
        }
    }
}

#[test]
fn a_host_that_is_told_to_stop_finishes_what_runs() {
    let mut subject = Subject::start(Provider::Shared);
    let mut running = subject.connect();
    running.send(b"GET /slow?ms=1000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("the host takes a request");
    std::thread::sleep(Duration::from_millis(300));
    let host = subject.host.as_mut().expect("the shared provider has a host");
    host.process.terminate();
    let response = running.response(false).expect("what runs is finished");
    assert_eq!((response.status, response.text().as_str()), (200, "slow"));
    let status = host.process.wait(DRAINED);
    assert_eq!(status.code(), Some(0), "{}", host.process.log());
}

#[test]
fn a_port_that_another_program_has_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port can be had");
    let port = taken.local_addr().expect("it has an address").port();
    for provider in BOTH {
        let directory = directory();
        let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
        let options = AppOptions::new("app", format!("http://127.0.0.1:{port}/"));
        let mut app = App::spawn(provider, host.as_ref(), &options);
        assert!(!app.wait(DRAINED).success(), "{provider}");
        assert!(app.log().contains(&port.to_string()), "{provider}: {}", app.log());
    }
}

#[test]
fn a_prefix_that_is_none_is_an_error_that_shows_it() {
    for provider in BOTH {
        let directory = directory();
        let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
        let mut app = App::spawn(provider, host.as_ref(), &AppOptions::new("app", "http://127.0.0.1:70000/"));
        assert!(!app.wait(DRAINED).success(), "{provider}");
        assert!(app.log().contains("http://127.0.0.1:70000/"), "{provider}: {}", app.log());
    }
}

#[test]
fn an_app_that_needs_a_host_says_so_when_there_is_none() {
    let directory = directory();
    let socket = directory.path().join("nobody.sock");
    let options =
        AppOptions::new("app", "http://127.0.0.1:0/").arguments(["--host-socket".to_owned(), socket.display().to_string()]);
    let mut app = App::spawn(Provider::Shared, None, &options);
    assert!(!app.wait(DRAINED).success());
    assert!(app.log().contains(&socket.display().to_string()), "{}", app.log());
}

#[test]
fn a_second_host_on_the_same_socket_is_an_error_and_the_first_goes_on() {
    let directory = directory();
    let host = Host::start(directory.path());
    let app = shared(&host, "app", "http://127.0.0.1:0/");
    let mut second = start_host(host.socket());
    assert!(!second.wait(DRAINED).success());
    assert!(second.log().contains("host.sock"), "{}", second.log());
    assert_eq!(get(app.address, "x", "/whoami").text(), "app");
}

fn start_host(socket: &Path) -> Process {
    let mut command = Command::new(narthex_program());
    command.arg("host").arg("--socket").arg(socket).args(["--listen", "127.0.0.1"]);
    Process::start("second host", &mut command)
}
