use std::sync::Arc;

use narthex_http::{PortHolder, Remedy};
use narthex_proto::wire::{Properties, QueueSettings};
use serde_json::json;

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
            (
                "http://a.example/shop/cart/1?q",
                &[
                    "http://a.example/shop/cart/1?q goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  not to the registration http://a.example:80/ of news (process 12, user 3900000002): a later bucket is never looked at",
                    "  not to the registration http://*:80/shop/cart/ of news (process 12, user 3900000002): a later bucket is never looked at",
                ],
            ),
            (
                "http://A.example/other/../shop/%63art",
                &[
                    "http://A.example/other/../shop/%63art goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  its canonical path is /shop/cart (typed /other/../shop/%63art)",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  not to the registration http://a.example:80/ of news (process 12, user 3900000002): a later bucket is never looked at",
                    "  not to the registration http://*:80/shop/cart/ of news (process 12, user 3900000002): a later bucket is never looked at",
                ],
            ),
            (
                "http://10.0.0.1/x",
                &[
                    "http://10.0.0.1/x goes to shop (process 11, user 3900000001), which has registered http://10.0.0.1:80/",
                    "  it arrives on 10.0.0.1:80",
                    "  the IP-bound weak wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                ],
            ),
            (
                "http://b.example/x",
                &[
                    "http://b.example/x gets 404 (NotFound): port 80 knows the host, but nothing is registered for /x",
                    "  it arrives on 127.0.0.1:80 (assumed; on 10.0.0.1 another entry decides: --local 10.0.0.1:80 tells)",
                ],
            ),
            (
                "http://localhost:8888/app/x",
                &[
                    "http://localhost:8888/app/x goes to shop (process 11, user 3900000001), which has registered http://localhost:8888/app/",
                    "  it arrives on 127.0.0.1:8888",
                    "  the explicit host bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                ],
            ),
            (
                "http://192.0.2.1:80/shop local=127.0.0.1:80",
                &[
                    "http://192.0.2.1:80/shop goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  it arrives on 127.0.0.1:80",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                ],
            ),
            (
                "http://a.example:8080/shop/ local=10.0.0.9:80",
                &[
                    "http://a.example:8080/shop/ goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  it arrives on 10.0.0.9:80; the port of the URL, 8080, does not route",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  not to the registration http://a.example:80/ of news (process 12, user 3900000002): a later bucket is never looked at",
                    "",
                    "user 3900000002 cannot register http://a.example:8080/shop/: no reservation lets user 3900000002 register it; an operator can: narthex add urlacl url=http://a.example:8080/shop/ user=3900000002",
                    "  port 8080 is free, and would be opened",
                ],
            ),
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
            (
                "http://a/shop/admin/x/1",
                &[
                    "http://a/shop/admin/x/1 gets 503 (N/A): http://+:80/shop/admin/x/ is reserved for user 3900000002, and no app has registered it",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  not to the reservation http://+:80/shop/admin/ for user 3900000001: a longer path in the same bucket wins",
                    "  not to the registration http://+:80/shop/ of shop (process 11, user 3900000001): a longer path in the same bucket wins",
                    "  without the reservation http://+:80/shop/admin/x/ and the reservation http://+:80/shop/admin/ it would have gone to the registration http://+:80/shop/ of shop (process 11, user 3900000001)",
                ],
            ),
            (
                "http://b.example/x",
                &[
                    "http://b.example/x gets 503 (N/A): http://b.example:80/ is reserved for user 3900000001, and no app has registered it",
                    "  the explicit host bucket decides, by its longest path",
                ],
            ),
            (
                "http://c.example/x",
                &["http://c.example/x gets 404 (NotFound): port 80 knows the host, but nothing is registered for /x"],
            ),
            (
                "https://c.example:80/shop/",
                &[
                    "https://c.example:80/shop/ gets no answer that it understands: port 80 does not speak https",
                    "",
                    "user 3900000002 cannot register https://c.example:80/shop/: this host has no TLS certificates yet; register an http:// prefix",
                    "  and no reservation lets user 3900000002 register it; an operator can: narthex add urlacl url=https://c.example:80/shop/ user=3900000002",
                    "  and https://c.example:80/shop/ cannot share port 80 with http://+:80/shop/: the port already speaks http; use http or another port",
                    "  port 80 is open already",
                ],
            ),
            (
                "http://c.example:8000/x",
                &[
                    "http://c.example:8000/x finds nobody, its connection is refused: this host does not listen on 127.0.0.1:8000",
                    "  if it did, the reservation http://+:8000/ for user 3900000001 would decide",
                ],
            ),
            (
                "http://c.example:8090/x",
                &[
                    "http://c.example:8090/x does not reach this host: 127.0.0.1:8090 is taken by another program: it is nginx with process id 99",
                ],
            ),
            (
                "http://192.0.2.7/shop/",
                &[
                    "http://192.0.2.7/shop/ goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  it arrives on 192.0.2.7:80; this machine does not have that address: behind a NAT or a mapped port, name the one that it arrives on with --local",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                ],
            ),
            (
                "http://localhost:8888/x",
                &["http://localhost:8888/x finds nobody, its connection is refused: this host does not listen on 127.0.0.1:8888"],
            ),
        ],
    );
    says(
        &host(Config::default(), &URLS[4..]),
        &[
            (
                "http://b.example/elsewhere",
                &[
                    "http://b.example/elsewhere gets 404 (NotFound): port 80 knows the host, but nothing is registered for /elsewhere",
                ],
            ),
            (
                "http://b.example:8888/app/",
                &[
                    "http://b.example:8888/app/ gets 400 (Hostname): nothing on port 8888 is registered for the host b.example",
                    "",
                    "user 3900000002 cannot register http://b.example:8888/app/: no reservation lets user 3900000002 register it; an operator can: narthex add urlacl url=http://b.example:8888/app/ user=3900000002",
                    "  port 8888 is free, and would be opened",
                ],
            ),
        ],
    );
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
    says(
        &strict,
        &[
            (
                "http://x/a%2Fb/c",
                &[
                    "http://x/a%2Fb/c goes to shop (process 11, user 3900000001), which has registered http://+:80/",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  warning: with cooking = httpsys its path is /a/b/c, which the registration http://+:80/a/b/ decides",
                ],
            ),
            (
                "http://x/a//c",
                &[
                    "http://x/a//c goes to shop (process 11, user 3900000001), which has registered http://+:80/",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                ],
            ),
            (
                "http://x/a\\b",
                &[
                    "cannot explain http://x/a\\b: a request for it gets 400 (Forbidden): the request target has a backslash (at character 11: \"\\\\b\"); with cooking = httpsys it is read as /a/b",
                ],
            ),
            (
                "http://x/a/../..",
                &[
                    "cannot explain http://x/a/../..: a request for it gets 400 (URL): the request target leads above the root (at character 15: \"..\"); with cooking = httpsys it is read as /",
                ],
            ),
        ],
    );
    says(
        &httpsys,
        &[
            (
                "http://x/a%2fb/c",
                &[
                    "http://x/a%2fb/c goes to news (process 12, user 3900000002), which has registered http://+:80/a/b/",
                    "  its canonical path is /a/b/c (typed /a%2fb/c)",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 2 is active; a request queue without name is active, 0 of 1000 places taken, served by process 12",
                    "  not to the registration http://+:80/ of shop (process 11, user 3900000001): a longer path in the same bucket wins",
                    "  warning: with cooking = strict its path is /a%2Fb/c, which the registration http://+:80/ decides",
                ],
            ),
            (
                "http://x/a//c",
                &[
                    "http://x/a//c goes to shop (process 11, user 3900000001), which has registered http://+:80/",
                    "  its canonical path is /a/c (typed /a//c)",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  with cooking = strict its path is /a//c",
                ],
            ),
            (
                "http://x/a\\b",
                &[
                    "http://x/a\\b goes to news (process 12, user 3900000002), which has registered http://+:80/a/b/",
                    "  its canonical path is /a/b (typed /a\\b)",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 2 is active; a request queue without name is active, 0 of 1000 places taken, served by process 12",
                    "  not to the registration http://+:80/ of shop (process 11, user 3900000001): a longer path in the same bucket wins",
                    "  warning: with cooking = strict, a request for it gets 400 (Forbidden): the request target has a backslash (at character 11: \"\\\\b\")",
                ],
            ),
        ],
    );
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
            (
                "http://+:80/shop/ user=3900000002",
                &[
                    "http://+:80/shop/ goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  that is for requests whose host no registration names",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  not to the reservation http://+:80/shop/ for user 3900000001: it is in use: the registration of the same prefix wins",
                    "",
                    "user 3900000002 cannot register http://+:80/shop/: it is reserved for user 3900000001 (narthex show urlacl url=http://+:80/shop/)",
                    "  and it is registered by shop (process 11, user 3900000001); only a process with its request queue \"carts\" could share it, and user 3900000002 may not open that",
                    "  port 80 is open already",
                    "  it would take requests from the registration http://a.example:80/: those that both match",
                    "  it would take requests from the registration http://10.0.0.1:80/: those that both match",
                    "  it would take requests from the registration http://*:80/shop/cart/: all of them",
                    "  it would lose requests to the registration http://+:80/shop/news/: those that both match",
                ],
            ),
            (
                "http://+:80/shop/ user=3900000001",
                &[
                    "http://+:80/shop/ goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  that is for requests whose host no registration names",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  not to the reservation http://+:80/shop/ for user 3900000001: it is in use: the registration of the same prefix wins",
                    "",
                    "user 3900000001 cannot register http://+:80/shop/: it is registered by shop (process 11, user 3900000001); another process can share it that names the request queue \"carts\", which user 3900000001 may open",
                    "  the reservation http://+:80/shop/ for user 3900000001 allows it",
                    "  port 80 is open already",
                    "  it would take requests from the registration http://a.example:80/: those that both match",
                    "  it would take requests from the registration http://10.0.0.1:80/: those that both match",
                    "  it would take requests from the registration http://*:80/shop/cart/: all of them",
                    "  it would lose requests to the registration http://+:80/shop/news/: those that both match",
                ],
            ),
            (
                "http://a.example:80/ user=0",
                &[
                    "http://a.example:80/ goes to news (process 12, user 3900000002), which has registered http://a.example:80/",
                    "  the explicit host bucket decides, by its longest path",
                    "  URL group 2 is active; a request queue without name is active, 0 of 1000 places taken, served by process 12",
                    "",
                    "user \"root\" cannot register http://a.example:80/: it is registered by news (process 12, user 3900000002); its request queue has no name, so it cannot be shared: stop that app, or register another path",
                    "  no reservation decides, and user \"root\" is an operator",
                    "  port 80 is open already",
                    "  it would take requests from the registration http://10.0.0.1:80/: those that both match",
                    "  it would take requests from the registration http://*:80/shop/cart/: those that both match",
                    "  it would lose requests to the registration http://+:80/shop/: those that both match",
                    "  it would lose requests to the registration http://+:80/shop/news/: those that both match",
                ],
            ),
            (
                "http://+:8081/x/",
                &[
                    "http://+:8081/x/ finds nobody, its connection is refused: this host does not listen on 127.0.0.1:8081",
                    "  if it did, the reservation http://+:8081/ for user 3900000002 would decide",
                    "",
                    "user 3900000002 can register http://+:8081/x/",
                    "  the reservation http://+:8081/ for user 3900000002 allows it",
                    "  port 8081 is free, and would be opened",
                ],
            ),
            (
                "http://+:8082/x user=3900000002",
                &[
                    "http://+:8082/x finds nobody, its connection is refused: this host does not listen on 127.0.0.1:8082",
                    "",
                    "user 3900000002 cannot register http://+:8082/x/: no reservation lets user 3900000002 register it; an operator can: narthex add urlacl url=http://+:8082/x/ user=3900000002",
                    "  port 8082 is free, and would be opened",
                ],
            ),
            (
                "http://localhost:8889/ user=3900000002",
                &[
                    "http://localhost:8889/ finds nobody, its connection is refused: this host does not listen on 127.0.0.1:8889",
                    "",
                    "user 3900000002 can register http://localhost:8889/",
                    "  the loopback rule lets everybody register it",
                    "  port 8889 is free, and would be opened",
                ],
            ),
            (
                "http://localhost:8888/new/ user=3900000002",
                &[
                    "http://localhost:8888/new/ gets 404 (NotFound): port 8888 knows the host, but nothing is registered for /new/",
                    "  it arrives on 127.0.0.1:8888",
                    "",
                    "user 3900000002 cannot register http://localhost:8888/new/: no reservation lets user 3900000002 register it; an operator can: narthex add urlacl url=http://localhost:8888/new/ user=3900000002",
                    "  the loopback rule does not help: the port has reservations",
                    "  port 8888 is open already",
                ],
            ),
            (
                "http://localhost:1024/ user=3900000002",
                &[
                    "http://localhost:1024/ finds nobody, its connection is refused: this host does not listen on 127.0.0.1:1024",
                    "",
                    "user 3900000002 cannot register http://localhost:1024/: no reservation lets user 3900000002 register it; an operator can: narthex add urlacl url=http://localhost:1024/ user=3900000002",
                    "  the loopback rule does not help: it is for ports above 1024",
                    "  port 1024 is free, and would be opened",
                ],
            ),
            (
                "http://+:8090/ user=0",
                &[
                    "http://+:8090/ does not reach this host: 127.0.0.1:8090 is taken by another program: it is nginx with process id 99",
                    "",
                    "user \"root\" cannot register http://+:8090/: cannot listen on 0.0.0.0:8090: the port is taken by another program: it is nginx with process id 99. Choose another port, or stop what has this one",
                    "  no reservation decides, and user \"root\" is an operator",
                ],
            ),
            (
                "http://+:8091/ user=0",
                &[
                    "http://+:8091/ finds nobody, its connection is refused: this host does not listen on 127.0.0.1:8091",
                    "",
                    "user \"root\" cannot register http://+:8091/: cannot listen on 0.0.0.0:8091: the system forbids it, as a security policy or a service's sandbox does; allow it there, or choose another port",
                    "  no reservation decides, and user \"root\" is an operator",
                ],
            ),
            (
                "http://192.0.2.1:8092/ user=0",
                &[
                    "http://192.0.2.1:8092/ finds nobody, its connection is refused: this host does not listen on 192.0.2.1:8092; this machine does not have that address",
                    "",
                    "user \"root\" cannot register http://192.0.2.1:8092/: cannot listen on 192.0.2.1:8092: this machine does not have that address",
                    "  no reservation decides, and user \"root\" is an operator",
                ],
            ),
            (
                "https://+:80/ user=0",
                &[
                    "https://+:80/ gets no answer that it understands: port 80 does not speak https",
                    "  that is for requests whose host no registration names",
                    "",
                    "user \"root\" cannot register https://+:80/: this host has no TLS certificates yet; register an http:// prefix",
                    "  and https://+:80/ cannot share port 80 with http://+:80/shop/: the port already speaks http; use http or another port",
                    "  no reservation decides, and user \"root\" is an operator",
                    "  port 80 is open already",
                ],
            ),
            (
                "http://+:80/?x user=0",
                &[
                    "http://+:80/?x gets 404 (NotFound): port 80 knows the host, but nothing is registered for /",
                    "  that is for requests whose host no registration names",
                    "  it arrives on 127.0.0.1:80 (assumed; on 10.0.0.1 another entry decides: --local 10.0.0.1:80 tells)",
                    "",
                    "user \"root\" cannot register http://+:80/?x: the path must not contain '?'",
                ],
            ),
            (
                "http://*:80/shop/ user=0",
                &[
                    "http://*:80/shop/ goes to shop (process 11, user 3900000001), which has registered http://+:80/shop/",
                    "  that is for requests whose host no registration names",
                    "  the strong wildcard bucket decides, by its longest path",
                    "  URL group 1 is active; request queue \"carts\" is active, 0 of 1000 places taken, served by process 11",
                    "  not to the reservation http://+:80/shop/ for user 3900000001: it is in use: the registration of the same prefix wins",
                    "",
                    "user \"root\" can register http://*:80/shop/",
                    "  no reservation decides, and user \"root\" is an operator",
                    "  port 80 is open already",
                    "  it would lose requests to the registration http://+:80/shop/: all of them",
                    "  it would lose requests to the registration http://+:80/shop/news/: those that both match",
                    "  it would lose requests to the registration http://a.example:80/: those that both match",
                    "  it would lose requests to the registration http://10.0.0.1:80/: those that both match",
                    "  it would lose requests to the registration http://*:80/shop/cart/: those that both match",
                ],
            ),
            (
                "http://bücher.example:80/ein Regal/ user=0",
                &[
                    "http://bücher.example:80/ein Regal/ gets 404 (NotFound): port 80 knows the host, but nothing is registered for /ein Regal/",
                    "  it arrives on 127.0.0.1:80 (assumed; on 10.0.0.1 another entry decides: --local 10.0.0.1:80 tells)",
                    "",
                    "user \"root\" can register http://bücher.example:80/ein Regal/",
                    "  no reservation decides, and user \"root\" is an operator",
                    "  port 80 is open already",
                    "  it would take requests from the registration http://10.0.0.1:80/: those that both match",
                ],
            ),
        ],
    );
    let mut off = config(&[]);
    off.settings.loopback_rule = false;
    says(
        &host(off, URLS),
        &[(
            "http://localhost:8889/ user=3900000002",
            &[
                "http://localhost:8889/ finds nobody, its connection is refused: this host does not listen on 127.0.0.1:8889",
                "",
                "user 3900000002 cannot register http://localhost:8889/: no reservation lets user 3900000002 register it; an operator can: narthex add urlacl url=http://localhost:8889/ user=3900000002",
                "  the loopback rule does not help: the setting loopback_rule is off",
                "  port 8889 is free, and would be opened",
            ],
        )],
    );
}

