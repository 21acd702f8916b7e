//! The one thread that owns the files.
//!
//! It writes a buffer when it gets it, so that there is nothing to flush but its channel. What a disk refuses it keeps, up to
//! a bound, and tries again once a second and with every flush.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender};
use std::time::{Duration, Instant};

use jiff::tz::TimeZone;
use narthex_proto::wire::Rollover;

use super::clock::{self, Clock, Moment};
use super::file::{Folder, LogFile};
use super::logs::{Common, LogOptions, lock};
use super::spec::{Format, Spec};
use super::state::Log;
use super::{lines, names};

/// How often files are looked after, and refused lines tried again.
const TICK: Duration = Duration::from_secs(1);
/// What is kept of lines that a disk refuses: of one log, and of all, in bytes.
const MOST_KEPT: usize = 256 << 10;
const MOST_KEPT_OF_ALL: usize = 4 << 20;
/// How far apart the workers' buffers may be: lines that are later than that are not of the last period, but of a clock that
/// was set back.
const LATE: i64 = 60;

/// What the writer gets.
pub(super) enum Message {
    Chunk(Chunk),
    /// There is something to see besides chunks.
    Wake,
}

/// Whole lines of one log, all of the same quarter of an hour. Wherever it is dropped, its lines are counted as lost unless
/// they were written, and its buffer goes back to its worker.
pub(super) struct Chunk {
    pub(super) log: Arc<Log>,
    /// Of the first line, in seconds since 1970.
    pub(super) second: i64,
    /// 0 when they are written.
    pub(super) lines: u32,
    pub(super) text: Vec<u8>,
    /// Where the buffer goes.
    pub(super) home: SyncSender<Vec<u8>>,
}

impl Drop for Chunk {
    fn drop(&mut self) {
        self.log.lose(self.lines);
        self.text.clear();
        let _ = self.home.try_send(std::mem::take(&mut self.text));
    }
}

/// The writer, and all it owns.
pub(super) struct Writer {
    directory: PathBuf,
    zone: TimeZone,
    clock: Clock,
    now: Moment,
    messages: Receiver<Message>,
    common: Arc<Common>,
    files: HashMap<(String, Format), Destination>,
    kept: usize,
    /// Reused.
    text: Vec<u8>,
    /// When the last tick was, if anything happened since.
    ticked: Option<Instant>,
}

/// Where the lines of a site go in a format.
#[derive(Default)]
struct Destination {
    open: Option<Open>,
    kept: VecDeque<Chunk>,
    kept_bytes: usize,
}

/// An open file.
struct Open {
    folder: Folder,
    file: LogFile,
    rollover: Rollover,
    /// Which period it is of, and the second that it was opened for. The number of a numbered file.
    period: i64,
    since: i64,
    number: u32,
    /// The log whose header block is the last one in it.
    headed: Option<u32>,
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.common.close();
    }
}

impl Writer {
    pub(super) fn new(options: &LogOptions, messages: Receiver<Message>, common: Arc<Common>) -> Self {
        Self {
            directory: options.directory.clone(),
            zone: options.zone.clone(),
            clock: options.clock.clone(),
            now: Moment::new(TimeZone::UTC),
            messages,
            common,
            files: HashMap::new(),
            kept: 0,
            text: Vec::new(),
            ticked: None,
        }
    }

    /// Writes until it is told to stop, or nobody is left who could send.
    pub(super) fn run(mut self) {
        loop {
            if let Some(stopped) = self.serve_requests() {
                // What is sent from now on fails at its sender.
                drop(self);
                let _ = stopped.send(());
                return;
            }
            let message = match self.ticked {
                None => self.messages.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(ticked) => self.messages.recv_timeout(Clock::left(ticked, TICK)),
            };
            match message {
                Ok(message) => self.take(message),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return self.tick(),
            }
            if self.ticked.is_some_and(|ticked| Clock::left(ticked, TICK).is_zero()) {
                self.tick();
            }
        }
    }

