//! What a channel keeps of its messages, for who comes late or comes back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::envelope::Envelope;

/// How much a channel keeps. The strictest of its bounds counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct History {
    messages: usize,
    bytes: usize,
    age: Duration,
}

impl History {
    /// The last so many messages, of 1 MiB at most, and none that is older than an hour.
    #[must_use]
    pub fn last(messages: usize) -> Self {
        Self { messages, bytes: 1 << 20, age: Duration::from_secs(3_600) }
    }

    /// Another bound of the messages' bytes than 1 MiB.
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Another age than an hour.
    #[must_use]
    pub fn age(mut self, age: Duration) -> Self {
        self.age = age;
        self
    }
}

/// What an entry costs besides its message.
const OVERHEAD: usize = 256;

struct Entry {
    envelope: Arc<Envelope>,
    bytes: usize,
    when: Instant,
}

/// What was kept, oldest first. Their offsets are consecutive, and the last has the offset `top`.
#[derive(Default)]
pub(super) struct Ring {
    entries: VecDeque<Entry>,
    bytes: usize,
    top: u64,
}

impl Ring {
    /// The offset of the last message that there was. 0: none yet.
    pub(super) fn top(&self) -> u64 {
        self.top
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// What it holds, for the bound of all.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn last_used(&self) -> Option<Instant> {
        self.entries.back().map(|entry| entry.when)
    }

    /// Keeps the message of the offset `top() + 1`, and drops what is beyond the bounds.
    pub(super) fn push(&mut self, envelope: Arc<Envelope>, bounds: &History) {
        let (bytes, when) = (envelope.frames.data().len() + OVERHEAD, Instant::now());
        self.top += 1;
        self.bytes += bytes;
        self.entries.push_back(Entry { envelope, bytes, when });
        while self.entries.len() > bounds.messages || self.payload() > bounds.bytes {
            self.drop_first();
        }
        self.expire(bounds);
    }

    fn payload(&self) -> usize {
        self.bytes - self.entries.len() * OVERHEAD
    }

    /// Drops what is too old.
    pub(super) fn expire(&mut self, bounds: &History) {
        let now = Instant::now();
        while self.entries.front().is_some_and(|entry| now.duration_since(entry.when) > bounds.age) {
            self.drop_first();
        }
    }

    /// Drops everything. What comes later has later offsets.
    pub(super) fn clear(&mut self) {
        self.entries = VecDeque::new();
        self.bytes = 0;
    }

    fn drop_first(&mut self) {
        if let Some(entry) = self.entries.pop_front() {
            self.bytes -= entry.bytes;
        }
    }

    /// What came after `offset`, or `None` if some of it is gone, or never was.
    pub(super) fn since(&self, offset: u64) -> Option<impl Iterator<Item = &Arc<Envelope>>> {
        let missed = usize::try_from(self.top.checked_sub(offset)?).ok()?;
        (missed <= self.entries.len()).then(|| self.last(missed))
    }

    /// The last so many, or as many as there are.
    pub(super) fn last(&self, count: usize) -> impl Iterator<Item = &Arc<Envelope>> {
        let skipped = self.entries.len().saturating_sub(count);
        self.entries.iter().skip(skipped).map(|entry| &entry.envelope)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(texts: &[&str], bounds: &History) -> Ring {
        let mut ring = Ring::default();
        for text in texts {
            ring.push(Arc::new(Envelope::of_text(text)), bounds);
        }
        ring
    }

    fn texts<'a>(envelopes: impl Iterator<Item = &'a Arc<Envelope>>) -> Vec<&'a str> {
        envelopes.map(|envelope| std::str::from_utf8(envelope.frames.data()).unwrap()).collect()
    }

    #[test]
    fn the_last_are_kept_within_messages_and_bytes() {
        let kept = ring(&["a", "b", "c", "d"], &History::last(3));
        assert_eq!((texts(kept.last(9)), texts(kept.last(1)), kept.top()), (vec!["b", "c", "d"], vec!["d"], 4));
        let kept = ring(&["aa", "bb", "cc"], &History::last(3).bytes(5));
        assert_eq!(texts(kept.last(9)), ["bb", "cc"]);
        let kept = ring(&["a", "too long for this"], &History::last(3).bytes(5));
        assert_eq!((texts(kept.last(9)), kept.bytes()), (vec![], 0));
    }

    #[test]
    fn what_was_missed_is_all_there_or_not_given_at_all() {
        let kept = ring(&["a", "b", "c", "d"], &History::last(2));
        assert_eq!(texts(kept.since(4).unwrap()), Vec::<&str>::new());
        assert_eq!(texts(kept.since(2).unwrap()), ["c", "d"]);
        assert!(kept.since(1).is_none() && kept.since(5).is_none() && kept.since(u64::MAX).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_old_is_dropped() {
        let bounds = History::last(9).age(Duration::from_secs(10));
        let mut kept = ring(&["old"], &bounds);
        tokio::time::advance(Duration::from_secs(7)).await;
        kept.push(Arc::new(Envelope::of_text("new")), &bounds);
        tokio::time::advance(Duration::from_secs(7)).await;
        kept.expire(&bounds);
        assert_eq!((texts(kept.last(9)), kept.top()), (vec!["new"], 2));
        assert!(kept.since(0).is_none());
        kept.clear();
        assert_eq!((kept.is_empty(), kept.bytes(), kept.top()), (true, 0, 2));
    }
}
