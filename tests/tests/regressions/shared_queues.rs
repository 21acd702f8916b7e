//! Processes that share a queue, or hand requests to other queues, and do it badly: no request is answered by two of them, none
//! loses a part of its body, and nobody else waits for it.

use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use narthex_proto::wire::{GroupSettings, Properties, QueueSettings};
use narthex_tests::{Client, Ending};

use crate::regressions::stage::{Stage, ask, connect, get, rest, shown};
use crate::regressions::wire_app::{Event, Shown, WireApp};

const AT_ONCE: Duration = Duration::from_secs(3);
const A_WHILE: Duration = Duration::from_millis(500);

fn sharing(queue: &str) -> GroupSettings {
    let queue = QueueSettings { name: Some(queue.to_owned()), accepts_delegation: Some(true), ..QueueSettings::default() };
    GroupSettings { queue, properties: Properties { delegates: Some(true), ..Properties::default() } }
}

/// One more process of the queue at `address`.
fn joining(stage: &Stage, address: SocketAddr) -> WireApp {
    WireApp::at(&stage.host, &format!("http://127.0.0.1:{}/", address.port()), sharing("shop")).0
}

fn post(address: SocketAddr, body: &[u8]) -> Client {
    let mut client = connect(address);
    let head = format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n", body.len());
    client.send(head.as_bytes()).expect("the host reads");
    client.send(body).expect("the host reads");
    client
}

