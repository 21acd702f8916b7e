//! Cases of conformance: what a client does, and what the standards say that the server does then.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::frame::{self, code_name};
use super::{Answer, Connection, End};
use crate::secure::{Secure, Setup};
use crate::subject::{Provider, Subject};

/// The stream on which a connection shows that it still serves; cases use lower ones.
const PROBE: u32 = 1001;
/// What a server does about a wrong frame, it does at once.
const SOON: Duration = Duration::from_secs(5);

/// What is to come of a case.
#[derive(Clone, Debug)]
pub enum Expect {
    /// A connection error: GOAWAY with one of these codes, and the connection's end.
    Connection(Vec<u32>),
    /// A stream error on a stream, with one of these codes; the connection serves on.
    Stream(u32, Vec<u32>),
    /// A stream or a connection error: where the standard leaves it to the server, or lets the one be treated as the other.
    Either(u32, Vec<u32>),
    /// The request on the stream is malformed: it is answered by 400 or more, or a stream error of type PROTOCOL_ERROR
    /// (RFC 9113 section 8.1.1), and the connection serves on; or that is treated as a connection error (section 5.4.1).
    Malformed(u32),
    /// The stream is answered so; the connection serves on.
    Answered(u32, u16),
    /// The connection serves on.
    Serves,
    /// The connection ends, with or without GOAWAY.
    Ends,
    /// The case itself has looked.
    Checked,
}

impl Known {
    fn names(&self) -> impl Iterator<Item = &'static str> {
        self.codes.iter().copied().chain(self.defects.iter().map(|(name, _)| *name))
    }
}

type Play = Box<dyn Fn(&mut Connection) -> Result<(), String> + Send + Sync>;

/// One conversation.
pub struct Case {
    name: &'static str,
    /// The settings the client begins with; `None` where it begins by itself.
    settings: Option<Vec<(u16, u32)>>,
    play: Play,
    expect: Expect,
}

/// A case on a connection whose settings have been exchanged.
pub fn case(name: &'static str, expect: Expect, play: impl Fn(&mut Connection) + Send + Sync + 'static) -> Case {
    checked(name, expect, move |connection| {
        play(connection);
        Ok(())
    })
}

/// As `case`, for one that looks at more.
pub fn checked(
    name: &'static str,
    expect: Expect,
    play: impl Fn(&mut Connection) -> Result<(), String> + Send + Sync + 'static,
) -> Case {
    Case { name, settings: Some(Vec::new()), play: Box::new(play), expect }
}

impl Case {
    /// The client says nothing but what the case says.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.settings = None;
        self
    }

    /// The client begins with these settings.
    #[must_use]
    pub fn settings(mut self, settings: &[(u16, u32)]) -> Self {
        self.settings = Some(settings.to_vec());
        self
    }

    fn run(&self, mut connection: Connection, known: &Known) -> Result<(), String> {
        if let Some(settings) = &self.settings {
            connection.begin(settings);
        }
        let result = (self.play)(&mut connection).and_then(|()| judge(&mut connection, &self.expect));
        let other_code = known.codes.contains(&self.name);
        let defect = known.defects.iter().find(|(name, _)| *name == self.name).map(|(_, why)| *why);
        match (result, defect) {
            (Ok(()), None) if other_code => Err("it passes: its code is no longer wrong".to_owned()),
            (Ok(()), Some(why)) => Err(format!("it passes: no longer a known defect ({why})")),
            (Err(_), _) if other_code => connection_error(&mut connection, &[frame::PROTOCOL_ERROR]),
            (Ok(()), None) | (Err(_), Some(_)) => Ok(()),
            (Err(problem), None) => Err(problem),
        }
    }
}

/// What is known to fail.
#[derive(Clone, Copy, Debug)]
pub struct Known {
    /// Cases whose connection ends with PROTOCOL_ERROR instead of a code that says more.
    pub codes: &'static [&'static str],
    /// Cases that fail otherwise, and why.
    pub defects: &'static [(&'static str, &'static str)],
}

fn judge(connection: &mut Connection, expect: &Expect) -> Result<(), String> {
    match expect {
        Expect::Connection(codes) => connection_error(connection, codes),
        Expect::Stream(stream, codes) => {
            stream_error(connection, *stream, codes)?;
            connection.serves(PROBE)
        }
        Expect::Either(stream, codes) => {
            until(connection, |connection| is_reset(connection, *stream) || !connection.goaways.is_empty())?;
            if is_reset(connection, *stream) && connection.goaways.is_empty() {
                stream_error(connection, *stream, codes)?;
                return connection.serves(PROBE);
            }
            connection_error(connection, codes)
        }
        Expect::Malformed(stream) => {
            let over = |c: &Connection| is_over(c, *stream) || status(c, *stream) != 0 || !c.goaways.is_empty();
            until(connection, over)?;
            if !connection.goaways.is_empty() {
                return connection_error(connection, &[frame::PROTOCOL_ERROR]);
            }
            if status(connection, *stream) < 400 {
                stream_error(connection, *stream, &[frame::PROTOCOL_ERROR])?;
            }
            connection.serves(PROBE)
        }
        Expect::Answered(stream, status) => {
            let answer = connection.answer(*stream).map_err(|end| format!("no answer: {end:?}, {:?}", connection.goaways))?;
            if answer.status != *status || answer.reset.is_some_and(|code| code != 0) {
                return Err(format!("expected {status}, got {answer:?}"));
            }
            connection.serves(PROBE)
        }
        Expect::Serves => connection.serves(PROBE),
        Expect::Ends => match connection.ending(SOON) {
            End::Closed | End::Reset => Ok(()),
            other => Err(format!("the connection does not end: {other:?}")),
        },
        Expect::Checked => Ok(()),
    }
}

