//! A row of the table of failures, and what it plays on: an app of its own, on a port of its own.

use std::net::SocketAddr;

use narthex_proto::wire::{GroupSettings, Properties, QueueSettings, Timeouts};
use narthex_tests::Client;
use narthex_tests::wire_app::WireApp;

use crate::stage::{Stage, seen};

/// A failure, what its client sees, and the line of the error log.
pub(crate) struct Row {
    /// Also the name of the request queue.
    pub(crate) name: &'static str,
    pub(crate) group: fn() -> GroupSettings,
    pub(crate) play: fn(&mut Scene<'_>) -> Seen,
    pub(crate) seen: &'static str,
    /// `cs-version cs-method cs-uri sc-status s-siteid s-reason s-queuename`, the site being `group` for the row's own; empty
    /// where there is to be none.
    pub(crate) line: &'static str,
}

/// What became of a row's client.
pub(crate) struct Seen {
    pub(crate) port: u16,
    pub(crate) what: String,
}

impl Seen {
    pub(crate) fn new(client: &Client, what: impl Into<String>) -> Self {
        Self { port: port(client), what: what.into() }
    }

    /// What comes now.
    pub(crate) fn by(mut client: Client) -> Self {
        let what = seen(&mut client);
        Self::new(&client, what)
    }
}

pub(crate) struct Scene<'a> {
    pub(crate) stage: &'a Stage,
    /// `None` once it has left.
    pub(crate) app: Option<WireApp>,
    pub(crate) address: SocketAddr,
    pub(crate) name: &'static str,
}

impl Scene<'_> {
    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.address).expect("the host accepts connections")
    }

    pub(crate) fn app(&mut self) -> &mut WireApp {
        self.app.as_mut().expect("the app has not left")
    }

    /// Waits until this many of its requests wait.
    pub(crate) fn until_waiting(&self, count: u64) {
        self.stage.until_waiting(self.name, count);
    }
}

/// What a row came to.
struct Outcome {
    port: u16,
    what: String,
    group: u64,
}

/// Plays the rows side by side and compares all of them with what they promise.
pub(crate) fn play(stage: &Stage, rows: &[Row]) {
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let running: Vec<_> = rows.iter().map(|row| scope.spawn(move || play_row(stage, row))).collect();
        running.into_iter().map(|row| row.join().ok()).collect()
    });
    let wanted = |row: &Row| usize::from(!row.line.is_empty());
    let ports: Vec<_> =
        rows.iter().zip(&outcomes).filter_map(|(row, outcome)| Some((outcome.as_ref()?.port, wanted(row)))).collect();
    let lines = stage.errors_of(&ports);
    let mut wrong = String::new();
    for (row, outcome) in rows.iter().zip(outcomes) {
        let Some(outcome) = outcome else {
            wrong.push_str(&format!("{}: panicked\n", row.name));
            continue;
        };
        if outcome.what != row.seen {
            wrong.push_str(&format!("{}: the client sees {:?} instead of {:?}\n", row.name, outcome.what, row.seen));
        }
        let site = format!(" {} ", outcome.group);
        let of_row = lines.iter().filter(|line| line.port == outcome.port);
        let logged: Vec<_> = of_row.map(|line| line.text.replacen(&site, " group ", 1)).collect();
        let expected: Vec<_> = Some(row.line).filter(|line| !line.is_empty()).into_iter().collect();
        if logged != expected {
            wrong.push_str(&format!("{}: the log says {logged:?} instead of {expected:?}\n", row.name));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

fn play_row(stage: &Stage, row: &Row) -> Outcome {
    let mut settings = (row.group)();
    settings.queue.name = Some(row.name.to_owned());
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", settings);
    let group = app.group();
    let mut scene = Scene { stage, app: Some(app), address, name: row.name };
    let Seen { port, what } = (row.play)(&mut scene);
    Outcome { port, what, group }
}

pub(crate) fn port(client: &Client) -> u16 {
    client.local_address().expect("the client is connected").port()
}

pub(crate) fn plain() -> GroupSettings {
    GroupSettings::default()
}

pub(crate) fn own(properties: Properties) -> GroupSettings {
    GroupSettings { properties, ..GroupSettings::default() }
}

pub(crate) fn queued(queue: QueueSettings) -> GroupSettings {
    GroupSettings { queue, ..GroupSettings::default() }
}

pub(crate) fn timed(timeouts: Timeouts) -> GroupSettings {
    own(Properties { timeouts, ..Properties::default() })
}
