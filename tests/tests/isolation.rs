//! Proxy safety: bytes that one client sends reach only the app that routing chose, and bytes that one app sends are
//! only ever part of the answer to its own request.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use fastrand::Rng;
use narthex_tests::app::EVIL;
use narthex_tests::{App, AppOptions, Client, Ending, Host, Provider, ReadError, Response, Subject};
use tempfile::TempDir;

/// Two apps that share a port, each with a record of everything that it received.
struct Neighbours {
    a: App,
    b: App,
    host: Host,
    directory: TempDir,
}

impl Neighbours {
    fn start() -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let host = Host::start(directory.path());
        let app = |name: &str, prefix: String| {
            let record = record(directory.path(), name);
            let options = AppOptions::new(name, prefix).arguments(["--record".to_owned(), record.display().to_string()]);
            App::start(Provider::Shared, Some(&host), &options)
        };
        let a = app("a", "http://127.0.0.1:0/a/".to_owned());
        let b = app("b", format!("http://127.0.0.1:{}/b/", a.address.port()));
        Self { a, b, host, directory }
    }

    fn connect(&self) -> Client {
        Client::connect(self.a.address).expect("the host accepts connections")
    }

    fn received(&self, name: &str) -> String {
        let bytes = std::fs::read(record(self.directory.path(), name)).expect("the app keeps a record");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

fn record(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("record-{name}"))
}

/// The apps, and a mark that only bytes meant for them carry.
const APPS: [(&str, &str); 2] = [("a", "FOR-A"), ("b", "FOR-B")];

/// A valid request, and what its app has to answer.
struct Request {
    bytes: Vec<u8>,
    app: &'static str,
    token: String,
    body: Vec<u8>,
}

fn request(random: &mut Rng, token: String, app: &'static str) -> Request {
    let other = if app == "a" { "b" } else { "a" };
    let mut body = Vec::new();
    for _ in 0..random.usize(0..40) {
        body.extend_from_slice(token.as_bytes());
        if random.u8(0..4) == 0 {
            // A body that looks like a request for the other app is still this app's body.
            body.extend_from_slice(
                format!("\r\n0\r\n\r\nPOST /{other}/{token} HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n{token}").as_bytes(),
            );
        }
    }
    let mut bytes = format!("POST /{app}/{token} HTTP/1.1\r\nHost: x\r\nX-Token: {token}\r\n").into_bytes();
    if random.bool() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
    } else {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        // At most 50 chunks: a server may limit the bytes that go into extensions.
        for chunk in body.chunks(random.usize(1..600).max(body.len() / 50 + 1)) {
            bytes.extend_from_slice(format!("{:x};{token}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(format!("0\r\nX-End: {token}\r\n\r\n").as_bytes());
    }
    Request { bytes, app, token, body }
}

/// What a client may end its connection with; whatever carries `NEVER` comes after the break and is nobody's.
fn broken(random: &mut Rng, app: &str, mark: &str) -> Vec<u8> {
    let hidden = "POST /a/NEVER HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nNEVERPOST /b/NEVER HTTP/1.1\r\nHost: x\r\n\
                  Content-Length: 5\r\n\r\nNEVER";
    let head = format!("POST /{app}/{mark} HTTP/1.1\r\nHost: x\r\n");
    let length = hidden.len();
    match random.u8(0..10) {
        0 => format!("{head}Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"),
        1 => format!("{head}Transfer-Encoding: chunked, frob\r\nContent-Length: 3\r\n\r\n{mark}{hidden}"),
        2 => format!("{head}Content-Length: 0\r\nContent-Length: {length}\r\n\r\n{hidden}"),
        3 => format!("{head}Transfer-Encoding: chunked\r\n\r\n5\r\n{mark}XX\r\n{hidden}"),
        4 => format!("{head}Transfer-Encoding: chunked\r\n\r\n5;\n{mark}\r\n0\r\n\r\n{hidden}"),
        5 => format!("{head}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n{hidden}"),
        6 => format!("{head}X: y\n\n{hidden}"),
        7 => format!("{head}Transfer-Encoding: chunked\r\n\r\n0\r\nbad trailer\r\n\r\n{hidden}"),
        // These two just stop, within the body and within the head.
        8 => format!("{head}Content-Length: 1000\r\n\r\n{mark}"),
        _ => format!("{head}X-Tok"),
    }
    .into_bytes()
}

fn send_in_pieces(client: &mut Client, random: &mut Rng, bytes: &[u8]) {
    let mut rest = bytes;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(random.usize(1..=rest.len()));
        // A host that has refused a broken request takes no more of it.
        if client.send(now).is_err() {
            return;
        }
        rest = later;
        if random.u8(0..4) == 0 {
            std::thread::sleep(Duration::from_micros(random.u64(0..800)));
        }
    }
}

fn check_answer(response: &Response, request: &Request) {
    let token = &request.token;
    assert_eq!(response.status, 200, "{token}: {}", response.text());
    assert_eq!(response.header("x-app"), Some(request.app), "{token} was answered by another app");
    assert!(response.body == request.body, "{token} was answered with {:?}", response.text());
}

fn converse(neighbours: &Neighbours, seed: u64) -> Vec<(&'static str, String)> {
    let mut random = Rng::with_seed(seed);
    let mut client = neighbours.connect();
    let count = random.usize(1..10);
    let requests: Vec<Request> = (0..count)
        .map(|index| {
            let (app, mark) = APPS[random.usize(0..APPS.len())];
            request(&mut random, format!("{mark}.{seed}.{index}."), app)
        })
        .collect();
    let mut bytes: Vec<u8> = requests.iter().flat_map(|request| request.bytes.iter().copied()).collect();
    let breaks = random.bool();
    if breaks {
        let (app, mark) = APPS[random.usize(0..APPS.len())];
        bytes.extend_from_slice(&broken(&mut random, app, mark));
    }
    send_in_pieces(&mut client, &mut random, &bytes);
    let mut answered = 0;
    for request in &requests {
        match client.response(false) {
            Ok(response) => check_answer(&response, request),
            // Whoever still sends to a connection that is being closed may lose answers.
            Err(ReadError::Closed(_) | ReadError::Reset) if breaks => break,
            Err(error) => panic!("seed {seed}, {}: {error}", request.token),
        }
        answered += 1;
    }
    if !breaks {
        assert_eq!(client.ending(Duration::from_millis(1)), Ending::Open, "seed {seed}");
    } else if random.bool() {
        // Otherwise it is gone without a look at what the host says to the break.
        let _ = client.finish();
        if let Ok(response) = client.response(false) {
            assert!((400..600).contains(&response.status), "seed {seed}: {} {}", response.status, response.text());
            assert_ne!(client.ending(Duration::from_secs(5)), Ending::Open, "seed {seed}");
        }
    }
    requests.into_iter().take(answered).map(|request| (request.app, request.token)).collect()
}

#[test]
fn bytes_of_a_connection_reach_only_the_app_that_each_request_is_for() {
    let neighbours = Neighbours::start();
    let sent: Vec<(&str, String)> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..8)
            .map(|thread| {
                let neighbours = &neighbours;
                scope.spawn(move || (0..40).flat_map(|n| converse(neighbours, thread * 1000 + n)).collect::<Vec<_>>())
            })
            .collect();
        clients.into_iter().flat_map(|client| client.join().expect("a client's conversation is right")).collect()
    });

    for (name, mark) in APPS {
        let received = neighbours.received(name);
        for (other, foreign) in APPS {
            if other != name {
                let at = received.find(foreign);
                assert!(at.is_none(), "{name} received bytes for {other}: {:?}", around(&received, at));
            }
        }
        let at = received.find("NEVER");
        assert!(at.is_none(), "{name} received bytes from behind a refused request: {:?}", around(&received, at));
        let mine = sent.iter().filter(|(app, _)| *app == name);
        for (_, token) in mine {
            assert!(received.contains(&format!("x-token: {token}")), "{name} never received {token} ({mark})");
        }
    }
    assert!(sent.len() > 300, "too few requests were made for this to mean anything");
    drop(neighbours.b);
}

