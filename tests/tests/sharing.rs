//! Four processes share one request queue, and one of them dies: what it had not read goes to the others, and nothing is
//! asked twice but what may be.
#![allow(clippy::disallowed_methods, reason = "processes die in real time")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use narthex_tests::load::{Asked, Load};
use narthex_tests::{App, AppOptions, Host, Provider};
use tempfile::TempDir;

const PROCESSES: usize = 4;

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

/// The numbers of the requests that a process has begun to work on.
fn begun(record: &Path) -> Vec<usize> {
    let text = std::fs::read_to_string(record).unwrap();
    let number = |line: &str| line.split_once("number=")?.1.split_whitespace().next()?.parse().ok();
    text.lines().filter_map(number).collect()
}

/// The requests that failed although no process had begun to work on them, or although they may be asked again; and that none
/// was begun twice that may not.
fn lost_without_need(stage: &Stage, results: &BTreeMap<usize, Asked>) -> Vec<(usize, String)> {
    let begun: Vec<Vec<usize>> = stage.records.iter().map(|record| begun(record)).collect();
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    for number in begun.iter().flatten() {
        *seen.entry(*number).or_default() += 1;
    }
    for (number, asked) in results {
        let most = if asked.safe { 2 } else { 1 };
        let times = seen.get(number).copied().unwrap_or_default();
        assert!(times <= most, "request {number} was begun {times} times");
    }
    let counts: Vec<usize> = begun.iter().map(Vec::len).collect();
    assert!(!counts.contains(&0), "every process has worked: {counts:?}");
    let failed = results.iter().filter_map(|(number, asked)| Some((*number, asked.safe, asked.result.as_ref().err()?.clone())));
    failed.filter(|(number, safe, _)| *safe || !seen.contains_key(number)).map(|(number, _, error)| (number, error)).collect()
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
    assert!(load.end().values().all(|asked| asked.result.is_ok()));
    stage.apps[0].process.pause();
    let load = Load::start(stage.address, 1);
    load.until(300);
    stage.apps[0].process.crash();
    load.until(load.answered() + 300);
    let results = load.end();
    let failed: Vec<_> = results.iter().filter(|(_, asked)| asked.result.is_err()).collect();
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
    let failed: Vec<_> = results.iter().filter(|(_, asked)| asked.result.is_err()).collect();
    assert!(failed.is_empty(), "leaving in order loses nothing: {failed:?}");
}
