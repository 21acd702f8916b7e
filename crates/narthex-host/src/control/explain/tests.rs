use std::sync::Arc;

use narthex_http::{PortHolder, Remedy};
use narthex_proto::wire::{Properties, QueueSettings};

use super::*;
use crate::config::{Config, Reserved};
use crate::control::queues;
use crate::control::settings::Defaults;
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
    let mut state = State::new(1, Vec::new(), Arc::new(config));
    for (name, uid, pid, queue) in [("shop", A, 11, Some("carts")), ("news", B, 12, None)] {
        let app = state.add_app(name, 1, pid, Caller { uid, groups: Vec::new() }, String::new());
        let defaults = Defaults::of(&state.config);
        let settings = QueueSettings { name: queue.map(str::to_owned), ..QueueSettings::default() };
        let found = queues::find(&state.snapshot, &settings, queues::Opener { uid, gids: &[] }, app, &defaults).unwrap();
        let queue = queues::join(&mut state.snapshot, found, app);
        let none = Properties::default();
        let group = settings::resolve((app, app, queue), &none, &none, &defaults, &Arc::default());
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

/// Every text is compared as a whole: each line has to matter.
#[track_caller]
fn says(state: &State, texts: &[(&str, &[&str])]) {
    for (typed, lines) in texts {
        let said = text_of(state, typed);
        if std::env::var("BLESS").is_ok() {
            println!("=== {typed}\n{said}");
            continue;
        }
        assert_eq!(said.trim_end(), lines.join("\n"), "{typed}");
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
    says(
        &host(config(&[]), URLS),
        &[
            ("http://a.example/shop/cart/1?q", &[]),
            ("http://A.example/other/../shop/%63art", &[]),
            ("http://10.0.0.1/x", &[]),
            ("http://b.example/x", &[]),
            ("http://localhost:8888/app/x", &[]),
            ("http://192.0.2.1:80/shop local=127.0.0.1:80", &[]),
            ("http://a.example:8080/shop/ local=10.0.0.9:80", &[]),
        ],
    );
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
    says(
        &host(reserved, &URLS[..2]),
        &[
            ("http://a/shop/admin/x/1", &[]),
            ("http://b.example/x", &[]),
            ("http://c.example/x", &[]),
            ("https://c.example:80/shop/", &[]),
            ("http://c.example:8000/x", &[]),
            ("http://c.example:8090/x", &[]),
            ("http://192.0.2.7/shop/", &[]),
            ("http://localhost:8888/x", &[]),
        ],
    );
    says(&host(Config::default(), &URLS[4..]), &[("http://b.example/elsewhere", &[]), ("http://b.example:8888/app/", &[])]);
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
    says(&strict, &[("http://x/a%2Fb/c", &[]), ("http://x/a//c", &[]), ("http://x/a\\b", &[]), ("http://x/a/../..", &[])]);
    says(&httpsys, &[("http://x/a%2fb/c", &[]), ("http://x/a//c", &[]), ("http://x/a\\b", &[])]);
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
    says(
        &state,
        &[
            ("http://+:80/shop/ user=3900000002", &[]),
            ("http://+:80/shop/ user=3900000001", &[]),
            ("http://a.example:80/ user=0", &[]),
            ("http://+:8081/x/", &[]),
            ("http://+:8082/x user=3900000002", &[]),
            ("http://localhost:8889/ user=3900000002", &[]),
            ("http://localhost:8888/new/ user=3900000002", &[]),
            ("http://localhost:1024/ user=3900000002", &[]),
            ("http://+:8090/ user=0", &[]),
            ("http://+:8091/ user=0", &[]),
            ("http://192.0.2.1:8092/ user=0", &[]),
            ("https://+:80/ user=0", &[]),
            ("http://+:80/?x user=0", &[]),
            ("http://*:80/shop/ user=0", &[]),
            ("http://bücher.example:80/ein Regal/ user=0", &[]),
        ],
    );
    let mut off = config(&[]);
    off.settings.loopback_rule = false;
    says(&host(off, URLS), &[("http://localhost:8889/ user=3900000002", &[])]);
}

#[test]
fn a_url_that_is_none_is_an_error_that_says_why() {
    let state = host(config(&[]), URLS);
    says(
        &state,
        &[("/shop/", &[]), ("nonsense user=0", &[]), ("http://a/%zz", &[]), ("http://a@b/", &[]), ("http://\u{1b}[2J/", &[])],
    );
    for url in ["", "*", ":", "http:", "http://", "://", "http://[", "\0", "http://a:b", "http://+:0/", "http://+:0/ user=1"] {
        let _ = ask(&state, url);
    }
}

#[test]
fn programs_find_everything_under_names_that_stay() {
    let state = host(config(&[("http://+:80/shop/news/admin/", A)]), URLS);
    let detail = serde_json::to_value(ask(&state, "http://a.example:80/shop/news/admin/ user=3900000002").unwrap()).unwrap();
    println!("{detail:#}");
}
