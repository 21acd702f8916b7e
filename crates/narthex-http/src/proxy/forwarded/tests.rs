use proptest::prelude::*;

use super::*;

const PEER: &str = "10.0.0.1:5000";

fn asked(peer: &str, headers: &[(&str, &str)]) -> Option<Client> {
    let proxies = TrustedProxies::parse(["10.0.0.0/8", "2001:db8::/32"]).unwrap();
    proxies.client(peer.parse().unwrap(), headers.iter().map(|(name, value)| (*name, value.as_bytes())))
}

/// The client's address and what is known of its connection, if the peer is a trusted proxy.
fn seen(headers: &[(&str, &str)]) -> (String, Option<bool>) {
    asked(PEER, headers).map_or(("nobody".to_owned(), None), |client| (client.address.to_string(), client.secure))
}

fn forwarded(value: &str) -> (String, Option<bool>) {
    seen(&[("Forwarded", value)])
}

fn xff(value: &str) -> String {
    seen(&[("X-Forwarded-For", value)]).0
}

#[test]
fn nobody_but_a_trusted_proxy_is_asked() {
    for headers in [[("X-Forwarded-For", "192.0.2.9")], [("Forwarded", "for=192.0.2.9;proto=https")]] {
        assert_eq!(asked("192.0.2.1:5000", &headers), None);
        assert!(asked(PEER, &headers).is_some());
        assert!(asked("[::ffff:10.0.0.1]:5000", &headers).is_some());
    }
    assert_eq!(asked(PEER, &[("Accept", "192.0.2.9")]), None);
}

#[test]
fn the_last_address_that_is_no_proxys_is_the_client() {
    assert_eq!(xff("192.0.2.9"), "192.0.2.9:0");
    assert_eq!(xff("203.0.113.1, 192.0.2.9"), "192.0.2.9:0");
    assert_eq!(xff("203.0.113.1, 192.0.2.9 ,10.9.9.9,\t10.8.8.8"), "192.0.2.9:0");
    assert_eq!(xff("10.7.7.7, 10.8.8.8"), "10.7.7.7:0", "a proxy is the client");
    assert_eq!(xff("192.0.2.9,, ,"), "192.0.2.9:0");
    let lines = [("X-Forwarded-For", "203.0.113.1"), ("x-forwarded-for", "192.0.2.9"), ("X-FORWARDED-FOR", "10.3.3.3")];
    assert_eq!(seen(&lines).0, "192.0.2.9:0");
    assert_eq!(forwarded("for=203.0.113.1, for=192.0.2.9, for=10.9.9.9").0, "192.0.2.9:0");
}

#[test]
fn what_cannot_be_read_ends_the_walk_at_the_last_one_found() {
    for wrong in ["", "unknown", "_hidden", "192.0.2.9.9", "192.0.2", "[::1", "::1]", "192.0.2.9:port", "\u{e4}", "localhost"] {
        let expected = if wrong.is_empty() { "203.0.113.1:0" } else { "10.9.9.9:0" };
        assert_eq!(xff(&format!("203.0.113.1, {wrong}, 10.9.9.9")), expected, "{wrong:?}");
    }
    for wrong in [
        "for=unknown",
        "for=_hidden",
        "for=\"_hidden:_port\"",
        "proto=https",
        "for=192.0.2.9:80",
        "for=[::1]",
        "for",
        "for=",
        "=192.0.2.9",
        "for=192.0.2.9;for=192.0.2.9",
        "for=192.0.2.9 proto=https",
        "for=\"192.0.2.9\"x",
        "for=\"192.0.2.9",
        "f r=1",
        "for = 192.0.2.9",
        "by=1;by=2",
        "for=\"2001:db9::1\"",
    ] {
        assert_eq!(forwarded(&format!("for=203.0.113.1, {wrong}, for=10.9.9.9")).0, "10.9.9.9:0", "{wrong:?}");
    }
    assert_eq!(xff("nonsense"), PEER);
}

