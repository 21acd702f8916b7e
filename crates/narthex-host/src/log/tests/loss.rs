//! A disk that is slow or full costs lines, which are counted; flushing and stopping cost none.

use std::future::poll_fn;
use std::pin::pin;

use super::*;
use crate::log::logs::CHANNEL;

const PLENTY: Duration = Duration::from_secs(30);

fn fill_channel(stage: &Stage, log: &Arc<Log>) {
    for _ in 0..CHANNEL {
        stage.log(log, &Asked::default());
        stage.worker.hand_over();
    }
}

#[test]
fn a_writer_that_is_stuck_holds_nobody_up_and_the_log_says_what_is_missing() {
    let mut stage = Stage::new();
    let (w3c, json) = (stage.open(&Logging::default()), stage.open(&format(LogFormat::Json)));
    fill_channel(&stage, &w3c);
    for (log, lines) in [(&w3c, 3), (&json, 2)] {
        (0..lines).for_each(|_| stage.log(log, &Asked::default()));
    }
    stage.worker.hand_over();
    assert_eq!((w3c.report().lost, json.report().lost, stage.logs.lost()), (3, 2, 5));
    stage.write();
    assert_eq!(stage.read("shop/ex261122.log").matches("#Lost: 3\n").count(), 1);
    assert_eq!(stage.read("shop/js261122.log"), "{\"time\":\"2026-11-22T12:38:37.123Z\",\"lost\":2}\n");
    assert_eq!(w3c.report().lines, CHANNEL as u64);
    stage.write();
    assert_eq!(stage.read("shop/ex261122.log").matches("#Lost").count(), 1);
}

#[test]
fn lines_that_ncsa_loses_are_only_counted() {
    let mut stage = Stage::new();
    let log = stage.open(&format(LogFormat::Ncsa));
    fill_channel(&stage, &log);
    stage.log(&log, &Asked::default());
    stage.write();
    assert_eq!((stage.lines("shop/nc261122.log").len(), log.report().lost), (CHANNEL, 1));
}

/// A file where the folder should be is a disk that refuses everything, for root too.
#[test]
fn a_disk_that_refuses_is_tried_again_and_what_it_cannot_have_is_counted() {
    let mut stage = Stage::new();
    let log = stage.open(&with_fields(LogFormat::W3c, "cs(User-Agent)"));
    fs::write(stage.root(), "in the way").unwrap();
    let agent = [b'x'; 4000];
    for _ in 0..200 {
        stage.log(&log, &Asked { user_agent: &agent, ..Asked::default() });
        stage.write();
    }
    let report: LogState = log.report();
    assert!(report.lines == 0 && report.last_error.is_some(), "{report:?}");
    // 256 KiB are kept.
    assert_eq!(report.lost, 200 - 65);
    fs::remove_file(stage.root()).unwrap();
    stage.write();
    let report = log.report();
    assert_eq!((report.lines, report.lost, report.last_error), (65, 135, None));
    assert!(stage.read("shop/ex261122.log").contains("#Lost: 135\n"));
    assert_eq!(stage.lines("shop/ex261122.log").len(), 65);
}

/// Logs with a writer that runs, by the system's clock, and a log of numbered files.
fn running() -> (TempDir, Logs, Arc<Log>) {
    let folder = tempfile::tempdir().unwrap();
    let logs = Logs::start(LogOptions::new(folder.path().join("logs"))).unwrap();
    let logging = Logging { rollover: Rollover::Size, max_size: Some(1 << 30), ..with_fields(LogFormat::W3c, "sc-status") };
    let log = logs.open(&logging, "shop").unwrap().unwrap();
    (folder, logs, log)
}

fn log_one(worker: &WorkerLogs, log: &Arc<Log>) {
    let (asked, mut record) = (Asked::default(), Vec::new());
    worker.begin_head(log, &asked.head(), &mut record);
    worker.end(&asked.ended(&record));
}

fn count(folder: &TempDir) -> usize {
    let text = fs::read_to_string(folder.path().join("logs/shop/extend1.log")).unwrap_or_default();
    text.lines().filter(|line| *line == "200").count()
}

fn block_on<F: Future>(future: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(PLENTY, future).await.unwrap() })
}

#[test]
fn a_flush_returns_when_what_was_handed_over_is_in_the_file() {
    let (folder, logs, log) = running();
    let worker = WorkerLogs::new(&logs);
    for lines in 1..20 {
        log_one(&worker, &log);
        worker.hand_over();
        block_on(logs.flush());
        assert_eq!(count(&folder), lines);
    }
    logs.stop(PLENTY);
}

#[test]
fn stopping_writes_what_was_handed_over_and_afterwards_nothing_waits() {
    let (folder, logs, log) = running();
    let worker = WorkerLogs::new(&logs);
    log_one(&worker, &log);
    // A worker that ends hands over.
    drop(worker);
    logs.stop(PLENTY);
    assert_eq!(count(&folder), 1);
    let late = WorkerLogs::new(&logs);
    log_one(&late, &log);
    late.hand_over();
    assert_eq!(logs.lost(), 1);
    block_on(logs.flush());
    logs.stop(PLENTY);
}

#[test]
fn lines_arrive_without_being_asked_for() {
    let (folder, logs, log) = running();
    let worker = WorkerLogs::new(&logs);
    log_one(&worker, &log);
    let arrived = async {
        while count(&folder) == 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let (mut running, mut arrived) = (pin!(worker.run()), pin!(arrived));
    block_on(poll_fn(|context| {
        let _ = running.as_mut().poll(context);
        arrived.as_mut().poll(context)
    }));
    logs.stop(PLENTY);
    assert_eq!(count(&folder), 1);
}

#[test]
fn workers_that_log_at_the_same_time_lose_nothing_uncounted() {
    const EACH: u64 = 20_000;
    let (folder, logs, log) = running();
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let worker = WorkerLogs::new(&logs);
                (0..EACH).for_each(|_| log_one(&worker, &log));
            });
        }
    });
    logs.stop(PLENTY);
    let report = log.report();
    assert_eq!((report.lines + report.lost, count(&folder) as u64), (3 * EACH, report.lines));
}
