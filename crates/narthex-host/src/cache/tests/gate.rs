//! The tables of what may be stored and served: HTTP.sys's, ASP.NET's on top of it, and RFC 9111's.

use super::super::gate::{Ineligible, judge};
use super::*;

fn judged(given: &Given, cookie: bool) -> Result<Option<u64>, Ineligible> {
    let answer = Answer { status: given.status, policy: given.policy, length: given.length, fields: given.fields() };
    let permit = judge(&answer, cookie, Duration::ZERO, at(0).wall, 262_144)?;
    Ok(permit.lifetime.map(|lifetime| lifetime.as_secs()))
}

const PUBLIC: (&str, &str) = ("Cache-Control", "public, max-age=60");
const AT_NOON: &str = "Sun, 22 Nov 2026 12:00:00 GMT";
const A_MINUTE_LATER: &str = "Sun, 22 Nov 2026 12:01:00 GMT";

#[test]
fn requests_are_served_and_watched_as_the_table_says() {
    let get = || Asked::get("/");
    let no_host = Asked { host: None, ..get() };
    let with_body = Asked { body: true, ..get() };
    let upgrade = Asked { upgrade: true, ..get() };
    let long = get().with(&[("X-Long", &"x".repeat(Watch::MOST_HEAD))]);
    for (asked, is_watched, is_served, what) in [
        (get(), true, true, "a plain GET"),
        (get().with(&[("Expect", "100-continue")]), true, true, "the only expectation that there is"),
        (get().with(&[("Expect", "something")]), false, false, "another expectation"),
        (get().method("HEAD"), false, true, "HEAD is answered from a GET's entry"),
        (get().method("OPTIONS"), false, false, "OPTIONS"),
        (get().method("TRACE"), false, false, "TRACE"),
        (get().method("get"), true, false, "an unknown method is watched for what it changes"),
        (no_host, false, false, "HTTP/1.0 without Host"),
        (with_body, false, false, "a body"),
        (upgrade, false, false, "an upgrade"),
        (long, false, true, "a head that is too long to keep"),
        (get().with(&[("Authorization", "Basic eA==")]), false, false, "Authorization"),
        (get().with(&[("proxy-authorization", "Basic eA==")]), false, false, "Proxy-Authorization"),
        (get().with(&[("Range", "bytes=0-1")]), false, true, "Range"),
        (get().with(&[("If-Range", "\"a\"")]), false, true, "If-Range"),
        (get().with(&[("Translate", "f")]), false, false, "Translate: f"),
        (get().with(&[("TRANSLATE", " F ")]), false, false, "Translate: F"),
        (get().with(&[("Translate", "t")]), true, true, "Translate: t"),
        (get().with(&[("Cookie", "a=b")]), true, true, "Cookie, and the entry says public"),
        (get().with(&[("If-None-Match", "\"a\"")]), true, true, "a condition"),
        (get().with(&[("If-Match", "\"a\"")]), false, false, "a condition that only the app can judge"),
        (get().with(&[("If-Unmodified-Since", AT_NOON)]), false, false, "another such"),
        (get().with(&[("Cache-Control", "no-cache, no-store"), ("Pragma", "no-cache")]), true, true, "a client's wish"),
    ] {
        assert_eq!(watch(&cache(), &asked, at(0)).is_some(), is_watched, "{what}");
        let filled = cache();
        exchange(&filled, &Asked::get("/"), &Given::public("x"), at(0)).unwrap();
        assert_eq!(hit(&filled, &asked, at(1)).is_some(), is_served, "{what}");
    }
}

