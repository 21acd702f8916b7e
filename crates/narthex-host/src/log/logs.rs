//! All logs of a host: opening one, flushing, stopping, and how it goes.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use jiff::tz::TimeZone;
use narthex_proto::wire::{Logging, Rollover};
use tokio::sync::oneshot;

use super::clock::Clock;
use super::fields::FieldSet;
use super::spec::{self, ERROR_LOG_FOLDER, Format, LogError, Spec};
use super::state::{Log, Totals};
use super::writer::{Message, Writer};
use crate::admin::LogState;

/// How many logs may be open, as each costs two file descriptors and a buffer in every worker.
const MOST_LOGS: usize = 256;
/// Buffers that may be on their way to the writer: 8 MiB of ordinary lines, what 100 000 requests a second make in half a
/// second. A disk may well pause for that long.
pub(super) const CHANNEL: usize = 1024;

/// How a host logs.
#[derive(Clone, Debug)]
pub(crate) struct LogOptions {
    /// The folder that has the sites' folders and the error log's. It is made with the first line.
    pub(crate) directory: PathBuf,
    /// The error log; `None` for none.
    pub(crate) error_log: Option<ErrorLogOptions>,
    /// What `s-computername` says. Default: the machine's name.
    pub(crate) computer: String,
    /// What local time is. Default: the system's, as it is at the start.
    pub(crate) zone: TimeZone,
    pub(super) clock: Clock,
}

impl LogOptions {
    /// Logs in this folder, with HTTP.sys's error log.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            error_log: Some(ErrorLogOptions::default()),
            computer: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            zone: TimeZone::system(),
            clock: Clock::System,
        }
    }
}

/// When the error log goes on in a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ErrorLogOptions {
    /// Default: by size, as in HTTP.sys.
    pub(crate) rollover: Rollover,
    /// In bytes; default and least 1 MiB.
    pub(crate) max_size: u64,
    /// Periods begin by local time.
    pub(crate) local_time: bool,
}

impl Default for ErrorLogOptions {
    fn default() -> Self {
        Self { rollover: Rollover::Size, max_size: spec::LEAST_SIZE, local_time: false }
    }
}

impl ErrorLogOptions {
    fn spec(self) -> Spec {
        Spec {
            site: ERROR_LOG_FOLDER.to_owned(),
            format: Format::Error,
            fields: FieldSet::DEFAULT,
            only: None,
            rollover: self.rollover,
            max_size: self.max_size,
            local_time: self.local_time,
        }
    }
}

/// The logs of a host; a handle for any thread. The writer ends with [`stop`](Self::stop), or when nothing of them is left.
#[derive(Clone)]
pub(crate) struct Logs {
    shared: Arc<Shared>,
}

impl fmt::Debug for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Logs").finish_non_exhaustive()
    }
}

struct Shared {
    options: LogOptions,
    channel: SyncSender<Message>,
    common: Arc<Common>,
    next: AtomicU32,
    error_log: Mutex<Option<Arc<Log>>>,
    /// Changes with `error_log`, so that workers need not look at it.
    error_log_version: AtomicU64,
}

/// What the writer looks at besides its channel.
#[derive(Default)]
pub(super) struct Common {
    /// By slot.
    logs: Mutex<Vec<Weak<Log>>>,
    requests: Mutex<Requests>,
    asked: AtomicBool,
    totals: Arc<Totals>,
}

/// What the writer is asked to do.
#[derive(Default)]
pub(super) struct Requests {
    pub(super) flushes: Vec<oneshot::Sender<()>>,
    pub(super) stop: Option<SyncSender<()>>,
    /// Nobody is there any more to do it.
    closed: bool,
}

impl Logs {
    /// Starts the writer.
    ///
    /// # Errors
    /// If the OS refuses a thread. Folders and files are made later, and what fails then is in the report.
    pub(crate) fn start(options: LogOptions) -> io::Result<Self> {
        let (logs, writer) = Self::prepare(options);
        thread::Builder::new().name("narthex-logs".to_owned()).spawn(move || writer.run())?;
        Ok(logs)
    }

    /// The logs, and their writer before it runs.
    pub(super) fn prepare(options: LogOptions) -> (Self, Writer) {
        let (channel, messages): (_, Receiver<Message>) = sync_channel(CHANNEL);
        let common = Arc::new(Common::default());
        let writer = Writer::new(&options, messages, Arc::clone(&common));
        let error_log = options.error_log;
        let shared = Shared {
            options,
            channel,
            common,
            next: AtomicU32::new(0),
            error_log: Mutex::default(),
            error_log_version: AtomicU64::new(0),
        };
        let logs = Self { shared: Arc::new(shared) };
        // There is room for the first log.
        let _ = logs.set_error_log(error_log);
        (logs, writer)
    }

