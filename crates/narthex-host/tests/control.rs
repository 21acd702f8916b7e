//! What apps can do to a running host over its socket, message by message.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use narthex_host::admin::{Client, ServiceState};
use narthex_host::{Host, HostOptions};
use narthex_proto::wire::{ControlConnection, GroupSettings, Hello, Message, QueueSettings, RefusalCode, Role, Welcome};

const PATIENCE: Duration = Duration::from_secs(20);

const PAUSE: Duration = Duration::from_millis(5);

fn eventually(so: impl Fn() -> bool) {
    let attempts = PATIENCE.as_millis() / PAUSE.as_millis();
    assert!((0..attempts).inspect(|_| std::thread::sleep(PAUSE)).any(|_| so()), "it never came about");
}

struct Running {
    host: Host,
    _directory: tempfile::TempDir,
}

impl Running {
    fn start(workers: usize) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut options = HostOptions::default();
        options.socket = directory.path().join("host.sock");
        options.workers = workers;
        Self { host: Host::start(options).unwrap(), _directory: directory }
    }

    fn app(&self) -> Peer {
        Peer::connect(self.host.socket(), Hello { workers: 1, ..Hello::new(Role::App) })
    }

    fn data(&self, token: &str) -> Peer {
        let hello = Hello { token: Some(token.to_owned()), host_worker: Some(0), ..Hello::new(Role::Data) };
        Peer::connect(self.host.socket(), hello)
    }

    fn state(&self) -> ServiceState {
        Client::connect(self.host.socket()).unwrap().service_state().unwrap()
    }

    /// Waits until the host's state is as `wanted`; what ends without an answer takes its time.
    fn until(&self, wanted: impl Fn(&ServiceState) -> bool) {
        eventually(|| wanted(&self.state()));
    }
}

/// The other end of a connection to the host's socket.
struct Peer {
    stream: UnixStream,
    control: ControlConnection,
    welcome: Option<Welcome>,
}

impl Peer {
    fn connect(path: &Path, hello: Hello) -> Self {
        let stream = UnixStream::connect(path).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut peer = Self { stream, control: ControlConnection::new(), welcome: None };
        let Message::Welcome(welcome) = peer.ask(&Message::Hello(hello)) else { panic!("no welcome") };
        peer.welcome = Some(welcome);
        peer
    }

    fn token(&self) -> String {
        self.welcome.as_ref().unwrap().token.clone()
    }

    fn ask(&mut self, message: &Message) -> Message {
        self.control.send(message).unwrap();
        let output = std::mem::take(self.control.output());
        self.stream.write_all(&output).unwrap();
        self.receive().expect("the host closed the connection")
    }

    fn receive(&mut self) -> Option<Message> {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            if let Some(message) = self.control.receive().unwrap() {
                return Some(message);
            }
            match self.stream.read(&mut buffer).unwrap() {
                0 => return None,
                read => self.control.push(&buffer[..read]),
            }
        }
    }

    fn register_as(&mut self, group: GroupSettings, urls: &[&str]) -> Result<Vec<String>, (RefusalCode, String)> {
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        match self.ask(&Message::Register { id: 7, group, urls, into: None }) {
            Message::Registered { id: 7, urls, .. } => Ok(urls.into_iter().map(|registered| registered.url).collect()),
            Message::Refused { id: 7, code, message } => Err((code, message)),
            other => panic!("{other:?}"),
        }
    }

    fn register(&mut self, urls: &[&str]) -> Result<Vec<String>, (RefusalCode, String)> {
        self.register_as(GroupSettings::default(), urls)
    }

    fn unregister(&mut self, urls: &[String]) {
        let answer = self.ask(&Message::Unregister { id: 8, urls: urls.to_vec() });
        assert_eq!(answer, Message::Unregistered { id: 8 });
    }
}

fn named(queue: &str) -> GroupSettings {
    GroupSettings {
        queue: QueueSettings { name: Some(queue.to_owned()), ..QueueSettings::default() },
        ..GroupSettings::default()
    }
}

/// A port that the host had and has given back.
fn free_port(app: &mut Peer) -> u16 {
    let urls = app.register(&["http://127.0.0.1:0/"]).unwrap();
    app.unregister(&urls);
    urls[0].trim_end_matches('/').rsplit(':').next().unwrap().parse().unwrap()
}

