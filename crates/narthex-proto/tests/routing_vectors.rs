//! Who gets a request: the documented examples, every kind of conflict, and a slow reference implementation.

use std::net::SocketAddr;

use narthex_proto::cooked::{Cooking, cook};
use narthex_proto::explain::{AskedUrl, EntryKind, Outcome, Reason};
use narthex_proto::host::RequestHost;
use narthex_proto::prefix::{PrefixHost, Scheme, UrlPrefix};
use narthex_proto::routing::{Bucket, Conflict, Route, Table};
use proptest::prelude::*;

type Routes = Table<&'static str, &'static str>;

fn prefix(text: &str) -> UrlPrefix {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// `(prefix, app)` registers, `(prefix, "")` reserves.
fn table(entries: &[(&str, &'static str)]) -> Routes {
    let mut table = Routes::new();
    for (text, app) in entries {
        match *app {
            "" => table.reserve(prefix(text), "reserved"),
            app => table.register(prefix(text), app),
        }
        .unwrap_or_else(|conflict| panic!("{conflict}"));
    }
    table
}

/// The app that gets a path, or the status of who does not.
fn get_on(table: &Routes, local: &str, host: Option<&str>, path: &str) -> &'static str {
    let host = host.map(|host| RequestHost::parse(host.as_bytes()).unwrap());
    match table.route(Scheme::Http, local.parse().unwrap(), host.as_ref(), path) {
        Route::Registered { value, .. } => value,
        Route::Reserved { .. } => "503",
        Route::NoPath => "404",
        Route::NoHost => "400",
    }
}

fn get(table: &Routes, host: &str, path: &str) -> &'static str {
    get_on(table, "10.0.0.1:80", Some(host), path)
}

#[test]
fn the_documented_example_is_routed_as_documented() {
    let table = table(&[("http://+:80/vroot/", "1"), ("http://adatum.com:80/", "2"), ("http://*:80/", "3")]);
    for (host, path, app) in [
        ("adatum.com", "/vroot/x", "1"),
        ("adatum.com", "/default.htm", "2"),
        ("ADATUM.com:8080", "/default.htm", "2"),
        ("adatum.com.", "/default.htm", "2"),
        ("other", "/x", "3"),
        ("other", "/VROOT", "1"),
        ("10.0.0.1", "/", "3"),
    ] {
        assert_eq!(get(&table, host, path), app, "{host}{path}");
    }
}

#[test]
fn a_reservation_without_app_keeps_requests_from_later_buckets() {
    let table = table(&[("http://*:80/vroot/", "A"), ("http://adatum.com:80/", "")]);
    assert_eq!(get(&table, "adatum.com", "/vroot/f"), "503");
    assert_eq!(get(&table, "other.com", "/vroot/f"), "A");
    assert_eq!(get(&table, "other.com", "/"), "404");
}

#[test]
fn a_deeper_reservation_without_app_shadows_a_live_registration() {
    let mut table = table(&[("http://adatum.com:80/vroot/", "A")]);
    assert_eq!(get(&table, "adatum.com", "/vroot/subdir/file"), "A");
    table.reserve(prefix("http://+:80/vroot/subdir/"), "B").unwrap();
    assert_eq!(get(&table, "adatum.com", "/vroot/subdir/file"), "503");
    assert_eq!(get(&table, "adatum.com", "/vroot/subdir2/file"), "A");
    table.register(prefix("http://+:80/vroot/subdir/"), "B").unwrap();
    assert_eq!(get(&table, "adatum.com", "/vroot/subdir/file"), "B");

    let same_bucket = self::table(&[("http://+:80/a/", "A"), ("http://+:80/a/b/", "")]);
    assert_eq!(get(&same_bucket, "h", "/a/b/c"), "503");
    assert_eq!(get(&same_bucket, "h", "/a/c"), "A");
}

#[test]
fn a_short_match_in_an_earlier_bucket_beats_a_long_one_later() {
    let table = table(&[
        ("http://+:80/", "strong"),
        ("http://h:80/a/b/c/", "explicit"),
        ("http://10.0.0.1:80/a/b/c/", "ip"),
        ("http://*:80/a/b/c/", "weak"),
    ]);
    assert_eq!(get(&table, "h", "/a/b/c/d"), "strong");
}

#[test]
fn the_ip_bucket_looks_at_the_local_address_only() {
    let table = table(&[
        ("http://10.0.0.1:80/", "v4"),
        ("http://[2001:db8::1]:80/", "v6"),
        ("http://h:80/a/", "h"),
        ("http://*:80/", "weak"),
    ]);
    for (local, host, path, app) in [
        ("10.0.0.1:80", Some("whatever"), "/x", "v4"),
        ("[::ffff:10.0.0.1]:80", Some("whatever"), "/x", "v4"),
        ("[2001:db8::1]:80", Some("10.0.0.1"), "/x", "v6"),
        ("10.0.0.2:80", Some("10.0.0.1"), "/x", "weak"),
        ("10.0.0.1:80", Some("h"), "/a/x", "h"),
        ("10.0.0.1:80", Some("h"), "/x", "v4"),
        ("10.0.0.1:80", None, "/a/x", "v4"),
        ("10.0.0.2:80", None, "/a/x", "weak"),
    ] {
        assert_eq!(get_on(&table, local, host, path), app, "{local} {host:?} {path}");
    }
}

#[test]
fn the_longest_prefix_on_segment_boundaries_wins() {
    let table = table(&[
        ("http://+:80/", "/"),
        ("http://+:80/11/", "/11"),
        ("http://+:80/2/3/", "/2/3"),
        ("http://+:80/2/", "/2"),
        ("http://+:80/11/2/", "/11/2"),
    ]);
    for (path, app) in [
        ("/", "/"),
        ("/1", "/"),
        ("/11", "/11"),
        ("/11/", "/11"),
        ("/11/2x", "/11"),
        ("/11/2", "/11/2"),
        ("/2/3/x", "/2/3"),
        ("/2/3", "/2/3"),
        ("/2/4", "/2"),
        ("/2x", "/"),
        ("//2", "/"),
        ("/2//3", "/2"),
        ("", "/"),
    ] {
        assert_eq!(get(&table, "h", path), app, "{path}");
    }
}

#[test]
fn paths_and_names_are_compared_without_case_in_any_script() {
    let table =
        table(&[("http://+:80/Größe/ΑΒΓ/", "greek"), ("http://BÜCHER.example:80/", "books"), ("http://+:80/kelvin/", "k")]);
    assert_eq!(get(&table, "h", "/GRÖßE/αβγ/x"), "greek");
    assert_eq!(get(&table, "h", "/\u{212A}elvin/x"), "k");
    assert_eq!(get(&table, "XN--bcher-kva.example", "/x"), "books");
}

#[test]
fn many_siblings_are_told_apart_without_case_as_few_are() {
    let mut table = Table::<(), usize>::new();
    let texts: Vec<_> = (0..40).flat_map(|n| [format!("http://+:80/App{n}/"), format!("http://H{n}.Example:81/Ä{n}/")]).collect();
    for (n, text) in texts.iter().enumerate() {
        table.register(prefix(text), n).unwrap();
    }
    for removed in [3, 4, 50, 51] {
        assert_eq!(table.unregister(&prefix(&texts[removed])), Some(removed));
    }
    for (n, text) in texts.iter().enumerate() {
        let app = n / 2;
        let name = format!("h{app}.EXAMPLE");
        let host = RequestHost::parse(name.as_bytes()).unwrap();
        let (port, path) = if n % 2 == 0 { (80, format!("/aPP{app}/x")) } else { (81, format!("/ä{app}/x")) };
        let get = |path: &str| match table.route(Scheme::Http, SocketAddr::from(([10, 0, 0, 1], port)), Some(&host), path) {
            Route::Registered { value, .. } => Some(*value),
            _ => None,
        };
        let expected = if [3, 4, 50, 51].contains(&n) { None } else { Some(n) };
        assert_eq!(get(&path), expected, "{text} {path}");
        assert_eq!(get(&"/A".repeat(300)), None);
        assert_eq!(get(&format!("/{}", "A".repeat(300))), None);
    }
}

#[test]
fn cooked_targets_meet_their_prefixes() {
    let table = table(&[("http://+:80/base/", "base"), ("http://+:80/base/ball/", "ball")]);
    for (target, httpsys, strict) in [
        ("/baSe", "base", "base"),
        ("///base/p", "base", "404"),
        ("/baSe\\ball//x", "ball", "refused"),
        ("/base%5cball//x", "ball", "404"),
        ("/base%2fball//x", "ball", "404"),
        ("/base/\\ball", "ball", "refused"),
        ("/base/%2Fball", "ball", "base"),
        ("///baSe//ball//x", "ball", "404"),
        ("/base/call/.%2e/ball", "ball", "ball"),
        ("/base/call//../ball", "ball", "base"),
        ("/something/base", "404", "404"),
        ("/base../", "404", "404"),
    ] {
        for (mode, expected) in [(Cooking::HttpSys, httpsys), (Cooking::Strict, strict)] {
            let app = cook(target, mode).map_or("refused", |target| get(&table, "h", target.path()));
            assert_eq!(app, expected, "{target} in {mode:?}");
        }
    }
}

#[test]
fn the_four_ways_of_not_being_routed_are_told_apart() {
    let table = table(&[("http://localhost:80/a/", "A"), ("http://localhost:80/b/", ""), ("https://+:443/", "S")]);
    assert_eq!(get(&table, "localhost", "/b/x"), "503");
    assert_eq!(get(&table, "localhost", "/c"), "404");
    assert_eq!(get(&table, "127.0.0.1", "/a/"), "400");
    assert_eq!(get_on(&table, "10.0.0.1:80", None, "/a/"), "400");
    assert_eq!(get_on(&table, "10.0.0.1:81", Some("localhost"), "/a/"), "400");
    assert_eq!(get_on(&table, "10.0.0.1:443", Some("localhost"), "/"), "400");
}

#[test]
fn the_route_names_the_prefix_that_matched_and_its_bucket() {
    let table = table(&[("http://h:80/MyApp/", "A")]);
    let host = RequestHost::parse(b"h").unwrap();
    let route = table.route(Scheme::Http, "10.0.0.1:80".parse().unwrap(), Some(&host), "/myapp/x");
    let Route::Registered { prefix, value, bucket } = route else { panic!("{route:?}") };
    assert_eq!((prefix.path(), *value, bucket), ("/MyApp/", "A", Bucket::Explicit));
}

#[test]
fn a_prefix_is_registered_once_and_reserved_once() {
    let mut table = table(&[("http://+:80/a/", "A"), ("http://+:80/a/", "")]);
    let again = table.register(prefix("http://+:80/A/"), "B").unwrap_err();
    assert_eq!(again, Conflict::Registered { prefix: prefix("http://+:80/A/"), existing: prefix("http://+:80/a/") });
    assert!(again.to_string().starts_with("http://+:80/A/ is already registered, as http://+:80/a/: stop the app"));
    assert!(matches!(table.reserve(prefix("http://+:80/A/"), "B"), Err(Conflict::Reserved { .. })));
    for other in ["http://h:80/a/", "http://*:80/a/", "http://10.0.0.1:80/a/", "http://+:80/a/b/", "http://+:81/a/"] {
        table.register(prefix(other), "B").unwrap();
        table.reserve(prefix(other), "B").unwrap();
    }
}

#[test]
fn a_port_speaks_one_scheme_for_registrations_and_reservations_together() {
    let mut table = table(&[("http://+:80/a/", "")]);
    let conflict = table.register(prefix("https://h:80/b/"), "B").unwrap_err();
    assert_eq!(
        conflict.to_string(),
        "https://h:80/b/ cannot share port 80 with http://+:80/a/: the port already speaks http; use http or another port"
    );
    assert!(table.reserve(prefix("https://h:80/b/"), "B").is_err());
    assert_eq!(table.unreserve(&prefix("http://+:80/a/")), Some("reserved"));
    table.register(prefix("https://h:80/b/"), "B").unwrap();
    assert!(table.reserve(prefix("http://+:80/a/"), "A").is_err());
    assert_eq!(table.unregister(&prefix("http://h:80/b/")), None);
}

#[test]
fn what_is_removed_leaves_nothing_behind() {
    let mut table = table(&[("http://h:80/a/b/c/", "C"), ("http://h:80/a/", "A"), ("http://+:81/", "")]);
    assert_eq!(table.listening_ports().collect::<Vec<_>>(), [(prefix("http://h:80/").port(), Scheme::Http)]);
    assert_eq!(table.unregister(&prefix("http://h:80/a/b/")), None);
    assert_eq!(table.unregister(&prefix("http://H:80/A/B/C/")), Some("C"));
    assert_eq!(table.unregister(&prefix("http://h:80/a/b/c/")), None);
    assert_eq!(get(&table, "h", "/a/b/c"), "A");
    assert_eq!(table.unregister(&prefix("http://h:80/a/")), Some("A"));
    assert_eq!(get(&table, "h", "/a"), "400");
    assert_eq!(table.listening_ports().count(), 0);
    assert_eq!((table.registrations().count(), table.reservations().count()), (0, 1));
}

#[test]
fn a_snapshot_does_not_see_later_changes() {
    let mut table = table(&[("http://+:80/a/", "A"), ("http://h:80/b/", "B")]);
    let snapshot = table.clone();
    *table.registration_mut(&prefix("http://+:80/a/")).unwrap() = "A2";
    table.unregister(&prefix("http://h:80/b/")).unwrap();
    table.register(prefix("http://+:80/a/c/"), "C").unwrap();
    assert_eq!([get(&snapshot, "h", "/a/c"), get(&snapshot, "h", "/b")], ["A", "B"]);
    assert_eq!([get(&table, "h", "/a/c"), get(&table, "h", "/a/d"), get(&table, "h", "/b")], ["C", "A2", "404"]);
}

#[test]
fn the_longest_reservation_in_the_same_bucket_covers_a_registration() {
    let mut table = Table::<&str, ()>::new();
    table.reserve(prefix("http://+:80/vroot/subdir/"), "A,C").unwrap();
    table.reserve(prefix("http://adatum.com:80/vroot/"), "B").unwrap();
    for (text, owner) in [
        ("http://+:80/vroot/subdir/", Some("A,C")),
        ("http://+:80/vroot/subdir/otherdir/", Some("A,C")),
        ("http://adatum.com:80/vroot/subdir/", Some("B")),
        ("http://adatum.com:80/vroot/anotherdir/", Some("B")),
        ("http://adatum.com:80/newroot/", None),
        ("http://*:80/vroot/subdir/", None),
        ("http://+:80/vroot/", None),
        ("https://+:80/vroot/subdir/", None),
    ] {
        assert_eq!(table.covering_reservation(&prefix(text)).map(|(_, owner)| *owner), owner, "{text}");
    }
}

#[test]
fn an_explanation_tells_who_gets_a_url_and_whom_that_shadows() {
    let table = table(&[
        ("http://+:80/vroot/", "1"),
        ("http://+:80/", "0"),
        ("http://+:80/vroot/", ""),
        ("http://adatum.com:80/", "2"),
        ("http://*:80/vroot/x/", "3"),
    ]);
    let local = "10.0.0.1".parse().unwrap();
    let explain = |table: &Routes, url: &str| table.explain_url(url, local, Cooking::Strict).unwrap();
    let explanation = explain(&table, "http://adatum.com/vroot/x/y?z");
    assert_eq!(explanation.outcome, Outcome::Registered);
    assert_eq!(explanation.decided_by.as_ref().unwrap().prefix, prefix("http://+:80/vroot/"));
    let shadowed: Vec<_> =
        explanation.shadowed.iter().map(|shadowed| (shadowed.entry.prefix.as_str(), shadowed.reason)).collect();
    assert_eq!(
        shadowed,
        [
            ("http://+:80/vroot/", Reason::InUse),
            ("http://+:80/", Reason::ShorterPath),
            ("http://adatum.com:80/", Reason::LaterBucket),
            ("http://*:80/vroot/x/", Reason::LaterBucket),
        ]
    );
    assert_eq!(serde_json::to_value(&explanation).unwrap()["shadowed"][0]["reason"], "in_use");

    let reserved = self::table(&[("http://*:80/vroot/", "A"), ("http://adatum.com:80/", "")]);
    let explanation = explain(&reserved, "http://adatum.com/vroot/f");
    assert_eq!((explanation.outcome, explanation.decided_by.unwrap().kind), (Outcome::Reserved, EntryKind::Reservation));
    assert_eq!(explanation.shadowed[0].reason, Reason::LaterBucket);
    assert_eq!(explanation.would_go_to.unwrap().prefix, prefix("http://*:80/vroot/"));
    assert_eq!(explain(&reserved, "https://adatum.com:80/vroot/f").outcome, Outcome::WrongScheme);
    assert_eq!(explain(&reserved, "http://other.com/").outcome, Outcome::NoPath);
    assert_eq!(explain(&reserved, "http://other.com:81/").outcome, Outcome::NoHost);
}

#[test]
fn a_url_that_no_request_can_have_is_an_error_that_says_what_is_wrong_and_where() {
    for (url, mode, error) in [
        ("/vroot/", Cooking::Strict, "it is not a whole URL"),
        ("example.com/x", Cooking::Strict, "it is not a whole URL"),
        ("localhost:80", Cooking::HttpSys, "it is not a whole URL"),
        ("ftp://a/", Cooking::Strict, "the scheme \"ftp\" is not served: write http or https"),
        ("http:///x", Cooking::Strict, "gets 400 (URL): the request target is a URL without a host"),
        ("http://a/b%41/%zz/c", Cooking::Strict, "broken percent escape (at character 15: \"%zz/c\")"),
        ("http://a/é", Cooking::Strict, "400 (Forbidden): the request target has a non-ASCII character"),
        ("http://a/x y?z", Cooking::Strict, "space or control character (at character 11: \" y?z\")"),
        ("http://a/%00", Cooking::Strict, "space or control character (at character 10: \"%00\")"),
        ("http://a/x\\y", Cooking::Strict, "backslash (at character 11: \"\\\\y\")"),
        ("http://a/%C3%28", Cooking::Strict, "valid UTF-8 (at character 10: \"%C3%28\")"),
        ("http://a/b/../../c", Cooking::Strict, "above the root (at character 15: \"../c\")"),
        ("http://a?b/c", Cooking::Strict, "slash in its query (at character 11: \"/c\")"),
        ("http://me@a/", Cooking::Strict, "400 (Hostname): the host contains the byte 0x40 (at character 10: \"@a/\")"),
        ("http://a:99999/", Cooking::Strict, "from 0 to 65535 (at character 10: \"99999/\")"),
        ("http://[::ffff:1.2.3.4]/", Cooking::Strict, "IPv4 address in IPv6 form (at character 8: \"[::ffff:1.2.…\")"),
    ] {
        let said = AskedUrl::parse(url, mode).unwrap_err().to_string();
        assert!(said.contains(error), "{url}: {said}");
    }
}

#[test]
fn a_url_is_read_as_a_client_sends_it() {
    for (url, mode, host, port, path) in [
        ("HTTP://Example.com?q", Cooking::Strict, Some("Example.com"), 80, "/"),
        ("https://a/x/../%41?b#c", Cooking::Strict, Some("a"), 443, "/A"),
        ("http://a/x#/y", Cooking::Strict, Some("a"), 80, "/x"),
        ("http://bücher.example:81/", Cooking::Strict, Some("xn--bcher-kva.example"), 81, "/"),
        ("http://[::1]:8080/", Cooking::Strict, Some("[::1]"), 8080, "/"),
        ("http://+:8080/x", Cooking::Strict, None, 8080, "/x"),
        ("http://*/x", Cooking::Strict, None, 80, "/x"),
        ("http://a/x%2Fy", Cooking::Strict, Some("a"), 80, "/x%2Fy"),
        ("http://a/x%2Fy\\z", Cooking::HttpSys, Some("a"), 80, "/x/y/z"),
    ] {
        let asked = AskedUrl::parse(url, mode).unwrap();
        assert_eq!((asked.host.as_deref(), asked.port, &*asked.path), (host, port, path), "{url}");
    }
    let asked = AskedUrl::of_prefix(&prefix("http://bücher.example:80/ein Café/"));
    assert_eq!((asked.host.as_deref(), &*asked.path), (Some("xn--bcher-kva.example"), "/ein Café/"));
}

#[test]
fn a_prefix_takes_urls_from_some_entries_and_gets_none_from_others() {
    const ENTRIES: &[(&str, &str)] = &[
        ("http://+:80/a/", "1"),
        ("http://+:80/a/b/", ""),
        ("http://shop:80/a/", "2"),
        ("http://other:80/", "3"),
        ("http://10.0.0.1:80/a/", "4"),
        ("http://*:80/", "5"),
        ("http://*:80/a/b/c/", ""),
        ("http://*:81/", "6"),
    ];
    let table = table(ENTRIES);
    // `>` loses URLs to the prefix, `<` takes them from it; `!` is all that the loser has.
    let overlaps = |asked: &str| {
        let overlaps = table.overlaps(&prefix(asked));
        let show = |sign: &str, overlap: &narthex_proto::explain::Overlap| {
            let entry = overlap.entry.prefix.as_str().trim_start_matches("http://").replacen(":80", "", 1);
            format!("{sign}{}{entry}", if overlap.whole { "!" } else { "" })
        };
        let shadows = overlaps.shadows.iter().map(|overlap| show(">", overlap));
        let shadowed_by = overlaps.shadowed_by.iter().map(|overlap| show("<", overlap));
        shadows.chain(shadowed_by).collect::<Vec<_>>().join(" ")
    };
    for (asked, expected) in [
        ("http://+:80/a/b/", ">+/a/ >other/ >shop/a/ >10.0.0.1/a/ >*/ >!*/a/b/c/"),
        ("http://+:80/", ">!other/ >!shop/a/ >!10.0.0.1/a/ >!*/ >!*/a/b/c/ <+/a/ <+/a/b/"),
        ("http://shop:80/a/b/c/", ">shop/a/ >10.0.0.1/a/ >*/ >*/a/b/c/ <!+/a/ <!+/a/b/"),
        ("http://shop:80/a/", ">10.0.0.1/a/ >*/ >*/a/b/c/ <!+/a/ <+/a/b/"),
        ("http://10.0.0.1:80/A/x/", ">10.0.0.1/a/ >*/ <!+/a/ <other/ <shop/a/"),
        ("http://10.0.0.2:80/x/", ">*/ <other/"),
        ("http://*:80/a/b/c/d/", ">*/ <!+/a/ <!+/a/b/ <other/ <shop/a/ <10.0.0.1/a/"),
        ("http://+:81/", ">!*:81/"),
        ("http://+:82/", ""),
        ("https://+:80/", ""),
    ] {
        assert_eq!(overlaps(asked), expected, "{asked}");
    }
}

/// The obvious implementation: look at every entry, bucket by bucket.
fn reference<'a>(
    entries: &'a [(UrlPrefix, bool)],
    local: SocketAddr,
    host: Option<&str>,
    path: &str,
) -> Result<&'a (UrlPrefix, bool), bool> {
    let matches_path = |prefix: &UrlPrefix| format!("{}/", path.to_lowercase()).starts_with(&prefix.path().to_lowercase());
    let mut host_seen = false;
    for bucket in Bucket::ORDER {
        let in_bucket: Vec<_> = entries
            .iter()
            .filter(|(prefix, _)| prefix.port().get() == local.port() && Bucket::of(prefix) == bucket)
            .filter(|(prefix, _)| match prefix.host() {
                PrefixHost::Name(name) => host.is_some_and(|host| host.to_lowercase() == **name),
                PrefixHost::Ip(ip) => *ip == local.ip(),
                _ => true,
            })
            .collect();
        host_seen |= !in_bucket.is_empty();
        let longest = in_bucket.into_iter().filter(|(prefix, _)| matches_path(prefix));
        // A registration comes before the reservation of the same path.
        if let Some(entry) = longest.max_by_key(|(prefix, live)| (prefix.path().len(), *live)) {
            return Ok(entry);
        }
    }
    Err(host_seen)
}

