//! How request targets are cooked, by our rules and by HTTP.sys's.

use http::uri::PathAndQuery;
use narthex_proto::cooked::{CookError, Cooking, cook, cook_bytes};
use proptest::prelude::*;

use CookError as E;
use Cooking::{HttpSys, Strict};

/// The cooked path.
fn cooked(target: &str, mode: Cooking) -> Result<String, CookError> {
    cook(target, mode).map(|target| target.path().to_owned())
}

/// `(path_base, path_and_query)` of what the app sees.
fn relative(target: &str, prefix_path: &str, mode: Cooking) -> (String, String) {
    let target = cook(target, mode).unwrap_or_else(|error| panic!("{target}: {error}"));
    let relative = target.relative_to(prefix_path);
    (relative.path_base.into_owned(), relative.path_and_query.into_owned())
}

#[test]
fn httpsys_cooking_reproduces_its_vectors() {
    for (target, expected) in [
        ("/baSe", Ok("/baSe")),
        ("/base", Ok("/base")),
        ("///base/p", Ok("/base/p")),
        ("/baSe\\ball//x", Ok("/baSe/ball/x")),
        ("/base%5cball//x", Ok("/base/ball/x")),
        ("/base%2fball//x", Ok("/base/ball/x")),
        ("/base/\\ball", Ok("/base/ball")),
        ("/base/%2Fball", Ok("/base/ball")),
        ("///baSe//ball//x", Ok("/baSe/ball/x")),
        ("/a/d/../b/c", Ok("/a/b/c")),
        ("/a/./b/c", Ok("/a/b/c")),
        ("/a/b/%2E%2E/c", Ok("/a/c")),
        ("/base/call/.%2e/ball", Ok("/base/ball")),
        ("/base/call//../ball", Ok("/base/ball")),
        ("/something{path}", Ok("/something{path}")),
        ("/base../", Ok("/base../")),
        ("//a/b//c", Ok("/a/b/c")),
        ("/%252F", Ok("/%2F")),
        ("/path%", Err(E::Escape)),
        ("/path%XY", Err(E::Escape)),
        ("/path%F", Err(E::Escape)),
        ("/%%32", Err(E::Escape)),
        ("/%A", Err(E::Escape)),
        ("/%F0%8F%8F%BF", Err(E::EscapedNotUtf8)),
        ("/a b", Err(E::Control)),
        ("/%C0%A4", Ok("/À¤")),
        ("/%E0%80%AF", Ok("/à€¯")),
        ("/%C0%32%A4", Ok("/À2¤")),
        ("/%u00e4%u20AC", Ok("/ä€")),
        ("/%uD83D%uDE00", Ok("/😀")),
        ("/%uD83D", Err(E::EscapedNotUtf8)),
        ("/%u00", Err(E::Escape)),
        ("/%u0007", Err(E::Control)),
        ("/a%u002Fb", Ok("/a/b")),
        ("/%C3%A4", Ok("/ä")),
        ("/ä", Ok("/ä")),
        ("/a\u{1}", Err(E::Control)),
        ("/a\r", Err(E::Control)),
        ("/a\tb\nc", Ok("/a\tb\nc")),
        ("/a%09", Err(E::Control)),
        ("/a%0A", Err(E::Control)),
        ("/%00", Err(E::Control)),
        ("/%1F", Err(E::Control)),
        ("/../../a", Ok("/a")),
        ("/a/..", Ok("/")),
        ("/a/.", Ok("/a/")),
    ] {
        assert_eq!(cooked(target, HttpSys).as_deref().map_err(|error| *error), expected, "{target}");
    }
}

