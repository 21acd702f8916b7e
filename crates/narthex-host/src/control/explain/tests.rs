use std::sync::Arc;

use narthex_http::{PortHolder, Remedy};
use narthex_proto::wire::{Properties, QueueSettings};
use serde_json::json;

use super::*;
use crate::admin::{ObstacleKind, PortState};
use crate::config::{Config, Reserved};
use crate::control::queues;
use crate::control::settings::Defaults;
use crate::log::{LogOptions, Logs};
use crate::snapshot::{Registration, fill_gap};

// User ids that no machine has, so that the texts show numbers.
const A: u32 = 3_900_000_001;
const B: u32 = 3_900_000_002;

/// Another program has this port, and the next is forbidden.
const TAKEN: u16 = 8090;
const FORBIDDEN: u16 = 8091;

fn look(address: SocketAddr) -> Result<(), ListenError> {
    match address.port() {
        TAKEN => {
            let holder = PortHolder::Process { pid: 99, name: "nginx".to_owned() };
            Err(ListenError::InUse(address, holder))
        }
        FORBIDDEN => Err(ListenError::Denied(address, Remedy::Policy)),
        _ if address.ip().to_string().starts_with("192.0.2.") => Err(ListenError::NoSuchAddress(address)),
        _ => Ok(()),
    }
}

/// A host in which user A's app `shop` (process 11), with the named queue `carts`, and B's app `news` (process 12), with a queue
/// without name, have registered URLs. No socket is opened for them.
fn host(config: Config, urls: &[(&str, &str)]) -> State {
    let logs = Logs::start(LogOptions::new("/nonexistent".into())).unwrap();
    let mut state = State::new(1, Vec::new(), Arc::new(config), logs);
    for (name, uid, pid, queue) in [("shop", A, 11, Some("carts")), ("news", B, 12, None)] {
        let app = state.add_app(name, 1, pid, Caller { uid, groups: Vec::new() }, String::new());
        let defaults = Defaults::of(&state.config);
        let settings = QueueSettings { name: queue.map(str::to_owned), ..QueueSettings::default() };
        let found = queues::find(&state.snapshot, &settings, queues::Opener { uid, gids: &[] }, app, &defaults).unwrap();
        let queue = queues::join(&mut state.snapshot, found, app);
        let none = Properties::default();
        let group = settings::resolve((app, app, queue), &none, &none, &defaults, &Arc::default(), None);
        let group = fill_gap(&mut state.snapshot.groups, Arc::new(group));
        for (url, _) in urls.iter().filter(|(_, owner)| *owner == name) {
            let prefix: UrlPrefix = url.parse().unwrap();
            for address in state.ports.wanted(prefix.host(), prefix.port().get()) {
                state.ports.take(address);
            }
            state.snapshot.routes.register(prefix, Registration { id: 1, group }).unwrap();
        }
    }
    state
}

fn config(list: &[(&str, u32)]) -> Config {
    let reserved = |(url, uid): &(&str, u32)| {
        let grant = Grant { principal: Principal::User(*uid), listen: true, delegate: false };
        Reserved { prefix: url.parse().unwrap(), grants: vec![grant] }
    };
    Config { reservations: list.iter().map(reserved).collect(), ..Config::default() }
}

/// `URL`, `URL local=IP:PORT` or `URL user=NUMBER`, as it is typed.
fn ask(state: &State, typed: &str) -> Result<Explained, Refusal> {
    let option = |name: &str| typed.split_once(name).map(|(_, value)| value.parse::<String>().unwrap());
    let url = typed.split(" local=").next().and_then(|typed| typed.split(" user=").next()).unwrap();
    let local = option(" local=").map(|local| local.parse().unwrap());
    let uid = option(" user=").map(|uid| uid.parse().unwrap());
    let user = Caller { uid: uid.unwrap_or(B), groups: Vec::new() };
    explain(state, &Asked { url, local, user: &user, as_prefix: uid.is_some() }, &look)
}

fn text_of(state: &State, typed: &str) -> String {
    ask(state, typed).map_or_else(|refusal| refusal.message, |explained| text::of(&explained))
}

