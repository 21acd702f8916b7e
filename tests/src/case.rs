//! Raw-byte cases: a name, and steps on one connection. One body of cases runs against every provider.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::client::{Client, Ending, PATIENCE, ReadError, Response};
use crate::subject::{Provider, Subject};

type Check = Box<dyn Fn(&Response) -> Result<(), String> + Send + Sync>;

enum Step {
    Text(String),
    Bytes(Vec<u8>),
    Answer { allowed: Vec<u16>, head: bool, checks: Vec<Check> },
    Tunnel(Vec<u8>),
    Until(&'static str),
    NotAnswered(u16),
    Quiet,
    Finish,
    Closed,
    Alive,
}

/// One conversation, and what has to come of it.
pub struct Case {
    name: String,
    steps: Vec<Step>,
}

/// Starts a case. In what it sends, `{host}` stands for the subject's authority.
pub fn case(name: impl Into<String>) -> Case {
    Case { name: name.into(), steps: Vec::new() }
}

impl Case {
    /// Sends text.
    #[must_use]
    pub fn send(mut self, text: impl Into<String>) -> Self {
        self.steps.push(Step::Text(text.into()));
        self
    }

    /// Sends bytes as they are, `{host}` included.
    #[must_use]
    pub fn send_bytes(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Bytes(bytes.into()));
        self
    }

    /// Sends `GET target` with a Host.
    #[must_use]
    pub fn get(self, target: &str) -> Self {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {{host}}\r\n\r\n"))
    }

    /// A response with this status comes.
    #[must_use]
    pub fn answer(self, status: u16) -> Self {
        self.answer_one_of(&[status])
    }

    /// A response with one of these statuses comes.
    #[must_use]
    pub fn answer_one_of(mut self, allowed: &[u16]) -> Self {
        self.steps.push(Step::Answer { allowed: allowed.to_vec(), head: false, checks: Vec::new() });
        self
    }

    /// A response to HEAD with this status comes.
    #[must_use]
    pub fn answer_to_head(mut self, status: u16) -> Self {
        self.steps.push(Step::Answer { allowed: vec![status], head: true, checks: Vec::new() });
        self
    }

    /// The last response passes this check.
    ///
    /// # Panics
    /// When there is no response to check.
    #[must_use]
    pub fn check(mut self, what: &'static str, passes: impl Fn(&Response) -> bool + Send + Sync + 'static) -> Self {
        let Some(Step::Answer { checks, .. }) = self.steps.last_mut() else { panic!("{}: check follows an answer", self.name) };
        checks.push(Box::new(move |response| if passes(response) { Ok(()) } else { Err(what.to_owned()) }));
        self
    }

    /// The last response has exactly this body.
    #[must_use]
    pub fn body(self, text: &'static str) -> Self {
        self.check("its body is not as expected", move |response| response.body == text.as_bytes())
    }

    /// The last response has this field, once, with this value.
    #[must_use]
    pub fn header(self, name: &'static str, value: &'static str) -> Self {
        self.check("a header field is not as expected", move |response| response.header(name) == Some(value))
    }

    /// These bytes come, outside of any HTTP response.
    #[must_use]
    pub fn tunnel(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.steps.push(Step::Tunnel(bytes.into()));
        self
    }

    /// Bytes come that contain this text.
    #[must_use]
    pub fn until(mut self, text: &'static str) -> Self {
        self.steps.push(Step::Until(text));
        self
    }

    /// The connection ends, without a response of this status.
    #[must_use]
    pub fn not_answered(mut self, status: u16) -> Self {
        self.steps.push(Step::NotAnswered(status));
        self.closed()
    }

    /// Nothing comes for a moment, and the connection stays open.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.steps.push(Step::Quiet);
        self
    }

    /// The client ends its sending side.
    #[must_use]
    pub fn finish(mut self) -> Self {
        self.steps.push(Step::Finish);
        self
    }

    /// The server closes the connection, and sends nothing more before it does.
    #[must_use]
    pub fn closed(mut self) -> Self {
        self.steps.push(Step::Closed);
        self
    }

    /// The connection can be used for one more request.
    #[must_use]
    pub fn alive(mut self) -> Self {
        self.steps.push(Step::Alive);
        self
    }

    /// The request is refused with this status, says that the connection ends, and ends it.
    #[must_use]
    pub fn refused(self, status: u16) -> Self {
        self.refused_with_one_of(&[status])
    }

    /// As `refused`, where the standards leave a choice.
    #[must_use]
    pub fn refused_with_one_of(self, allowed: &[u16]) -> Self {
        self.answer_one_of(allowed).header("connection", "close").closed()
    }

    fn run(&self, subject: &Subject) -> Result<(), String> {
        let mut client = subject.connect();
        for (index, step) in self.steps.iter().enumerate() {
            run_step(&mut client, subject, step).map_err(|problem| format!("step {}: {problem}", index + 1))?;
        }
        Ok(())
    }
}

