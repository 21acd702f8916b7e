//! What operators see of the cache and change while it is in use.

use crate::caching::stage::{CACHED, Stage, answer, count, eventually, is_stored};

#[test]
fn what_is_cached_is_shown() {
    let stage = Stage::new();
    let target =
        answer("policy=600&size=1234&header=content-type: text/css&header=content-encoding: gzip&header=vary: Accept-Encoding");
    stage.get(&target);
    stage.get(&target);
    stage.get(&target);
    let entries = stage.cached();
    let [entry] = entries.as_slice() else { panic!("{entries:?}") };
    for (field, expected) in [
        ("status", serde_json::json!(200)),
        ("method", "GET".into()),
        ("policy", "time to live".into()),
        ("content_type", "text/css".into()),
        ("content_encoding", "gzip".into()),
        ("content_length", 1234.into()),
        ("hits", 2.into()),
        ("fragment", false.into()),
    ] {
        assert_eq!(entry[field], expected, "{field}");
    }
    let url = entry["url"].as_str().expect("an entry has a URL");
    assert!(url.contains(&target), "{url}");
    assert!((590..=600).contains(&entry["time_to_live"].as_u64().expect("it has a time to live")));
    let text = stage.host.operate(&["show", "cachestate"]);
    for line in ["Status code: 200", "HTTP verb: GET", "Cache policy type: Time to live", "Content length: 1234", "Hit count: 2"]
    {
        assert!(text.contains(line), "{line:?} is not in {text}");
    }
}

#[test]
fn only_what_is_below_a_url_is_shown() {
    let stage = Stage::new();
    stage.get(&answer(CACHED));
    let shown = |path: &str| {
        let url = format!("url=http://+:{}{path}", stage.app.address.port());
        stage.host.operate_json(&["show", "cachestate", &url]).as_array().map(Vec::len)
    };
    assert_eq!((shown("/"), shown("/answer"), shown("/other")), (Some(1), Some(1), Some(0)));
}

#[test]
fn one_answer_or_all_below_a_url_or_all_are_deleted() {
    let stage = Stage::new();
    let targets = ["", "&a", "&b"].map(|more| answer(&format!("{CACHED}{more}")));
    let fill = || targets.iter().for_each(|target| drop(stage.get(target)));
    let delete = |words: &[&str]| stage.host.operate(&[&["delete", "cache"], words].concat());
    let port = stage.app.address.port();

    fill();
    assert_eq!(stage.cached().len(), 3);
    let one = format!("url=http://x:{port}{}", targets[1]);
    assert!(delete(&[&one]).contains("1 cached"));
    assert_eq!(targets.each_ref().map(|target| is_stored(&stage.get(target))), [true, false, true]);

    let above = format!("url=http://x:{port}/");
    assert!(delete(&[&above]).contains("0 cached"));
    assert_eq!(stage.cached().len(), 3);
    assert!(delete(&[&above, "recursive=yes"]).contains("3 cached"));
    assert!(stage.cached().is_empty());

    fill();
    assert!(delete(&[]).contains("3 cached"));
    assert_eq!(targets.each_ref().map(|target| is_stored(&stage.get(target))), [false; 3]);
}

#[test]
fn an_answer_that_was_asked_for_before_a_flush_is_not_stored_after_it() {
    let stage = Stage::new();
    let target = answer(&format!("{CACHED}&ms=500"));
    let mut client = stage.connect();
    let before = count(&stage.get(&answer("")));
    client.send("GET", &target, "");
    // The app has begun on it once it counts one answer more than was asked for here.
    let mut asked = before;
    eventually("the request at the app", || {
        asked += 1;
        count(&stage.get(&answer(""))) > asked
    });
    stage.host.operate(&["delete", "cache"]);
    client.answer("GET");
    assert!(stage.cached().is_empty());
}

#[test]
fn the_cache_is_switched_off_and_on_while_it_is_in_use() {
    let stage = Stage::new();
    let target = answer(CACHED);
    let first = count(&stage.get(&target));
    stage.set("response_cache", "false");
    assert!(count(&stage.get(&target)) > first);
    assert!(stage.cached().is_empty());
    stage.set("response_cache", "true");
    stage.get(&target);
    assert!(is_stored(&stage.get(&target)));
}

#[test]
fn parameters_hold_at_once() {
    let stage = Stage::new();
    let ask = |size: u32, lines: &str| stage.get_with(&answer(&format!("{CACHED}&size={size}")), lines);
    let add =
        |kind: &str, value: &str| stage.host.operate(&["add", "cacheparam", &format!("type={kind}"), &format!("value={value}")]);
    add("maxcacheresponsesize", "5000");
    ask(6000, "");
    assert!(!is_stored(&ask(6000, "")));
    ask(4000, "");
    assert!(is_stored(&ask(4000, "")));
    add("maxcacheresponsesize", "100000");
    ask(50_000, "");
    assert!(is_stored(&ask(50_000, "")));
    add("cacherangechunksize", "4096");
    let part = ask(50_000, "Range: bytes=0-\r\n");
    assert_eq!((part.status, part.body.len()), (206, 4096));
    assert_eq!(part.header("content-range"), Some("bytes 0-4095/50000"));
}