#[test]
fn responses_pass_the_gate_as_the_table_says() {
    let plain = || Given::new("x");
    let public = |more: &[(&str, &str)]| Given::public("x").with(more);
    let control = |value: &str| Given::new("x").with(&[("Cache-Control", value)]);
    let policy = |policy| Given { policy, ..Given::new("x") };
    let forever = || policy(Some(CachePolicy::UntilFlushed));
    let expires = |value: &str| Given::new("x").with(&[("Cache-Control", "public"), ("Expires", value)]);
    use Ineligible::*;
    for (given, expected, what) in [
        (plain(), Err(NotAsked), "nothing is said"),
        (forever(), Ok(None), "until flushed"),
        (policy(ttl(9)), Ok(Some(9)), "a time to live"),
        (policy(ttl(9)).with(&[PUBLIC]), Ok(Some(9)), "the app's policy comes first"),
        (control("public, max-age=60"), Ok(Some(60)), "public and max-age"),
        (control("public, s-maxage=5, max-age=60"), Ok(Some(5)), "s-maxage is preferred"),
        (control("public"), Err(NotAsked), "no time"),
        (control("max-age=60"), Err(NotAsked), "not public"),
        (control("public, max-age=0"), Err(Stale), "no time left"),
        (control("public, s-maxage=0, max-age=60"), Err(Stale), "no time left for shared caches"),
        (control("public, max-age"), Err(CacheControl), "a malformed directive"),
        (control("public, max-age=60").with(&[("cache-control", "max-age=7")]), Ok(Some(7)), "the smaller of two"),
        (control("public, max-age=60").with(&[("cache-control", "no-store")]), Err(Forbidden), "in a line of its own"),
        (expires(A_MINUTE_LATER), Ok(Some(60)), "public and Expires"),
        (expires(A_MINUTE_LATER).with(&[("Date", AT_NOON)]), Ok(Some(60)), "Expires counts from Date"),
        (expires(A_MINUTE_LATER).with(&[("Date", "Sun, 22 Nov 2026 11:59:00 GMT")]), Ok(Some(60)), "an old Date is an age"),
        (expires(A_MINUTE_LATER).with(&[("Date", A_MINUTE_LATER)]), Err(Stale), "no time from Date on"),
        (expires(AT_NOON), Err(Stale), "expired"),
        (expires("0"), Err(Stale), "expired, as it is often written"),
        (expires(A_MINUTE_LATER).with(&[("Expires", A_MINUTE_LATER)]), Err(Stale), "two Expires"),
        (public(&[("Expires", AT_NOON)]), Ok(Some(60)), "max-age beats Expires"),
        (plain().with(&[("Expires", A_MINUTE_LATER)]), Err(NotAsked), "Expires without public"),
        (public(&[("Age", "20")]), Ok(Some(40)), "the app's own Age counts"),
        (public(&[("Age", "60")]), Err(Stale), "as old as it may be"),
        (public(&[("Age", "x")]), Ok(Some(60)), "an Age that is none"),
        (policy(ttl(9)).with(&[("Age", "20")]), Ok(Some(9)), "a time to live is from now on"),
        (control("public, no-store, max-age=60"), Err(Forbidden), "no-store"),
        (control("public, private, max-age=60"), Err(Forbidden), "private"),
        (control("public, no-cache=\"a\", max-age=60"), Err(Forbidden), "no-cache"),
        (forever().with(&[("Cache-Control", "no-store")]), Err(Forbidden), "a policy does not overrule no-store"),
        (forever().with(&[("Cache-Control", "private")]), Err(Forbidden), "nor private"),
        (forever().with(&[("Cache-Control", "a b")]), Err(CacheControl), "nor what nobody understands"),
        (public(&[("Pragma", "no-cache")]), Err(Pragma), "Pragma"),
        (forever().with(&[("pragma", "x")]), Err(Pragma), "any Pragma"),
        (public(&[("Set-Cookie", "a=b")]), Err(SetCookie), "Set-Cookie"),
        (forever().with(&[("Set-Cookie2", "a=b")]), Err(SetCookie), "Set-Cookie2"),
        (public(&[("Vary", "*")]), Err(Vary), "Vary: *"),
        (public(&[("Vary", "accept, *")]), Err(Vary), "Vary with a *"),
        (public(&[("Vary", "accept")]), Ok(Some(60)), "Vary"),
        (public(&[("Last-Modified", AT_NOON)]), Ok(Some(60)), "a valid Last-Modified"),
        (public(&[("Last-Modified", "yesterday")]), Err(LastModified), "an invalid one"),
        (public(&[("Last-Modified", AT_NOON), ("Last-Modified", AT_NOON)]), Err(LastModified), "two of them"),
        (Given { length: None, ..forever() }, Err(Length), "an unknown length"),
        (Given { length: Some(262_144), ..forever() }, Ok(None), "as long as may be"),
        (Given { length: Some(262_145), ..forever() }, Err(TooLong), "one byte more"),
        (Given { length: Some(0), ..forever() }, Ok(None), "an empty body"),
        (Given { length: Some(0), status: 204, ..forever() }, Ok(None), "204"),
        (Given { length: Some(1), status: 204, ..forever() }, Err(Length), "204 with a body"),
    ] {
        assert_eq!(judged(&given, false), expected, "{what}");
    }
}

#[test]
fn only_final_complete_and_cacheable_statuses_pass() {
    let passing = (100..1000).filter(|&status| {
        let length = Some(0);
        judged(&Given { status, length, ..Given::flushed("") }, false).is_ok()
    });
    assert_eq!(passing.collect::<Vec<_>>(), [200, 203, 204, 300, 301, 308, 404, 410]);
}

#[test]
fn the_answer_to_a_cookie_passes_only_if_it_says_public() {
    assert_eq!(judged(&Given::public("x"), true), Ok(Some(60)));
    assert_eq!(judged(&Given::flushed("x"), true), Err(Ineligible::Cookie));
    assert_eq!(judged(&Given::flushed("x").with(&[("Cache-Control", "public")]), true), Ok(None));
}

#[test]
fn a_cookie_gets_only_what_is_public() {
    let asked = Asked::get("/");
    let with_cookie = asked.clone().with(&[("Cookie", "a=b")]);
    let cache = cache();
    exchange(&cache, &asked, &Given::flushed("x"), at(0)).unwrap();
    assert!(hit(&cache, &with_cookie, at(0)).is_none());
    assert!(hit(&cache, &asked, at(0)).is_some());
}

#[test]
fn header_lines_count_in_the_size() {
    let cache = cache();
    cache.set_settings(CacheSettings { most: 100, ..CacheSettings::default() });
    let given = |length| Given::flushed(&"x".repeat(length)).with(&[("A", "b")]);
    assert!(exchange(&cache, &Asked::get("/1"), &given(94), at(0)).is_some());
    assert!(exchange(&cache, &Asked::get("/2"), &given(95), at(0)).is_none());
}

#[test]
fn what_passes_the_gate_has_asked_for_it() {
    let asks = |given: &Given| asks_for_caching(given.policy, given.fields());
    for (given, expected) in [
        (Given::new("x"), false),
        (Given::new("x").with(&[("Cache-Control", "max-age=60")]), false),
        (Given::new("x").with(&[("Cache-Control", "private, ext=\"public, \"")]), false),
        (Given::flushed("x"), true),
        (Given::public("x"), true),
        (Given::new("x").with(&[("cache-control", "max-age=60"), ("Cache-Control", "PUBLIC")]), true),
    ] {
        assert_eq!(asks(&given), expected, "{:?}", given.fields);
        assert!(expected || judged(&given, false).is_err());
    }
}
