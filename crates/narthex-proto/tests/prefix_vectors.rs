//! The accept and reject vectors of the HTTP Server API's URL prefixes.

use std::collections::HashSet;
use std::num::NonZeroU16;

use narthex_proto::prefix::{PrefixError, PrefixHost, PrefixSpec, Scheme, UrlPrefix};
use proptest::prelude::*;

fn prefix(text: &str) -> UrlPrefix {
    text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn reject(text: &str) -> PrefixError {
    match text.parse::<UrlPrefix>() {
        Ok(prefix) => panic!("{text} was accepted as {prefix}"),
        Err(error) => error,
    }
}

#[test]
fn complete_prefixes_are_accepted() {
    let ip = |text: &str| PrefixHost::Ip(text.parse().unwrap());
    let name = |text: &str| PrefixHost::Name(text.into());
    for (text, scheme, host, port, path) in [
        ("http://+:80/", Scheme::Http, PrefixHost::Strong, 80, "/"),
        ("https://*:443/", Scheme::Https, PrefixHost::Weak, 443, "/"),
        ("http://localhost:50000/", Scheme::Http, name("localhost"), 50000, "/"),
        ("http://Example.COM:1/MyApp/", Scheme::Http, name("example.com"), 1, "/MyApp/"),
        ("http://127.0.0.1:65535/a/b/", Scheme::Http, ip("127.0.0.1"), 65535, "/a/b/"),
        ("http://[::1]:8080/a/", Scheme::Http, ip("::1"), 8080, "/a/"),
        ("http://[0:0::0:1]:8080/", Scheme::Http, ip("::1"), 8080, "/"),
        ("http://no_such-host.internal:80/", Scheme::Http, name("no_such-host.internal"), 80, "/"),
        ("http://BÜCHER.example:80/Größe/", Scheme::Http, name("bücher.example"), 80, "/Größe/"),
        ("http://7up.example:80/", Scheme::Http, name("7up.example"), 80, "/"),
        ("http://+:80/Temporary_Listen_Addresses/", Scheme::Http, PrefixHost::Strong, 80, "/Temporary_Listen_Addresses/"),
        ("http://+:80/My App/{id}/..a/", Scheme::Http, PrefixHost::Strong, 80, "/My App/{id}/..a/"),
    ] {
        let prefix = prefix(text);
        assert_eq!(prefix.scheme(), scheme, "{text}");
        assert_eq!(*prefix.host(), host, "{text}");
        assert_eq!(prefix.port().get(), port, "{text}");
        assert_eq!(prefix.path(), path, "{text}");
    }
}

#[test]
fn incomplete_or_impossible_prefixes_are_rejected() {
    use PrefixError as E;
    let long_host = format!("http://{}:80/", ["a"; 129].join("."));
    let long_segment = format!("http://+:80/{}/", "a".repeat(261));
    let many_segments = format!("http://+:80{}/", "/a".repeat(256));
    for (text, expected) in [
        ("http://localhost:50000", E::SlashMissing("http://localhost:50000".into())),
        ("http://localhost:50000/a", E::SlashMissing("http://localhost:50000/a".into())),
        ("localhost:50000", E::SchemeMissing),
        ("localhost:50000/", E::SchemeMissing),
        ("", E::SchemeMissing),
        ("http", E::SchemeMissing),
        ("http:", E::SchemeMissing),
        ("://+:80/", E::SchemeMissing),
        ("http://", E::HostMissing),
        ("ftp://localhost:80/", E::SchemeUnknown("ftp".into())),
        ("HTTP://localhost:80/", E::SchemeNotLowerCase("http".into())),
        ("Https://localhost:80/", E::SchemeNotLowerCase("https".into())),
        ("http://localhost/", E::PortMissing),
        ("http://localhost:/", E::PortMissing),
        ("http://[::1]/", E::PortMissing),
        ("http://localhost:0/", E::PortInvalid),
        ("http://localhost:080/", E::PortInvalid),
        ("http://localhost:-1/", E::PortInvalid),
        ("http://localhost:+1/", E::PortInvalid),
        ("http://localhost:65536/", E::PortInvalid),
        ("http://localhost:99999999999/", E::PortInvalid),
        ("http://localhost:trash/", E::PortInvalid),
        ("http://localhost:*/", E::PortInvalid),
        ("http://:80/", E::HostMissing),
        ("http:///", E::HostMissing),
        ("http://0.0.0.0:80/", E::HostUnspecified("0.0.0.0".into())),
        ("http://[::]:80/", E::HostUnspecified("[::]".into())),
        ("http://[::1%2]:80/", E::HostScopeId("::1%2".into())),
        ("http://[::ffff:127.0.0.1]:80/", E::HostMapped([127, 0, 0, 1].into())),
        ("http://192.:80/", E::HostInvalid("192.".into())),
        ("http://192:80/", E::HostInvalid("192".into())),
        ("http://1.2.3.256:80/", E::HostInvalid("1.2.3.256".into())),
        ("http://[]:80/", E::HostInvalid("[]".into())),
        ("http://[:80/", E::HostInvalid("[:80".into())),
        ("http://[", E::HostInvalid("[".into())),
        ("http://[[]/", E::HostInvalid("[[]".into())),
        ("http://[::1]x:80/", E::HostInvalid("[::1]x:80".into())),
        ("http://::/", E::HostInvalid("::".into())),
        ("http://::1:80/", E::HostInvalid("::1:80".into())),
        ("http://.:80/", E::HostInvalid(".".into())),
        ("http://example.com.:80/", E::HostInvalid("example.com.".into())),
        ("http://\\\\:80/", E::HostInvalid("\\\\".into())),
        ("http://user@example.com:80/", E::HostInvalid("user@example.com".into())),
        ("http://exa mple:80/", E::HostInvalid("exa mple".into())),
        ("http://*.example.com:80/", E::HostPartialWildcard("*.example.com".into())),
        ("http://xn--bcher-kva.example:80/", E::HostPunycode("xn--bcher-kva.example".into())),
        ("http://a.XN--bcher-kva:80/", E::HostPunycode("a.XN--bcher-kva".into())),
        ("http://+:80/p//sub_path/", E::PathEmptySegment),
        ("http://+:80//", E::PathEmptySegment),
        ("http://+:80/%/", E::PathEscaped),
        ("http://+:80/a%20b/", E::PathEscaped),
        ("http://+:80/a/../b/", E::PathDotSegment),
        ("http://+:80/./", E::PathDotSegment),
        ("http://+:80/a?b/", E::PathCharacter('?')),
        ("http://+:80/a#b/", E::PathCharacter('#')),
        ("http://+:80/a\\b/", E::PathCharacter('\\')),
        ("http://+:80/a\nb/", E::PathCharacter('\n')),
        (&long_host, E::HostTooLong),
        (&long_segment, E::PathTooLong),
        (&many_segments, E::PathTooLong),
    ] {
        assert_eq!(reject(text), expected, "{text}");
    }
}

#[test]
fn a_rejection_says_what_to_write_instead() {
    assert_eq!(reject("http://+:80/a").to_string(), "a prefix ends with a slash: write http://+:80/a/");
    assert_eq!(reject("HTTP://+:80/").to_string(), "write the scheme in lower case: http://");
    assert!(reject("http://0.0.0.0:80/").to_string().contains("write + or *"));
}

#[test]
fn prefixes_that_differ_in_case_only_are_equal() {
    let written = prefix("http://Shop.example:80/MyApp/ÄÖ/");
    let other = prefix("http://shop.EXAMPLE:80/myapp/äö/");
    assert_eq!(written, other);
    assert_eq!(HashSet::from([written.clone(), other.clone()]).len(), 1);
    assert_eq!(written.cmp(&other), std::cmp::Ordering::Equal);
    assert_eq!(written.to_string(), "http://shop.example:80/MyApp/ÄÖ/");
    for different in ["https://shop.example:80/myapp/äö/", "http://shop.example:81/myapp/äö/", "http://+:80/myapp/äö/"] {
        assert_ne!(written, prefix(different));
    }
}

#[test]
fn a_spec_fills_in_scheme_case_port_and_slash() {
    for (spec, complete) in [
        ("http://localhost", "http://localhost:80/"),
        ("HTTPS://+", "https://+:443/"),
        ("http://*/a", "http://*:80/a/"),
        ("Http://[::1]/a/b/", "http://[::1]:80/a/b/"),
        ("https://example.com:8443/App", "https://example.com:8443/App/"),
        ("http://+:8888/MyApp/", "http://+:8888/MyApp/"),
    ] {
        let parsed: PrefixSpec = spec.parse().unwrap_or_else(|error| panic!("{spec}: {error}"));
        let resolved = parsed.resolve().unwrap();
        assert_eq!(resolved.to_string(), complete, "{spec}");
        assert_eq!(PrefixSpec::from(&resolved), parsed, "{spec}");
    }
}

#[test]
fn a_spec_with_port_0_waits_for_a_port() {
    let spec: PrefixSpec = "http://localhost:0/a".parse().unwrap();
    assert_eq!((spec.port(), spec.resolve()), (0, None));
    assert_eq!(spec.with_port(NonZeroU16::new(4711).unwrap()), prefix("http://localhost:4711/a/"));
    for wrong in ["http://localhost:00/", "http://localhost:/", "http://localhost:65536/", "localhost", "http://a//b"] {
        assert!(wrong.parse::<PrefixSpec>().is_err(), "{wrong}");
    }
}

#[test]
fn a_prefix_is_a_string_in_json() {
    let prefix = prefix("http://+:80/MyApp/");
    let json = serde_json::to_string(&prefix).unwrap();
    assert_eq!(json, "\"http://+:80/MyApp/\"");
    assert_eq!(serde_json::from_str::<UrlPrefix>(&json).unwrap(), prefix);
    assert!(serde_json::from_str::<UrlPrefix>("\"http://+/\"").is_err());
}

proptest! {
    #[test]
    fn parsing_never_panics_and_what_it_accepts_is_canonical(text in "(http|HTTPS|)(://)?[a-zA-Z0-9.:+*\\[\\]äß_%-]{0,12}(:[0-9]{0,6})?(/.{0,4}){0,4}/?") {
        if let Ok(prefix) = text.parse::<UrlPrefix>() {
            prop_assert_eq!(prefix.to_string().parse::<UrlPrefix>().unwrap().to_string(), prefix.to_string());
            prop_assert!(prefix.path().starts_with('/') && prefix.path().ends_with('/'));
        }
        if let Ok(spec) = text.parse::<PrefixSpec>() {
            let complete = spec.with_port(NonZeroU16::MIN);
            prop_assert_eq!(complete.to_string().parse::<UrlPrefix>().unwrap(), complete);
        }
    }
}