#[test]
fn strict_cooking_has_one_reading_or_none() {
    for (target, expected) in [
        ("/", Ok("/")),
        ("/baSe", Ok("/baSe")),
        ("/a/b.c/~d;e=f,g/$&'()*+:@!-_", Ok("/a/b.c/~d;e=f,g/$&'()*+:@!-_")),
        ("/.well-known/x", Ok("/.well-known/x")),
        ("/...", Ok("/...")),
        ("/caf%C3%A9", Ok("/café")),
        ("/%41%7e", Ok("/A~")),
        ("/a%20b", Ok("/a b")),
        ("/a%3Fb%23c", Ok("/a?b#c")),
        // Separators and percent signs stay what they are: data.
        ("/a%2fb", Ok("/a%2Fb")),
        ("/a%5cb", Ok("/a%5Cb")),
        ("/%252F", Ok("/%252F")),
        ("/%25", Ok("/%25")),
        ("/a/..%2F..%2Fb", Ok("/a/..%2F..%2Fb")),
        // Empty segments are segments.
        ("//a/b//c", Ok("//a/b//c")),
        ("///base/p", Ok("///base/p")),
        ("/base/call//../ball", Ok("/base/call/ball")),
        ("/a/d/../b/c", Ok("/a/b/c")),
        ("/a/./b/c", Ok("/a/b/c")),
        ("/a/b/%2E%2E/c", Ok("/a/c")),
        ("/base/call/.%2e/ball", Ok("/base/ball")),
        ("/a/..", Ok("/")),
        ("/a/b/..", Ok("/a/")),
        ("/a/.", Ok("/a/")),
        ("/a/../", Ok("/")),
        ("/..", Err(E::AboveRoot)),
        ("/a/../../b", Err(E::AboveRoot)),
        ("/%2e%2E/etc", Err(E::AboveRoot)),
        ("/path%", Err(E::Escape)),
        ("/path%XY", Err(E::Escape)),
        ("/path%F", Err(E::Escape)),
        ("/%%32", Err(E::Escape)),
        ("/%A", Err(E::Escape)),
        ("/%+1", Err(E::Escape)),
        ("/%u00e4", Err(E::Escape)),
        ("/%F0%8F%8F%BF", Err(E::EscapedNotUtf8)),
        ("/%C0%A4", Err(E::EscapedNotUtf8)),
        ("/%C0%AF", Err(E::EscapedNotUtf8)),
        ("/%E0%80%AF", Err(E::EscapedNotUtf8)),
        ("/%C0%32%A4", Err(E::EscapedNotUtf8)),
        ("/%ED%A0%80", Err(E::EscapedNotUtf8)),
        ("/%FF", Err(E::EscapedNotUtf8)),
        ("/a b", Err(E::Control)),
        ("/a\tb", Err(E::Control)),
        ("/%00", Err(E::Control)),
        ("/%1F", Err(E::Control)),
        ("/%7F", Err(E::Control)),
        ("/%C2%85", Err(E::Control)),
        ("/a\\b", Err(E::Backslash)),
        ("/ä", Err(E::NonAscii)),
        ("/a?ä", Err(E::NonAscii)),
        ("/a?b c", Err(E::Control)),
        ("/a?\u{7f}", Err(E::Control)),
    ] {
        assert_eq!(cooked(target, Strict).as_deref().map_err(|error| *error), expected, "{target}");
    }
}

#[test]
fn the_query_is_passed_through() {
    for (target, path, query) in [
        ("/a?b=c", "/a", Some("b=c")),
        ("/a?", "/a", Some("")),
        ("/a", "/a", None),
        ("/a?b?c=/../%zz\\%2F", "/a", Some("b?c=/../%zz\\%2F")),
        ("/forums/1/topics/2375?page=1#posts-17408", "/forums/1/topics/2375", Some("page=1#posts-17408")),
        ("/a#b?c", "/a#b", Some("c")),
    ] {
        for mode in [Strict, HttpSys] {
            let cooked = cook(target, mode).unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!((cooked.path(), cooked.query()), (path, query), "{target}");
            assert_eq!(cooked.raw(), target);
        }
    }
}

#[test]
fn absolute_targets_carry_their_own_authority() {
    for (target, authority, raw_path, query) in [
        ("http://h:81/x?y", "h:81", "/x", Some("y")),
        ("HTTPS://h/x", "h", "/x", None),
        ("http://h:81", "h:81", "/", None),
        ("http://h?y=1", "h", "/", Some("y=1")),
        ("http://h/?a/b", "h", "/", Some("a/b")),
        ("http://u@h\\x/", "u@h\\x", "/", None),
    ] {
        for mode in [Strict, HttpSys] {
            let cooked = cook(target, mode).unwrap_or_else(|error| panic!("{target}: {error}"));
            assert_eq!(cooked.authority(), Some(authority), "{target}");
            assert_eq!((cooked.raw_path(), cooked.path(), cooked.query()), (raw_path, raw_path, query), "{target}");
            assert_eq!(cooked.raw(), target);
        }
    }
    assert_eq!(relative("http://h", "/", Strict), (String::new(), "/".into()));
    assert_eq!(relative("http://h?y=1", "/", Strict), (String::new(), "/?y=1".into()));
    assert_eq!(relative("http://h/base/x", "/base/", Strict), ("/base".into(), "/x".into()));
}

