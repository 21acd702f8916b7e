//! The logs as a whole, with a clock that is set and a writer that runs when it is told to.

mod engine;
mod files;
mod forgeries;
mod golden;
mod loss;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use narthex_http::{ConnectionInfo, Reason};
use narthex_proto::host::RequestHost;
use narthex_proto::prefix::Scheme;
use narthex_proto::wire::{LogFormat, Logging, Rollover};
use tempfile::TempDir;

use super::clock::Clock;
use super::head::{Head, Named};
use super::spec::Spec;
use super::writer::Writer;
use super::{ErrorLogOptions, Log, LogError, LogOptions, Logs, WorkerLogs};
use crate::admin::LogState;
use narthex_http::{Ended, Refused};

/// Logs of one worker in a folder of their own. Local time is Berlin's.
pub(super) struct Stage {
    folder: TempDir,
    time: Arc<AtomicI64>,
    logs: Logs,
    writer: Writer,
    pub(super) worker: WorkerLogs,
}

impl Stage {
    pub(super) fn new() -> Self {
        Self::at("2026-11-22T12:38:37.123Z")
    }

    fn at(time: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let time = Arc::new(AtomicI64::new(millisecond(time)));
        let (logs, writer) = Logs::prepare(options(folder.path().join("logs"), &time));
        let worker = WorkerLogs::new(&logs);
        Self { folder, time, logs, writer, worker }
    }

    /// The host ends with what it has written, and starts again.
    fn restart(&mut self) {
        (self.logs, self.writer) = Logs::prepare(options(self.root(), &self.time));
        self.worker = WorkerLogs::new(&self.logs);
    }

    fn set(&self, time: &str) {
        self.time.store(millisecond(time), Ordering::Relaxed);
    }

    pub(super) fn open(&self, logging: &Logging) -> Arc<Log> {
        self.logs.open(logging, "shop").unwrap().unwrap()
    }

    /// A log of numbered files that are smaller than apps may have them.
    fn numbered(&self, max_size: u64) -> Arc<Log> {
        let logging = Logging { rollover: Rollover::Size, fields: vec!["cs-uri-stem".into()], ..Logging::default() };
        self.logs.open_spec(Spec { max_size, ..Spec::parse(&logging, "shop").unwrap().unwrap() }).unwrap()
    }

    /// One whole request.
    pub(super) fn log(&self, log: &Arc<Log>, asked: &Asked<'_>) {
        let mut record = Vec::new();
        self.worker.begin_head(log, &asked.head(), &mut record);
        self.worker.end(&asked.ended(&record));
    }

    /// All that is in buffers goes to the files.
    pub(super) fn write(&mut self) {
        self.worker.hand_over();
        self.writer.drain();
        self.writer.tick();
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("logs")
    }

    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
    }

    /// The lines of a file that are no directives.
    fn lines(&self, file: &str) -> Vec<String> {
        self.read(file).split('\n').filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned).collect()
    }

    fn files(&self, site: &str) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.root().join(site)) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn options(directory: PathBuf, time: &Arc<AtomicI64>) -> LogOptions {
    LogOptions {
        computer: "my machine".to_owned(),
        zone: TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap(),
        clock: Clock::Set(Arc::clone(time)),
        ..LogOptions::new(directory)
    }
}

fn millisecond(time: &str) -> i64 {
    time.parse::<Timestamp>().unwrap().as_millisecond()
}

fn connection() -> ConnectionInfo {
    let (peer, local) = ("[::ffff:192.0.2.7]:50123".parse().unwrap(), "[2001:db8::1]:8080".parse().unwrap());
    ConnectionInfo { id: 1, peer, local, scheme: Scheme::Http, secure: false }
}

/// A request and how it ended.
pub(super) struct Asked<'a> {
    connection: ConnectionInfo,
    method: &'a str,
    target: &'a str,
    user_agent: &'a [u8],
    cookie: &'a [u8],
    referer: &'a [u8],
    host: Option<RequestHost<'a>>,
    status: u16,
    reason: Option<Reason>,
}

impl Default for Asked<'_> {
    fn default() -> Self {
        Self {
            connection: connection(),
            method: "GET",
            target: "/a%20b?c=d",
            user_agent: b"curl/8.5 (x; y)",
            cookie: b"k=v; l=w",
            referer: b"http://example.com/",
            host: RequestHost::parse(b"example.com:8080").ok(),
            status: 200,
            reason: None,
        }
    }
}

impl Asked<'_> {
    fn head(&self) -> Head<'_> {
        let (stem, query) = self.target.split_once('?').unwrap_or((self.target, ""));
        Head {
            connection: &self.connection,
            method: self.method,
            target: self.target,
            stem,
            query,
            version: "HTTP/1.1",
            host: self.host.as_ref(),
            named: Named { user_agent: self.user_agent, cookie: self.cookie, referer: self.referer },
        }
    }

    fn ended<'a>(&'a self, record: &'a [u8]) -> Ended<'a> {
        Ended {
            tag: 0,
            record,
            id: None,
            connection: &self.connection,
            status: self.status,
            reason: self.reason,
            sent: 1234,
            received: 567,
            taken: Duration::from_micros(89_999),
        }
    }
}

fn refused<'a>(connection: &'a ConnectionInfo, request_line: &'a [u8]) -> Refused<'a> {
    Refused { connection, reason: Reason::QueueFull, status: Some(503), request_line, tag: None, id: None }
}

fn format(format: LogFormat) -> Logging {
    Logging { format, ..Logging::default() }
}

fn with_fields(format: LogFormat, fields: &str) -> Logging {
    Logging { format, fields: fields.split(' ').map(str::to_owned).collect(), ..Logging::default() }
}
