//! The logs on a worker: lines are formatted into buffers that only it has, and full buffers leave by a channel that it never
//! waits for.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use narthex_http::Request;
use tokio::sync::Notify;

use super::clock::{Clock, Moment};
use super::head::Head;
use super::lines;
use super::logs::Logs;
use super::state::Log;
use super::writer::{Chunk, Message};
use narthex_http::{Ended, Refused};

/// From this size on a buffer is handed over, in bytes. One line more may be in it.
const FULL: usize = 8 << 10;
/// How long a line waits in a buffer that does not fill up.
const INTERVAL: Duration = Duration::from_millis(250);
/// Empty buffers that are kept.
const SPARE: usize = 32;
/// A buffer that has grown larger than this is not kept, in bytes.
const LARGEST_KEPT: usize = 4 * FULL;

/// What a record begins with: slot and id of its log.
const MARK: usize = 8;

/// A worker's part of the logs. It stays on its thread.
pub(crate) struct WorkerLogs {
    logs: Logs,
    clock: Clock,
    desk: RefCell<Desk>,
    /// The error log and its version.
    errors: RefCell<Option<Arc<Log>>>,
    errors_version: Cell<u64>,
    /// A line has come into empty buffers.
    begun: Notify,
}

/// The buffers.
struct Desk {
    /// By the logs' slots.
    sheets: Vec<Option<Sheet>>,
    now: Moment,
    ways: Ways,
    /// Whether any buffer has lines.
    waiting: bool,
}

/// How buffers leave and come back.
struct Ways {
    channel: SyncSender<Message>,
    home: SyncSender<Vec<u8>>,
    returned: Receiver<Vec<u8>>,
}

/// The buffer of a log.
struct Sheet {
    log: Arc<Log>,
    /// Records that were begun and will be ended: they are found through this sheet.
    open: usize,
    text: Vec<u8>,
    lines: u32,
    /// Of the first line.
    second: i64,
    quarter: i64,
}

impl WorkerLogs {
    /// The part of the calling worker.
    pub(crate) fn new(logs: &Logs) -> Self {
        let (home, returned) = sync_channel(SPARE);
        let desk = Desk {
            sheets: Vec::new(),
            now: Moment::new(logs.options().zone.clone()),
            ways: Ways { channel: logs.channel().clone(), home, returned },
            waiting: false,
        };
        Self {
            clock: logs.options().clock.clone(),
            desk: RefCell::new(desk),
            errors: RefCell::new(logs.error_log()),
            errors_version: Cell::new(logs.error_log_version()),
            begun: Notify::new(),
            logs: logs.clone(),
        }
    }

    /// Hands over every buffer in time. Runs as a task of the worker for as long as it lives; sleeps while nothing is logged.
    pub(crate) async fn run(&self) {
        loop {
            self.begun.notified().await;
            tokio::time::sleep(INTERVAL).await;
            self.hand_over();
        }
    }

    /// Appends to `record` what the log keeps of the request. Whoever calls it calls [`end`](Self::end) once with just that.
    pub(crate) fn begin(&self, log: &Arc<Log>, request: &Request<'_>, record: &mut Vec<u8>) {
        self.begin_head(log, &Head::of(request, &log.spec), record);
    }

    pub(super) fn begin_head(&self, log: &Arc<Log>, head: &Head<'_>, record: &mut Vec<u8>) {
        self.desk.borrow_mut().sheet(log).open += 1;
        record.extend_from_slice(&log.slot.to_le_bytes());
        record.extend_from_slice(&log.id.to_le_bytes());
        lines::begin(log, head, record);
    }

    /// Completes the line of a request that [`begin`](Self::begin) recorded, in the log that it named, whatever has become of
    /// the group since.
    pub(crate) fn end(&self, ended: &Ended<'_>) {
        let Some((slot, id, record)) = split(ended.record) else { return };
        let mut desk = self.desk.borrow_mut();
        let desk = &mut *desk;
        let Some(sheet) = desk.sheets.get_mut(slot).and_then(Option::as_mut).filter(|sheet| sheet.log.id == id) else { return };
        sheet.open = sheet.open.saturating_sub(1);
        if !sheet.log.spec.wants(ended.status) {
            return;
        }
        desk.now.set(self.clock.now());
        let now = &desk.now;
        sheet.turn(now, &desk.ways);
        lines::end(&sheet.log, record, ended, now, &mut sheet.text);
        sheet.count(&desk.ways);
        self.wait_for_more(&mut desk.waiting);
    }

