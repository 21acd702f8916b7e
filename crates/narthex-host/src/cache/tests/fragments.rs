//! Fragments: named, overwritten, read in parts, gone at any time.

use super::*;
use crate::cache::url::CacheUrlError;

fn name(url: &str) -> FragmentName {
    FragmentName::parse(url, 1).unwrap()
}

fn store(cache: &Cache, url: &str, policy: CachePolicy, bytes: &str, now: Now) -> Result<Arc<Entry>, FragmentError> {
    cache.store_fragment(name(url), APP, policy, Bytes::copy_from_slice(bytes.as_bytes()), now)
}

fn read(cache: &Cache, url: &str, part: Option<(u64, u64)>, now: Now) -> Option<String> {
    let (offset, length) = part.map_or((0, None), |(offset, length)| (offset, Some(length)));
    let bytes = cache.fragment(&name(url), offset, length, now.running)?;
    Some(String::from_utf8(bytes.to_vec()).unwrap())
}

const URL: &str = "http://example.com/app/head?v=1";

#[test]
fn a_fragment_is_read_by_its_name_whole_or_in_part() {
    let cache = cache();
    store(&cache, URL, CachePolicy::UntilFlushed, "0123456789", at(0)).unwrap();
    assert_eq!(read(&cache, URL, None, at(1)).as_deref(), Some("0123456789"));
    assert_eq!(read(&cache, "HTTP://Example.com:80/app/head?v=1", Some((2, 3)), at(1)).as_deref(), Some("234"));
    assert_eq!(read(&cache, URL, Some((10, 0)), at(1)).as_deref(), Some(""));
    assert_eq!(cache.fragment(&name(URL), 7, None, at(1).running).as_deref(), Some(&b"789"[..]));
    assert_eq!(cache.fragment(&name(URL), 11, None, at(1).running), None);
    for part in [(5, 6), (11, 0), (1, u64::MAX), (u64::MAX, u64::MAX)] {
        assert_eq!(read(&cache, URL, Some(part), at(1)), None);
    }
    assert_eq!(read(&cache, "http://example.com/app/head", None, at(1)), None);
    assert_eq!(read(&cache, "https://example.com/app/head?v=1", None, at(1)), None);
    let of_another_queue = FragmentName::parse(URL, 2).unwrap();
    assert_eq!(cache.fragment(&of_another_queue, 0, None, at(1).running), None);
}

#[test]
fn what_an_app_removes_is_gone_and_its_room_is_free() {
    let cache = cache();
    store(&cache, URL, CachePolicy::UntilFlushed, "x", at(0)).unwrap();
    cache.remove_fragment(&name(URL));
    cache.remove_fragment(&name(URL));
    assert!(read(&cache, URL, None, at(0)).is_none());
    assert_eq!((cache.is_empty(), cache.budget.used()), (true, 0));
}

#[test]
fn no_client_is_served_a_fragment() {
    let cache = cache();
    store(&cache, "http://example.com/", CachePolicy::UntilFlushed, "x", at(0)).unwrap();
    assert!(hit(&cache, &Asked::get("/"), at(0)).is_none());
}

#[test]
fn the_last_fragment_of_a_name_is_the_one() {
    let (here, there) = (cache(), cache());
    for bytes in ["old", "new"] {
        let entry = store(&here, URL, CachePolicy::UntilFlushed, bytes, at(0)).unwrap();
        there.insert(entry, at(0).running);
    }
    for cache in [&here, &there] {
        assert_eq!(read(cache, URL, None, at(0)).as_deref(), Some("new"));
        assert_eq!(cache.report(None, at(0).running).len(), 1);
    }
}

#[test]
fn a_fragment_goes_by_time_by_flush_and_with_its_app() {
    let cache = cache();
    let one = |now: Now| store(&cache, URL, ttl(5).unwrap(), "x", now).unwrap();
    one(at(0));
    assert!(read(&cache, URL, None, at(4)).is_some());
    assert!(read(&cache, URL, None, at(5)).is_none());
    one(at(6));
    let url = UrlFilter::parse("http://example.com/app/", true, Cooking::Strict).unwrap();
    assert_eq!(cache.flush(&Flush { url: Some(url), registrations: Some(vec![APP]), at: at(7).running }), 1);
    one(at(8));
    assert_eq!(cache.retain_registrations(|_| false), 1);
    assert_eq!(cache.budget.used(), 0);
}

#[test]
fn a_fragment_that_finds_no_room_is_refused_in_words() {
    let cache = Cache::new(CacheBudget::new(1_000), CacheSettings { most: 2_000, ..CacheSettings::default() });
    let refused = |bytes: usize| store(&cache, URL, CachePolicy::UntilFlushed, &"x".repeat(bytes), at(0)).unwrap_err();
    assert_eq!(refused(1_500), FragmentError::NoRoom);
    assert_eq!(refused(2_001), FragmentError::TooLong { length: 2_001, most: 2_000 });
    assert!(matches!(FragmentName::parse("/app/x", 1), Err(CacheUrlError::NotAUrl(_))));
    assert!(matches!(FragmentName::parse("http://*:80/x", 1), Err(CacheUrlError::AnyHost(_))));
}

#[test]
fn the_report_says_what_is_a_fragment() {
    let cache = cache();
    store(&cache, URL, ttl(60).unwrap(), "12345", at(0)).unwrap();
    read(&cache, URL, None, at(1)).unwrap();
    let [reported] = &cache.report(None, at(10).running)[..] else { panic!("there is one") };
    let state = &reported.state;
    assert_eq!((&*state.url, state.fragment, state.hits), ("http://example.com:80/app/head?v=1", true, 1));
    assert_eq!((state.time_to_live, state.content_length, &*state.policy), (Some(50), 5, "time to live"));
}
