//! The demo as people meet it: started, used, broken, stopped. And the host's own commands.

use std::net::TcpListener;
use std::time::Duration;

use crate::support::{self, Program, Reply, get, request, wait_until};
use sha2::{Digest, Sha256};
use tokio_tungstenite::tungstenite::{self, Message};

/// Starts the demo on a port that nobody has.
fn demo() -> (Program, u16) {
    let mut demo = Program::start(&["demo", "--port", "0"]);
    let line = demo.line_with("share port ");
    let port = line.split("share port ").nth(1).and_then(|rest| rest.split('.').next()).and_then(|port| port.parse().ok());
    let port = port.unwrap_or_else(|| panic!("no port in {line:?}"));
    demo.line_with("Ctrl-C");
    (demo, port)
}

fn json(reply: &Reply) -> serde_json::Value {
    serde_json::from_slice(&reply.body).unwrap_or_else(|error| panic!("{error} in {}", reply.text()))
}

fn pid_of(port: u16, app: &str) -> u64 {
    let info = get(port, &format!("/{app}/info"));
    assert_eq!(info.status, 200, "{}", info.text());
    assert_eq!(json(&info)["name"], app);
    json(&info)["pid"].as_u64().unwrap()
}

fn is_alive(pid: u64) -> bool {
    // A zombie has ended; only its parent has not looked yet.
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[test]
fn the_demo_serves_two_processes_on_one_port_and_leaves_nothing_behind() {
    let (mut demo, port) = demo();
    let (first, second) = (pid_of(port, "app1"), pid_of(port, "app2"));
    assert_ne!(first, second);
    assert_ne!(first, u64::from(demo.id()));

    let start = get(port, "/");
    assert_eq!(start.status, 200);
    assert!(start.text().contains(&format!("kill -9 {first}")) && start.text().contains(&format!("kill -9 {second}")));
    assert_eq!(json(&get(port, "/status"))["apps"][1]["pid"], second);
    for app in ["app1", "app2"] {
        for page in ["", "form", "upload", "chat"] {
            let reply = get(port, &format!("/{app}/{page}"));
            assert_eq!(reply.status, 200, "/{app}/{page}");
            let text = reply.text();
            assert!(text.contains(&format!("<body class=\"{app}\">")) && !text.contains("{{"), "{text}");
        }
        assert_eq!(get(port, &format!("/{app}/a/b/c")).status, 404);
        let bare = get(port, &format!("/{app}"));
        assert_eq!((bare.status, bare.header("location")), (307, Some(&*format!("/{app}/"))));
    }
    forms_come_back_as_text(port);
    uploads_are_hashed(port);

    let download = get(port, "/app2/download");
    assert_eq!(download.header("content-length"), Some("100000000"));
    assert_eq!(download.body.len(), 100_000_000);

    people_can_chat(port);
    an_app_that_is_killed_comes_back(&mut demo, port);

    let (first, second) = (pid_of(port, "app1"), pid_of(port, "app2"));
    let socket = demo.log().split("--socket ").nth(1).and_then(|rest| rest.lines().next()).map(str::to_owned).unwrap();
    demo.terminate();
    let status = demo.wait(Duration::from_secs(20));
    assert!(status.success(), "{status}; {}", demo.log());
    assert!(!is_alive(first) && !is_alive(second));
    let directory = std::path::Path::new(&socket).parent().unwrap();
    assert!(!directory.exists(), "{} is left", directory.display());
    TcpListener::bind(("127.0.0.1", port)).expect("the port is free again");
}

fn forms_come_back_as_text(port: u16) {
    let typed = "name=%3Cb%3EAda&message=%22%3Cscript%3E%22";
    let urlencoded = [("Content-Type", "application/x-www-form-urlencoded")];
    let posted = request(port, "POST", "/app1/form", &urlencoded, typed.as_bytes());
    let got = get(port, &format!("/app1/form?{typed}"));
    for (reply, method) in [(posted, "POST"), (got, "GET")] {
        let text = reply.text();
        assert!(text.contains("Hello, &lt;b&gt;Ada!") && text.contains(&format!("<dd>{method}</dd>")), "{text}");
        assert!(!text.contains("<b>Ada") && !text.contains("\"<script>\""), "{text}");
    }
}

fn uploads_are_hashed(port: u16) {
    // More than axum's own limit of 2 MB.
    let file: Vec<u8> = (0..5_000_000_u32).map(|at| (at / 7) as u8).collect();
    let expected: String = Sha256::digest(&file).iter().map(|byte| format!("{byte:02x}")).collect();

    let put = request(port, "PUT", "/app1/upload/some%20file.bin", &[], &file);
    assert_eq!(json(&put), serde_json::json!({ "name": "some file.bin", "bytes": file.len(), "sha256": expected }));

    let mut form = b"--xyz\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a<b.bin\"\r\n\r\n".to_vec();
    form.extend_from_slice(&file);
    form.extend_from_slice(b"\r\n--xyz--\r\n");
    let headers = [("Content-Type", "multipart/form-data; boundary=xyz"), ("Accept", "text/html")];
    let page = request(port, "POST", "/app2/upload", &headers, &form);
    assert_eq!(page.status, 200, "{}", page.text());
    assert!(page.text().contains(&expected) && page.text().contains("a&lt;b.bin"), "{}", page.text());

    let broken = request(port, "POST", "/app2/upload", &headers, b"--xyz--\r\n");
    assert_eq!(broken.status, 400);
}

fn people_can_chat(port: u16) {
    let url = format!("ws://127.0.0.1:{port}/app1/chat/socket");
    let (mut ada, response) = tungstenite::connect(&url).expect("the chat can be joined");
    assert_eq!(response.status(), 101);
    let (mut bob, _) = tungstenite::connect(&url).expect("a second person can join");
    let read = |socket: &mut tungstenite::WebSocket<_>| -> serde_json::Value {
        match socket.read().expect("a message comes") {
            Message::Text(text) => serde_json::from_str(&text).expect("it is JSON"),
            other => panic!("{other:?}"),
        }
    };
    assert!(read(&mut ada)["text"].as_str().unwrap().contains("Welcome"));
    assert!(read(&mut bob)["text"].as_str().unwrap().contains("2 people"));

    ada.send(Message::text(r#"{"name":"Ada","text":"<hello>"}"#)).unwrap();
    for socket in [&mut ada, &mut bob] {
        assert_eq!(read(socket), serde_json::json!({ "from": "Ada", "text": "<hello>" }));
    }
    let urlencoded = [("Content-Type", "application/x-www-form-urlencoded")];
    let said = request(port, "POST", "/app1/chat/say", &urlencoded, b"name=curl&text=hi");
    assert_eq!(said.text(), "2 people read it\n");
    assert_eq!(read(&mut bob), serde_json::json!({ "from": "curl", "text": "hi" }));
    // Nobody says goodbye: the demo must end all the same.
    std::mem::forget(ada);
}

fn an_app_that_is_killed_comes_back(demo: &mut Program, port: u16) {
    let (victim, other) = (pid_of(port, "app1"), pid_of(port, "app2"));
    support::kill(victim);
    let mut seen = Vec::new();
    wait_until("app1 is back", || {
        assert_eq!(pid_of(port, "app2"), other, "the other app must not notice");
        let reply = get(port, "/app1/info");
        seen.push(reply.status);
        reply.status == 200 && json(&reply)["pid"] != victim
    });
    // Its queue has a name, and keeps what was asked until it is back.
    assert!(seen.iter().all(|status| *status == 200), "{seen:?}");
    demo.line_with(&format!("app1 (process {victim}) ended: killed by signal 9"));
    demo.line_with("app1 is back");
    assert_eq!(json(&get(port, "/status"))["apps"][0]["starts"], 2);
}

#[test]
fn the_apps_do_not_outlive_a_demo_that_was_killed() {
    let (mut demo, port) = demo();
    let apps = [pid_of(port, "app1"), pid_of(port, "app2")];
    demo.kill();
    wait_until("both apps have ended", || !apps.into_iter().any(is_alive));
}

#[test]
fn a_taken_port_is_named_together_with_what_to_do() {
    let other = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = other.local_addr().unwrap().port();
    let mut demo = Program::start(&["demo", "--port", &port.to_string()]);
    assert_eq!(demo.wait(Duration::from_secs(10)).code(), Some(1));
    let log = demo.log();
    assert!(log.contains(&format!("port {port} is taken")) && log.contains("--port"), "{log}");
    assert_eq!(log.lines().count(), 1, "{log}");
}

#[test]
fn a_host_can_be_asked_what_it_has_and_stops_cleanly() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("host.sock");
    let path = socket.to_str().unwrap();
    let ask = |arguments: &[&str]| support::output(&[arguments, &["--socket", path]].concat());

    let none = ask(&["show", "servicestate"]);
    assert_eq!(none.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&none.stderr).contains("narthex host"), "{none:?}");

    let mut host = Program::start(&["host", "--socket", path, "--listen", "127.0.0.1"]);
    assert_eq!(host.line_with("ready "), format!("ready {path}"));
    let text = ask(&["show", "servicestate", "view=requestq"]);
    assert!(text.status.success() && String::from_utf8_lossy(&text.stdout).contains("no app is connected"), "{text:?}");
    let state: serde_json::Value = serde_json::from_slice(&ask(&["show", "servicestate", "--json"]).stdout).unwrap();
    assert_eq!(state["pid"], host.id());
    let mut second = Program::start(&["host", "--socket", path]);
    assert_eq!(second.wait(Duration::from_secs(10)).code(), Some(1));
    assert!(second.log().contains("another Narthex host is running") && second.log().contains(path), "{}", second.log());

    host.terminate();
    assert!(host.wait(Duration::from_secs(10)).success());
    assert!(!socket.exists());
}

#[test]
fn a_host_explains_urls() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("host.sock");
    let path = socket.to_str().unwrap();
    let ask = |arguments: &[&str]| support::output(&[arguments, &["--socket", path]].concat());
    let mut host = Program::start(&["host", "--socket", path, "--listen", "127.0.0.1"]);
    host.line_with("ready ");
    let explained = ask(&["explain", "http://localhost:8888/app1/"]);
    assert!(explained.status.success() && !explained.stdout.is_empty(), "{explained:?}");
    let detail = ask(&["explain", "http://localhost:8888/app1/", "--json"]);
    assert!(serde_json::from_slice::<serde_json::Value>(&detail.stdout).is_ok(), "{detail:?}");
    assert_eq!(ask(&["explain", "nonsense"]).status.code(), Some(1));
}

#[test]
fn sighup_lets_a_host_read_its_configuration_again_and_go_on() {
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("host.sock");
    let path = socket.to_str().unwrap();
    let mut host = Program::start(&["host", "--socket", path, "--listen", "127.0.0.1"]);
    host.line_with("ready ");
    host.hang_up();
    wait_until("it has read its configuration again", || host.log().contains("SIGHUP: "));
    assert!(support::output(&["show", "servicestate", "--socket", path]).status.success());
    host.terminate();
    assert!(host.wait(Duration::from_secs(10)).success());
}