    /// Does what [`Logs`](super::Logs) was asked for. Returns whom to tell when it has stopped, if it was to stop.
    fn serve_requests(&mut self) -> Option<SyncSender<()>> {
        let requests = self.common.requests()?;
        self.drain();
        self.tick();
        for flushed in requests.flushes {
            let _ = flushed.send(());
        }
        requests.stop
    }

    /// Takes what is in the channel now. No more than fits in it, as it may be filled all the time.
    pub(super) fn drain(&mut self) {
        for _ in 0..super::logs::CHANNEL {
            let Ok(message) = self.messages.try_recv() else { return };
            self.take(message);
        }
    }

    fn take(&mut self, message: Message) {
        if self.ticked.is_none() {
            self.ticked = Some(Clock::monotonic());
        }
        let Message::Chunk(mut chunk) = message else { return };
        let key = key(&chunk.log);
        let mut destination = self.files.remove(&key).unwrap_or_default();
        if !destination.kept.is_empty() || !self.write_chunk(&mut destination, &mut chunk) {
            self.keep(&mut destination, chunk);
        }
        self.files.insert(key, destination);
    }

    /// Keeps lines for the next try, or drops them.
    fn keep(&mut self, destination: &mut Destination, chunk: Chunk) {
        let bytes = chunk.text.len();
        if destination.kept_bytes + bytes > MOST_KEPT || self.kept + bytes > MOST_KEPT_OF_ALL {
            return;
        }
        destination.kept_bytes += bytes;
        self.kept += bytes;
        destination.kept.push_back(chunk);
    }

    /// Tries again what was refused, tells of lost lines, lets go of files that were moved away or that nobody needs.
    pub(super) fn tick(&mut self) {
        let live = self.common.live();
        let mut files = std::mem::take(&mut self.files);
        for destination in files.values_mut() {
            let moved = destination.open.as_mut().is_some_and(|open| !open.folder.still_has(&mut open.file));
            if moved {
                destination.open = None;
            }
            self.retry(destination);
        }
        self.now.set(self.clock.now());
        for log in live.iter().filter(|log| log.untold() > 0 && log.spec.format != Format::Ncsa) {
            let destination = files.entry(key(log)).or_default();
            if destination.kept.is_empty() {
                self.write(destination, log, self.now.second(), 0, b"");
            }
        }
        files.retain(|key, destination| !destination.kept.is_empty() || live.iter().any(|log| is_of(log, key)));
        let unsettled = files.values().any(|destination| !destination.kept.is_empty())
            || live.iter().any(|log| log.untold() > 0 && log.spec.format != Format::Ncsa);
        self.files = files;
        self.ticked = unsettled.then(Clock::monotonic);
    }

    fn retry(&mut self, destination: &mut Destination) {
        while let Some(mut chunk) = destination.kept.pop_front() {
            if !self.write_chunk(destination, &mut chunk) {
                return destination.kept.push_front(chunk);
            }
            destination.kept_bytes -= chunk.text.len();
            self.kept -= chunk.text.len();
        }
    }

    fn write_chunk(&mut self, destination: &mut Destination, chunk: &mut Chunk) -> bool {
        let written = self.write(destination, &chunk.log, chunk.second, chunk.lines, &chunk.text);
        if written {
            chunk.lines = 0;
        }
        written
    }

    /// Whether it went well. What went wrong is noted, and told to the operator the first time.
    fn write(&mut self, destination: &mut Destination, log: &Log, second: i64, count: u32, text: &[u8]) -> bool {
        let result = self.try_write(destination, log, second, text);
        let counters = &log.counters;
        let mut last_error = lock(&counters.last_error);
        match result {
            Ok(bytes) => {
                counters.lines.fetch_add(count.into(), Ordering::Relaxed);
                counters.bytes.fetch_add(bytes, Ordering::Relaxed);
                if last_error.take().is_some() {
                    tracing::info!(site = log.spec.site, format = log.spec.format.name(), "the log can be written again");
                }
                true
            }
            Err(error) => {
                destination.open = None;
                if last_error.is_none() {
                    let directory = self.directory.join(&log.spec.site);
                    tracing::error!(directory = %directory.display(), format = log.spec.format.name(), %error,
                        "cannot write a log; its next lines are kept for a while, then dropped and counted");
                }
                *last_error = Some(error.to_string());
                false
            }
        }
    }

