//! The state as text: four spaces a level, as netsh does.

use std::fmt::Display;

use narthex_host::admin::{GroupState, LogState, QueueState, ServiceState, SessionState, TimeoutState};
use narthex_proto::wire::Properties;

use super::super::cache::capital;
use crate::args::View;
use crate::output::one_line;

// The numbers are shown as HTTP.sys shows them, so that one sees what kind they are.
const SESSION_ID: u64 = 0xFF << 56;
const GROUP_ID: u64 = 0xFE << 56;

/// The whole listing.
pub(super) fn render(state: &ServiceState, view: View, properties: bool) -> String {
    let mut listing = Listing { text: String::new(), level: 0, properties };
    let title = match view {
        View::Session => "Snapshot of the host's state (server session view)",
        View::Requestq => "Snapshot of the host's state (request queue view)",
    };
    listing.line(title);
    listing.line("-".repeat(title.len()));
    listing.blank();
    listing.host(state);
    match view {
        View::Session => listing.sessions_then_queues(state),
        View::Requestq => listing.queues_with_groups(state),
    }
    listing.text
}

struct Listing {
    text: String,
    level: usize,
    properties: bool,
}

impl Listing {
    fn line(&mut self, line: impl Display) {
        let indent = self.level * 4;
        self.text.push_str(&format!("{:indent$}{}\n", "", one_line(&line.to_string())));
    }

    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn below(&mut self, title: impl Display, content: impl FnOnce(&mut Self)) {
        self.line(title);
        self.level += 1;
        content(self);
        self.level -= 1;
    }

    fn host(&mut self, state: &ServiceState) {
        self.below(format_args!("Host: narthex {}, process ID {}", state.version, state.pid), |host| {
            host.line(format_args!("Running for: {}", duration(state.uptime_seconds)));
            if host.properties {
                host.below("Properties:", |properties| {
                    properties.line(format_args!("Workers: {}", state.workers));
                    properties.line(format_args!("Connections: {}", state.connections));
                    properties.line(format_args!("Requests: {}", state.requests));
                    properties.line(format_args!("Refused by the host: {}", state.refusals));
                    properties.line(format_args!("Response cache (bytes): {}", state.cache_bytes));
                    properties.line(format_args!("Log lines lost: {}", state.log_lines_lost));
                });
            }
            host.below(format_args!("Number of listeners: {}", state.listeners.len()), |listeners| {
                for listener in &state.listeners {
                    listeners.line(format_args!("{}://{}", listener.scheme, listener.address));
                }
            });
            if host.properties && !state.logs.is_empty() {
                host.below(format_args!("Number of logs: {}", state.logs.len()), |logs| {
                    for log in &state.logs {
                        let file = log.file.as_deref().unwrap_or("no file yet");
                        let LogState { site, format, lines, lost, .. } = log;
                        logs.line(format_args!("{site} ({format}): {file}, {lines} lines, {lost} lost"));
                        if let Some(error) = &log.last_error {
                            logs.line(format_args!("    cannot write: {error}"));
                        }
                    }
                });
            }
        });
        self.blank();
    }

    fn sessions_then_queues(&mut self, state: &ServiceState) {
        if state.sessions.is_empty() {
            self.line("No server sessions: no app is connected.");
        }
        for session in &state.sessions {
            self.below(format_args!("Server session ID: {:016X}", session.id | SESSION_ID), |listing| {
                listing.session(session);
                listing.below("URL groups:", |groups| {
                    for group in &session.groups {
                        let queue = state.queues.iter().find(|queue| queue.id == group.queue);
                        groups.group(group, Some(queue));
                    }
                });
            });
            self.blank();
        }
        self.below("Request queues:", |queues| {
            for queue in &state.queues {
                queues.queue(queue);
            }
        });
    }

    fn queues_with_groups(&mut self, state: &ServiceState) {
        if state.queues.is_empty() {
            self.line("No request queues: no app is connected.");
        }
        for queue in &state.queues {
            self.queue(queue);
            self.level += 1;
            self.below("URL groups:", |groups| {
                for session in &state.sessions {
                    for group in session.groups.iter().filter(|group| group.queue == queue.id) {
                        groups.group(group, None);
                        groups.level += 1;
                        groups.below(format_args!("Server session ID: {:016X}", session.id | SESSION_ID), |listing| {
                            listing.session(session);
                        });
                        groups.level -= 1;
                    }
                }
            });
            self.level -= 1;
            self.blank();
        }
    }

    fn session(&mut self, session: &SessionState) {
        self.line(format_args!("Program: {}", session.name));
        self.line(format_args!("Process ID: {}", session.pid));
        if self.properties {
            self.line(format_args!("State: {}", capital(&session.state.to_string())));
            self.line(format_args!("User ID: {}", session.uid));
            self.bandwidth(&session.properties);
        }
    }

