//! How entries go: unsafe methods, flushes, the scavenger, and apps that leave.

use super::*;

/// Four URLs of this app and one of another.
fn filled() -> Cache {
    let cache = cache();
    for target in ["/img", "/img/a", "/img/b?c", "/images"] {
        exchange(&cache, &Asked::get(target), &Given::flushed("x"), at(0)).unwrap();
    }
    let Looked::Watch(watch) = cache.look(&Asked::get("/other/"), APP + 1, at(0).running) else { panic!("a miss") };
    let Answered::Collect(collector) = answer(&cache, &watch, &Given::flushed(""), at(0)) else { panic!("it may be stored") };
    cache.store(*collector, at(0).running).unwrap();
    cache
}

fn left(cache: &Cache) -> Vec<String> {
    let mut left: Vec<_> = cache.report(None, at(1).running).into_iter().map(|one| one.state.url).collect();
    left.sort();
    left.iter().map(|url| url.trim_start_matches("http://example.com:80").to_owned()).collect()
}

fn flush(cache: &Cache, url: Option<(&str, bool)>, registrations: Option<Vec<u32>>) -> usize {
    let url = url.map(|(url, recursive)| UrlFilter::parse(url, recursive, Cooking::Strict).unwrap());
    cache.flush(&Flush { url, registrations, at: at(1).running })
}

#[test]
fn a_flush_removes_what_it_means() {
    let all = ["/images", "/img", "/img/a", "/img/b?c", "/other/"];
    assert_eq!(left(&filled()), all);
    for (url, registrations, kept) in [
        (None, None, &[][..]),
        (None, Some(vec![APP]), &["/other/"]),
        (None, Some(vec![APP + 2]), &all),
        (Some(("http://example.com/img", false)), None, &["/images", "/img/a", "/img/b?c", "/other/"]),
        (Some(("http://example.com/img", true)), None, &["/images", "/other/"]),
        (Some(("http://example.com:80/img/b?c", false)), None, &["/images", "/img", "/img/a", "/other/"]),
        (Some(("http://+/", true)), None, &[]),
        (Some(("http://+/", true)), Some(vec![APP + 1]), &["/images", "/img", "/img/a", "/img/b?c"]),
        (Some(("http://example.com:81/", true)), None, &all),
    ] {
        let cache = filled();
        let removed = flush(&cache, url, registrations.clone());
        assert_eq!(left(&cache), kept, "{url:?} {registrations:?}");
        assert_eq!(removed, all.len() - kept.len());
        assert_eq!(cache.is_empty(), kept.is_empty());
    }
}

#[test]
fn an_unsafe_request_that_was_accepted_removes_what_it_changed() {
    for (method, status, removes) in [
        ("POST", 200, true),
        ("PUT", 204, true),
        ("DELETE", 303, true),
        ("PATCH", 399, true),
        ("PURGE", 200, true),
        ("POST", 400, false),
        ("POST", 500, false),
    ] {
        let cache = filled();
        let unsafe_request = Asked { body: true, ..Asked::get("/img/a").method(method) };
        let watch = watch(&cache, &unsafe_request, at(1)).unwrap();
        let answered = answer(&cache, &watch, &Given { status, ..Given::new("") }, at(1));
        assert_eq!(matches!(answered, Answered::Invalidated(_)), removes, "{method} {status}");
        assert_eq!(left(&cache).len(), if removes { 4 } else { 5 }, "{method} {status}");
    }
    for method in ["GET", "HEAD", "OPTIONS", "TRACE"] {
        let cache = filled();
        let asked = Asked::get("/img/a").method(method);
        assert!(watch(&cache, &asked, at(1)).is_none(), "{method}");
    }
}

#[test]
fn other_workers_drop_what_an_unsafe_request_changed() {
    let (here, there) = (cache(), cache());
    let asked = Asked::get("/");
    let entry = exchange(&here, &asked, &Given::flushed("x"), at(0)).unwrap();
    there.insert(Arc::clone(&entry), at(0).running);
    let post = watch(&here, &asked.clone().method("POST"), at(1)).unwrap();
    let Answered::Invalidated(invalidation) = answer(&here, &post, &Given::new(""), at(2)) else { panic!("it was accepted") };
    there.invalidate(&invalidation);
    assert!(here.is_empty() && there.is_empty());
    assert!(!there.insert(entry, at(3).running), "a message that was overtaken");
}

#[test]
fn what_was_asked_before_a_change_is_not_stored_after_it() {
    let removals: [fn(&Cache); 3] = [
        |cache| {
            let post = watch(cache, &Asked::get("/").method("POST"), at(1)).unwrap();
            answer(cache, &post, &Given::new(""), at(1));
        },
        |cache| {
            flush(cache, None, None);
        },
        |cache| {
            flush(cache, None, Some(vec![APP]));
        },
    ];
    for remove in removals {
        let cache = cache();
        let asked = Asked::get("/");
        let early = watch(&cache, &asked, at(0)).unwrap();
        remove(&cache);
        let Answered::Collect(mut collector) = answer(&cache, &early, &Given::flushed("x"), at(2)) else { panic!() };
        assert!(collector.push(b"x"));
        assert!(cache.store(*collector, at(2).running).is_none());
        assert!(exchange(&cache, &asked, &Given::flushed("x"), at(2)).is_some(), "what is asked afterwards is");
    }
}

#[test]
fn the_scavenger_drops_what_nobody_asks_for_and_what_is_stale() {
    let (here, there) = (cache(), cache());
    let (kept, idle, short) = (Asked::get("/kept"), Asked::get("/idle"), Asked::get("/short"));
    for asked in [&kept, &idle] {
        let entry = exchange(&here, asked, &Given::flushed("x"), at(0)).unwrap();
        there.insert(entry, at(0).running);
    }
    exchange(&here, &short, &Given::public("x"), at(0)).unwrap();
    assert_eq!(here.scavenge(at(59).running), 0);
    assert_eq!(here.scavenge(at(60).running), 1, "stale");
    assert!(hit(&there, &kept, at(100)).is_some(), "a hit anywhere keeps it everywhere");
    assert_eq!(here.scavenge(at(120).running), 0);
    assert_eq!((here.scavenge(at(121).running), there.scavenge(at(121).running)), (1, 1));
    assert!(hit(&here, &kept, at(121)).is_some() && hit(&here, &idle, at(121)).is_none());
}

#[test]
fn entries_go_with_their_registration() {
    let cache = filled();
    assert_eq!(cache.retain_registrations(|id| id == APP), 1);
    assert_eq!(left(&cache), ["/images", "/img", "/img/a", "/img/b?c"]);
    assert_eq!(cache.retain_registrations(|_| false), 4);
    assert_eq!((cache.is_empty(), cache.budget.used()), (true, 0));
}