#[test]
fn a_registration_without_urls_is_refused_and_leaves_nothing() {
    let running = Running::start(1);
    let mut app = running.app();
    let (code, message) = app.register(&[]).unwrap_err();
    assert_eq!(code, RefusalCode::Invalid);
    assert!(message.contains("at least one"), "{message}");
    let state = running.state();
    assert!(state.sessions[0].groups.is_empty() && state.queues.is_empty());
}

#[test]
fn a_group_goes_with_its_last_url_and_its_queue_with_its_last_group() {
    let running = Running::start(2);
    let (mut one, mut two) = (running.app(), running.app());
    let both = one.register_as(named("shop"), &["http://127.0.0.1:0/a/"]).unwrap();
    let base = both[0].replace("/a/", "");
    let more = one.register_as(named("shop"), &[&format!("{base}/b/")]).unwrap();
    let other = two.register_as(named("shop"), &[&format!("{base}/c/")]).unwrap();
    let own = one.register(&[&format!("{base}/d/"), &format!("{base}/e/")]).unwrap();
    assert_eq!(running.state().queues.len(), 2);

    one.unregister(&own[..1]);
    let state = running.state();
    assert_eq!((state.sessions[0].groups.len(), state.queues.len()), (3, 2), "a URL of the group is left");
    one.unregister(&own[1..]);
    one.unregister(&both);
    let state = running.state();
    assert_eq!((state.sessions[0].groups.len(), state.queues.len()), (1, 1));
    assert_eq!(state.queues[0].processes.len(), 2, "the app has another group with this queue");
    one.unregister(&more);
    let state = running.state();
    assert_eq!((state.sessions[0].groups.len(), state.queues.len()), (0, 1));
    assert_eq!(state.queues[0].processes.len(), 1, "the other app keeps the named queue");
    two.unregister(&other);
    let state = running.state();
    assert!(state.queues.is_empty() && state.listeners.is_empty(), "{state:#?}");
}

#[test]
fn an_app_has_only_so_many_groups_and_gets_room_by_giving_some_back() {
    let running = Running::start(1);
    let mut app = running.app();
    let first = app.register(&["http://127.0.0.1:0/"]).unwrap();
    for number in 1..1_000 {
        app.register(&[&format!("{}{number}/", first[0])]).unwrap();
    }
    let one_more = format!("{}more/", first[0]);
    assert_eq!(app.register(&[&one_more]).unwrap_err().0, RefusalCode::LimitReached);
    app.unregister(&[format!("{}500/", first[0])]);
    app.register(&[&one_more]).unwrap();
}

#[test]
fn an_app_has_only_so_many_addresses() {
    let running = Running::start(1);
    let mut app = running.app();
    let (code, message) = app.register(&["http://127.0.0.1:0/"; 257]).unwrap_err();
    assert_eq!(code, RefusalCode::LimitReached, "{message}");
    assert!(running.state().listeners.is_empty());
    assert_eq!(app.register(&["http://127.0.0.1:0/"; 100]).unwrap().len(), 100);
    assert_eq!(app.register(&["http://127.0.0.1:0/"; 157]).unwrap_err().0, RefusalCode::LimitReached);
    assert_eq!(running.state().listeners.len(), 100);
}

#[test]
fn a_port_is_free_once_its_last_url_is_given_back() {
    let running = Running::start(4);
    let (mut one, mut two) = (running.app(), running.app());
    let port = free_port(&mut one);
    let mut clients = Vec::new();
    for round in 0..200 {
        let urls = one.register(&[&format!("http://127.0.0.1:{port}/")]);
        one.unregister(&urls.unwrap_or_else(|refused| panic!("round {round}: {refused:?}")));
        let urls = two.register(&[&format!("http://127.0.0.1:{port}/")]);
        // Connections outlive the registration.
        clients.push(TcpStream::connect(("127.0.0.1", port)).unwrap());
        two.unregister(&urls.unwrap_or_else(|refused| panic!("round {round}: {refused:?}")));
    }
    std::net::TcpListener::bind(("127.0.0.1", port)).expect("other programs can have it, too");
}

#[test]
fn a_port_is_free_for_the_next_app_when_one_has_left() {
    let running = Running::start(4);
    let port = free_port(&mut running.app());
    for round in 0..200 {
        let mut app = running.app();
        let url = format!("http://127.0.0.1:{port}/{round}/");
        app.register(&[&url]).unwrap_or_else(|refused| panic!("round {round}: {refused:?}"));
    }
    running.until(|state| state.sessions.is_empty() && state.listeners.is_empty() && state.queues.is_empty());
}