#[test]
fn targets_of_other_forms_are_refused() {
    for (target, error) in [
        ("", E::Empty),
        ("example.com:443", E::AuthorityForm),
        ("[::1]:443", E::AuthorityForm),
        ("example.com", E::NotAPath),
        ("a/b", E::NotAPath),
        ("*a", E::NotAPath),
        ("?a", E::NotAPath),
        ("#a", E::NotAPath),
        ("\\a", E::NotAPath),
        ("a b://c", E::NotAPath),
        ("ftp://h/x", E::OtherScheme),
        ("http:///x", E::AuthorityMissing),
        ("http://", E::AuthorityMissing),
        ("http://?x", E::AuthorityMissing),
        ("http://h#x", E::NotAPath),
        ("http://h?a/b", E::QueryWithoutPath),
    ] {
        for mode in [Strict, HttpSys] {
            assert_eq!(cooked(target, mode), Err(error), "{target}");
        }
        assert_eq!(error.is_url(), error != E::AuthorityForm);
    }
    assert_eq!(cook_bytes(b"/\xff", Strict), Err(E::NonAscii));
    assert_eq!(cook_bytes(b"/\xff", HttpSys), Err(E::NotUtf8));
}

#[test]
fn the_asterisk_has_no_path() {
    let target = cook("*", Strict).unwrap();
    assert!(target.is_asterisk());
    assert_eq!((target.raw(), target.path(), target.raw_path(), target.query()), ("*", "", "", None));
    assert_eq!(relative("*", "/", Strict), (String::new(), "*".into()));
    assert!(!cook("http://h", Strict).unwrap().is_asterisk());
}

#[test]
fn the_app_sees_the_target_behind_its_prefix() {
    for (target, prefix, base, rest) in [
        ("/a/b?c", "/", "", "/a/b?c"),
        ("//a/b//c", "/", "", "//a/b//c"),
        ("/base", "/base/", "/base", "/"),
        ("/base?x=1", "/base/", "/base", "/?x=1"),
        ("/base/", "/base/", "/base", "/"),
        ("/baSe/x%20y/z?q=%2F", "/base/", "/baSe", "/x%20y/z?q=%2F"),
        ("/b%61se/x", "/base/", "/b%61se", "/x"),
        ("/base//x", "/base/", "/base", "//x"),
        ("/a/b/c/d", "/a/b/", "/a/b", "/c/d"),
        ("/caf%C3%A9/x", "/café/", "/caf%C3%A9", "/x"),
        ("/%252F", "/", "", "/%252F"),
        ("/base/a%2Fb", "/base/", "/base", "/a%2Fb"),
        // Resolved targets are encoded again from what was routed.
        ("/x/../base/caf%c3%a9/./a%2fb%25?q", "/base/", "/base", "/caf%C3%A9/a%2Fb%25?q"),
        ("/a/../base", "/base/", "/base", "/"),
        ("/a/..?q", "/", "", "/?q"),
        // What `http::Uri` cannot hold is encoded.
        ("/a<b>#c`d?e#f\"", "/", "", "/a%3Cb%3E%23c%60d?e%23f%22"),
        ("/base/{a}|^[b]", "/base/", "/base", "/{a}|^[b]"),
        ("/a?page=1#posts", "/a/", "/a", "/?page=1%23posts"),
    ] {
        let (path_base, path_and_query) = relative(target, prefix, Strict);
        assert_eq!((&*path_base, &*path_and_query), (base, rest), "{target}");
        assert!(path_and_query.parse::<PathAndQuery>().is_ok(), "{target}");
    }
}