    /// `queue` is None where the listing comes from the queue.
    fn group(&mut self, group: &GroupState, queue: Option<Option<&QueueState>>) {
        self.below(format_args!("URL group ID: {:016X}", group.id | GROUP_ID), |listing| {
            listing.line(format_args!("State: {}", capital(&group.state.to_string())));
            match queue {
                Some(Some(queue)) => listing.queue_name(queue),
                // HTTP.sys answers 503 for such a group.
                Some(None) => listing.line("Request queue: none"),
                None => {}
            }
            if listing.properties {
                listing.below("Properties:", |properties| {
                    properties.bandwidth(&group.properties);
                    properties.connections(group);
                    properties.timeouts(group.timeouts.as_ref());
                });
            }
            listing.line(format_args!("Number of registered URLs: {}", group.urls.len()));
            listing.below("Registered URLs:", |urls| {
                for url in &group.urls {
                    urls.line(url);
                }
            });
        });
    }

    fn bandwidth(&mut self, own: &Properties) {
        match own.max_bandwidth {
            None => self.line("Max bandwidth: inherited"),
            Some(u64::MAX) => self.line("Max bandwidth: none"),
            Some(rate) => self.line(format_args!("Max bandwidth (bytes/sec): {rate}")),
        }
    }

    fn connections(&mut self, group: &GroupState) {
        match group.properties.max_connections {
            None => self.line("Max connections: inherited"),
            Some(u32::MAX) => self.line("Max connections: none"),
            Some(most) => self.line(format_args!("Max connections: {most}, of which in use: {}", group.connections)),
        }
    }

    fn timeouts(&mut self, timeouts: Option<&TimeoutState>) {
        let Some(timeouts) = timeouts else {
            return self.line("Timeouts: as the host has them");
        };
        self.below("Timeouts:", |listing| {
            for (name, seconds) in [
                ("Entity body", timeouts.entity_body),
                ("Drain entity body", timeouts.drain_entity_body),
                ("Request queue", timeouts.request_queue),
                ("Idle connection", timeouts.idle_connection),
                ("Header wait", timeouts.header_wait),
            ] {
                match seconds {
                    0 => listing.line(format_args!("{name}: never")),
                    seconds => listing.line(format_args!("{name} (secs): {seconds}")),
                }
            }
            match timeouts.min_send_rate {
                0 => listing.line("Minimum send rate: none"),
                rate => listing.line(format_args!("Minimum send rate (bytes/sec): {rate}")),
            }
        });
    }

    fn queue_name(&mut self, queue: &QueueState) {
        match &queue.name {
            Some(name) => self.line(format_args!("Request queue name: {name}")),
            None => self.line("Request queue name: Request queue is unnamed."),
        }
    }

    fn queue(&mut self, queue: &QueueState) {
        self.queue_name(queue);
        self.level += 1;
        self.line(format_args!("State: {}", capital(&queue.state.to_string())));
        if self.properties {
            self.line(format_args!("503 verbosity level: {:?}", queue.verbosity));
            self.line(format_args!("Max requests: {}", queue.length_limit));
        }
        self.line(format_args!("Requests waiting: {}", queue.waiting));
        self.line(format_args!("Requests in progress: {}", queue.in_progress));
        self.line(format_args!("Requests refused because it was full: {}", queue.rejected));
        self.line(format_args!("Number of active processes attached: {}", queue.processes.len()));
        self.below("Process IDs:", |processes| {
            for pid in &queue.processes {
                processes.line(pid);
            }
        });
        self.level -= 1;
    }
}

/// The two largest units.
fn duration(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, minutes) => format!("{minutes} min {} s", seconds % 60),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}

#[cfg(test)]
mod tests {
    use narthex_host::admin::{ListenerState, TrafficState};
    use narthex_proto::wire::{Activity, Verbosity};

    use super::*;

    fn state() -> ServiceState {
        let group = |id, queue, timeouts, url: &str| GroupState {
            id,
            state: Activity::Active,
            properties: Properties::default(),
            connections: 0,
            queue,
            timeouts,
            urls: vec![url.to_owned()],
            traffic: TrafficState::default(),
        };
        let session = |id, name: &str, pid, group| SessionState {
            id,
            name: name.to_owned(),
            pid,
            uid: 1000,
            state: Activity::Active,
            properties: Properties::default(),
            groups: vec![group],
        };
        let queue = |id, name: Option<&str>, processes| QueueState {
            id,
            name: name.map(str::to_owned),
            state: Activity::Active,
            verbosity: Verbosity::Limited,
            length_limit: 1000,
            waiting: 2,
            in_progress: 3,
            rejected: 0,
            processes,
        };
        let timeouts = TimeoutState {
            idle_connection: 120,
            header_wait: 0,
            entity_body: 60,
            drain_entity_body: 120,
            request_queue: 120,
            min_send_rate: 150,
        };
        ServiceState {
            version: "0.1.0".to_owned(),
            pid: 41,
            uptime_seconds: 3725,
            workers: 2,
            listeners: vec![ListenerState { address: "127.0.0.1:8888".parse().unwrap(), scheme: "http".to_owned() }],
            connections: 4,
            requests: 99,
            refusals: 1,
            logs: vec![LogState {
                site: "shop".to_owned(),
                format: "w3c".to_owned(),
                file: Some("ex261122.log".to_owned()),
                lines: 7,
                lost: 2,
                ..LogState::default()
            }],
            log_directory: String::new(),
            log_lines_lost: 2,
            cache_bytes: 0,
            traffic: TrafficState::default(),
            refused: Vec::new(),
            sessions: vec![
                session(1, "shop", 42, group(2, 5, None, "http://+:8888/shop/")),
                session(3, "blog", 43, group(4, 6, Some(timeouts), "http://+:8888/blog/")),
            ],
            queues: vec![queue(5, None, vec![42]), queue(6, Some("blog-queue"), vec![43, 44])],
        }
    }

