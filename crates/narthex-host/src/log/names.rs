//! What log files are called, and when the next one begins.

use jiff::civil::DateTime;
use narthex_proto::wire::Rollover;

use super::spec::Format;

/// A file's name without its number or period: HTTP.sys's for its formats, ours for JSON.
fn prefix(format: Format, rollover: Rollover) -> &'static str {
    match (format, rollover) {
        (Format::W3c, Rollover::Size) => "extend",
        (Format::W3c, _) => "ex",
        (Format::Ncsa, Rollover::Size) => "ncsa",
        (Format::Ncsa, _) => "nc",
        (Format::Json, Rollover::Size) => "json",
        (Format::Json, _) => "js",
        (Format::Error, Rollover::Size) => "httperr",
        (Format::Error, _) => "ht",
    }
}

/// The name of the file that has the lines of this time. `None` if files are numbered.
pub(super) fn of_period(format: Format, rollover: Rollover, time: DateTime) -> Option<String> {
    let prefix = prefix(format, rollover);
    let (year, month, day, hour) = (time.year().rem_euclid(100), time.month(), time.day(), time.hour());
    Some(match rollover {
        Rollover::Size => return None,
        Rollover::Hourly => format!("{prefix}{year:02}{month:02}{day:02}{hour:02}.log"),
        Rollover::Daily => format!("{prefix}{year:02}{month:02}{day:02}.log"),
        Rollover::Weekly => format!("{prefix}{year:02}{month:02}{:02}.log", week(time)),
        Rollover::Monthly => format!("{prefix}{year:02}{month:02}.log"),
    })
}

/// A number that grows from each period to the next.
pub(super) fn period(rollover: Rollover, time: DateTime) -> i64 {
    let month = i64::from(time.year()) * 12 + i64::from(time.month());
    let (day, hour) = (i64::from(time.day()), i64::from(time.hour()));
    match rollover {
        Rollover::Size => 0,
        Rollover::Hourly => (month * 32 + day) * 24 + hour,
        Rollover::Daily => month * 32 + day,
        Rollover::Weekly => month * 8 + i64::from(week(time)),
        Rollover::Monthly => month,
    }
}

/// The week of the month, from 1: a week begins on Sunday, and week 1 with the month.
fn week(time: DateTime) -> i8 {
    let before_first = time.date().first_of_month().weekday().to_sunday_zero_offset();
    (time.day() - 1 + before_first) / 7 + 1
}

/// The name of the file with this number.
pub(super) fn numbered(format: Format, number: u32) -> String {
    format!("{}{number}.log", prefix(format, Rollover::Size))
}

/// The number of a file with this name, if it is one of this format's.
pub(super) fn number_of(format: Format, name: &[u8]) -> Option<u32> {
    let digits = name.strip_prefix(prefix(format, Rollover::Size).as_bytes())?.strip_suffix(b".log")?;
    // `extend+1.log` and `extend01.log` are not names that `numbered` makes.
    if !matches!(digits, [b'1'..=b'9', rest @ ..] if rest.iter().all(u8::is_ascii_digit)) {
        return None;
    }
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    fn name(format: Format, rollover: Rollover) -> String {
        of_period(format, rollover, date(2026, 3, 7).at(5, 59, 0, 0)).unwrap()
    }

    #[test]
    fn files_of_a_period_have_the_names_that_http_sys_gives_them() {
        assert_eq!(name(Format::W3c, Rollover::Hourly), "ex26030705.log");
        assert_eq!(name(Format::W3c, Rollover::Daily), "ex260307.log");
        assert_eq!(name(Format::W3c, Rollover::Weekly), "ex260301.log");
        assert_eq!(name(Format::W3c, Rollover::Monthly), "ex2603.log");
        assert_eq!(name(Format::Ncsa, Rollover::Daily), "nc260307.log");
        assert_eq!(name(Format::Json, Rollover::Daily), "js260307.log");
        assert_eq!(name(Format::Error, Rollover::Daily), "ht260307.log");
    }

    #[test]
    fn numbered_files_have_the_names_that_http_sys_gives_them() {
        let names = [Format::W3c, Format::Ncsa, Format::Json, Format::Error].map(|format| numbered(format, 12));
        assert_eq!(names, ["extend12.log", "ncsa12.log", "json12.log", "httperr12.log"]);
        assert_eq!(number_of(Format::W3c, b"extend12.log"), Some(12));
        for other in ["extend.log", "extend012.log", "extend+1.log", "extend99999999999.log", "ncsa1.log", "extend1.log.gz"] {
            assert_eq!(number_of(Format::W3c, other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn weeks_begin_on_sunday_and_with_the_month() {
        // 1 March 2026 is a Sunday, 1 August a Saturday.
        let weeks = [(3, 1), (3, 7), (3, 8), (3, 31), (8, 1), (8, 2), (8, 31)];
        let weeks = weeks.map(|(month, day)| week(date(2026, month, day).at(0, 0, 0, 0)));
        assert_eq!(weeks, [1, 1, 2, 5, 1, 2, 6]);
    }

    #[test]
    fn periods_grow_over_the_ends_of_months_and_years() {
        let (last, first) = (date(2026, 12, 31).at(23, 59, 59, 0), date(2027, 1, 1).at(0, 0, 0, 0));
        for rollover in [Rollover::Hourly, Rollover::Daily, Rollover::Weekly, Rollover::Monthly] {
            assert!(period(rollover, last) < period(rollover, first), "{rollover:?}");
        }
    }
}
