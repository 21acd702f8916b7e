//! The end of the app's log.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::layer::{Context, Layer};

use super::counted::now;

/// Lines that are kept.
const MOST: usize = 200;
/// Of a line, in bytes.
const LONGEST: usize = 1000;

static LINES: Mutex<Option<VecDeque<Line>>> = Mutex::new(None);

/// A line of the log.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Line {
    /// Milliseconds since 1970.
    time: u64,
    level: String,
    target: String,
    text: String,
}

/// Keeps the last lines of the log for the app's page. [`log_tail`] makes it.
#[derive(Clone, Copy, Debug)]
pub struct LogTail(());

/// What a `tracing` subscriber is given, so that the page shows the last 200 lines that it lets through.
#[must_use]
pub fn log_tail() -> LogTail {
    lines().get_or_insert_default();
    LogTail(())
}

/// The lines, the last one first. `None` if nobody keeps any.
pub(super) fn last() -> Option<Vec<Line>> {
    lines().as_ref().map(|lines| lines.iter().rev().cloned().collect())
}

fn lines() -> MutexGuard<'static, Option<VecDeque<Line>>> {
    LINES.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<S: Subscriber> Layer<S> for LogTail {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let mut text = text.0;
        text.truncate(text.floor_char_boundary(LONGEST));
        let metadata = event.metadata();
        let line = Line { time: now(), level: metadata.level().to_string(), target: metadata.target().to_owned(), text };
        let mut lines = lines();
        let lines = lines.get_or_insert_default();
        if lines.len() == MOST {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// The message, and the other fields behind it.
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = if field.name() == "message" {
            let rest = std::mem::take(&mut self.0);
            write!(self.0, "{value:?}{rest}")
        } else {
            write!(self.0, " {field}={value:?}")
        };
    }
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn the_last_lines_are_kept_with_their_fields_and_not_more() {
        tracing::subscriber::with_default(tracing_subscriber::registry().with(log_tail()), || {
            for number in 0..MOST + 5 {
                tracing::warn!(number, "a line");
            }
            tracing::error!("{}", "ä".repeat(LONGEST));
        });
        let lines = last().unwrap();
        assert_eq!(lines.len(), MOST);
        assert_eq!((lines[0].level.as_str(), lines[0].text.len()), ("ERROR", LONGEST));
        assert_eq!(lines[1].text, format!("a line number={}", MOST + 4));
    }
}
