//! What clients get in the place of a 503, by the queue's verbosity.

use narthex_proto::wire::{Activity, GroupSettings, Properties, QueueSettings, Timeouts, Verbosity};
use narthex_tests::wire_app::WireApp;
use narthex_tests::{Client, ReadError};

use crate::failures::scene::{own, plain, queued, timed};
use crate::failures::stage::{SOON, Stage, get, seen};

/// How a request comes to be refused.
struct Refusal {
    name: &'static str,
    token: &'static str,
    group: fn() -> GroupSettings,
    /// Requests that wait before it.
    before: usize,
    /// The app leaves while it waits.
    app_leaves: bool,
}

const REFUSALS: [Refusal; 5] = [
    Refusal {
        name: "full",
        token: "QueueFull",
        group: || queued(QueueSettings { length: Some(1), ..QueueSettings::default() }),
        before: 1,
        app_leaves: false,
    },
    Refusal {
        name: "inactive",
        token: "Disabled",
        group: || own(Properties { state: Some(Activity::Inactive), ..Properties::default() }),
        before: 0,
        app_leaves: false,
    },
    Refusal {
        name: "limit",
        token: "ConnLimit",
        group: || own(Properties { max_connections: Some(3), ..Properties::default() }),
        before: 3,
        app_leaves: false,
    },
    Refusal {
        name: "timer",
        token: "Timer_ReqQueue",
        group: || timed(Timeouts { request_queue: Some(1), ..Timeouts::default() }),
        before: 0,
        app_leaves: false,
    },
    Refusal { name: "gone", token: "N/A", group: plain, before: 0, app_leaves: true },
];

fn refused(stage: &Stage, refusal: &Refusal, verbosity: Verbosity) -> String {
    let mut settings = (refusal.group)();
    let name = format!("{}-{verbosity:?}", refusal.name);
    settings.queue.name = Some(name.clone());
    settings.queue.verbosity = Some(verbosity);
    // An app that leaves is not waited for.
    settings.queue.restart_grace = Some(0);
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", settings);
    let connect = || Client::connect(address).expect("the host accepts connections");
    let mut before: Vec<_> = (0..refusal.before).map(|_| connect()).collect();
    before.iter_mut().for_each(|client| get(client, "/"));
    stage.until_waiting(&name, refusal.before as u64);
    let mut client = connect();
    get(&mut client, "/");
    if refusal.app_leaves {
        stage.until_waiting(&name, 1);
        drop(app);
    }
    seen(&mut client)
}

#[test]
fn a_503_is_a_reset_or_an_answer_without_or_with_its_reason_as_the_queue_says() {
    let stage = Stage::new();
    let cases = REFUSALS.iter().flat_map(|refusal| {
        [
            (refusal, Verbosity::Basic, "reset".to_owned()),
            (refusal, Verbosity::Limited, "503 Service Unavailable, retry after 1, open".to_owned()),
            (refusal, Verbosity::Full, format!("503 {}, retry after 1, open", refusal.token)),
        ]
    });
    std::thread::scope(|scope| {
        let stage = &stage;
        for (refusal, verbosity, expected) in cases {
            scope.spawn(move || assert_eq!(refused(stage, refusal, verbosity), expected, "{} {verbosity:?}", refusal.name));
        }
    });
}

#[test]
fn the_verbosity_of_a_queue_changes_with_the_next_request() {
    let stage = Stage::new();
    let inactive = QueueSettings { state: Some(Activity::Inactive), ..QueueSettings::default() };
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(inactive));
    let mut client = Client::connect(address).expect("the host accepts connections");
    let changes = [(Verbosity::Full, "Disabled"), (Verbosity::Limited, "Service Unavailable")];
    for (verbosity, phrase) in changes {
        app.change(Properties::default(), QueueSettings { verbosity: Some(verbosity), ..QueueSettings::default() });
        get(&mut client, "/");
        let answer = client.response_within(false, SOON).expect("the host answers");
        assert_eq!((answer.status, answer.phrase.as_str()), (503, phrase));
        assert_eq!(answer.header("retry-after"), Some("1"));
    }
    app.change(Properties::default(), QueueSettings { verbosity: Some(Verbosity::Basic), ..QueueSettings::default() });
    get(&mut client, "/");
    assert!(matches!(client.response_within(false, SOON), Err(ReadError::Reset)));
}