    /// Opens the access log that `logging` asks for, in the folder `site` unless it names one. Groups that ask for the same
    /// get the same log. `None` if it asks for none. Logs of one site and format share files; if they differ otherwise, each
    /// change from one to the other costs a header block.
    ///
    /// # Errors
    /// If the settings will not do, or too many logs are open. Files are opened with the first line.
    pub(crate) fn open(&self, logging: &Logging, site: &str) -> Result<Option<Arc<Log>>, LogError> {
        Spec::parse(logging, site)?.map(|spec| self.open_spec(spec)).transpose()
    }

    pub(super) fn open_spec(&self, spec: Spec) -> Result<Arc<Log>, LogError> {
        let shared = &self.shared;
        let mut logs = lock(&shared.common.logs);
        if let Some(same) = logs.iter().filter_map(Weak::upgrade).find(|log| log.spec == spec) {
            return Ok(same);
        }
        let slot = logs.iter().position(|log| log.strong_count() == 0).unwrap_or(logs.len());
        if slot >= MOST_LOGS {
            return Err(LogError::TooMany(MOST_LOGS));
        }
        let id = shared.next.fetch_add(1, Ordering::Relaxed);
        let number = u32::try_from(slot).map_err(|_| LogError::TooMany(MOST_LOGS))?;
        let totals = Arc::clone(&shared.common.totals);
        let log = Arc::new(Log::new(id, number, spec, &shared.options.computer, totals, shared.channel.clone()));
        match logs.get_mut(slot) {
            Some(free) => *free = Arc::downgrade(&log),
            None => logs.push(Arc::downgrade(&log)),
        }
        Ok(log)
    }

    /// Changes the error log, or switches it off.
    ///
    /// # Errors
    /// If the size is too small or too many logs are open; the error log stays as it was.
    pub(crate) fn set_error_log(&self, options: Option<ErrorLogOptions>) -> Result<(), LogError> {
        if let Some(options) = options {
            spec::size(Some(options.max_size))?;
        }
        let log = options.map(|options| self.open_spec(options.spec())).transpose()?;
        *lock(&self.shared.error_log) = log;
        self.shared.error_log_version.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Returns when everything that was handed over before is in the files, or the disk has refused it. Workers hand over
    /// with [`WorkerLogs::hand_over`](super::WorkerLogs::hand_over). If the disk hangs, so does this: bound it with a
    /// timeout.
    pub(crate) async fn flush(&self) {
        let (done, flushed) = oneshot::channel();
        self.ask(|requests| requests.flushes.push(done));
        // An error is a writer that has stopped, and nothing will be written any more.
        let _ = flushed.await;
    }

    /// Writes what has been handed over and ends the writer. Lines that come later are dropped and counted. Blocks until it is
    /// done, but for `within` at most.
    pub(crate) fn stop(&self, within: Duration) {
        let (done, stopped) = sync_channel(1);
        self.ask(|requests| requests.stop = Some(done));
        let _ = stopped.recv_timeout(within);
    }

    fn ask(&self, ask: impl FnOnce(&mut Requests)) {
        let mut requests = lock(&self.shared.common.requests);
        if requests.closed {
            return;
        }
        ask(&mut requests);
        drop(requests);
        self.shared.common.asked.store(true, Ordering::Release);
        // If the channel is full, the writer looks when it takes the next message.
        let _ = self.shared.channel.try_send(Message::Wake);
    }

    /// How it goes with every open log.
    pub(crate) fn report(&self) -> Vec<LogState> {
        self.shared.common.live().iter().map(|log| log.report()).collect()
    }

    /// Lines dropped since the start, of all logs, closed ones too.
    pub(crate) fn lost(&self) -> u64 {
        self.shared.common.totals.lost.load(Ordering::Relaxed)
    }

    /// Where their folders are.
    pub(crate) fn directory(&self) -> &Path {
        &self.options().directory
    }

    pub(super) fn options(&self) -> &LogOptions {
        &self.shared.options
    }

    pub(super) fn channel(&self) -> &SyncSender<Message> {
        &self.shared.channel
    }

    pub(super) fn error_log_version(&self) -> u64 {
        self.shared.error_log_version.load(Ordering::Acquire)
    }

    pub(super) fn error_log(&self) -> Option<Arc<Log>> {
        lock(&self.shared.error_log).clone()
    }
}

impl Common {
    pub(super) fn live(&self) -> Vec<Arc<Log>> {
        lock(&self.logs).iter().filter_map(Weak::upgrade).collect()
    }

    /// The writer has ended: whoever waits for it is let go.
    pub(super) fn close(&self) {
        *lock(&self.requests) = Requests { closed: true, ..Requests::default() };
    }

    /// What the writer was asked since the last time, if anything.
    pub(super) fn requests(&self) -> Option<Requests> {
        // A plain load first: this is asked for every buffer.
        (self.asked.load(Ordering::Relaxed) && self.asked.swap(false, Ordering::AcqRel))
            .then(|| std::mem::take(&mut *lock(&self.requests)))
    }
}

/// Nothing that is locked here can be left half done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
