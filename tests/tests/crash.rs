//! `kill -9` in the middle of 1 000 concurrent requests: nobody hangs, nobody gets a wrong answer, and everybody gets
//! a defined end.
#![allow(clippy::disallowed_methods, reason = "a crash happens in real time")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use narthex_tests::{App, AppOptions, Client, Host, Provider, ReadError, Subject};
use tempfile::TempDir;

const CLIENTS: usize = 1000;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// With its app's whole and right answer.
    Answered,
    /// With a status of the server's own.
    Status(u16),
    /// With a part of its app's answer, then the connection's end.
    Truncated,
    /// With the connection's end, before any byte of an answer.
    Closed,
    /// In a way that must not be.
    Wrong(String),
}

/// What a client asks for: a late answer, a long one, or to read a long body.
#[derive(Clone, Copy)]
enum Kind {
    Slow(usize),
    Stream,
    Upload,
}

impl Kind {
    fn of(client: usize) -> Self {
        match client % 10 {
            0 => Self::Stream,
            1 => Self::Upload,
            // Spread over two seconds, in no order.
            _ => Self::Slow(client * 7919 % 2000),
        }
    }

    fn ask(self, mut client: Client) -> End {
        let request = match self {
            Self::Slow(ms) => format!("GET /slow?ms={ms} HTTP/1.1\r\nHost: x\r\n\r\n"),
            Self::Stream => "GET /stream?chunks=4000&size=1000 HTTP/1.1\r\nHost: x\r\n\r\n".to_owned(),
            Self::Upload => "POST /len HTTP/1.1\r\nHost: x\r\nContent-Length: 20000\r\n\r\n".to_owned(),
        };
        if client.send(request.as_bytes()).is_err() {
            return End::Closed;
        }
        if matches!(self, Self::Upload) {
            for _ in 0..20 {
                // The answer says whether it mattered.
                let _ = client.send(&[b'u'; 1000]);
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        match client.response(false) {
            Ok(response) if response.status != 200 => End::Status(response.status),
            Ok(response) => {
                let right = match self {
                    Self::Slow(_) => response.body == b"slow",
                    Self::Stream => response.body.len() == 4_000_000 && response.body.iter().all(|byte| *byte == b'x'),
                    Self::Upload => response.body == b"20000",
                };
                if right { End::Answered } else { End::Wrong(format!("the body {:?}", head_of(&response.text()))) }
            }
            Err(ReadError::Closed(seen)) if seen.is_empty() && !matches!(self, Self::Stream) => End::Closed,
            Err(ReadError::Closed(_) | ReadError::Reset) if matches!(self, Self::Stream) => End::Truncated,
            Err(ReadError::Reset) => End::Closed,
            Err(error) => End::Wrong(head_of(&error.to_string())),
        }
    }
}

fn head_of(text: &str) -> String {
    text.chars().take(100).collect()
}

/// 1 000 clients that ask at the same moment.
struct Crowd {
    clients: Vec<JoinHandle<End>>,
    answered: Arc<AtomicUsize>,
}

impl Crowd {
    fn ask(address: SocketAddr) -> Self {
        let answered = Arc::new(AtomicUsize::new(0));
        let start = Arc::new(Barrier::new(CLIENTS + 1));
        let clients = (0..CLIENTS)
            .map(|index| {
                let client = Client::connect(address).expect("the server accepts connections");
                let (answered, start) = (Arc::clone(&answered), Arc::clone(&start));
                std::thread::Builder::new()
                    .stack_size(256 * 1024)
                    .spawn(move || {
                        start.wait();
                        let end = Kind::of(index).ask(client);
                        answered.fetch_add(1, Ordering::Relaxed);
                        end
                    })
                    .expect("a thousand threads are possible")
            })
            .collect();
        start.wait();
        Self { clients, answered }
    }

    /// Waits until this many clients have their answers.
    fn wait_for(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.answered.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < deadline, "the first answers do not come");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn ends(self) -> Ends {
        let mut ends = BTreeMap::new();
        for client in self.clients {
            *ends.entry(client.join().expect("no client panics")).or_default() += 1;
        }
        Ends(ends)
    }
}

/// How many requests ended in each way.
#[derive(Debug)]
struct Ends(BTreeMap<End, usize>);

impl Ends {
    fn count(&self, wanted: &[End]) -> usize {
        wanted.iter().filter_map(|end| self.0.get(end)).sum()
    }

    /// Checks that many requests were answered, that many others ended in one of these ways, and none in any other.
    fn check(&self, died: &[End]) {
        let (answered, died) = (self.count(&[End::Answered]), self.count(died));
        assert_eq!(answered + died, CLIENTS, "some requests ended in another way: {self:?}");
        assert!(answered >= 200 && died >= 200, "it was not in the middle: {self:?}");
    }
}

/// Asks until the app answers as it should, for at most ten seconds.
fn answers_again(address: SocketAddr, log: impl Fn() -> String) {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut last = String::from("nothing was tried");
    while Instant::now() < deadline {
        last = match Client::connect(address) {
            Ok(mut client) => {
                let _ = client.send(b"GET /whoami HTTP/1.1\r\nHost: x\r\n\r\n");
                match client.response(false) {
                    Ok(response) if response.status == 200 && response.body == b"app" => return,
                    Ok(response) => format!("{} {}", response.status, response.text()),
                    Err(error) => error.to_string(),
                }
            }
            Err(error) => error.to_string(),
        };
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("the app does not answer again: {last}\n{}", log());
}

#[test]
fn killing_the_app_gives_each_of_1000_requests_a_defined_end() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let host = Host::start(directory.path());
    let mut app = App::start(Provider::Shared, Some(&host), &AppOptions::new("app", "http://127.0.0.1:0/"));
    let address = app.address;

    let crowd = Crowd::ask(address);
    crowd.wait_for(200);
    app.process.crash();
    let ends = crowd.ends();

    ends.check(&[End::Status(502), End::Status(503), End::Truncated]);
    assert!(ends.count(&[End::Truncated]) <= CLIENTS / 10, "only the long answers can be cut: {ends:?}");

    // The host has forgotten the dead app, so that its successor can have the prefix at once.
    let options = AppOptions::new("app", format!("http://127.0.0.1:{}/", address.port()));
    let successor = App::start(Provider::Shared, Some(&host), &options);
    answers_again(successor.address, || host.process.log());
}

#[test]
fn killing_the_host_closes_each_of_1000_requests_and_the_app_comes_back_with_the_next_host() {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let mut host = Host::start(directory.path());
    let app = App::start(Provider::Shared, Some(&host), &AppOptions::new("app", "http://127.0.0.1:0/"));

    let crowd = Crowd::ask(app.address);
    crowd.wait_for(200);
    host.process.crash();
    let ends = crowd.ends();

    ends.check(&[End::Closed, End::Truncated]);

    let successor = Host::start(directory.path());
    answers_again(app.address, || format!("{}\n{}", successor.process.log(), app.process.log()));
}

#[test]
fn killing_an_embedded_app_closes_each_of_1000_requests() {
    let mut subject = Subject::start(Provider::Embedded);
    let crowd = Crowd::ask(subject.app.address);
    crowd.wait_for(200);
    subject.app.process.crash();
    crowd.ends().check(&[End::Closed, End::Truncated]);
}