#[test]
fn the_last_of_many_changes_at_once_is_the_one_in_force() {
    let running = Running::start(3);
    let mut keeper = running.app();
    let base = keeper.register(&["http://127.0.0.1:0/keep/"]).unwrap().remove(0).replace("keep/", "");
    std::thread::scope(|scope| {
        for name in 0..6 {
            let (mut app, url) = (running.app(), format!("{base}{name}/"));
            scope.spawn(move || {
                for _ in 0..50 {
                    let urls = app.register(&[&url]).unwrap();
                    app.unregister(&urls);
                }
            });
        }
    });
    let address = base.trim_start_matches("http://").trim_end_matches('/').to_owned();
    for attempt in 0..30 {
        // Every connection may meet another worker. A registration that is still in force would let the request wait.
        let mut client = TcpStream::connect(&address).unwrap();
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        write!(client, "GET /{}/ HTTP/1.1\r\nHost: {address}\r\n\r\n", attempt % 6).unwrap();
        let mut status = [0; 12];
        client.read_exact(&mut status).unwrap();
        assert_eq!(status, *b"HTTP/1.1 404");
    }
}

#[test]
fn an_app_has_only_so_many_data_connections_at_a_time() {
    let running = Running::start(1);
    let app = running.app();
    let mut sessions: Vec<_> = (0..20).map(|_| running.data(&app.token())).collect();
    assert!(sessions.iter().all(|session| session.welcome.as_ref().unwrap().app != 0));
    let refused = running.data(&app.token()).receive();
    assert!(matches!(refused, Some(Message::Refused { code: RefusalCode::LimitReached, .. })), "{refused:?}");
    sessions.pop();
    // A closed one leaves room.
    eventually(|| running.data(&app.token()).welcome.is_some_and(|welcome| welcome.app != 0));
}

#[test]
fn the_data_connections_of_an_app_that_left_end_and_new_ones_are_refused() {
    let running = Running::start(1);
    let app = running.app();
    let token = app.token();
    let mut session = running.data(&token);
    drop(app);
    let mut bytes = Vec::new();
    session.stream.read_to_end(&mut bytes).expect("the session ends");
    running.until(|state| state.sessions.is_empty());
    let refused = running.data(&token).receive();
    assert!(matches!(refused, Some(Message::Refused { code: RefusalCode::NotFound, .. })), "{refused:?}");
}

#[test]
fn names_that_would_garble_the_operators_terminal_are_cut_cleaned_or_refused() {
    let running = Running::start(1);
    let name = "evil\x1b[2J\r\n\u{202e}".to_owned() + &"x".repeat(100_000);
    let mut app = Peer::connect(running.host.socket(), Hello { name, ..Hello::new(Role::App) });
    let shown = running.state().sessions[0].name.clone();
    assert!(shown.starts_with("evil") && shown.chars().count() <= 64, "{shown:?}");
    assert!(!shown.contains(|c: char| c.is_control() || c == '\u{202e}'), "{shown:?}");
    for queue in ["", "a\nb", "\x1b[2J", &"x".repeat(261)] {
        let (code, message) = app.register_as(named(queue), &["http://127.0.0.1:0/"]).unwrap_err();
        assert_eq!(code, RefusalCode::Invalid, "{message}");
    }
    let (_, message) = app.register(&[&("nonsense".to_owned() + &"x".repeat(1 << 20))]).unwrap_err();
    assert!(message.len() < 10_000, "{} bytes", message.len());
}

#[test]
fn a_question_on_the_wrong_kind_of_connection_is_refused_under_its_own_number() {
    let running = Running::start(1);
    let answer = running.app().ask(&Message::ShowServiceState { id: 41 });
    assert!(matches!(answer, Message::Refused { id: 41, code: RefusalCode::Unsupported, .. }), "{answer:?}");
}

#[test]
fn an_answer_that_is_too_long_to_be_sent_is_a_refusal_and_undoes_the_registration() {
    let running = Running::start(1);
    let mut app = running.app();
    let base = app.register(&["http://127.0.0.1:0/"]).unwrap().remove(0);
    // The question fits in 16 MiB, the answer, with a number for each URL, does not.
    let long = "x".repeat(120);
    let urls: Vec<_> = (0..100_000 - 1).map(|number| format!("{base}{long}{number}/")).collect();
    let urls: Vec<_> = urls.iter().map(String::as_str).collect();
    let (code, message) = app.register(&urls).unwrap_err();
    assert_eq!(code, RefusalCode::LimitReached, "{message}");
    assert_eq!(running.state().sessions[0].groups.len(), 1);
}
