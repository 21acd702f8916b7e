//! `narthex explain` against a host that runs.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::support::{self, Program};
use narthex_proto::wire::{ControlConnection, GroupSettings, Hello, Message, QueueSettings, Role};

struct Running {
    _host: Program,
    directory: tempfile::TempDir,
}

impl Running {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("host.sock");
        let mut host = Program::start(&["host", "--socket", socket.to_str().unwrap(), "--listen", "127.0.0.1"]);
        host.line_with("ready ");
        Self { _host: host, directory }
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("host.sock")
    }

    /// What `narthex LINE` exits with and prints. The port, this process and its user are replaced by words.
    fn says(&self, port: &str, line: &str) -> (Option<i32>, String) {
        let (socket, line) = (self.socket(), line.replace("PORT", port));
        let arguments: Vec<&str> = line.split(' ').chain(["--socket", socket.to_str().unwrap()]).collect();
        let output = support::output(&arguments);
        let said = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        let uid = nix::unistd::geteuid();
        let user = nix::unistd::User::from_uid(uid).unwrap();
        let user = user.map_or_else(|| format!("user {uid}"), |user| format!("user {:?}", user.name));
        let said = said.replace(&format!("process {}", std::process::id()), "process PID").replace(&user, "user ME");
        (output.status.code(), said.replace(&format!(":{port}"), ":PORT").replace(&format!("port {port}"), "port PORT"))
    }
}

/// An app that does nothing but have URLs.
struct App {
    _stream: UnixStream,
    port: String,
}

impl App {
    fn register(socket: &Path, url: &str) -> Self {
        let mut stream = UnixStream::connect(socket).unwrap();
        let mut control = ControlConnection::new();
        let queue = QueueSettings { name: Some("carts".to_owned()), ..QueueSettings::default() };
        let group = GroupSettings { queue, ..GroupSettings::default() };
        control.send(&Message::Hello(Hello { name: "shop".to_owned(), workers: 1, ..Hello::new(Role::App) })).unwrap();
        control.send(&Message::Register { id: 1, group, urls: vec![url.to_owned()], into: None }).unwrap();
        stream.write_all(&std::mem::take(control.output())).unwrap();
        let mut buffer = [0; 4096];
        loop {
            if let Some(message) = control.receive().unwrap() {
                let Message::Registered { urls, .. } = message else { continue };
                let port = urls[0].url.rsplit(':').next().and_then(|end| end.split('/').next()).unwrap().to_owned();
                return Self { _stream: stream, port };
            }
            let read = stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "the host has closed the connection");
            control.push(&buffer[..read]);
        }
    }
}

const SERVED: &str = "  it arrives on 127.0.0.1:PORT
  the IP-bound weak wildcard bucket decides, by its longest path
  URL group 2 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process PID
";

#[test]
fn a_host_explains_where_requests_go_and_what_registering_would_meet() {
    let running = Running::start();
    let app = App::register(&running.socket(), "http://127.0.0.1:0/shop/");
    for (line, lines) in [
        (
            "explain http://127.0.0.1:PORT/x/../shop/cart?1",
            "http://127.0.0.1:PORT/x/../shop/cart?1 goes to shop (process PID, user ME), which has registered http://127.0.0.1:PORT/shop/
  it arrives on 127.0.0.1:PORT
  its canonical path is /shop/cart (typed /x/../shop/cart)
  the IP-bound weak wildcard bucket decides, by its longest path
  URL group 2 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process PID
",
        ),
        (
            "explain http://127.0.0.1:PORT/",
            "http://127.0.0.1:PORT/ gets 404 (NotFound): port PORT knows the host, but nothing is registered for /
  it arrives on 127.0.0.1:PORT

user ME can register http://127.0.0.1:PORT/
  the loopback rule lets everybody register it
  port PORT is open already
  it would lose requests to the registration http://127.0.0.1:PORT/shop/: those that both match
",
        ),
        (
            "explain http://127.0.0.1:PORT/shop/ --user 4242424",
            &format!(
                "http://127.0.0.1:PORT/shop/ goes to shop (process PID, user ME), which has registered http://127.0.0.1:PORT/shop/
{SERVED}
user 4242424 cannot register http://127.0.0.1:PORT/shop/: it is registered by shop (process PID, user ME); \
                 only a process with its request queue \"carts\" could share it, and user 4242424 may not open that
  the loopback rule lets everybody register it
  port PORT is open already
"
            ),
        ),
        (
            "explain http://a:PORT/shop user=4242424",
            "http://a:PORT/shop goes to shop (process PID, user ME), which has registered http://127.0.0.1:PORT/shop/
  the IP-bound weak wildcard bucket decides, by its longest path
  URL group 2 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process PID

user 4242424 cannot register http://a:PORT/shop/: no reservation lets user 4242424 register it; an operator can: \
             narthex add urlacl url=http://a:PORT/shop/ user=4242424
  port PORT is open already
  it would take requests from the registration http://127.0.0.1:PORT/shop/: those that both match
",
        ),
    ] {
        assert_eq!(running.says(&app.port, line), (Some(0), lines.to_owned()), "{line}");
    }
}

#[test]
fn what_cannot_be_explained_is_1_and_told_why() {
    let running = Running::start();
    for (line, sentence) in [
        (
            "explain http://localhost/shop/%zz",
            "cannot explain http://localhost/shop/%zz: a request for it gets 400 (URL): the request target has a broken percent escape \
             (at character 23: \"%zz\")",
        ),
        (
            "explain /shop/",
            "cannot explain /shop/: it is not a whole URL: write it with scheme and host, as in http://example.com:8888/path",
        ),
        (
            "explain nonsense",
            "cannot explain nonsense: it is not a whole URL: write it with scheme and host, as in http://example.com:8888/path",
        ),
        (
            "explain http://localhost/ user=nosuchuser",
            "this machine has no user \"nosuchuser\": `getent passwd` lists those it has, and a number is taken as it is",
        ),
    ] {
        assert_eq!(running.says("65535", line), (Some(1), format!("narthex: {sentence}\n")), "{line}");
    }
}

#[test]
fn an_explanation_is_json_for_programs() {
    let running = Running::start();
    let app = App::register(&running.socket(), "http://127.0.0.1:0/shop/");
    let (status, said) = running.says(&app.port, "explain http://127.0.0.1:PORT/shop/x --json");
    let detail: serde_json::Value = serde_json::from_str(&said).unwrap_or_else(|_| panic!("{said}"));
    assert_eq!((status, &detail["answered"], &detail["queue"]["name"]), (Some(0), &"served".into(), &"carts".into()));
    assert_eq!(detail["decided_by"]["app"]["pid"], std::process::id());
    assert_eq!(detail["local"], "127.0.0.1:PORT");
}

#[test]
fn a_port_that_the_host_does_not_listen_on_is_told_with_the_program_that_has_it() {
    let running = Running::start();
    let taken = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let (_, said) = running.says(&port, "explain http://127.0.0.1:PORT/x");
    assert!(said.starts_with("http://127.0.0.1:PORT/x does not reach this host: 127.0.0.1:PORT is taken by "), "{said}");
    // No other program listens on port 1 of this address.
    let (_, said) = running.says("1", "explain http://127.99.98.97:PORT/x");
    let refused = "finds nobody, its connection is refused: this host does not listen on 127.99.98.97:PORT";
    assert!(said.starts_with(&format!("http://127.99.98.97:PORT/x {refused}")), "{said}");
}
