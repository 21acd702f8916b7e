//! What `narthex show` and `narthex explain` print, for people and for programs.

use narthex_host::admin::{
    Answer, CachedState, CacheparamState, Grant, NamedGrant, Question, ServiceState, SettingState, TimerState, UrlaclState,
};
use narthex_host::config::{CacheParam, MachineTimer};
use narthex_proto::wire::Principal;
use serde_json::{Value, json};

use crate::verbs::fake_host::{FakeHost, Says, stderr, stdout};

/// The table that is printed for an answer, and the question that was asked.
fn table(answer: Answer, line: &str) -> (String, Question) {
    let host = FakeHost::that_answers(answer);
    let output = host.run(&line.split(' ').collect::<Vec<_>>());
    assert!(output.status.success(), "{}", stderr(&output));
    (stdout(&output).to_owned(), host.asked().pop().unwrap())
}

/// The same for programs.
fn json_of(answer: Answer, line: &str) -> Value {
    let (text, _) = table(answer, &format!("{line} --json"));
    serde_json::from_str(&text).unwrap()
}

fn reservations() -> Answer {
    let named = |principal, listen, delegate, name: &str| NamedGrant {
        grant: Grant { principal, listen, delegate },
        name: name.to_owned(),
    };
    let everyone = named(Principal::Everyone, true, false, "Everyone");
    Answer::Urlacls(vec![
        UrlaclState {
            url: "http://+:80/shop/".to_owned(),
            grants: vec![
                named(Principal::User(1000), true, true, "web"),
                named(Principal::Group(50), false, true, "sta\u{1b}[2Jff\n"),
            ],
        },
        UrlaclState { url: "http://*:5357/".to_owned(), grants: vec![everyone] },
    ])
}