#[test]
fn a_url_that_is_none_is_an_error_that_says_why() {
    let state = host(config(&[]), URLS);
    says(
        &state,
        &[
            (
                "/shop/",
                &[
                    "cannot explain /shop/: it is not a whole URL: write it with scheme and host, as in http://example.com:8888/path",
                ],
            ),
            (
                "nonsense user=0",
                &[
                    "cannot explain nonsense: it is not a whole URL: write it with scheme and host, as in http://example.com:8888/path",
                ],
            ),
            (
                "http://a/%zz",
                &[
                    "cannot explain http://a/%zz: a request for it gets 400 (URL): the request target has a broken percent escape (at character 10: \"%zz\")",
                ],
            ),
            (
                "http://a@b/",
                &[
                    "cannot explain http://a@b/: a request for it gets 400 (Hostname): the host contains the byte 0x40 (at character 9: \"@b/\")",
                ],
            ),
            (
                "http://\u{1b}[2J/",
                &[
                    "cannot explain http://�[2J/: a request for it gets 400 (Hostname): the host contains the byte 0x1b (at character 8: \"\\u{1b}[2J/\")",
                ],
            ),
        ],
    );
    for url in ["", "*", ":", "http:", "http://", "://", "http://[", "\0", "http://a:b", "http://+:0/", "http://+:0/ user=1"] {
        let _ = ask(&state, url);
    }
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