    /// Returns how many bytes were written.
    fn try_write(&mut self, destination: &mut Destination, log: &Log, second: i64, text: &[u8]) -> io::Result<u64> {
        let open = self.file_for(destination, log, second, text.len())?;
        let lost = log.untold();
        let is_headed = open.headed == Some(log.id);
        let mut written = text;
        if lost > 0 || !is_headed {
            self.now.set(self.clock.now());
            self.text.clear();
            if !is_headed {
                lines::heading(log, &self.now, &mut self.text);
            }
            if lost > 0 {
                lines::lost(log, lost, &self.now, &mut self.text);
            }
            self.text.extend_from_slice(text);
            written = &self.text;
        }
        open.file.write(written)?;
        open.headed = Some(log.id);
        log.counters.lost_told.fetch_add(lost, Ordering::Relaxed);
        Ok(written.len() as u64)
    }
}

impl Writer {
    /// The file that has the lines of this second, opened if it is not the one that is open.
    fn file_for<'d>(&self, destination: &'d mut Destination, log: &Log, second: i64, bytes: usize) -> io::Result<&'d mut Open> {
        let spec = &log.spec;
        let time = clock::civil(second, spec.local_time.then_some(&self.zone));
        let period = names::period(spec.rollover, time);
        let before = destination.open.take();
        let open = match before {
            Some(open) if open.takes(spec, period, second, bytes) => return Ok(destination.open.insert(open)),
            before => {
                let number = before.as_ref().filter(|open| open.rollover == Rollover::Size).map(|open| open.number);
                let folder = match before {
                    Some(open) => open.folder,
                    None => Folder::open(&self.directory, &spec.site)?,
                };
                let (file, number) = match names::of_period(spec.format, spec.rollover, time) {
                    Some(name) => (folder.append(&name)?, 0),
                    None => numbered(&folder, spec, number, bytes)?,
                };
                Open { folder, file, rollover: spec.rollover, period, since: second, number, headed: None }
            }
        };
        log.counters.files.fetch_add(1, Ordering::Relaxed);
        *lock(&log.counters.file) = Some(open.file.name.clone());
        Ok(destination.open.insert(open))
    }
}

/// The last of the numbered files, or the one behind it if that is full.
fn numbered(folder: &Folder, spec: &Spec, current: Option<u32>, bytes: usize) -> io::Result<(LogFile, u32)> {
    let last = match current {
        Some(number) => number,
        None => folder.names()?.filter_map(|name| names::number_of(spec.format, &name)).max().unwrap_or(1),
    };
    let mut number = last;
    loop {
        let file = folder.append(&names::numbered(spec.format, number))?;
        if has_room(&file, spec, bytes) || number == u32::MAX {
            return Ok((file, number));
        }
        number += 1;
    }
}

fn has_room(file: &LogFile, spec: &Spec, bytes: usize) -> bool {
    file.length == 0 || file.length.saturating_add(bytes as u64) <= spec.max_size
}

impl Open {
    fn takes(&self, spec: &Spec, period: i64, second: i64, bytes: usize) -> bool {
        if self.rollover != spec.rollover {
            return false;
        }
        match spec.rollover {
            Rollover::Size => has_room(&self.file, spec, bytes),
            _ if period < self.period => self.since.saturating_sub(second) <= LATE,
            _ => period == self.period,
        }
    }
}

fn key(log: &Log) -> (String, Format) {
    (log.spec.site.clone(), log.spec.format)
}

fn is_of(log: &Log, key: &(String, Format)) -> bool {
    (&log.spec.site, log.spec.format) == (&key.0, key.1)
}
