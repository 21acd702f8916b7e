//! Request queues as several processes use them: states that are switched, lengths, bindings, and who may open one.

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use narthex_proto::wire::{Activity, Owner, Principal, Properties, QueueSettings};
use narthex_tests::process::app_program;
use narthex_tests::wire_app::{Event, Session, WireApp};
use narthex_tests::{Client, Ending, Process};

use crate::failures::scene::{plain, queued};
use crate::failures::stage::{SOON, Stage, eventually, get, seen};

/// A user that no machine need have.
const STRANGER: u32 = 4_200_101;
const MOMENT: Duration = Duration::from_millis(50);

/// A queue with a name that goes with its last process.
fn named(name: &str) -> QueueSettings {
    QueueSettings { name: Some(name.to_owned()), restart_grace: Some(0), ..QueueSettings::default() }
}

fn length(length: u32) -> QueueSettings {
    QueueSettings { length: Some(length), ..QueueSettings::default() }
}

fn connect(address: SocketAddr) -> Client {
    Client::connect(address).expect("the host accepts connections")
}

fn asking(address: SocketAddr) -> Client {
    let mut client = connect(address);
    get(&mut client, "/");
    client
}

/// How many processes take requests from a queue.
fn processes(stage: &Stage, queue: &str) -> usize {
    stage.queue(queue).and_then(|queue| Some(queue["processes"].as_array()?.len())).unwrap_or_default()
}

/// The client's answer to one request, which the session gives if it gets it.
fn answer(client: &mut Client, session: &mut Session, served: bool) -> u16 {
    get(client, "/");
    if served {
        let id = session.request();
        session.answer(id, "");
    }
    client.response_within(false, SOON).expect("the client is answered").status
}

#[test]
fn a_state_that_is_switched_acts_on_the_next_request_and_back() {
    let stage = Stage::new();
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    let mut session = app.session();
    let mut client = connect(address);
    let group = Owner::Group(app.group());
    let of_properties = |state| (Properties { state: Some(state), ..Properties::default() }, QueueSettings::default());
    let of_queue = |state| (Properties::default(), QueueSettings { state: Some(state), ..QueueSettings::default() });
    type Switch<'a> = &'a dyn Fn(Activity) -> (Properties, QueueSettings);
    let switches: [(Owner, Switch<'_>); 3] = [(group, &of_queue), (group, &of_properties), (Owner::Session, &of_properties)];
    for (owner, switch) in switches {
        let mut set = |state| {
            let (properties, queue) = switch(state);
            app.try_set(owner, properties, queue).expect("it has a state");
        };
        assert_eq!(answer(&mut client, &mut session, true), 200, "{owner:?}");
        set(Activity::Inactive);
        assert_eq!(answer(&mut client, &mut session, false), 503, "{owner:?}");
        set(Activity::Active);
    }
    assert_eq!(answer(&mut client, &mut session, true), 200);
}

#[test]
fn an_active_group_of_an_inactive_session_stays_off() {
    let stage = Stage::new();
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", plain());
    let state = |state| Properties { state: Some(state), ..Properties::default() };
    app.try_set(Owner::Session, state(Activity::Inactive), QueueSettings::default()).expect("a session has a state");
    app.change(state(Activity::Active), QueueSettings::default());
    assert_eq!(answer(&mut connect(address), &mut app.session(), false), 503);
}

#[test]
fn a_queues_length_changes_for_the_next_request() {
    let stage = Stage::new();
    let settings = QueueSettings { length: Some(1), ..named("line") };
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(settings));
    let mut waiting = vec![asking(address)];
    stage.until_waiting("line", 1);
    assert!(seen(&mut asking(address)).starts_with("503"));
    app.change(Properties::default(), length(2));
    waiting.push(asking(address));
    stage.until_waiting("line", 2);
    assert!(seen(&mut asking(address)).starts_with("503"));
    // Shorter than what waits: those stay.
    app.change(Properties::default(), length(1));
    assert!(seen(&mut asking(address)).starts_with("503"));
    let state = stage.queue("line").expect("the queue is there");
    assert_eq!((&state["waiting"], &state["rejected"], &state["length_limit"]), (&2.into(), &3.into(), &1.into()));
    let mut session = app.session();
    for client in &mut waiting {
        let id = session.request();
        session.answer(id, "");
        assert_eq!(client.response_within(false, SOON).expect("who waits is served").status, 200);
    }
}

#[test]
fn the_hosts_queue_length_is_that_of_queues_that_do_not_say() {
    let stage = Stage::new();
    stage.verb("add setting settingtype=queue_length value=2");
    let (_app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(named("line")));
    let _waiting = [asking(address), asking(address)];
    stage.until_waiting("line", 2);
    assert!(seen(&mut asking(address)).starts_with("503"));
}

#[test]
fn a_group_that_is_bound_to_another_queue_is_served_by_that_queues_app() {
    let stage = Stage::new();
    let (mut first, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(named("first")));
    let (second, _) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(named("second")));
    let mut of_first = first.session();
    let mut of_second = second.session();
    let mut client = connect(address);
    assert_eq!(answer(&mut client, &mut of_first, true), 200);
    drop(of_first);
    first.change(Properties::default(), named("second"));
    assert!(stage.queue("first").is_none(), "nobody uses it any more");
    eventually("both processes are on it", || processes(&stage, "second") == 2);
    assert_eq!(answer(&mut client, &mut of_second, true), 200);

    // What is set now is the second queue's.
    first.change(Properties::default(), QueueSettings { state: Some(Activity::Inactive), ..QueueSettings::default() });
    assert_eq!(answer(&mut client, &mut of_second, false), 503);
    assert_eq!(stage.queue("second").expect("the queue is there")["state"], "inactive");
}