fn around(text: &str, at: Option<usize>) -> String {
    let at = at.unwrap_or_default();
    String::from_utf8_lossy(&text.as_bytes()[at.saturating_sub(200)..(at + 200).min(text.len())]).into_owned()
}

/// Sends two requests at once, of which the first gets an answer that tries to be two, and checks what comes.
fn provoke(mut client: Client, first: &str, second: &str, second_app: &str) -> Result<(), String> {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n");
    client.send((get(first) + &get(second)).as_bytes()).map_err(|error| error.to_string())?;
    for index in 0..2 {
        let response = match client.response(false) {
            Ok(response) => response,
            Err(ReadError::Closed(_) | ReadError::Reset) => return Ok(()),
            Err(error) => return Err(format!("answer {index}: {error}")),
        };
        if response.has("x-evil") || response.status < 200 {
            return Err(format!("answer {index} is forged: {response:?}"));
        }
        if index == 1 && (response.header("x-app") != Some(second_app) || response.text() != second_app) {
            return Err(format!("the second request got something else: {response:?}"));
        }
    }
    match client.ending(Duration::from_millis(100)) {
        Ending::Data(bytes) => Err(format!("there is a third answer: {:?}", String::from_utf8_lossy(&bytes))),
        _ => Ok(()),
    }
}

fn provoke_all(connect: impl Fn() -> Client, first: &str, second: &str, second_app: &str) {
    let failures: Vec<String> = EVIL
        .iter()
        .filter_map(|kind| {
            let problem = provoke(connect(), &format!("{first}{kind}"), second, second_app).err()?;
            Some(format!("{kind}: {problem}"))
        })
        .collect();
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

#[test]
fn an_embedded_app_cannot_forge_the_answer_to_the_next_request() {
    let subject = Subject::start(Provider::Embedded);
    provoke_all(|| subject.connect(), "/evil/", "/whoami", "app");
}

#[test]
fn an_app_behind_the_host_cannot_forge_the_answer_of_another_app() {
    let neighbours = Neighbours::start();
    provoke_all(|| neighbours.connect(), "/a/evil/", "/b/whoami", "b");
}

#[test]
fn garbage_on_the_hosts_socket_ends_that_connection_and_nothing_else() {
    let neighbours = Neighbours::start();
    let mut random = Rng::with_seed(7);
    for round in 0..40 {
        let mut socket = UnixStream::connect(neighbours.host.socket()).expect("the host accepts apps");
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a timeout can be set");
        let garbage: Vec<u8> = match round % 3 {
            0 => (0..random.usize(1..5000)).map(|_| random.u8(..)).collect(),
            1 => vec![0xff; random.usize(1..5000)],
            _ => b"GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_vec(),
        };
        // The host may hang up at any byte.
        let _ = socket.write_all(&garbage);
        let _ = socket.read(&mut [0; 1024]);
    }
    let mut client = neighbours.connect();
    for name in ["a", "b"] {
        client.send(format!("GET /{name}/whoami HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes()).expect("the host still serves");
        assert_eq!(client.response(false).expect("the apps still serve").text(), name);
    }
}
