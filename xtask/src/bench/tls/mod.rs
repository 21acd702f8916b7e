//! `--tls`: handshakes, small requests and a megabyte over TLS, HTTP/2 and HTTP/3, beside nginx and what axum is served with otherwise.

mod budgets;
mod generate;
mod page;
mod workload;

use std::path::{Path, PathBuf};

use anyhow::Result;
use tempfile::TempDir;

use super::binaries::{Binaries, Program};
use super::by_workload::ByWorkload;
use super::counters::Counters;
use super::counting::Counting;
use super::machine::{self, Machine};
use super::options::Options;
use super::results::Count;
use super::subjects::{self, Group, Running, Step, Subject, Watched};
use super::{load, measure};
use workload::{Key, Protocol, Workload};

/// The names budgets and ratios refer to.
mod name {
    pub(super) const EMBEDDED: &str = "narthex embedded (axum), TLS";
    pub(super) const SHARED: &str = "narthex shared (axum), TLS";
    pub(super) const NGINX: &str = "nginx, TLS";
    pub(super) const NGINX_AXUM: &str = "nginx, TLS -> axum::serve";
    pub(super) const AXUM: &str = "axum on tokio-rustls and quinn";
}

/// The load generator that is not installed but built.
pub(super) const TLS_LOAD: Program = Program::Tls("tls-load");

/// The size of the large response.
pub(super) const MEGABYTE: usize = 1 << 20;

/// Measured seconds per subject and workload, unless told otherwise.
pub(super) const SECONDS: u32 = 2;

const SUBJECTS: [Subject; 5] = [
    subject(name::EMBEDDED, Group::Narthex, &[Step::NarthexTlsApp("embedded-axum")]),
    subject(name::SHARED, Group::Narthex, &[Step::NarthexTlsHost, Step::NarthexTlsApp("shared-axum")]),
    subject(name::NGINX, Group::Peers, &[Step::NginxTls]),
    subject(name::NGINX_AXUM, Group::Peers, &[Step::UpstreamTcp, Step::NginxTlsToTcp]),
    subject(name::AXUM, Group::Peers, &[Step::AxumTls]),
];

const fn subject(name: &'static str, group: Group, steps: &'static [Step]) -> Subject {
    Subject { name, group, fresh: false, steps }
}

pub(super) fn all() -> &'static [Subject] {
    &SUBJECTS
}

/// Debian's nginx has no HTTP/3. With an app behind it, its handshakes are the same as without.
fn takes(subject: &Subject, workload: Workload) -> bool {
    match (subject.name, workload) {
        (name::NGINX_AXUM, Workload::Handshakes { .. }) => false,
        (name::NGINX | name::NGINX_AXUM, _) => workload.protocol() != Protocol::Http3,
        _ => true,
    }
}

/// A certificate and its key, as PEM files.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) certificate: PathBuf,
    pub(super) key: PathBuf,
}

impl Identity {
    fn in_directory(directory: &Path, key: Key) -> Self {
        let file = |suffix: &str| directory.join(format!("{}.{suffix}", key.file()));
        Self { certificate: file("pem"), key: file("key") }
    }

    /// For our own servers.
    pub(super) fn arguments(&self) -> [String; 4] {
        let (certificate, key) = (self.certificate.display().to_string(), self.key.display().to_string());
        ["--certificate".to_owned(), certificate, "--key".to_owned(), key]
    }

    /// In a host's configuration.
    pub(super) fn binding(&self, port: u16) -> String {
        format!(
            "[[binding]]\nipport = \"127.0.0.1:{port}\"\ncertificate = \"{}\"\nkey = \"{}\"\n",
            self.certificate.display(),
            self.key.display()
        )
    }
}

/// All of one run.
struct Outcome {
    machine: Machine,
    results: ByWorkload<Workload>,
    /// A subject, and what a client has negotiated with it.
    negotiated: Vec<(&'static str, String)>,
}

/// What every start needs.
struct Bench<'a> {
    binaries: &'a Binaries,
    counters: &'a Counters,
    options: &'a Options,
    /// The certificates, and what OpenSSL in load generators is told.
    directory: TempDir,
}

pub(super) fn run(subjects: &[Subject], binaries: &Binaries, counters: &Counters, options: &Options) -> Result<()> {
    let directory = tempfile::Builder::new().prefix("narthex-bench-tls-").tempdir()?;
    let mut command = load::command(None);
    command.arg(binaries.path(TLS_LOAD)).arg("identities").arg(directory.path());
    load::complete("tls-load", command, 10)?;
    generate::configure_openssl(directory.path())?;
    let bench = Bench { binaries, counters, options, directory };

    let machine = machine::describe(binaries, counters, options)?;
    let mut outcome = Outcome { machine, results: ByWorkload::new(workload::ALL), negotiated: Vec::new() };
    for round in 1..=options.rounds {
        for subject in subjects {
            for key in [Key::Ecdsa, Key::Rsa] {
                bench.load(subject, key, round, &mut outcome)?;
            }
        }
    }
    if options.counts() {
        let mut counting = Counting::new(binaries, options)?;
        for subject in subjects {
            for workload in workload::COUNTED {
                if takes(subject, workload) {
                    let count = bench.count(&mut counting, subject, workload)?;
                    outcome.results.add_count(workload, count);
                }
            }
        }
    }
    if options.in_guest {
        return Ok(());
    }
    let directory = page::write(&outcome, options)?;
    println!("\n{}", page::summary(&outcome));
    println!("written: {}", directory.join("README.md").display());
    Ok(())
}

impl Bench<'_> {
    fn start(&self, subject: &Subject, key: Key, watched: &Watched) -> Result<Running> {
        let identity = Identity::in_directory(self.directory.path(), key);
        subject.start_showing(Some(&identity), self.binaries, watched)
    }

    /// One start of `subject` with this key, under every workload that is for it.
    fn load(&self, subject: &Subject, key: Key, round: u32, outcome: &mut Outcome) -> Result<()> {
        let workloads: Vec<Workload> =
            workload::ALL.into_iter().filter(|workload| workload.key() == key && takes(subject, *workload)).collect();
        if workloads.is_empty() {
            return Ok(());
        }
        let mut running = self.start(subject, key, &Watched::No)?;
        if round == 1 {
            for protocol in [Protocol::Http1, Protocol::Http2, Protocol::Http3] {
                if workloads.iter().any(|workload| workload.protocol() == protocol) {
                    let line = subjects::check(self.binaries.path(TLS_LOAD), running.port, protocol.word())?;
                    println!("negotiated  {:<32} {line} ({})", subject.name, key.name());
                    outcome.negotiated.push((subject.name, format!("{line} ({})", key.name())));
                }
            }
        }
        for workload in workloads {
            let run = |seconds, perf: Option<&_>| {
                generate::run(workload, self.binaries, running.port, self.directory.path(), seconds, perf)
            };
            let lanes = workload.lanes();
            let load = measure(subject, &running, round, lanes, self.counters, self.options, run)?;
            println!("round {round}  {:<38} {}", workload.title(), load.line());
            outcome.results.add(workload, load);
        }
        running.stop()
    }

    fn count(&self, counting: &mut Counting<'_>, subject: &Subject, workload: Workload) -> Result<Count> {
        let start = |watched: &Watched| self.start(subject, workload.key(), watched);
        let drive = |running: &Running, requests| generate::fixed(workload, self.binaries, running.port, requests);
        counting.count(subject, &workload.title(), workload.lanes(), start, drive)
    }
}