fn any_prefix() -> impl Strategy<Value = UrlPrefix> {
    let host = prop::sample::select(vec!["+", "*", "h", "Other.example", "10.0.0.1", "[::1]"]);
    let port = prop::sample::select(vec![80, 81]);
    // Few letters, so that prefixes overlap.
    (host, port, "(([ab]|[a-zA-Z]|ab)/){0,4}").prop_map(|(host, port, path)| prefix(&format!("http://{host}:{port}/{path}")))
}

fn any_request() -> impl Strategy<Value = (SocketAddr, Option<&'static str>, String)> {
    let local = prop::sample::select(vec!["10.0.0.1:80", "10.0.0.2:80", "[::1]:81", "10.0.0.1:81", "10.0.0.1:82"]);
    let host = prop::sample::select(vec![None, Some("h"), Some("H"), Some("other.EXAMPLE"), Some("unknown"), Some("10.0.0.1")]);
    (local, host, "(/([ab]|[a-zA-Z]|ab|)){1,5}").prop_map(|(local, host, path)| (local.parse().unwrap(), host, path))
}

proptest! {
    #[test]
    fn routes_equal_those_of_the_reference(
        added in prop::collection::vec((any_prefix(), any::<bool>()), 0..80),
        removed in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        requests in prop::collection::vec(any_request(), 1..30),
    ) {
        let mut table = Table::<(), ()>::new();
        let mut entries: Vec<(UrlPrefix, bool)> = Vec::new();
        for (prefix, live) in added {
            let result = if live { table.register(prefix.clone(), ()) } else { table.reserve(prefix.clone(), ()) };
            prop_assert_eq!(result.is_err(), entries.contains(&(prefix.clone(), live)));
            if result.is_ok() {
                entries.push((prefix, live));
            }
        }
        for index in removed {
            if !entries.is_empty() {
                let (prefix, live) = entries.swap_remove(index.index(entries.len()));
                let gone = if live { table.unregister(&prefix) } else { table.unreserve(&prefix) };
                prop_assert_eq!(gone, Some(()));
            }
        }
        prop_assert_eq!(table.registrations().count(), entries.iter().filter(|(_, live)| *live).count());
        prop_assert_eq!(table.reservations().count(), entries.iter().filter(|(_, live)| !*live).count());
        for (local, host, path) in requests {
            let parsed = host.map(|host| RequestHost::parse(host.as_bytes()).unwrap());
            let route = table.route(Scheme::Http, local, parsed.as_ref(), &path);
            let actual = match route {
                Route::Registered { prefix, .. } => Ok((prefix, true)),
                Route::Reserved { prefix, .. } => Ok((prefix, false)),
                Route::NoPath => Err(true),
                Route::NoHost => Err(false),
            };
            let expected = reference(&entries, local, host, &path).map(|(prefix, live)| (prefix, *live));
            prop_assert_eq!(actual, expected, "{} {:?} {}", local, host, path);
            let explained = table.explain(Scheme::Http, local, parsed.as_ref(), &path);
            prop_assert_eq!(explained.decided_by.as_ref().map(|winner| &winner.prefix), actual.ok().map(|(prefix, _)| prefix));
            prop_assert_eq!(explained.outcome == Outcome::NoPath, actual == Err(true));
        }
    }
}