#[test]
fn an_answer_that_one_process_has_begun_is_not_continued_by_another() {
    let stage = Stage::new();
    let (liar, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", sharing("shop"));
    let honest = joining(&stage, address);
    // There the host finds more than it ever wrote to the liar: as if the liar had read nothing.
    let (mut filled, other) = UnixStream::pair().expect("sockets can be made");
    filled.write_all(&[0; 64 * 1024]).expect("a socket takes this");
    let mut lying = liar.session_showing(Shown::Other(other.as_fd()), 1024);
    let mut session = honest.session_showing(Shown::Own, 1);
    let mut client = connect(address);
    get(&mut client, "/");
    let id = lying.request();
    lying.begin_answer(id);
    lying.send_data(id, b"begun", false);
    assert!(matches!(client.ending(AT_ONCE), Ending::Data(_)), "the answer begins");
    lying.write(&[0xFF; 64]);

    assert_eq!(session.event(A_WHILE), None, "the request has its answer");
    let (more, ending) = rest(&mut client, AT_ONCE);
    assert!(!matches!(ending, Ending::Open | Ending::Data(_)), "after {more:?} the client still waits: {}", shown(&ending));
}

#[test]
fn a_body_survives_the_death_of_two_processes() {
    const NOISE: usize = 40;
    let stage = Stage::new();
    let (stuck, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", sharing("shop"));
    let stuck_session = stuck.session_showing(Shown::Own, 1024);
    // More than the host sends to one that does not read.
    let _noise: Vec<Client> = (0..NOISE).map(|_| post(address, &[b'n'; 60_000])).collect();
    std::thread::sleep(A_WHILE);
    let first = joining(&stage, address);
    let first_session = first.session_showing(Shown::Own, 1024);
    let last = joining(&stage, address);
    let mut session = last.session_showing(Shown::Own, 1);
    let body: Vec<u8> = (0..40_000_u32).map(|n| n as u8).collect();
    let mut client = post(address, &body);
    std::thread::sleep(A_WHILE);
    drop((first, first_session));
    std::thread::sleep(A_WHILE);
    drop((stuck, stuck_session));

    // The noise comes back too, and is older.
    let deadline = Instant::now() + 3 * AT_ONCE;
    loop {
        let id = session.request();
        let is_noise = |body: &[u8]| body.first() == Some(&b'n');
        while session.body.len() < if is_noise(&session.body) { 60_000 } else { body.len() } && Instant::now() < deadline {
            session.event(Duration::from_millis(100));
        }
        let came = std::mem::take(&mut session.body);
        if !is_noise(&came) {
            assert!(came == body, "the body comes as it was sent: {} of {} bytes", came.len(), body.len());
            session.answer(id, "served");
            break;
        }
        assert!(came == [b'n'; 60_000], "each body comes as it was sent: {} bytes", came.len());
        session.answer(id, "noise");
        session.grant(1);
    }
    assert_eq!(client.response_within(false, AT_ONCE).expect("the client is served").text(), "served");
}

#[test]
fn a_request_that_is_delegated_in_circles_is_answered() {
    let stage = Stage::new();
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", sharing("shop"));
    let mut session = app.session();
    let mut client = connect(address);
    get(&mut client, "/");
    let mut hops = 0;
    while let Some(Event::Request(id)) = session.event(A_WHILE) {
        hops += 1;
        assert!(hops < 1000, "it goes round and round");
        session.delegate(id, "shop");
    }
    let response = client.response_within(false, AT_ONCE).expect("the client is told");
    assert_eq!(response.status, 503, "after {hops} hops");
}

/// A socket that takes 15 seconds to close, and the other end of its connection.
fn lingering() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let mut lingering = TcpStream::connect(listener.local_addr().expect("it has an address")).expect("it listens");
    let (never_reads, _) = listener.accept().expect("it is connected");
    rustix::net::sockopt::set_socket_linger(&lingering, Some(Duration::from_secs(15))).expect("TCP can linger");
    lingering.set_nonblocking(true).expect("a socket can be non-blocking");
    while lingering.write(&[0; 64 * 1024]).is_ok() {}
    (lingering, never_reads)
}

#[test]
fn a_descriptor_that_cannot_be_closed_at_once_stops_nobody() {
    let stage = Stage::new();
    let honest = stage.app("honest", "http://127.0.0.1:0/");
    let (evil, _) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    let (lingering, _never_reads) = lingering();
    let session = evil.session_showing(Shown::Other(lingering.as_fd()), 1);
    std::thread::sleep(A_WHILE);
    // The host has the last one.
    drop(lingering);
    drop((evil, session));
    std::thread::sleep(Duration::from_millis(100));
    let asked = Instant::now();
    assert_eq!(ask(honest.address, "/whoami").text(), "honest");
    assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
}

#[test]
fn a_descriptor_that_comes_with_the_frames_of_a_session_stops_nobody() {
    let stage = Stage::new();
    let honest = stage.app("honest", "http://127.0.0.1:0/");
    let (evil, _) = WireApp::at(&stage.host, "http://127.0.0.1:0/", GroupSettings::default());
    // It is read; it lies unread when the session is broken off.
    for first in [&[0, 0, 0][..], &[0xFF; 64]] {
        let mut session = evil.session();
        let (lingering, _never_reads) = lingering();
        stage.host.process.pause();
        session.write(first);
        session.write_showing(&[0], lingering.as_fd());
        drop(lingering);
        stage.host.process.resume();
        std::thread::sleep(Duration::from_millis(100));
        let asked = Instant::now();
        assert_eq!(ask(honest.address, "/whoami").text(), "honest");
        assert!(asked.elapsed() < AT_ONCE, "it took {:?}", asked.elapsed());
    }
}

#[test]
fn a_delegated_body_comes_whole_to_an_app_that_answers_before_it_has_come() {
    const CLIENTS: usize = 300;
    let stage = Stage::new();
    let (front, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", sharing("front"));
    let (back, _) = WireApp::at(&stage.host, "http://127.0.0.1:0/", sharing("back"));
    let mut from = front.session();
    let _clients: Vec<Client> = (0..CLIENTS).map(|_| post(address, &[b'x'; 1000])).collect();
    let requests: Vec<_> = (0..CLIENTS).map(|_| from.request()).collect();
    std::thread::sleep(A_WHILE);
    let mut to = back.session();
    let delegating = std::thread::spawn(move || {
        requests.into_iter().for_each(|id| from.delegate(id, "back"));
        from
    });
    for _ in 0..CLIENTS {
        let id = to.request();
        to.begin_answer(id);
    }
    let _from = delegating.join().expect("delegating does not panic");
    let deadline = Instant::now() + AT_ONCE;
    while to.body.len() < CLIENTS * 1000 && Instant::now() < deadline {
        to.event(Duration::from_millis(100));
    }
    assert_eq!(to.body.len(), CLIENTS * 1000);
}
