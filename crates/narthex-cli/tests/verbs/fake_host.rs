//! A host that gives one answer to everything and remembers what it was asked.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use narthex_host::admin::{Answer, Question, ServiceState};
use narthex_proto::wire::{ControlConnection, Message, RefusalCode, Welcome};
use tempfile::TempDir;

/// What the host says.
#[derive(Clone)]
pub(crate) enum Says {
    Answer(Answer),
    Refused(&'static str),
    State(Box<ServiceState>),
}

pub(crate) struct FakeHost {
    directory: TempDir,
    asked: Arc<Mutex<Vec<Question>>>,
    stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl FakeHost {
    pub(crate) fn that(says: Says) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(directory.path().join("host.sock")).unwrap();
        let (asked, stopping) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (noted, stop) = (Arc::clone(&asked), Arc::clone(&stopping));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                serve(stream, &says, &noted);
            }
        });
        Self { directory, asked, stopping, thread: Some(thread) }
    }

    pub(crate) fn that_answers(answer: Answer) -> Self {
        Self::that(Says::Answer(answer))
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("host.sock")
    }

    /// Runs `narthex` so that it finds this host.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        narthex(&self.socket(), arguments)
    }

    /// What it was asked since it was last looked at.
    pub(crate) fn asked(&self) -> Vec<Question> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Drop for FakeHost {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        let _ = UnixStream::connect(self.socket());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Runs `narthex` with the host at `socket`.
pub(crate) fn narthex(socket: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_narthex"));
    command.args(arguments).env("NARTHEX_HOST", socket).env_remove("NARTHEX_CONFIG").stdin(Stdio::null());
    command.output().expect("narthex can be started")
}

pub(crate) fn stdout(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

pub(crate) fn stderr(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn serve(mut stream: UnixStream, says: &Says, asked: &Mutex<Vec<Question>>) {
    let mut control = ControlConnection::new();
    let mut buffer = [0; 4096];
    loop {
        while let Some(message) = control.receive().unwrap() {
            control.send(&reply(message, says, asked)).unwrap();
        }
        // Nobody is there any more who could be told of a failure.
        let _ = stream.write_all(&std::mem::take(control.output()));
        match stream.read(&mut buffer) {
            Ok(read) if read > 0 => control.push(&buffer[..read]),
            _ => return,
        }
    }
}

fn reply(message: Message, says: &Says, asked: &Mutex<Vec<Question>>) -> Message {
    let id = match message {
        Message::Hello(_) => {
            let welcome = Welcome { host_version: "0.1.0".to_owned(), workers: 1, app: 0, token: String::new() };
            return Message::Welcome(welcome);
        }
        Message::Ask { id, question } => {
            asked.lock().unwrap().push(serde_json::from_value(question).unwrap());
            id
        }
        Message::ShowServiceState { id } => id,
        other => panic!("the command line said {other:?}"),
    };
    match says.clone() {
        Says::Answer(answer) => Message::Answer { id, answer: serde_json::to_value(answer).unwrap() },
        Says::Refused(message) => Message::Refused { id, code: RefusalCode::AccessDenied, message: message.to_owned() },
        Says::State(state) => Message::ServiceState { id, state: serde_json::to_value(state).unwrap() },
    }
}
