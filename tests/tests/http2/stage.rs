//! What the tests about behaviour share: a subject whose serving process can be looked at.

use std::time::{Duration, Instant};

use narthex_tests::h2::{Answer, Connection, End};
use narthex_tests::{AppOptions, Process, Provider, Subject};

/// The process that speaks HTTP/2.
pub(crate) fn server(subject: &Subject) -> &Process {
    subject.host.as_ref().map_or(&subject.app.process, |host| &host.process)
}

pub(crate) fn start(provider: Provider) -> Subject {
    Subject::start(provider)
}

pub(crate) fn start_with(provider: Provider, arguments: &[&str]) -> Subject {
    let options = AppOptions::new("app", "http://127.0.0.1:0/").arguments(arguments.iter().copied());
    Subject::start_with(provider, &options)
}

pub(crate) fn open(subject: &Subject) -> Connection {
    Connection::open(subject.app.address)
}

/// The whole answer of a stream.
pub(crate) fn answer(connection: &mut Connection, stream: u32) -> Answer {
    match connection.answer(stream) {
        Ok(answer) => answer,
        Err(end) => panic!("no answer on stream {stream}: {end:?}, GOAWAYs {:?}", connection.goaways),
    }
}

/// Reads until nothing comes for this long, or the connection ends.
pub(crate) fn read_for(connection: &mut Connection, wait: Duration) -> Option<End> {
    let deadline = Instant::now() + wait;
    loop {
        match connection.next(deadline.saturating_duration_since(Instant::now())) {
            Ok(_) => {}
            Err(End::TimedOut) => return None,
            Err(end) => return Some(end),
        }
    }
}
