//! When a certificate is asked for: in time before its end, and ever more rarely while it cannot be had. No clock, no chance:
//! both are arguments.

use jiff::{SignedDuration, Timestamp};

/// After the first failure.
const FIRST: i64 = 60;
const LONGEST: i64 = 86_400;
/// A CA that refuses by a rate limit and does not say until when.
const RATE_LIMITED: SignedDuration = SignedDuration::from_hours(1);
/// What a CA may make us wait. One that says more is asked again all the same, once a week.
const MOST_OF_CA: SignedDuration = SignedDuration::from_hours(7 * 24);

/// How long to wait after so many failures in a row: a minute, and twice as long each time, up to a day. `chance`, from 0 to 1,
/// makes it up to half of that longer, so that hosts that failed together do not come back together.
pub(crate) fn pause(failures: u32, chance: f64) -> SignedDuration {
    let doublings = failures.saturating_sub(1).min(20);
    let seconds = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let spread = 1.0 + share(chance) / 2.0;
    SignedDuration::from_secs_f64((seconds as f64 * spread).clamp(FIRST as f64, LONGEST as f64))
}

/// When to ask again. What the CA has said is not undercut.
pub(crate) fn after_failure(now: Timestamp, failures: u32, ca: Option<Timestamp>, limited: bool, chance: f64) -> Timestamp {
    let own = later(now, pause(failures, chance));
    let by_ca = match ca {
        Some(at) => Some(at.min(later(now, MOST_OF_CA))),
        None => limited.then(|| later(now, RATE_LIMITED)),
    };
    by_ca.map_or(own, |at| at.max(own))
}

/// When to renew: after two thirds of a certificate's life, as Let's Encrypt asks, and by chance a twentieth of it later, so that
/// certificates that were issued together are not renewed together.
pub(crate) fn renewal(from: Timestamp, until: Timestamp, chance: f64) -> Timestamp {
    let life = until.duration_since(from).as_secs_f64().max(0.0);
    let over = 2.0 / 3.0 + share(chance) / 20.0;
    later(from, SignedDuration::from_secs_f64(life * over))
}

/// What is no number would be no duration either.
fn share(chance: f64) -> f64 {
    if chance.is_finite() { chance.clamp(0.0, 1.0) } else { 0.0 }
}

fn later(from: Timestamp, by: SignedDuration) -> Timestamp {
    from.checked_add(by).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[test]
    fn pauses_double_from_a_minute_to_a_day_and_are_never_short() {
        let seconds: Vec<i64> = (0..14).map(|failures| pause(failures, 0.0).as_secs()).collect();
        assert_eq!(seconds[..5], [60, 60, 120, 240, 480]);
        assert_eq!(seconds[12..], [86_400, 86_400]);
        for failures in [0, 1, 5, 30, u32::MAX] {
            for chance in [-1.0, 0.0, 1.0, 7.0, f64::NAN] {
                let pause = pause(failures, chance);
                assert!((60..=86_400).contains(&pause.as_secs()), "{failures}, {chance}: {pause:?}");
            }
        }
    }

    #[test]
    fn what_the_ca_says_is_not_undercut_and_what_it_says_is_bounded() {
        let now = at(1_000_000);
        assert_eq!(after_failure(now, 1, None, false, 0.5), at(1_000_075));
        assert_eq!(after_failure(now, 1, Some(at(1_007_000)), true, 0.5), at(1_007_000));
        assert_eq!(after_failure(now, 9, Some(at(1_000_001)), true, 0.0), at(1_000_000 + 60 * 256));
        assert_eq!(after_failure(now, 1, None, true, 0.5), at(1_003_600), "a limit without a date");
        assert_eq!(after_failure(now, 1, Some(Timestamp::MAX), true, 0.5), at(1_000_000 + 7 * 86_400));
    }

    #[test]
    fn a_certificate_is_renewed_when_two_thirds_of_its_life_are_over() {
        let (from, until) = (at(0), at(90 * 86_400));
        assert_eq!(renewal(from, until, 0.0), at(60 * 86_400));
        assert_eq!(renewal(from, until, 1.0).as_second() / 8_640, 645);
        assert_eq!(renewal(until, from, 0.5), until, "nonsense is over at once");
    }
}
