//! Which answers are stored.

use crate::caching::stage::{CACHED, Stage, answer, count, is_stored};

/// Asks twice for each, and says which second answers are not as expected.
fn judge(rows: &[(&str, bool)]) {
    let stage = Stage::new();
    let mut client = stage.connect();
    let mut wrong = Vec::new();
    for (index, (query, stored)) in rows.iter().enumerate() {
        let target = answer(&format!("{query}&row={index}"));
        let (first, second) = (client.get(&target), client.get(&target));
        assert!(!is_stored(&first), "{query}");
        let is_same = count(&first) == count(&second) && first.status == second.status && first.body == second.body;
        if (is_stored(&second), is_same) != (*stored, *stored) {
            wrong.push(format!("{query}: stored {}, the same {is_same}", is_stored(&second)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_very_first_answer_of_an_app_is_stored() {
    let stage = Stage::new();
    let target = answer(CACHED);
    assert_eq!(count(&stage.get(&target)), 1);
    assert_eq!(count(&stage.get(&target)), 1);
}

#[test]
fn an_app_that_begins_to_cache_late_misses_its_first_answer_only() {
    let stage = Stage::new();
    let mut client = stage.connect();
    for _ in 0..22 {
        (0..50).for_each(|_| client.send("GET", "/", ""));
        (0..50).for_each(|_| drop(client.answer("GET")));
    }
    let counts: Vec<u64> = (0..4).map(|_| count(&client.get(&answer(CACHED)))).collect();
    assert_eq!(counts, [1, 2, 2, 2]);
}

#[test]
fn answers_are_stored_with_a_policy_or_public_with_a_time() {
    judge(&[
        ("", false),
        ("policy=flush", true),
        ("policy=60", true),
        ("policy=0", false),
        ("header=cache-control: public", false),
        ("header=cache-control: max-age=60", false),
        ("header=cache-control: s-maxage=60", false),
        ("header=cache-control: public, max-age=60", true),
        ("header=cache-control: public&header=cache-control: max-age=60", true),
        ("header=cache-control: public, s-maxage=60", true),
        ("header=cache-control: public, s-maxage=0, max-age=60", false),
        ("header=cache-control: public, s-maxage=60, max-age=0", true),
        ("header=cache-control: public, max-age=0", false),
        ("header=cache-control: public&header=expires: Fri, 01 Jan 2100 00:00:00 GMT", true),
        ("header=cache-control: public&header=expires: Fri, 01 Jan 2010 00:00:00 GMT", false),
        ("header=cache-control: public&header=expires: 0", false),
        ("header=cache-control: public, max-age=0&header=expires: Fri, 01 Jan 2100 00:00:00 GMT", false),
        ("header=cache-control: public, max-age=60&header=expires: Fri, 01 Jan 2010 00:00:00 GMT", true),
        ("header=expires: Fri, 01 Jan 2100 00:00:00 GMT", false),
    ]);
}

#[test]
fn answers_that_are_for_one_client_are_not_stored() {
    judge(&[
        ("policy=flush&header=set-cookie: a=b", false),
        ("header=cache-control: public, max-age=60&header=set-cookie: a=b", false),
        ("policy=flush&header=cache-control: private", false),
        ("policy=flush&header=cache-control: no-store", false),
        ("policy=flush&header=cache-control: no-cache", false),
        ("header=cache-control: public, max-age=60, private=\"x\"", false),
        ("policy=flush&header=pragma: no-cache", false),
        ("header=cache-control: public, max-age=60&header=pragma: x", false),
        ("policy=flush&header=vary: *", false),
        ("policy=flush&header=cache-control: max-age=x", false),
        ("policy=flush&header=last-modified: yesterday", false),
        ("policy=flush&header=last-modified: Sun, 22 Nov 2026 10:00:00 GMT", true),
    ]);
}

#[test]
fn answers_are_stored_with_statuses_that_are_whole_by_themselves() {
    let stored = [200, 203, 300, 301, 308, 404, 410];
    let not = [201, 202, 206, 302, 303, 307, 400, 401, 403, 405, 416, 429, 500, 502, 503];
    let rows = stored.iter().map(|status| (status, true)).chain(not.iter().map(|status| (status, false)));
    let rows: Vec<(String, bool)> = rows.map(|(status, is)| (format!("{CACHED}&status={status}"), is)).collect();
    let rows: Vec<(&str, bool)> = rows.iter().map(|(row, is)| (row.as_str(), *is)).collect();
    judge(&rows);
}

#[test]
fn an_answer_without_a_body_is_stored() {
    judge(&[("policy=flush&size=0", true), ("policy=flush&status=204&size=0", true)]);
}