fn status(connection: &Connection, stream: u32) -> u16 {
    connection.answers.get(&stream).map_or(0, |answer| answer.status)
}

fn is_reset(connection: &Connection, stream: u32) -> bool {
    connection.answers.get(&stream).is_some_and(|answer| answer.reset.is_some())
}

fn is_over(connection: &Connection, stream: u32) -> bool {
    connection.answers.get(&stream).is_some_and(Answer::is_over)
}

fn until(connection: &mut Connection, there: impl Fn(&Connection) -> bool) -> Result<(), String> {
    let deadline = Instant::now() + SOON;
    while !there(connection) {
        let left = deadline.saturating_duration_since(Instant::now());
        connection.next(left).map_err(|end| format!("{end:?} before an error came; {}", seen(connection)))?;
    }
    Ok(())
}

fn connection_error(connection: &mut Connection, codes: &[u32]) -> Result<(), String> {
    until(connection, |connection| !connection.goaways.is_empty())?;
    let wanted: Vec<_> = codes.iter().map(|code| code_name(*code)).collect();
    if !connection.goaways.iter().any(|(_, code)| codes.contains(code)) {
        return Err(format!("expected a connection error {wanted:?}; {}", seen(connection)));
    }
    match connection.ending(SOON) {
        End::Closed | End::Reset => Ok(()),
        other => Err(format!("after GOAWAY the connection does not end: {other:?}")),
    }
}

fn stream_error(connection: &mut Connection, stream: u32, codes: &[u32]) -> Result<(), String> {
    until(connection, |connection| is_reset(connection, stream) || !connection.goaways.is_empty())?;
    let code = connection.answers.get(&stream).and_then(|answer| answer.reset);
    if code.is_some_and(|code| codes.contains(&code)) {
        return Ok(());
    }
    let wanted: Vec<_> = codes.iter().map(|code| code_name(*code)).collect();
    Err(format!("expected a stream error {wanted:?} on stream {stream}; {}", seen(connection)))
}

fn seen(connection: &Connection) -> String {
    let goaways: Vec<_> = connection.goaways.iter().map(|(last, code)| format!("GOAWAY {} {last}", code_name(*code))).collect();
    let answers: Vec<_> = connection
        .answers
        .iter()
        .map(|(stream, answer)| {
            format!("stream {stream}: {} ended {} reset {:?}", answer.status, answer.ended, answer.reset.map(code_name))
        })
        .collect();
    format!("seen: {goaways:?}, {answers:?}")
}

/// Runs all cases, each on a connection of its own, and fails with the names of those that fail. Those that `known` names have to
/// fail, so that it is noticed when they no longer do.
///
/// # Panics
/// When a case fails, or a known defect is mended.
pub fn run(provider: Provider, cases: &[Case], known: &Known) {
    let subject = Subject::start(provider);
    run_over(provider, cases, known, &|| Connection::silent(subject.app.address));
}

/// As `run`, over TLS.
///
/// # Panics
/// As `run`.
pub fn run_over_tls(provider: Provider, cases: &[Case], known: &Known) {
    let secure = Secure::start(provider, Setup::default());
    run_over(provider, cases, known, &|| Connection::silent_tls(secure.address(), &secure.authority.file()));
}

fn run_over(provider: Provider, cases: &[Case], known: &Known, connect: &(dyn Fn() -> Connection + Sync)) {
    let wanted = std::env::var("NARTHEX_CASE").unwrap_or_default();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.name.contains(&wanted)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let Err(problem) = case.run(connect(), known) else { continue };
                    let failure = format!("  {}\n      {problem}", case.name);
                    failures.lock().expect("no case panics").push(failure);
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no case panics");
    failures.sort();
    let known = cases.iter().filter(|case| known.names().any(|name| name == case.name)).count();
    let passed = cases.len().saturating_sub(failures.len() + known);
    println!("passed {passed} of {} ({provider}); {known} more are known to fail as yet", cases.len());
    assert!(failures.is_empty(), "{} of {} cases fail ({provider}):\n{}\n", failures.len(), cases.len(), failures.join("\n"));
}