fn run_step(client: &mut Client, subject: &Subject, step: &Step) -> Result<(), String> {
    match step {
        // A server that has already answered and closed may refuse the rest; what counts is its answer.
        Step::Text(text) => {
            let _ = client.send(text.replace("{host}", &subject.authority()).as_bytes());
            Ok(())
        }
        Step::Bytes(bytes) => {
            let _ = client.send(bytes);
            Ok(())
        }
        Step::Answer { allowed, head, checks } => {
            let response = client.response(*head).map_err(|error| format!("expected {allowed:?}, but {error}"))?;
            if !allowed.contains(&response.status) {
                return Err(format!("expected {allowed:?}, got {}", summary(&response)));
            }
            for check in checks {
                check(&response).map_err(|problem| format!("{problem}: {}", summary(&response)))?;
            }
            Ok(())
        }
        Step::Tunnel(expected) => {
            let bytes = client.bytes(expected.len()).map_err(|error| error.to_string())?;
            if bytes == *expected { Ok(()) } else { Err(format!("expected {expected:?}, got {bytes:?}")) }
        }
        Step::Until(text) => {
            let mut seen = Vec::new();
            while !String::from_utf8_lossy(&seen).contains(text) {
                seen.extend(client.bytes(1).map_err(|error| format!("{text:?} does not come: {error}"))?);
            }
            Ok(())
        }
        Step::NotAnswered(status) => match client.response(false) {
            Ok(response) if response.status == *status => Err(format!("it was answered {}", summary(&response))),
            Ok(_) | Err(ReadError::Closed(_) | ReadError::Reset) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        Step::Quiet => match client.ending(Duration::from_millis(150)) {
            Ending::Open => Ok(()),
            other => Err(format!("expected silence, got {}", described(&other))),
        },
        Step::Finish => client.finish().map_err(|error| error.to_string()),
        Step::Closed => match client.ending(PATIENCE / 4) {
            Ending::Closed | Ending::Reset => Ok(()),
            other => Err(format!("expected the connection's end, got {}", described(&other))),
        },
        Step::Alive => {
            let request = format!("GET / HTTP/1.1\r\nHost: {}\r\n\r\n", subject.authority());
            client.send(request.as_bytes()).map_err(|error| format!("the connection is not alive: {error}"))?;
            let response = client.response(false).map_err(|error| format!("the connection is not alive: {error}"))?;
            if response.status == 200 && response.body == b"OK" {
                return Ok(());
            }
            Err(format!("the next request was answered {}", summary(&response)))
        }
    }
}

fn summary(response: &Response) -> String {
    let fields: Vec<_> = response.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let body = shown(&response.text());
    format!("{} {} {fields:?} {:?} {body:?}", response.version, response.status, response.framing)
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

fn described(ending: &Ending) -> String {
    match ending {
        Ending::Data(bytes) => format!("{:?}", shown(&String::from_utf8_lossy(bytes))),
        other => format!("{other:?}"),
    }
}

/// Runs all cases against one subject, each on a connection of its own, and fails with the names of those that fail.
///
/// # Panics
/// When a case fails.
pub fn run(provider: Provider, cases: &[Case]) {
    let subject = Subject::start(provider);
    let wanted = std::env::var("NARTHEX_CASE").unwrap_or_default();
    let cases: Vec<&Case> = cases.iter().filter(|case| case.name.contains(&wanted)).collect();
    let (next, failures) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(problem) = case.run(&subject) {
                        let failure = format!("  {}\n      {problem}", case.name);
                        failures.lock().expect("no case panics").push(failure);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().expect("no case panics");
    failures.sort();
    assert!(failures.is_empty(), "{} of {} cases fail ({provider}):\n{}\n", failures.len(), cases.len(), failures.join("\n"));
}