/// Compares every answer with the one in a file, as a whole: each line has to matter.
#[track_caller]
fn says(state: &State, file: &str) {
    for case in file.split("$ narthex explain ").skip(1) {
        let (typed, lines) = case.split_once('\n').unwrap();
        assert_eq!(text_of(state, typed).trim_end(), lines.trim_end(), "{typed}");
    }
}

const URLS: &[(&str, &str)] = &[
    ("http://+:80/shop/", "shop"),
    ("http://+:80/shop/news/", "news"),
    ("http://a.example:80/", "news"),
    ("http://10.0.0.1:80/", "shop"),
    ("http://*:80/shop/cart/", "news"),
    ("http://localhost:8888/app/", "shop"),
];

#[test]
fn a_request_goes_to_the_app_whose_prefix_decides() {
    says(&host(config(&[]), URLS), include_str!("tests/served.txt"));
}

#[test]
fn a_request_that_no_app_gets_is_told_its_status_and_reason() {
    let reserved = config(&[
        ("http://+:80/shop/admin/", A),
        ("http://+:80/shop/admin/x/", B),
        ("http://b.example:80/", A),
        ("http://+:8000/", A),
        ("http://[::1]:8888/other/", A),
    ]);
    says(&host(reserved, &URLS[..2]), include_str!("tests/refused.txt"));
    says(&host(Config::default(), &URLS[4..]), include_str!("tests/refused_elsewhere.txt"));
}

#[test]
fn what_is_inactive_or_full_is_told_with_its_reason() {
    let url = "http://a/shop/";
    let with = |change: &dyn Fn(&mut State)| {
        let mut state = host(config(&[]), &URLS[..1]);
        change(&mut state);
        state
    };
    let inactive_group = with(&|state| Arc::make_mut(state.snapshot.groups[0].as_mut().unwrap()).active = false);
    let inactive_queue = with(&|state| state.snapshot.queues[0].as_mut().unwrap().rules.active = false);
    let reset = with(&|state| {
        let rules = &mut state.snapshot.queues[0].as_mut().unwrap().rules;
        (rules.active, rules.verbosity) = (false, Verbosity::Basic);
    });
    let full = with(&|state| {
        let entry = state.snapshot.queues[0].as_mut().unwrap();
        entry.rules.length = 1;
        assert!(entry.queue.enter(1));
    });
    for (state, status, reason, answered, line) in [
        (
            inactive_group,
            Some(503),
            "Disabled",
            Answered::Disabled,
            "gets 503 (Disabled): the URL group of http://+:80/shop/ is inactive",
        ),
        (
            inactive_queue,
            Some(503),
            "Disabled",
            Answered::Disabled,
            "gets 503 (Disabled): the request queue of http://+:80/shop/ is inactive",
        ),
        (reset, None, "Disabled", Answered::Disabled, "gets its connection reset (Disabled): the request queue"),
        (full, Some(503), "QueueFull", Answered::QueueFull, "gets 503 (QueueFull) as long as the request queue of shop"),
    ] {
        let explained = ask(&state, url).unwrap();
        assert_eq!((explained.answered, explained.status, explained.reason.as_deref()), (answered, status, Some(reason)));
        let said = text::of(&explained);
        assert!(said.contains(line) && said.contains("shop (process 11, user 3900000001)"), "{said}");
    }
}

#[test]
fn the_two_readings_of_a_url_are_told_apart() {
    let urls: &[_] = &[("http://+:80/", "shop"), ("http://+:80/a/b/", "news")];
    let strict = host(config(&[]), urls);
    let mut httpsys = config(&[]);
    httpsys.settings.cooking = Cooking::HttpSys;
    let httpsys = host(httpsys, urls);
    says(&strict, include_str!("tests/strict.txt"));
    says(&httpsys, include_str!("tests/httpsys.txt"));
}

#[test]
fn what_is_too_long_is_told_so() {
    let state = host(config(&[]), &[("http://+:80/", "shop")]);
    let long = |length: usize| ask(&state, &format!("http://x/{}", "y".repeat(length - 1))).unwrap();
    assert_eq!(long(8192).answered, Answered::Served);
    assert_eq!((long(8193).status, long(8193).reason.as_deref()), (Some(414), Some("URL_Length")));
    assert!(ask(&state, &format!("http://x/{}", "y".repeat(MOST_BYTES))).is_err());
}

