//! The only place that asks what time it is, so that everything else takes time as an argument.

use std::cell::{Cell, RefCell};
use std::sync::LazyLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::HeaderValue;
use tokio::time::Instant;

/// A `Date` header line with an IMF-fixdate (RFC 9110 section 5.6.7).
const DATE_LINE: [u8; 37] = *b"date:                              \r\n";
const NAME: usize = "date: ".len();
const DATE: usize = 29;

/// Monotonic time, for who has no worker.
pub(crate) fn now() -> Instant {
    Instant::now()
}

thread_local! {
    /// What [`roughly_now`] says, while somebody holds it.
    static HELD: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Milliseconds since some moment in this process's past. Who does much at a time may hold it: it is late then, by what that takes.
#[must_use]
pub fn roughly_now() -> u64 {
    static BEGAN: LazyLock<Instant> = LazyLock::new(now);
    HELD.get().unwrap_or_else(|| u64::try_from(BEGAN.elapsed().as_millis()).unwrap_or(u64::MAX))
}

/// Holds [`roughly_now`] for this thread, until it is dropped.
#[cfg(target_os = "linux")]
pub(crate) struct Moment;

#[cfg(target_os = "linux")]
impl Moment {
    pub(crate) fn hold() -> Self {
        HELD.set(Some(roughly_now()));
        Self
    }
}

#[cfg(target_os = "linux")]
impl Drop for Moment {
    fn drop(&mut self) {
        HELD.set(None);
    }
}

/// A worker's clock: monotonic time, and the `Date` header rendered once a second.
pub(crate) struct Clock {
    line: RefCell<[u8; DATE_LINE.len()]>,
    value: RefCell<HeaderValue>,
    date_expires: Cell<Option<Instant>>,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let value = RefCell::new(HeaderValue::from_static(""));
        Self { line: RefCell::new(DATE_LINE), value, date_expires: Cell::new(None) }
    }

    /// Monotonic time. Tests that pause tokio's clock move it by hand.
    pub(crate) fn now(&self) -> Instant {
        now()
    }

    /// Appends the `Date` header line that is right for `now`.
    pub(crate) fn write_date_line(&self, now: Instant, out: &mut Vec<u8>) {
        if self.date_expires.get().is_none_or(|expires| now >= expires) {
            self.render_date(now);
        }
        out.extend_from_slice(&*self.line.borrow());
    }

    /// The value of the `Date` field that is right for `now`.
    pub(crate) fn date_value(&self, now: Instant) -> HeaderValue {
        if self.date_expires.get().is_none_or(|expires| now >= expires) {
            self.render_date(now);
        }
        self.value.borrow().clone()
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    fn render_date(&self, now: Instant) {
        let wall = SystemTime::now();
        let text = httpdate::fmt_http_date(wall);
        if let Some(place) = self.line.borrow_mut().get_mut(NAME..NAME + DATE).filter(|_| text.len() == DATE) {
            place.copy_from_slice(text.as_bytes());
        }
        if let Ok(value) = HeaderValue::from_str(&text) {
            *self.value.borrow_mut() = value;
        }
        let into_second = wall.duration_since(UNIX_EPOCH).map_or(0, |since| since.subsec_nanos());
        let left = 1_000_000_000_u32.saturating_sub(into_second).max(1);
        self.date_expires.set(Some(now + Duration::from_nanos(left.into())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_date_is_an_imf_fixdate() {
        let clock = Clock::new();
        let mut out = Vec::new();
        clock.write_date_line(clock.now(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let date = text.strip_prefix("date: ").and_then(|text| text.strip_suffix(" GMT\r\n"));
        assert!(date.is_some_and(|date| httpdate::parse_http_date(&format!("{date} GMT")).is_ok()), "{text:?}");
    }
}
