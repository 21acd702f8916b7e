//! Which requests fill the cache, and which are answered from it.

use crate::caching::stage::{Asker, CACHED, Stage, answer, count, is_stored};

const PUBLIC: &str = "header=cache-control: public, max-age=60";

#[test]
fn requests_that_are_for_one_client_neither_fill_the_cache_nor_are_answered_from_it() {
    let stage = Stage::new();
    for (index, (query, lines)) in [
        (CACHED, "Authorization: Basic YTpi\r\n"),
        (PUBLIC, "Authorization: Basic YTpi\r\n"),
        (CACHED, "Proxy-Authorization: Basic YTpi\r\n"),
        (CACHED, "Cookie: a=b\r\n"),
        (CACHED, "Translate: f\r\n"),
        (CACHED, "If-Match: \"a\"\r\n"),
        (CACHED, "If-Unmodified-Since: Sun, 22 Nov 2026 10:00:00 GMT\r\n"),
        (CACHED, "Content-Length: 2\r\n\r\nab"),
        (CACHED, "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ]
    .into_iter()
    .enumerate()
    {
        let target = answer(&format!("{query}&row={index}"));
        let first = stage.get_with(&target, lines);
        let second = stage.get(&target);
        assert!(!is_stored(&second) && count(&second) > count(&first), "{lines:?} fills the cache");
        assert!(is_stored(&stage.get(&target)));
        assert!(!is_stored(&stage.get_with(&target, lines)), "{lines:?} is answered from the cache");
    }
}

#[test]
fn what_says_public_is_for_clients_with_cookies_too() {
    let stage = Stage::new();
    let target = answer(PUBLIC);
    let first = stage.get_with(&target, "Cookie: a=b\r\n");
    let second = stage.get_with(&target, "Cookie: c=d\r\n");
    assert!(is_stored(&second) && count(&first) == count(&second));
}

#[test]
fn a_range_is_answered_from_the_cache_and_does_not_fill_it() {
    let stage = Stage::new();
    let target = answer(CACHED);
    for lines in ["Range: bytes=0-1\r\n", "If-Range: \"a\"\r\n"] {
        assert!(!is_stored(&stage.get_with(&target, lines)));
        assert!(stage.cached().is_empty(), "{lines:?}");
    }
}

#[test]
fn clients_cannot_bypass_the_cache() {
    let stage = Stage::new();
    let target = answer(CACHED);
    stage.get(&target);
    for lines in ["Cache-Control: no-cache\r\n", "Pragma: no-cache\r\n", "Cache-Control: max-age=0\r\n"] {
        assert!(is_stored(&stage.get_with(&target, lines)), "{lines:?}");
    }
}

#[test]
fn other_methods_are_the_app_s_and_do_not_fill_the_cache() {
    let stage = Stage::new();
    for method in ["HEAD", "OPTIONS", "POST", "PUT", "DELETE", "PATCH", "BREW"] {
        let target = answer(&format!("{CACHED}&method={method}"));
        let mut client = stage.connect();
        let counts = [(); 2].map(|()| count(&client.ask(method, &target, "")));
        assert!(counts[0] < counts[1], "{method}");
    }
    assert!(stage.cached().is_empty());
}

#[test]
fn a_change_by_an_unsafe_method_drops_what_is_stored() {
    let stage = Stage::new();
    for (method, dropped) in [("POST", true), ("PUT", true), ("DELETE", true), ("OPTIONS", false), ("HEAD", false)] {
        let target = answer(&format!("{CACHED}&method={method}"));
        let mut client = stage.connect();
        client.get(&target);
        assert!(is_stored(&client.get(&target)));
        client.ask(method, &target, "");
        assert_eq!(is_stored(&client.get(&target)), !dropped, "{method}");
    }
}

#[test]
fn a_change_that_the_app_refuses_drops_nothing() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&status=404"));
    let mut client = stage.connect();
    client.get(&target);
    assert_eq!(client.ask("POST", &target, "").status, 404);
    assert!(is_stored(&client.get(&target)));
}

#[test]
fn host_path_and_query_tell_answers_apart() {
    let stage = Stage::new();
    let ask = |host: &str, target: &str| {
        let mut client = stage.connect();
        let request = format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n");
        client.0.send(request.as_bytes()).expect("the host reads");
        count(&client.answer("GET"))
    };
    let target = answer(CACHED);
    let first = ask("a", &target);
    assert_eq!(ask("A", &target), first);
    for (host, target) in
        [("b", target.clone()), ("a:81", target.clone()), ("a", format!("{target}&x")), ("a", format!("{target}&X"))]
    {
        assert!(ask(host, &target) > first, "{host} {target}");
    }
    assert_eq!(ask("a", &target), first);
}

fn language(client: &mut Asker, target: &str, language: &str) -> u64 {
    count(&client.get_with(target, &format!("Accept-Language: {language}\r\n")))
}

#[test]
fn vary_keeps_variants_apart() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&header=vary: Accept-Language"));
    let mut client = stage.connect();
    let (english, german) = (language(&mut client, &target, "en"), language(&mut client, &target, "de"));
    assert_ne!(english, german);
    assert_eq!(language(&mut client, &target, "en"), english);
    assert_eq!(language(&mut client, &target, "de"), german);
    let none = count(&client.get(&target));
    assert!(none > german);
    assert_eq!(count(&client.get(&target)), none);
}
