//! Four processes share one request queue, and one of them dies: what it had not read goes to the others, and nothing is
//! answered twice.
#![allow(clippy::disallowed_methods, reason = "processes die in real time")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use narthex_tests::{App, AppOptions, Client, Host, Provider};
use tempfile::TempDir;

const PROCESSES: usize = 4;
const CLIENTS: usize = 32;

struct Stage {
    apps: Vec<App>,
    records: Vec<PathBuf>,
    address: SocketAddr,
    _host: Host,
    _directory: TempDir,
}

impl Stage {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let host = Host::start(directory.path());
        let mut prefix = "http://127.0.0.1:0/".to_owned();
        let (mut apps, mut records) = (Vec::new(), Vec::new());
        for number in 0..PROCESSES {
            let record = directory.path().join(format!("record-{number}"));
            let options = AppOptions::new(&format!("app{number}"), &prefix);
            let arguments = ["--queue", "shop", "--record", record.to_str().unwrap()];
            let app = App::start(Provider::Shared, Some(&host), &options.arguments(arguments));
            prefix = format!("http://127.0.0.1:{}/", app.address.port());
            apps.push(app);
            records.push(record);
        }
        let address = apps[0].address;
        Self { apps, records, address, _host: host, _directory: directory }
    }
}

/// What became of each request, by its number.
#[derive(Default)]
struct Results(Mutex<BTreeMap<usize, Result<(), String>>>);

/// Clients that ask, one request after the other, until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    results: Arc<Results>,
    clients: Vec<std::thread::JoinHandle<()>>,
}

impl Load {
    fn start(address: SocketAddr, milliseconds: u64) -> Self {
        let (stop, results, next) =
            (Arc::new(AtomicBool::new(false)), Arc::new(Results::default()), Arc::new(AtomicUsize::new(0)));
        let clients = (0..CLIENTS).map(|client| {
            let (stop, results, next) = (Arc::clone(&stop), Arc::clone(&results), Arc::clone(&next));
            std::thread::spawn(move || {
                let mut connection = None;
                while !stop.load(Ordering::Relaxed) {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let result = ask(&mut connection, address, number, milliseconds, client % 2 == 0);
                    results.0.lock().unwrap().insert(number, result);
                }
            })
        });
        Self { clients: clients.collect(), stop, results }
    }

    fn until(&self, answered: usize) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.results.0.lock().unwrap().len() < answered {
            assert!(Instant::now() < deadline, "the load does not progress");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn answered(&self) -> usize {
        self.results.0.lock().unwrap().len()
    }

    fn end(self) -> BTreeMap<usize, Result<(), String>> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().for_each(|client| client.join().unwrap());
        std::mem::take(&mut self.results.0.lock().unwrap())
    }
}

/// One request of either kind: GET, or POST with a body.
fn ask(connection: &mut Option<Client>, address: SocketAddr, number: usize, ms: u64, post: bool) -> Result<(), String> {
    let mut client = match connection.take() {
        Some(client) => client,
        None => Client::connect(address).map_err(|error| error.to_string())?,
    };
    let target = format!("/slow?ms={ms}&number={number}");
    let request = match post {
        false => format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"),
        true => format!("POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\n{}", "b".repeat(3000)),
    };
    client.send(request.as_bytes()).map_err(|error| error.to_string())?;
    let response = client.response(false).map_err(|error| error.to_string())?;
    if response.status != 200 || response.body != b"slow" {
        return Err(format!("{} {}", response.status, response.text()));
    }
    *connection = Some(client);
    Ok(())
}

/// The numbers of the requests that a process has begun to work on.
fn begun(record: &Path) -> Vec<usize> {
    let text = std::fs::read_to_string(record).unwrap();
    let number = |line: &str| line.split_once("number=")?.1.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(number).collect()
}

/// The requests that failed although no process had begun to work on them; and that none was begun twice.
fn lost_without_need(stage: &Stage, results: &BTreeMap<usize, Result<(), String>>) -> Vec<(usize, String)> {
    let begun: Vec<Vec<usize>> = stage.records.iter().map(|record| begun(record)).collect();
    let mut seen = BTreeSet::new();
    for number in begun.iter().flatten() {
        assert!(seen.insert(*number), "request {number} was begun twice");
    }
    let counts: Vec<usize> = begun.iter().map(Vec::len).collect();
    assert!(!counts.contains(&0), "every process has worked: {counts:?}");
    let failed = results.iter().filter_map(|(number, result)| Some((*number, result.as_ref().err()?.clone())));
    failed.filter(|(number, _)| !seen.contains(number)).collect()
}

/// A process reads several requests at a time. One that is killed between that and the first handler has had them.
const ONE_TURN: usize = 8;

#[test]
fn killing_one_of_four_processes_under_load_loses_only_what_it_had_begun() {
    let mut stage = Stage::new();
    let load = Load::start(stage.address, 10);
    load.until(500);
    stage.apps[1].process.crash();
    load.until(load.answered() + 500);
    let lost = lost_without_need(&stage, &load.end());
    assert!(lost.len() < ONE_TURN, "requests were lost that no process had read: {lost:?}");
}

#[test]
fn what_lies_unread_at_a_stuck_process_is_answered_by_the_others_when_it_is_killed() {
    let mut stage = Stage::new();
    let load = Load::start(stage.address, 1);
    load.until(200);
    // It stops while it has nothing in hand; then some requests go to it, while its credit is not less than the others'.
    assert!(load.end().values().all(Result::is_ok));
    stage.apps[0].process.pause();
    let load = Load::start(stage.address, 1);
    load.until(300);
    stage.apps[0].process.crash();
    load.until(load.answered() + 300);
    let results = load.end();
    let failed: Vec<_> = results.iter().filter(|(_, result)| result.is_err()).collect();
    assert!(failed.is_empty(), "it had read nothing, so nothing is lost: {failed:?}");
}

#[test]
fn the_first_process_may_leave_and_the_others_keep_the_url() {
    let mut stage = Stage::new();
    let load = Load::start(stage.address, 1);
    load.until(100);
    for process in 0..PROCESSES - 1 {
        stage.apps[process].process.terminate();
        assert!(stage.apps[process].process.wait(Duration::from_secs(20)).success());
        load.until(load.answered() + 100);
    }
    let results = load.end();
    let failed: Vec<_> = results.iter().filter(|(_, result)| result.is_err()).collect();
    assert!(failed.is_empty(), "leaving in order loses nothing: {failed:?}");
}
