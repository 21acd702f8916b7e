//! A row of the table of failures, and what it plays on: an app of its own, on a port of its own.

use std::net::SocketAddr;

use narthex_proto::wire::{GroupSettings, Properties, QueueSettings, Timeouts};
use narthex_tests::Client;
use narthex_tests::wire_app::WireApp;

use crate::failures::stage::{Ports, SOON, Stage, ending, seen};

/// A failure, what its client sees, and the line of the error log.
pub(crate) struct Row {
    /// Also the name of the request queue.
    pub(crate) name: &'static str,
    pub(crate) group: fn() -> GroupSettings,
    pub(crate) play: fn(&mut Scene<'_>) -> Seen,
    pub(crate) seen: &'static str,
    /// `cs-version cs-method cs-uri sc-status s-siteid s-reason s-queuename`, the site being `group` for the row's own group
    /// and `other` for another; empty where there is to be no line.
    pub(crate) line: &'static str,
}

/// What became of a row's client.
pub(crate) struct Seen {
    pub(crate) ports: Ports,
    pub(crate) what: String,
}

impl Seen {
    pub(crate) fn new(client: &Client, what: impl Into<String>) -> Self {
        Self { ports: ports(client), what: what.into() }
    }

    /// What comes now.
    pub(crate) fn by(mut client: Client) -> Self {
        // A connection that was reset has no address any more.
        let ports = ports(&client);
        Self { ports, what: seen(&mut client) }
    }

    /// How the connection ends, whatever still comes.
    pub(crate) fn by_end(mut client: Client) -> Self {
        let ports = ports(&client);
        Self { ports, what: ending(&mut client, SOON).to_owned() }
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

/// What was played, what became of its client, the number of its group; and what should be seen and logged.
pub(crate) type Played = (String, Seen, u64, &'static str, &'static str);

/// Plays the rows side by side and compares all of them with what they promise.
pub(crate) fn play(stage: &Stage, rows: &[Row]) {
    let played = std::thread::scope(|scope| {
        let running: Vec<_> = rows.iter().map(|row| (row.name, scope.spawn(move || play_row(stage, row)))).collect();
        let joined = running.into_iter().map(|(name, row)| row.join().unwrap_or_else(|_| panic!("{name} panicked")));
        joined.collect()
    });
    compare(stage, played);
}

/// Says of all that was played what was not as it should be.
pub(crate) fn compare(stage: &Stage, played: Vec<Played>) {
    let wanted: Vec<_> = played.iter().map(|(_, seen, _, _, line)| (seen.ports, usize::from(!line.is_empty()))).collect();
    let lines = stage.errors_of(&wanted);
    let mut wrong = String::new();
    for (name, Seen { ports, what }, group, seen, line) in played {
        if what != seen {
            wrong.push_str(&format!("{name:?}: the client sees {what:?} instead of {seen:?}\n"));
        }
        let logged: Vec<_> = lines.iter().filter(|line| line.ports == ports).map(|line| with_site(&line.text, group)).collect();
        let expected: Vec<_> = Some(line).filter(|line| !line.is_empty()).into_iter().collect();
        let alike = |(logged, expected): (&String, &&str)| is_like(logged, expected);
        if logged.len() != expected.len() || !logged.iter().zip(&expected).all(alike) {
            wrong.push_str(&format!("{name:?}: the log says {logged:?} instead of {expected:?}\n"));
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Whether the fields are the same; ` * ` is any.
fn is_like(line: &str, expected: &str) -> bool {
    let (line, expected): (Vec<_>, Vec<_>) = (line.split(' ').collect(), expected.split(' ').collect());
    line.len() == expected.len() && line.iter().zip(&expected).all(|(field, expected)| field == expected || *expected == "*")
}

/// The line with `group` or `other` for the group's number.
fn with_site(line: &str, group: u64) -> String {
    let mut fields: Vec<&str> = line.split(' ').collect();
    let site = fields.get_mut(4).expect("a line has a site");
    if let Ok(id) = site.parse::<u64>() {
        *site = if id == group { "group" } else { "other" };
    }
    fields.join(" ")
}

fn play_row(stage: &Stage, row: &Row) -> Played {
    let mut settings = (row.group)();
    settings.queue.name = Some(row.name.to_owned());
    let (app, address) = WireApp::at(&stage.host, "http://127.0.0.1:0/", settings);
    let group = app.group();
    let mut scene = Scene { stage, app: Some(app), address, name: row.name };
    let seen = (row.play)(&mut scene);
    (row.name.to_owned(), seen, group, row.seen, row.line)
}

fn ports(client: &Client) -> Ports {
    let address = |address: std::io::Result<SocketAddr>| address.expect("the client is connected").port();
    (address(client.local_address()), address(client.peer_address()))
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