    #[test]
    fn the_session_view_nests_groups_in_sessions_and_lists_queues_after_them() {
        let expected = "\
Snapshot of the host's state (server session view)
--------------------------------------------------

Host: narthex 0.1.0, process ID 41
    Running for: 1 h 2 min
    Properties:
        Workers: 2
        Connections: 4
        Requests: 99
        Refused by the host: 1
        Response cache (bytes): 0
        Log lines lost: 2
    Number of listeners: 1
        http://127.0.0.1:8888
    Number of logs: 1
        shop (w3c): ex261122.log, 7 lines, 2 lost

Server session ID: FF00000000000001
    Program: shop
    Process ID: 42
    State: Active
    User ID: 1000
    Max bandwidth: inherited
    URL groups:
        URL group ID: FE00000000000002
            State: Active
            Request queue name: Request queue is unnamed.
            Properties:
                Max bandwidth: inherited
                Max connections: inherited
                Timeouts: as the host has them
            Number of registered URLs: 1
            Registered URLs:
                http://+:8888/shop/

Server session ID: FF00000000000003
    Program: blog
    Process ID: 43
    State: Active
    User ID: 1000
    Max bandwidth: inherited
    URL groups:
        URL group ID: FE00000000000004
            State: Active
            Request queue name: blog-queue
            Properties:
                Max bandwidth: inherited
                Max connections: inherited
                Timeouts:
                    Entity body (secs): 60
                    Drain entity body (secs): 120
                    Request queue (secs): 120
                    Idle connection (secs): 120
                    Header wait: never
                    Minimum send rate (bytes/sec): 150
            Number of registered URLs: 1
            Registered URLs:
                http://+:8888/blog/

Request queues:
    Request queue name: Request queue is unnamed.
        State: Active
        503 verbosity level: Limited
        Max requests: 1000
        Requests waiting: 2
        Requests in progress: 3
        Requests refused because it was full: 0
        Number of active processes attached: 1
        Process IDs:
            42
    Request queue name: blog-queue
        State: Active
        503 verbosity level: Limited
        Max requests: 1000
        Requests waiting: 2
        Requests in progress: 3
        Requests refused because it was full: 0
        Number of active processes attached: 2
        Process IDs:
            43
            44
";
        assert_eq!(render(&state(), View::Session, true), expected);
    }

    #[test]
    fn the_queue_view_goes_from_queue_to_processes_to_groups_to_urls() {
        let text = render(&state(), View::Requestq, false);
        let expected = "\
Request queue name: blog-queue
    State: Active
    Requests waiting: 2
    Requests in progress: 3
    Requests refused because it was full: 0
    Number of active processes attached: 2
    Process IDs:
        43
        44
    URL groups:
        URL group ID: FE00000000000004
            State: Active
            Number of registered URLs: 1
            Registered URLs:
                http://+:8888/blog/
            Server session ID: FF00000000000003
                Program: blog
                Process ID: 43
";
        assert!(text.contains(expected), "{text}");
    }

    #[test]
    fn without_properties_no_property_is_listed() {
        for view in [View::Session, View::Requestq] {
            let text = render(&state(), view, false);
            for property in ["Properties", "Timeouts", "User ID", "Max requests"] {
                assert!(!text.contains(property), "{property} in\n{text}");
            }
        }
    }

    #[test]
    fn a_host_without_apps_says_so() {
        let empty = ServiceState { sessions: Vec::new(), queues: Vec::new(), ..state() };
        assert!(render(&empty, View::Session, true).contains("no app is connected"));
        assert!(render(&empty, View::Requestq, true).contains("no app is connected"));
    }

    #[test]
    fn a_duration_has_its_two_largest_units() {
        assert_eq!([5, 65, 3_600, 90_061].map(duration), ["5 s", "1 min 5 s", "1 h 0 min", "1 d 1 h"]);
    }
}