    /// Writes a line to the error log, if there is one. `site` is the URL group that the request was for, if it came that far.
    pub(crate) fn refused(&self, refused: &Refused<'_>, queue_name: Option<&str>, site: Option<u64>) {
        self.renew_error_log();
        let errors = self.errors.borrow();
        let Some(log) = &*errors else { return };
        let mut desk = self.desk.borrow_mut();
        desk.now.set(self.clock.now());
        desk.sheet(log);
        let desk = &mut *desk;
        let Some(sheet) = desk.sheets.get_mut(log.slot as usize).and_then(Option::as_mut) else { return };
        sheet.turn(&desk.now, &desk.ways);
        lines::refused(refused, queue_name, site, &desk.now, &mut sheet.text);
        sheet.count(&desk.ways);
        self.wait_for_more(&mut desk.waiting);
    }

    fn renew_error_log(&self) {
        let version = self.logs.error_log_version();
        if self.errors_version.replace(version) != version {
            self.errors.replace(self.logs.error_log());
        }
    }

    fn wait_for_more(&self, waiting: &mut bool) {
        if !std::mem::replace(waiting, true) {
            self.begun.notify_one();
        }
    }

    /// Hands over what is in the buffers, and lets go of logs that nothing is recorded for.
    pub(crate) fn hand_over(&self) {
        self.renew_error_log();
        let mut desk = self.desk.borrow_mut();
        let desk = &mut *desk;
        desk.waiting = false;
        for place in &mut desk.sheets {
            let Some(sheet) = place else { continue };
            sheet.hand_over(&desk.ways);
            if sheet.open == 0 {
                let _ = desk.ways.home.try_send(std::mem::take(&mut sheet.text));
                *place = None;
            }
        }
    }
}

impl Drop for WorkerLogs {
    fn drop(&mut self) {
        self.hand_over();
    }
}

/// The slot and id of a record's log, and the rest of it.
fn split(record: &[u8]) -> Option<(usize, u32, &[u8])> {
    let (mark, rest) = record.split_at_checked(MARK)?;
    let (slot, id) = mark.split_first_chunk()?;
    Some((u32::from_le_bytes(*slot) as usize, u32::from_le_bytes(id.try_into().ok()?), rest))
}

impl Desk {
    fn sheet(&mut self, log: &Arc<Log>) -> &mut Sheet {
        let slot = log.slot as usize;
        if self.sheets.len() <= slot {
            self.sheets.resize_with(slot + 1, || None);
        }
        // A sheet keeps its log alive, and with it the slot: what is here is this log's.
        let ways = &self.ways;
        self.sheets[slot].get_or_insert_with(|| Sheet {
            log: Arc::clone(log),
            open: 0,
            text: ways.empty(),
            lines: 0,
            second: 0,
            quarter: 0,
        })
    }
}

impl Ways {
    /// An empty buffer: one that came back, if there is one that did not grow too large.
    fn empty(&self) -> Vec<u8> {
        match self.returned.try_recv() {
            Ok(text) if text.capacity() <= LARGEST_KEPT => text,
            _ => Vec::with_capacity(FULL + FULL / 4),
        }
    }
}

impl Sheet {
    /// Makes sure that the next line may stand in this buffer: another period may have begun.
    fn turn(&mut self, now: &Moment, ways: &Ways) {
        if self.lines > 0 && self.quarter != now.quarter() {
            self.hand_over(ways);
        }
        if self.lines == 0 {
            (self.second, self.quarter) = (now.second(), now.quarter());
        }
    }

    /// A line was added.
    fn count(&mut self, ways: &Ways) {
        self.lines += 1;
        if self.text.len() >= FULL {
            self.hand_over(ways);
        }
    }

    /// Gives the lines to the writer. If it cannot keep up, they are lost: a worker does not wait.
    fn hand_over(&mut self, ways: &Ways) {
        if self.lines == 0 {
            return;
        }
        let lines = std::mem::take(&mut self.lines);
        let text = std::mem::replace(&mut self.text, ways.empty());
        let chunk = Chunk { log: Arc::clone(&self.log), second: self.second, lines, text, home: ways.home.clone() };
        // What does not go is dropped, and counts itself.
        let _ = ways.channel.try_send(Message::Chunk(chunk));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use narthex_proto::wire::Logging;

    use crate::log::tests::{Asked, Stage};

    #[test]
    fn buffers_come_back_and_are_used_again() {
        let mut stage = Stage::new();
        let log = stage.open(&Logging::default());
        let mut buffers = HashSet::new();
        for _ in 0..20 {
            stage.log(&log, &Asked::default());
            let slot = log.slot as usize;
            buffers.insert(stage.worker.desk.borrow().sheets[slot].as_ref().unwrap().text.as_ptr());
            stage.write();
        }
        assert!(buffers.len() <= 2, "{}", buffers.len());
    }
}