#[test]
fn reservations_are_laid_out_as_netsh_does() {
    let expected = "\
URL Reservations:
-----------------

    Reserved URL            : http://+:80/shop/
        User: web
            Listen: Yes
            Delegate: Yes
        Group: sta\u{fffd}[2Jff\u{fffd}
            Listen: No
            Delegate: Yes
            SDDL: D:(A;;GA;;;S-1-22-1-1000)(A;;GW;;;S-1-22-2-50)

    Reserved URL            : http://*:5357/
        User: Everyone
            Listen: Yes
            Delegate: No
            SDDL: D:(A;;GX;;;WD)
";
    let (text, question) = table(reservations(), "show urlacl url=http://+:80/shop/");
    assert_eq!(text, expected);
    assert_eq!(question, Question::ShowUrlacl { url: Some("http://+:80/shop/".to_owned()) });
    assert_eq!(
        json_of(reservations(), "show urlacl"),
        json!([
            { "url": "http://+:80/shop/", "grants": [
                { "principal": { "user": 1000 }, "listen": true, "delegate": true, "name": "web" },
                { "principal": { "group": 50 }, "listen": false, "delegate": true, "name": "sta\u{1b}[2Jff\n" },
            ] },
            { "url": "http://*:5357/", "grants": [
                { "principal": "everyone", "listen": true, "delegate": false, "name": "Everyone" },
            ] },
        ])
    );
}

#[test]
fn where_nothing_is_reserved_the_verb_that_reserves_is_named() {
    let (text, _) = table(Answer::Urlacls(Vec::new()), "show urlacl");
    assert_eq!(text, "URL Reservations:\n-----------------\n\nNo URL is reserved; `narthex add urlacl` reserves one.\n");
    let (text, _) = table(Answer::Urlacls(Vec::new()), "show urlacl --url http://+:80/");
    assert!(text.ends_with("http://+:80/ is not reserved; `narthex show urlacl` lists what is.\n"), "{text}");
    assert_eq!(json_of(Answer::Urlacls(Vec::new()), "show urlacl"), json!([]));
}

#[test]
fn the_iplisten_list_is_shown() {
    let answer = || Answer::Addresses(vec!["192.0.2.1".parse().unwrap(), "::1".parse().unwrap()]);
    let (text, question) = table(answer(), "show iplisten");
    let title = "IP addresses present in the IP listen list:\n-------------------------------------------\n\n";
    assert_eq!(text, format!("{title}    192.0.2.1\n    ::1\n"));
    assert_eq!(question, Question::ShowIplisten);
    assert_eq!(json_of(answer(), "show iplisten"), json!(["192.0.2.1", "::1"]));
    let (text, _) = table(Answer::Addresses(Vec::new()), "show iplisten");
    assert_eq!(text, format!("{title}None: the host listens on the addresses that each URL prefix asks for.\n"));
}

#[test]
fn timers_are_shown_in_seconds() {
    let answer = || {
        Answer::Timeouts(vec![
            TimerState { timer: MachineTimer::IdleConnectionTimeout, seconds: 120, default: true },
            TimerState { timer: MachineTimer::HeaderWaitTimeout, seconds: 65535, default: false },
        ])
    };
    let expected = "\
Timeouts:
---------

    Idle connection timeout (secs) : 120 (default)
    Header wait timeout (secs)     : never
";
    let (text, question) = table(answer(), "show timeout");
    assert_eq!((text.as_str(), question), (expected, Question::ShowTimeout));
    assert_eq!(
        json_of(answer(), "show timeout timeouttype=headerwaittimeout"),
        json!([{ "timer": "headerwaittimeout", "seconds": 65535, "default": false }])
    );
}

#[test]
fn the_cache_s_parameters_are_shown_with_their_units() {
    let answer = || {
        let state = |param, value, default| CacheparamState { param, value, default };
        Answer::Cacheparams(vec![
            state(CacheParam::MaxCacheResponseSize, 262_144, true),
            state(CacheParam::CacheRangeChunkSize, 4096, false),
            state(CacheParam::MaxCacheSize, 64 << 20, true),
            state(CacheParam::ScavengerPeriod, 120, true),
        ])
    };
    let expected = "\
Cache parameters:
-----------------

    Maximum cache response size (bytes) : 262144 (default)
    Cache range chunk size (bytes)      : 4096
    Maximum cache size (bytes)          : 67108864 (default)
    Scavenger period (secs)             : 120 (default)
";
    let (text, question) = table(answer(), "show cacheparam");
    assert_eq!((text.as_str(), question), (expected, Question::ShowCacheparam));
    assert_eq!(
        json_of(answer(), "show cacheparam type=cacherangechunksize"),
        json!([{ "param": "cacherangechunksize", "value": 4096, "default": false }])
    );
}

#[test]
fn settings_are_shown_with_what_they_do() {
    let answer = || {
        let state = |name: &str, value: &str, default, help: &str| SettingState {
            name: name.to_owned(),
            value: value.to_owned(),
            default,
            help: help.to_owned(),
        };
        Answer::Settings(vec![
            state("queue_length", "1000", true, "How many requests may wait in a queue."),
            state("log_directory", "/var/log/a\u{1b}b", false, ""),
        ])
    };
    let expected = "\
HTTP service settings:
----------------------

    queue_length : 1000 (default)
        How many requests may wait in a queue.
    log_directory : /var/log/a\u{fffd}b
";
    let (text, question) = table(answer(), "show setting");
    assert_eq!((text.as_str(), question), (expected, Question::ShowSetting { name: None }));
    let (_, question) = table(answer(), "show setting settingtype=queue_length");
    assert_eq!(question, Question::ShowSetting { name: Some("queue_length".to_owned()) });
    assert_eq!(json_of(answer(), "show setting")[1]["value"], "/var/log/a\u{1b}b");
}

fn cached() -> Answer {
    let page = CachedState {
        url: "http://a:80/x?y=1".to_owned(),
        status: 200,
        method: "GET".to_owned(),
        policy: "time to live".to_owned(),
        time_to_live: Some(42),
        created: "2026-01-02T03:04:05Z".to_owned(),
        queue_name: Some("shop".to_owned()),
        content_type: Some("text/html".to_owned()),
        content_encoding: Some("gzip".to_owned()),
        vary: vec!["accept-encoding".to_owned(), "accept".to_owned()],
        headers_length: 210,
        content_length: 5000,
        hits: 7,
        fragment: false,
    };
    let fragment = CachedState {
        url: "http://a:80/menu".to_owned(),
        policy: "until flushed".to_owned(),
        created: "2026-01-02T03:04:06Z".to_owned(),
        content_length: 9,
        fragment: true,
        ..CachedState::default()
    };
    Answer::Cachestate(vec![page, fragment])
}

#[test]
fn the_cache_s_responses_are_shown_one_by_one() {
    let expected = "\
Snapshot of HTTP response cache:
--------------------------------

URL: http://a:80/x?y=1
    Status code: 200
    HTTP verb: GET
    Cache policy type: Time to live
    Time to live (secs): 42
    Creation time: 2026-01-02T03:04:05Z
    Request queue name: shop
    Content type: text/html
    Content encoding: gzip
    Chosen by: accept-encoding, accept
    Headers length: 210
    Content length: 5000
    Hit count: 7
    Fragment: No

URL: http://a:80/menu
    Cache policy type: Until flushed
    Creation time: 2026-01-02T03:04:06Z
    Request queue name: Request queue is unnamed.
    Content type: (none)
    Content encoding: (none)
    Headers length: 0
    Content length: 9
    Hit count: 0
    Fragment: Yes
";
    let (text, question) = table(cached(), "show cachestate url=http://a:80/x?y=1");
    assert_eq!(text, expected);
    assert_eq!(question, Question::ShowCachestate { url: Some("http://a:80/x?y=1".to_owned()) });
    let found = json_of(cached(), "show cachestate");
    assert_eq!((&found[0]["hits"], &found[1]["fragment"], &found[0]["time_to_live"]), (&json!(7), &json!(true), &json!(42)));
    let (text, _) = table(Answer::Cachestate(Vec::new()), "show cachestate");
    assert!(text.ends_with("No response is in the cache.\n"), "{text}");
}

#[test]
fn an_explanation_keeps_its_lines() {
    let answer =
        || Answer::Explanation { text: "The app gets it.\nIt is\u{1b}[2J shop.\n".to_owned(), detail: json!({ "app": 1 }) };
    let (text, question) = table(answer(), "explain http://a:80/x?user=y local=127.0.0.1:80 user=root");
    assert_eq!(text, "The app gets it.\nIt is\u{fffd}[2J shop.\n");
    let (url, local) = ("http://a:80/x?user=y".to_owned(), Some("127.0.0.1:80".parse().unwrap()));
    assert_eq!(question, Question::Explain { url, local, user: Some(0) });
    let (_, question) = table(answer(), "explain url=http://a/");
    assert_eq!(question, Question::Explain { url: "http://a/".to_owned(), local: None, user: None });
    assert_eq!(json_of(answer(), "explain http://a/"), json!({ "app": 1 }));
}

#[test]
fn the_service_state_is_shown_in_both_views_and_as_json() {
    let state = json!({
        "version": "0.1.0", "pid": 41, "uptime_seconds": 5, "workers": 1, "listeners": [], "connections": 0, "requests": 0,
        "refusals": 0, "queues": [],
        "sessions": [{ "id": 1, "name": "shop\u{1b}", "pid": 42, "uid": 1000, "groups": [] }],
    });
    let state: ServiceState = serde_json::from_value(state).unwrap();
    let host = FakeHost::that(Says::State(Box::new(state.clone())));
    let text = |arguments: &[&str]| stdout(&host.run(&[&["show", "servicestate"], arguments].concat())).to_owned();
    assert!(text(&[]).contains("(server session view)") && text(&[]).contains("Program: shop\u{fffd}\n"), "{}", text(&[]));
    assert!(text(&["view=requestq"]).contains("(request queue view)"));
    assert!(text(&["verbose=no"]).len() < text(&["--verbose", "yes"]).len());
    assert_eq!(serde_json::from_str::<ServiceState>(&text(&["--json"])).unwrap(), state);
}
