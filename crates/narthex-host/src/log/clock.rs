//! What time it is, and the time as lines write it: rendered once a second.

use std::io::Write;
#[cfg(test)]
use std::sync::{Arc, atomic::AtomicI64};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

/// Every offset of a time zone changes at a multiple of this many seconds, and periods of files begin at one.
const QUARTER: i64 = 900;

/// Where the time comes from.
#[derive(Clone, Debug)]
pub(super) enum Clock {
    System,
    /// Milliseconds since 1970 that a test sets.
    #[cfg(test)]
    Set(Arc<AtomicI64>),
}

impl Clock {
    /// Milliseconds since 1970.
    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(super) fn now(&self) -> i64 {
        match self {
            Self::System => SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| {
                let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX / 1000);
                seconds.saturating_mul(1000).saturating_add(since.subsec_millis().into())
            }),
            #[cfg(test)]
            Self::Set(time) => time.load(std::sync::atomic::Ordering::Relaxed),
        }
    }

    /// How long until `interval` has gone by since `start`.
    pub(super) fn left(start: Instant, interval: Duration) -> Duration {
        interval.saturating_sub(Self::monotonic().duration_since(start))
    }

    #[expect(clippy::disallowed_methods, reason = "this is the clock")]
    pub(super) fn monotonic() -> Instant {
        Instant::now()
    }
}

/// The day and the time of day of a second since 1970, in a zone or in UTC.
pub(super) fn civil(second: i64, zone: Option<&TimeZone>) -> DateTime {
    let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
    zone.map_or(Offset::UTC, |zone| zone.to_offset(time)).to_datetime(time)
}

/// The present moment as text.
pub(super) struct Moment {
    second: i64,
    pub(super) millisecond: i64,
    zone: TimeZone,
    offset: Offset,
    /// `2026-11-22`, UTC.
    pub(super) date: Vec<u8>,
    /// `12:38:37`, UTC.
    pub(super) time: Vec<u8>,
    /// `22/Nov/2026:13:38:37 +0100`, local.
    pub(super) local: Vec<u8>,
}

impl Moment {
    pub(super) fn new(zone: TimeZone) -> Self {
        let (date, time, local) = (Vec::with_capacity(10), Vec::with_capacity(8), Vec::with_capacity(26));
        Self { second: i64::MIN, millisecond: 0, zone, offset: Offset::UTC, date, time, local }
    }

    /// Moves to this time, in milliseconds since 1970.
    pub(super) fn set(&mut self, now: i64) {
        let second = now.div_euclid(1000);
        self.millisecond = now.rem_euclid(1000);
        if second != self.second {
            self.render(second);
        }
    }

    /// Seconds since 1970.
    pub(super) fn second(&self) -> i64 {
        self.second
    }

    /// The quarter of an hour: lines of the same one belong in the same file.
    pub(super) fn quarter(&self) -> i64 {
        self.second.div_euclid(QUARTER)
    }

    fn render(&mut self, second: i64) {
        let before = (self.second != i64::MIN).then(|| self.quarter());
        self.second = second;
        let time = Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH);
        if before != Some(self.quarter()) {
            self.offset = self.zone.to_offset(time);
        }
        // Writing to a vector cannot fail.
        let utc = Offset::UTC.to_datetime(time);
        self.date.clear();
        let _ = write!(self.date, "{:04}-{:02}-{:02}", utc.year(), utc.month(), utc.day());
        self.time.clear();
        let _ = write!(self.time, "{:02}:{:02}:{:02}", utc.hour(), utc.minute(), utc.second());
        let local = self.offset.to_datetime(time);
        let (day, month, year) = (local.day(), month(local.month()), local.year());
        let (hour, minute, second) = (local.hour(), local.minute(), local.second());
        let minutes = self.offset.seconds() / 60;
        let sign = if minutes < 0 { '-' } else { '+' };
        let offset = minutes.unsigned_abs() / 60 * 100 + minutes.unsigned_abs() % 60;
        self.local.clear();
        let _ = write!(self.local, "{day:02}/{month}/{year:04}:{hour:02}:{minute:02}:{second:02} {sign}{offset:04}");
    }
}

fn month(number: i8) -> &'static str {
    const NAMES: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    usize::try_from(number).ok().and_then(|number| NAMES.get(number.checked_sub(1)?)).unwrap_or(&"Jan")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn millisecond(time: &str) -> i64 {
        time.parse::<Timestamp>().unwrap().as_millisecond()
    }

    fn local(time: &str, zone: &TimeZone) -> String {
        let mut moment = Moment::new(zone.clone());
        moment.set(millisecond(time));
        String::from_utf8(moment.local).unwrap()
    }

    #[test]
    fn local_time_follows_the_zone_through_the_year() {
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(local("2026-11-22T12:38:37Z", &berlin), "22/Nov/2026:13:38:37 +0100");
        assert_eq!(local("2026-06-21T00:00:00Z", &berlin), "21/Jun/2026:02:00:00 +0200");
        let west = TimeZone::posix("NST3:30").unwrap();
        assert_eq!(local("1970-01-01T00:00:00Z", &west), "31/Dec/1969:20:30:00 -0330");
    }

    #[test]
    fn a_moment_that_moves_renders_anew_and_takes_a_new_offset() {
        let mut moment = Moment::new(TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap());
        // Summer ends a second later.
        moment.set(millisecond("2026-10-25T00:59:59.999Z"));
        assert_eq!(moment.local, b"25/Oct/2026:02:59:59 +0200");
        moment.set(millisecond("2026-10-25T01:00:00Z"));
        assert_eq!((&*moment.date, &*moment.time), (&b"2026-10-25"[..], &b"01:00:00"[..]));
        assert_eq!(moment.local, b"25/Oct/2026:02:00:00 +0100");
    }
}
