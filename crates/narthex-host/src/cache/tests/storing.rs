//! Keys, variants, the collector, the budget, and what workers give each other.

use super::*;

#[test]
fn one_url_is_one_entry_and_another_is_not() {
    let cache = cache();
    exchange(&cache, &Asked::get("/a?b"), &Given::public("x"), at(0)).unwrap();
    let other_case = Asked { host: Some(("EXAMPLE.com", None)), ..Asked::get("/a?b") };
    assert!(hit(&cache, &other_case, at(0)).is_some());
    for other in [
        Asked::get("/a"),
        Asked::get("/a?"),
        Asked::get("/a?c"),
        Asked::get("/A?b"),
        Asked::get("/%61?b"),
        Asked { host: Some(("example.org", None)), ..Asked::get("/a?b") },
        Asked { host: Some(("example.com", Some(1337))), ..Asked::get("/a?b") },
    ] {
        assert!(hit(&cache, &other, at(0)).is_none(), "{:?} {}", other.host, other.target);
    }
    assert!(!matches!(cache.look(&Asked::get("/a?b"), APP + 1, at(0).running), Looked::Hit(_)), "another app's");
}

#[test]
fn an_answer_to_an_unusual_spelling_of_a_url_is_not_given_to_others() {
    let spelled = |host: &str| Asked { fields: Vec::new(), ..Asked::get("/") }.with(&[("Host", host)]);
    for host in ["EXAMPLE.com", "example.com.", "example.com.:80", "example.com:", "example.com:080", ""] {
        let cache = cache();
        assert!(exchange(&cache, &spelled(host), &Given::public("x"), at(0)).is_none(), "{host}");
        exchange(&cache, &Asked::get("/"), &Given::public("x"), at(0)).unwrap();
        assert!(hit(&cache, &spelled(host), at(0)).is_some(), "{host}");
    }
    for host in ["example.com", "example.com:80", "[::1]", "[::1]:80"] {
        assert!(exchange(&cache(), &spelled(host), &Given::public("x"), at(0)).is_some(), "{host}");
    }
    let raw = b"GET http://example.com/ HTTP/1.1\r\nHost: elsewhere\r\n\r\n".to_vec();
    let absolute = Asked { raw, ..Asked::get("/") };
    assert!(exchange(&cache(), &absolute, &Given::public("x"), at(0)).is_none());
}

#[test]
fn a_response_is_fresh_until_its_time_is_over() {
    let cache = cache();
    let asked = Asked::get("/");
    exchange(&cache, &asked, &Given::public("x"), at(0)).unwrap();
    assert!(hit(&cache, &asked, at(59)).is_some());
    assert!(hit(&cache, &asked, at(60)).is_none());
    exchange(&cache, &asked, &Given::public("y"), at(61)).unwrap();
    assert_eq!(body(&cache, &asked, at(62)).as_deref(), Some("y"));
    assert_eq!(cache.report(None, at(62).running).len(), 1);
}

fn speaking(language: &str) -> Asked {
    Asked::get("/").with(&[("Accept-Language", language)])
}

fn varying(body: &str) -> Given {
    Given::public(body).with(&[("Vary", "Accept-Language")])
}

#[test]
fn variants_go_to_those_who_ask_alike() {
    let cache = cache();
    exchange(&cache, &speaking("de"), &varying("Hallo"), at(0)).unwrap();
    exchange(&cache, &speaking("en, fr"), &varying("Hello"), at(0)).unwrap();
    exchange(&cache, &Asked::get("/"), &varying("?"), at(0)).unwrap();
    let says = |asked: &Asked| body(&cache, asked, at(1));
    assert_eq!(says(&speaking("de")).as_deref(), Some("Hallo"));
    assert_eq!(says(&speaking("en,fr")).as_deref(), Some("Hello"));
    assert_eq!(says(&Asked::get("/").with(&[("accept-language", "en"), ("accept-language", "fr")])).as_deref(), Some("Hello"));
    assert_eq!(says(&Asked::get("/")).as_deref(), Some("?"));
    assert_eq!(says(&speaking("fr")), None);
    assert_eq!(cache.report(None, at(1).running).len(), 3);
}

#[test]
fn the_variant_that_was_used_least_lately_makes_room() {
    let cache = cache();
    for n in 0..16 {
        exchange(&cache, &speaking(&format!("l{n}")), &varying("x"), at(n)).unwrap();
    }
    assert!(hit(&cache, &speaking("l0"), at(20)).is_some());
    exchange(&cache, &speaking("l16"), &varying("x"), at(21)).unwrap();
    let kept = (0..17).filter(|n| hit(&cache, &speaking(&format!("l{n}")), at(21)).is_some());
    assert_eq!(kept.collect::<Vec<_>>(), [vec![0], (2..17).collect()].concat());
    assert_eq!(cache.report(None, at(21).running).len(), 16);
}