#[test]
fn what_registering_would_meet_is_told_in_the_order_in_which_it_is_met() {
    let reserved = config(&[("http://+:80/shop/", A), ("http://+:8081/", B), ("http://+:8888/other/", A)]);
    let state = host(reserved, URLS);
    says(&state, include_str!("tests/registering.txt"));
    let mut off = config(&[]);
    off.settings.loopback_rule = false;
    says(&host(off, URLS), include_str!("tests/loopback_off.txt"));
}

#[test]
fn a_url_that_is_none_is_an_error_that_says_why() {
    let state = host(config(&[]), URLS);
    says(&state, include_str!("tests/malformed.txt"));
    assert!(!text_of(&state, "http://\u{1b}[2J/\u{202e}").contains(['\u{1b}', '\u{202e}']));
    for url in ["", "*", ":", "http:", "http://", "://", "http://[", "\0", "http://a:b", "http://+:0/", "http://+:0/ user=1"] {
        let _ = ask(&state, url);
    }
}

#[test]
fn without_a_word_about_it_a_request_arrives_where_the_host_listens() {
    let mut state = host(config(&[]), &[]);
    for (open, url, local, assumed, heard) in [
        ("[::1]:1080", "http://localhost:1080/", "[::1]:1080", true, true),
        ("10.0.0.5:1081", "http://a:1081/", "10.0.0.5:1081", true, true),
        ("10.0.0.5:1082", "http://localhost:1082/", "127.0.0.1:1082", true, false),
        ("0.0.0.0:1083", "http://a:1083/", "127.0.0.1:1083", true, true),
        ("0.0.0.0:1084", "http://[::1]:1084/", "[::1]:1084", false, false),
        ("0.0.0.0:1085", "http://0.0.0.0:1085/", "127.0.0.1:1085", true, true),
        ("0.0.0.0:1086", "http://a:80/ local=[::ffff:10.0.0.7]:1086", "10.0.0.7:1086", false, true),
        ("0.0.0.0:1087", "http://a:1087/ local=10.0.0.7:0", "10.0.0.7:1087", false, true),
    ] {
        state.ports.take(open.parse().unwrap());
        let explained = ask(&state, url).unwrap();
        let found = (explained.local, explained.local_assumed, explained.answered != Answered::NotListening);
        assert_eq!(found, (local.parse().unwrap(), assumed, heard), "{url} with {open}");
    }
}

#[test]
fn processes_of_one_queue_are_all_named_and_who_may_join_is_told() {
    let mut state = host(config(&[("http://+:80/", B)]), &URLS[..1]);
    let other = state.add_app("shop", 1, 13, Caller { uid: A, groups: Vec::new() }, String::new());
    let entry = state.snapshot.queues[0].as_mut().unwrap();
    entry.apps.push(other);
    let explained = ask(&state, "http://+:80/shop/ user=3900000002").unwrap();
    assert!(text::of(&explained).contains("served by process 11, 13\n"));
    assert!(!explained.registering.unwrap().sharing.unwrap().may_open);
    state.snapshot.queues[0].as_mut().unwrap().openers = [Principal::User(B)].into();
    let registering = ask(&state, "http://+:80/shop/ user=3900000002").unwrap().registering.unwrap();
    assert!(registering.sharing.unwrap().may_open && !registering.possible);
    assert_eq!(registering.registered_by.unwrap().pid, 11);
    let kinds: Vec<ObstacleKind> = registering.obstacles.iter().map(|obstacle| obstacle.kind).collect();
    assert_eq!(kinds, [ObstacleKind::AlreadyRegistered]);
}

#[test]
fn of_many_overlapping_entries_some_are_listed_and_the_rest_is_counted() {
    let urls: Vec<String> = (0..150).map(|number| format!("http://*:80/{number}/")).collect();
    let urls: Vec<(&str, &str)> = urls.iter().map(|url| (&**url, "shop")).collect();
    let explained = ask(&host(config(&[]), &urls), "http://+:80/ user=0").unwrap();
    let registering = explained.registering.as_ref().unwrap();
    assert_eq!((registering.shadows.len(), registering.more, registering.possible), (100, 50, true));
    let said = text::of(&explained);
    assert_eq!(said.matches("it would take requests from").count(), 10);
    assert!(said.ends_with("  and 140 more of these (--json has up to 100 of each)\n"), "{said}");
}

