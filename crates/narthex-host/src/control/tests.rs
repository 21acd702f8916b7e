//! What cannot be timed from outside: a full host, and an app that leaves at the wrong moment.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use narthex_proto::wire::{ControlConnection, Hello, Message, Role};

use super::*;
use crate::config::ConfigFile;
use crate::log::LogOptions;

fn own_user() -> Caller {
    Caller { uid: rustix::process::geteuid().as_raw(), groups: Vec::new() }
}

fn means() -> Means {
    Means {
        logs: Logs::start(LogOptions::new("/nonexistent".into())).unwrap(),
        traces: Traces::default(),
        log_directory: None,
        admission: Admission::new(settings::caps(&Config::default())),
        cache: CacheBudget::new(0),
        bandwidth: Bandwidth::new(0),
        acceptor: None,
        started: Instant::now(),
    }
}

/// A control thread with one worker that only writes down what it is told.
fn control() -> (Rc<Shared>, Rc<RefCell<Vec<&'static str>>>) {
    let (sender, mut commands) = mpsc::unbounded_channel();
    let configuration = Configuration::open(ConfigFile::new("/nonexistent/narthex.toml".into())).unwrap();
    let control = Control::new(&HostOptions::default(), configuration, vec![sender], means());
    let shared = Shared::new(control, None, watch::Sender::new(false));
    let told = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&told);
    spawn_local(async move {
        while let Some(command) = commands.recv().await {
            let (name, done) = match command {
                Command::Publish { done, .. } => ("publish", Some(done)),
                Command::Configure { done, .. } => ("configure", Some(done)),
                Command::Close { done, .. } => ("close", Some(done)),
                Command::Listen { .. } => ("listen", None),
                Command::Attach(_) => ("attach", None),
                Command::Detach { .. } => ("detach", None),
                Command::Report { .. } => ("report", None),
                Command::Stop { done, .. } => ("stop", Some(done)),
                _ => ("other", None),
            };
            log.borrow_mut().push(name);
            if let Some(done) = done {
                let _ = done.send(());
            }
        }
    });
    (shared, told)
}

/// Runs `test` as the control thread runs.
fn run<F: Future<Output = ()>>(test: impl FnOnce() -> F + Send + 'static) {
    narthex_http::spawn_worker("test".to_owned(), test).unwrap().join().unwrap();
}

/// Serves a connection whose peer has said `hello`; returns the peer's end.
fn serve(
    shared: &Rc<Shared>,
    stream: UnixStream,
    mut peer: UnixStream,
    hello: Hello,
) -> (UnixStream, tokio::task::JoinHandle<()>) {
    let mut connection = ControlConnection::new();
    connection.send(&Message::Hello(hello)).unwrap();
    peer.write_all(connection.output()).unwrap();
    stream.set_nonblocking(true).unwrap();
    let stream = tokio::net::UnixStream::from_std(stream).unwrap();
    let permit = Arc::clone(&shared.connections).try_acquire_owned().unwrap();
    (peer, spawn_local(connection::serve(Rc::clone(shared), stream, permit)))
}

fn messages(mut peer: UnixStream) -> Vec<Message> {
    let mut bytes = Vec::new();
    peer.read_to_end(&mut bytes).unwrap();
    let mut connection = ControlConnection::new();
    connection.push(&bytes);
    std::iter::from_fn(|| connection.receive().unwrap()).collect()
}

#[test]
fn one_acceptor_leaves_apps_a_data_connection_between_every_two_workers() {
    const WORKERS: usize = 8;
    let configuration = Configuration::open(ConfigFile::new("/nonexistent/narthex.toml".into())).unwrap();
    let (acceptor, _inboxes) = Acceptor::start("test".to_owned(), WORKERS).unwrap();
    let means = Means { acceptor: Some(acceptor), ..means() };
    let senders = (0..WORKERS).map(|_| mpsc::unbounded_channel().0).collect();
    let mut state = Control::new(&HostOptions::default(), configuration, senders, means).state;
    let app = state.add_app("app", WORKERS as u32, 1, own_user(), "token".to_owned());
    assert!(state.apps[&app].sessions.available_permits() >= WORKERS * WORKERS);
}

#[test]
fn a_full_host_tells_apps_so_and_lets_operators_in() {
    run(|| async {
        let (shared, _) = control();
        let others = u32::try_from(shared.connections.available_permits() - SPARE_CONNECTIONS).unwrap();
        let _others = Arc::clone(&shared.connections).try_acquire_many_owned(others).unwrap();
        for (role, served) in [(Role::App, false), (Role::Data, false), (Role::Admin, true)] {
            let (stream, peer) = UnixStream::pair().unwrap();
            let (peer, serving) = serve(&shared, stream, peer, Hello::new(role));
            peer.shutdown(std::net::Shutdown::Write).unwrap();
            serving.await.unwrap();
            let last = messages(peer).pop();
            let refused = matches!(last, Some(Message::Refused { code: RefusalCode::LimitReached, .. }));
            assert_eq!(refused, !served, "{role:?}: {last:?}");
        }
    });
}

#[test]
fn a_data_connection_of_an_app_that_leaves_during_the_greeting_is_dropped() {
    for leaves in [false, true] {
        run(move || async move {
            let (shared, told) = control();
            let app = shared.state.borrow_mut().add_app("app", 1, 1, own_user(), "token".to_owned());
            let (mut stream, mut peer) = UnixStream::pair().unwrap();
            // The host's greeting finds no room, so that it waits.
            stream.set_nonblocking(true).unwrap();
            let mut filled = 0;
            while let Ok(written) = stream.write(&[0; 1024]) {
                filled += written;
            }
            let hello = Hello { token: Some("token".to_owned()), host_worker: Some(0), ..Hello::new(Role::Data) };
            peer.set_nonblocking(false).unwrap();
            let (moved, serving) = serve(&shared, stream, peer, hello);
            peer = moved;
            while shared.state.borrow().apps[&app].sessions.available_permits() == 4 + 16 {
                tokio::task::yield_now().await;
            }
            if leaves {
                shared.app_gone(app).await;
            }
            peer.read_exact(&mut vec![0; filled]).unwrap();
            serving.await.unwrap();
            tokio::task::yield_now().await;
            let expected: &[_] = if leaves { &["detach", "publish"] } else { &["attach"] };
            assert_eq!(*told.borrow(), expected);
        });
    }
}

#[test]
fn an_access_log_for_everybody_keeps_no_app_from_registering() {
    for (format, fields) in [("w3c", "default"), ("w3c", "date,time"), ("ncsa", "date,time"), ("json", "default")] {
        let mut config = Config::default();
        for (name, value) in [("access_log", format), ("access_log_fields", fields)] {
            crate::config::Setting::find(name).unwrap().set(&mut config.settings, value).unwrap();
        }
        let logs = Logs::start(LogOptions::new("/nonexistent".into())).unwrap();
        let mut state = State::new(1, Vec::new(), Arc::new(config), logs);
        let (long, mut open) = ("x".repeat(64), Vec::new());
        for name in ["shop", "my shop (é)", "..", "httperr", "HTTPERR", "", "-", &long, "a/../../b"] {
            for uid in [0, 3_900_000_001] {
                let app = state.add_app(name, 1, 1, Caller { uid, groups: Vec::new() }, String::new());
                let registered = state.register(app, &GroupSettings::default(), &["http://127.0.0.1:0/".to_owned()], None);
                open.push(registered.unwrap_or_else(|refusal| panic!("{name:?}: {}", refusal.message)).change);
            }
        }
    }
}