#[test]
fn what_httpsys_resolves_reaches_the_app_resolved() {
    for (target, prefix, base, rest) in [
        ("///baSe\\ball//x?q", "/base/ball/", "/baSe/ball", "/x?q"),
        ("/base%2fball", "/base/ball/", "/base/ball", "/"),
        // As many slashes as before, and yet not the same ones.
        ("/base\\a//b", "/base/", "/base", "/a/b"),
        ("/base/call//../ball/%41", "/base/ball/", "/base/ball", "/A"),
        ("/base/%u00e4%25", "/base/", "/base", "/%C3%A4%25"),
        ("/base/%C0%A4", "/base/", "/base", "/%C3%80%C2%A4"),
        ("/base/ä%41", "/base/", "/base", "/%C3%A4%41"),
        ("/%252F", "/", "", "/%252F"),
    ] {
        let (path_base, path_and_query) = relative(target, prefix, HttpSys);
        assert_eq!((&*path_base, &*path_and_query), (base, rest), "{target}");
        assert!(path_and_query.parse::<PathAndQuery>().is_ok(), "{target}");
    }
}

#[test]
fn plain_targets_are_borrowed() {
    use std::borrow::Cow;
    for (target, prefix) in [("/", "/"), ("/a/b.c?d=%20", "/"), ("/base/x%20y?z", "/base/"), ("/base", "/base/")] {
        let relative = cook(target, Strict).unwrap().relative_to(prefix);
        assert!(matches!(relative.path_base, Cow::Borrowed(_)), "{target}");
        assert!(matches!(relative.path_and_query, Cow::Borrowed(_)), "{target}");
    }
}

/// Targets made of the pieces that matter, in any order.
fn target() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        4 => Just("/".to_owned()),
        2 => "[a-zA-Z0-9]{1,3}",
        1 => Just(".".to_owned()),
        1 => Just("..".to_owned()),
        2 => "%[0-9a-fA-F]{2}",
        1 => prop::sample::select(vec!["%C3%A4", "%2e", "%2F", "%5C", "%25", "%u00e4", "%u002f", "\\", "?", "#", "ä", "%3F"])
            .prop_map(str::to_owned),
        1 => "[ -~]",
    ];
    prop::collection::vec(piece, 0..12).prop_map(|pieces| format!("/{}", pieces.concat()))
}

proptest! {
    #[test]
    fn cooking_never_panics(target in ".{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40), prefix in "/([a-z]/){0,3}") {
        for mode in [Strict, HttpSys] {
            for cooked in [cook(&target, mode), cook_bytes(&bytes, mode)].into_iter().flatten() {
                let relative = cooked.relative_to(&prefix);
                prop_assert!(relative.path_and_query == "*" || relative.path_and_query.starts_with('/'));
            }
        }
    }

    /// Router and app agree: what the app sees is cooked into what was routed, and takes no second step.
    #[test]
    fn what_the_app_sees_cooks_to_what_was_routed(target in target()) {
        for mode in [Strict, HttpSys] {
            let Ok(cooked) = cook(&target, mode) else { continue };
            let relative = cooked.relative_to("/");
            prop_assert!(relative.path_and_query.parse::<PathAndQuery>().is_ok(), "{}", relative.path_and_query);
            let again = cook(&relative.path_and_query, mode);
            prop_assert_eq!(again.as_ref().map(|again| again.path()), Ok(cooked.path()), "{} in {:?}", relative.path_and_query, mode);
            // Our form is a fixed point by itself: where it can be sent as it is, nothing is left to decode.
            let sendable = |byte: u8| byte.is_ascii_graphic() && !b"?\\".contains(&byte);
            if mode == Strict && cooked.path().bytes().all(sendable) {
                let again = cook(cooked.path(), Strict);
                prop_assert_eq!(again.as_ref().map(|again| again.path()), Ok(cooked.path()));
            }
        }
    }

    #[test]
    fn a_strict_path_has_no_dot_segments_or_separators_left(target in target()) {
        if let Ok(cooked) = cook(&target, Strict) {
            prop_assert!(cooked.path().starts_with('/'));
            prop_assert!(cooked.path().split('/').all(|segment| segment != "." && segment != ".."));
            prop_assert!(!cooked.path().contains('\\'));
        }
    }
}