#[test]
fn addresses_come_with_ports_in_brackets_and_in_quotes() {
    assert_eq!(xff("192.0.2.9:4711"), "192.0.2.9:4711");
    assert_eq!(xff("2001:db9::1"), "[2001:db9::1]:0");
    assert_eq!(xff("[2001:db9::1]:4711, 2001:db8::7"), "[2001:db9::1]:4711");
    assert_eq!(xff("::ffff:192.0.2.9"), "192.0.2.9:0");
    assert_eq!(forwarded("For=\"[2001:db9:cafe::17]:4711\"").0, "[2001:db9:cafe::17]:4711");
    assert_eq!(forwarded("for=\"192.0.2.9:_port\";by=\"_a\"").0, "192.0.2.9:0");
    assert_eq!(forwarded("for=\"192.0.\\2.9\"").0, "192.0.2.9:0", "an escape that need not be one");
    assert_eq!(forwarded("host=\"a;b, c\\\"\"; for=192.0.2.9 ;ext=\"x,y\"").0, "192.0.2.9:0");
}

#[test]
fn the_clients_own_connection_decides_whether_it_is_secure() {
    assert_eq!(forwarded("for=192.0.2.9;proto=https, for=10.9.9.9;proto=http").1, Some(true));
    assert_eq!(forwarded("for=192.0.2.9;proto=HTTP, for=10.9.9.9;proto=https").1, Some(false));
    assert_eq!(forwarded("for=192.0.2.9, for=10.9.9.9;proto=https").1, None);
    assert_eq!(forwarded("for=192.0.2.9;proto=gopher").1, None);
    assert_eq!(forwarded("for=_hidden;proto=https"), (PEER.to_owned(), Some(true)), "it is not known who, but how");
    let with = |addresses, schemes| seen(&[("X-Forwarded-For", addresses), ("X-Forwarded-Proto", schemes)]).1;
    assert_eq!(with("192.0.2.9, 10.9.9.9", "https"), Some(true));
    assert_eq!(with("192.0.2.9, 10.9.9.9", "https, http"), Some(true));
    assert_eq!(with("192.0.2.9", "https, http"), Some(false), "a client's own word comes first");
    assert_eq!(seen(&[("X-Forwarded-Proto", "https")]), (PEER.to_owned(), Some(true)));
}

#[test]
fn x_forwarded_for_counts_more_than_forwarded() {
    let both = [("Forwarded", "for=203.0.113.66;proto=https"), ("X-Forwarded-For", "192.0.2.9")];
    assert_eq!(seen(&both), ("192.0.2.9:0".to_owned(), None));
    let unreadable = [("Forwarded", "for=203.0.113.66"), ("X-Forwarded-For", "?")];
    assert_eq!(seen(&unreadable).0, PEER);
}

#[test]
fn quotes_that_a_client_leaves_open_hide_nothing_that_proxies_add() {
    for left in ["for=\"", "for=\"\\", "\"\\\",\"", "for=\"a\\\\\"\"", "\"", "for=\"x, for=203.0.113.66"] {
        let client = forwarded(&format!("{left}, for=192.0.2.9;host=\"a,b\\\\\", for=10.9.9.9"));
        assert_eq!(client.0, "192.0.2.9:0", "{left}");
    }
}

proptest! {
    #[test]
    fn nothing_that_comes_before_a_proxys_word_changes_the_client(left in "[ -~]{0,60}", bytes: Vec<u8>) {
        let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        let peer = PEER.parse().unwrap();
        for (name, word) in [("Forwarded", "for=\"192.0.2.9:80\""), ("X-Forwarded-For", "192.0.2.9:80")] {
            for left in [left.as_bytes(), &bytes] {
                let value = [left, b", ", word.as_bytes()].concat();
                let client = proxies.client(peer, [(name, &*value)].into_iter());
                prop_assert_eq!(client.map(|client| client.address.to_string()), Some("192.0.2.9:80".to_owned()));
            }
        }
    }

    #[test]
    fn no_bytes_panic(value: Vec<u8>, text in "[\\\\\";,=a-z0-9 .:\\[\\]_]{0,40}") {
        let proxies = TrustedProxies::parse(["10.0.0.0/8"]).unwrap();
        for value in [&value[..], text.as_bytes()] {
            for name in ["Forwarded", "X-Forwarded-For", "X-Forwarded-Proto"] {
                let _ = proxies.client(PEER.parse().unwrap(), [(name, value)].into_iter());
            }
        }
    }
}