#[test]
fn a_body_of_another_length_than_announced_is_not_stored() {
    let cache = cache();
    let asked = Asked::get("/");
    let collector = |given: &Given| match answer(&cache, &watch(&cache, &asked, at(0)).unwrap(), given, at(0)) {
        Answered::Collect(collector) => collector,
        other => panic!("{other:?}"),
    };
    let mut short = collector(&Given::public("12345"));
    assert!(short.push(b"1234"));
    assert!(cache.store(*short, at(0).running).is_none());
    let mut long = collector(&Given::public("12345"));
    assert!(long.push(b"123"));
    assert!(!long.push(b"456"));
    assert!(!long.push(b"4"), "it has given up");
    assert!(cache.store(*long, at(0).running).is_none());
    drop(collector(&Given::public("12345")));
    assert_eq!((cache.budget.used(), cache.is_empty()), (0, true));
}

#[test]
fn room_is_taken_with_the_head_and_given_back_with_the_last_owner() {
    let budget = CacheBudget::new(10_000);
    let here = Cache::new(Arc::clone(&budget), CacheSettings::default());
    let there = Cache::new(Arc::clone(&budget), CacheSettings::default());
    let given = Given::flushed(&"x".repeat(6_000));
    let first = watch(&here, &Asked::get("/1"), at(0)).unwrap();
    let Answered::Collect(mut collector) = answer(&here, &first, &given, at(0)) else { panic!("there is room") };
    let taken = budget.used();
    assert!((6_500..7_500).contains(&taken), "{taken}");
    assert!(exchange(&there, &Asked::get("/2"), &given, at(0)).is_none(), "there is no room for two");
    assert!(collector.push(&given.body));
    let entry = here.store(*collector, at(0).running).unwrap();
    assert!(there.insert(Arc::clone(&entry), at(0).running));
    drop(entry);
    let flush = Flush { url: None, registrations: None, at: at(1).running };
    assert_eq!((here.flush(&flush), budget.used()), (1, taken));
    assert_eq!((there.flush(&flush), budget.used()), (1, 0));
    assert!(exchange(&there, &Asked::get("/2"), &given, at(2)).is_some());
}

#[test]
fn a_full_cache_lets_the_scavenger_make_room_first() {
    let cache = Cache::new(CacheBudget::new(10_000), CacheSettings::default());
    let given = Given::public(&"x".repeat(6_000));
    exchange(&cache, &Asked::get("/old"), &given, at(0)).unwrap();
    assert!(exchange(&cache, &Asked::get("/new"), &given, at(59)).is_none(), "what is good is not driven out");
    assert!(exchange(&cache, &Asked::get("/new"), &given, at(61)).is_some());
}

#[test]
fn an_entry_is_served_by_every_worker_that_was_given_it_once() {
    let (here, there) = (cache(), cache());
    let asked = Asked::get("/");
    let entry = exchange(&here, &asked, &Given::public("x"), at(0)).unwrap();
    assert!(there.insert(Arc::clone(&entry), at(1).running));
    assert_eq!(body(&there, &asked, at(1)).as_deref(), Some("x"));
    let newer = exchange(&there, &asked, &Given::public("y"), at(61)).unwrap();
    assert!(here.insert(newer, at(61).running));
    here.insert(entry, at(30).running);
    assert_eq!(body(&here, &asked, at(61)).as_deref(), Some("y"), "an older one that comes late changes nothing");
}

#[test]
fn hits_are_counted_where_they_happen_and_told_with_the_rest() {
    let cache = cache();
    let asked = Asked::get("/a?b").with(&[("Accept", "*/*")]);
    let given = Given::public("12345").with(&[
        ("Content-Type", "text/plain"),
        ("Content-Encoding", "gzip"),
        ("Vary", "Accept, Accept-Encoding"),
    ]);
    let entry = exchange(&cache, &asked, &given, at(0)).unwrap();
    hit(&cache, &asked, at(1)).unwrap();
    hit(&cache, &asked.clone().method("HEAD"), at(1)).unwrap();
    let [reported] = &cache.report(None, at(20).running)[..] else { panic!("there is one") };
    assert_eq!((reported.id, reported.registration), (entry.id, APP));
    let expected = crate::admin::CachedState {
        url: "http://example.com:80/a?b".into(),
        status: 200,
        method: "GET".into(),
        policy: "time to live".into(),
        time_to_live: Some(40),
        created: "2026-11-22T12:00:00Z".into(),
        queue_name: None,
        content_type: Some("text/plain".into()),
        content_encoding: Some("gzip".into()),
        vary: vec!["accept".into(), "accept-encoding".into()],
        headers_length: given.fields().map(|(name, value)| name.len() + value.len() + 4).sum::<usize>() as u64,
        content_length: 5,
        hits: 2,
        fragment: false,
    };
    assert_eq!(reported.state, expected);
}

#[test]
fn buffers_are_used_again() {
    let cache = cache();
    let asked = Asked::get("/");
    exchange(&cache, &asked, &Given::public("x"), at(0)).unwrap();
    for _ in 0..10 {
        hit(&cache, &asked, at(1)).unwrap();
        watch(&cache, &Asked::get("/other"), at(1)).unwrap();
    }
    assert_eq!(cache.spare.borrow().len(), 1);
}