#[test]
fn a_machine_without_ipv6_is_not_in_the_way() {
    let state = host(config(&[]), &[]);
    let look = |address: SocketAddr| if address.is_ipv6() { Err(ListenError::NoSuchAddress(address)) } else { Ok(()) };
    let user = Caller { uid: 0, groups: Vec::new() };
    let asked = Asked { url: "http://+:8080/", local: None, user: &user, as_prefix: true };
    let registering = explain(&state, &asked, &look).unwrap().registering.unwrap();
    assert!(registering.possible);
    assert_eq!(registering.ports.iter().map(|port| port.state).collect::<Vec<_>>(), [PortState::Free, PortState::NoSuchAddress]);
}

#[test]
fn a_port_that_the_host_has_on_one_interface_can_be_opened_on_all() {
    let mut state = host(config(&[]), &[]);
    let possible = |state: &State| ask(state, "http://+:8090/ user=0").unwrap().registering.unwrap().possible;
    assert!(!possible(&state));
    for address in ["127.0.0.1:8090", "[::1]:8090"] {
        state.ports.take(address.parse().unwrap());
    }
    assert!(possible(&state));
}

#[test]
fn programs_find_everything_under_names_that_stay() {
    let state = host(config(&[("http://+:80/shop/news/admin/", A)]), URLS);
    let detail = serde_json::to_value(ask(&state, "http://a.example:80/shop/news/admin/ user=3900000002").unwrap()).unwrap();
    let at = |pointer: &str| detail.pointer(pointer).unwrap_or_else(|| panic!("no {pointer} in {detail:#}"));
    for (pointer, expected) in [
        ("/url", json!("http://a.example:80/shop/news/admin/")),
        ("/answered", json!("reserved")),
        ("/status", json!(503)),
        ("/reason", json!("N/A")),
        ("/scheme", json!("http")),
        ("/local", json!("127.0.0.1:80")),
        ("/local_assumed", json!(true)),
        ("/host", json!("a.example")),
        ("/path", json!("/shop/news/admin/")),
        ("/decided_by/prefix", json!("http://+:80/shop/news/admin/")),
        ("/decided_by/kind", json!("reservation")),
        ("/decided_by/bucket", json!("strong")),
        ("/decided_by/grants/0", json!({ "principal": { "user": A }, "listen": true, "delegate": false, "name": A.to_string() })),
        ("/shadowed/2/prefix", json!("http://a.example:80/")),
        ("/shadowed/2/why", json!("later_bucket")),
        ("/shadowed/2/app", json!({ "name": "news", "pid": 12, "user": { "uid": B, "name": B.to_string() } })),
        ("/would_go_to/prefix", json!("http://+:80/shop/news/")),
        ("/group", json!(null)),
        ("/registering/possible", json!(false)),
        ("/registering/obstacles/0/kind", json!("access_denied")),
        ("/registering/loopback_rule", json!("other_host")),
        ("/registering/ports/0", json!({ "address": "0.0.0.0:80", "state": "open", "detail": null })),
        ("/registering/shadowed_by/0/whole", json!(true)),
    ] {
        assert_eq!(at(pointer), &expected, "{pointer}");
    }
    let served = serde_json::to_value(ask(&state, "http://a/shop//x").unwrap()).unwrap();
    assert_eq!(served["group"], json!({ "id": 1, "state": "active" }));
    let process = json!({ "name": "shop", "pid": 11, "user": { "uid": A, "name": A.to_string() } });
    let queue =
        json!({ "id": 1, "name": "carts", "state": "active", "waiting": 0, "length_limit": 1000, "processes": [process] });
    assert_eq!(served["queue"], queue);
    assert_eq!(served["other_reading"]["cooking"], "httpsys");
    assert_eq!(served["other_reading"]["routes_differently"], false);
}