#[test]
fn requests_that_wait_where_their_group_was_bound_end_with_that_queue() {
    let stage = Stage::new();
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(named("old")));
    let mut client = asking(address);
    stage.until_waiting("old", 1);
    app.change(Properties::default(), named("new"));
    assert_eq!(seen(&mut client), "503 Service Unavailable, retry after 1, open");
    let mut session = app.session();
    assert_eq!(answer(&mut client, &mut session, true), 200);
}

#[test]
fn processes_of_one_named_queue_share_its_url_and_outlive_each_other() {
    let stage = Stage::new();
    let (first, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(named("shared")));
    let prefix = format!("http://{address}/");
    let (second, _) = WireApp::at(&stage.host, &prefix, queued(named("shared")));
    let message = WireApp::new(&stage.host).register(&prefix, queued(named("other"))).expect_err("another queue's URL");
    assert!(!message.is_empty());
    let mut sessions = [first.session(), second.session()];
    let mut served = [false; 2];
    eventually("both take requests", || {
        let mut client = asking(address);
        let taken = |(index, session): (usize, &mut Session)| match session.event(MOMENT) {
            Some(Event::Request(id)) => {
                session.answer(id, "");
                Some(index)
            }
            _ => None,
        };
        let taker = sessions.iter_mut().enumerate().find_map(taken).expect("one of them takes it");
        assert_eq!(client.response_within(false, SOON).expect("the client is answered").status, 200);
        served[taker] = true;
        served == [true; 2]
    });
    let [of_first, mut of_second] = sessions;
    drop((of_first, first));
    eventually("the first has left", || processes(&stage, "shared") == 1);
    assert_eq!(answer(&mut connect(address), &mut of_second, true), 200);
    drop((of_second, second));
    eventually("the queue goes with its last process", || stage.queue("shared").is_none());
}

/// Starts an app as another user; what it says when it cannot serve.
fn stranger(stage: &Stage, prefix: &str, queue: &str) -> Result<Process, String> {
    // The program may be where that user may not look: its descriptor leads to it.
    let file = File::open(app_program()).expect("the program is there");
    let mut command = Command::new(format!("/proc/self/fd/{}", file.as_raw_fd()));
    command.args(["--provider", "shared", "--prefix", prefix, "--queue", queue, "--host-socket"]);
    command.arg(stage.host.socket()).current_dir("/").uid(STRANGER).gid(STRANGER);
    let mut process = Process::start("stranger", &mut command);
    match process.try_line("ready ", SOON) {
        Ok(_) => Ok(process),
        Err("ended") => {
            process.wait(SOON);
            Err(process.log())
        }
        Err(problem) => panic!("the stranger {problem}: {}", process.log()),
    }
}

#[test]
fn another_user_opens_a_queue_only_if_its_owner_lets_him() {
    if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() {
        eprintln!("only root on Linux can start other users' apps: nothing was checked");
        return;
    }
    let stage = Stage::new();
    let (mut app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", queued(named("guarded")));
    let prefix = format!("http://{address}/");
    let refusal = stranger(&stage, &prefix, "guarded").expect_err("the queue is its owner's");
    assert!(refusal.contains("belongs to another user"), "{refusal}");

    let open_to = |opener| QueueSettings { openers: vec![opener], ..QueueSettings::default() };
    app.change(Properties::default(), open_to(Principal::User(STRANGER - 1)));
    stranger(&stage, &prefix, "guarded").expect_err("somebody else is let in");
    for opener in [Principal::User(STRANGER), Principal::Group(STRANGER), Principal::Everyone] {
        app.change(Properties::default(), open_to(opener));
        let opened = stranger(&stage, &prefix, "guarded").unwrap_or_else(|refusal| panic!("{opener:?}: {refusal}"));
        assert_eq!(seen(&mut asking(address)), "200 OK, open", "{opener:?}");
        drop(opened);
        eventually("the stranger has left", || processes(&stage, "guarded") == 1);
    }
    let mut client = asking(address);
    assert_eq!(client.ending(MOMENT), Ending::Open, "the owner has no session, so it waits");
}
