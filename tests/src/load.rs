//! Clients that ask an app, one request after the other, while something is done to it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::Client;

const CLIENTS: usize = 32;

/// One request, and what became of it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// A GET. The others are POSTs with a body.
    pub safe: bool,
    /// Why it failed, if it did.
    pub result: Result<(), String>,
}

/// Clients that ask until they are told to stop.
#[derive(Debug)]
pub struct Load {
    stop: Arc<AtomicBool>,
    results: Arc<Mutex<BTreeMap<usize, Asked>>>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    /// Requests that the app takes `milliseconds` for, half of them with a body, on connections that are kept.
    pub fn start(address: SocketAddr, milliseconds: u64) -> Self {
        Self::start_at(address, "", milliseconds)
    }

    /// As `start`, for an app below `path`, which has no slash at its end.
    pub fn start_at(address: SocketAddr, path: &str, milliseconds: u64) -> Self {
        let (stop, results, next) = (Arc::new(AtomicBool::new(false)), Arc::default(), Arc::new(AtomicUsize::new(0)));
        let clients = (0..CLIENTS).map(|client| {
            let (stop, results, next) = (Arc::clone(&stop), Arc::clone(&results), Arc::clone(&next));
            let results: Arc<Mutex<BTreeMap<usize, Asked>>> = results;
            let path = path.to_owned();
            std::thread::spawn(move || {
                let mut connection = None;
                let safe = client % 2 != 0;
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let result = ask(&mut connection, address, &format!("{path}/slow?ms={milliseconds}&number={number}"), safe);
                    results.lock().expect("no client has panicked").insert(number, Asked { safe, result });
                }
            })
        });
        Self { clients: clients.collect(), stop, results }
    }

    /// Waits until so many requests are over.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn until(&self, answered: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.answered() < answered {
            assert!(Instant::now() < deadline, "the load does not progress");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// Waits until so many more are over.
    ///
    /// # Panics
    /// If that takes too long.
    pub fn more(&self, requests: usize) {
        self.until(self.answered() + requests);
    }

    /// Requests that are over.
    ///
    /// # Panics
    /// If a client has.
    pub fn answered(&self) -> usize {
        self.results.lock().expect("no client has panicked").len()
    }

    /// Stops, and says what became of each request, by its number.
    ///
    /// # Panics
    /// If a client has.
    pub fn end(self) -> BTreeMap<usize, Asked> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().expect("no client has panicked"));
        std::mem::take(&mut self.results.lock().expect("no client has panicked"))
    }
}

fn ask(connection: &mut Option<Client>, address: SocketAddr, target: &str, safe: bool) -> Result<(), String> {
    let mut client = match connection.take() {
        Some(client) => client,
        None => Client::connect(address).map_err(|error| error.to_string())?,
    };
    let request = match safe {
        true => format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"),
        false => format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n{}", "b".repeat(3000)),
    };
    client.send(request.as_bytes()).map_err(|error| error.to_string())?;
    let response = client.response(false).map_err(|error| error.to_string())?;
    if response.status != 200 || response.body != b"slow" {
        return Err(format!("{} {}", response.status, response.text()));
    }
    if !response.header("connection").is_some_and(|field| field.eq_ignore_ascii_case("close")) {
        *connection = Some(client);
    }
    Ok(())
}
