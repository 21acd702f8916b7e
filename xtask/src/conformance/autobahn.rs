//! The Autobahn TestSuite, against servers that run as apps do.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::system::{cargo, ensure, root, target_directory};

/// Everything but compression.
const QUICK: &[&str] = &["1.*,2.*,3.*,4.*,5.*,6.*,7.*,10.*", "9.*"];

/// Everything of compression. The suite's client keeps all messages of a run in memory, so that these need runs of their own.
const COMPRESSION: &[&str] =
    &["12.1.*", "12.2.*", "12.3.*", "12.4.*", "12.5.*", "13.1.*", "13.2.*", "13.3.*", "13.4.*", "13.5.*", "13.6.*", "13.7.*"];

/// Runs every case.
pub(super) fn all() -> Result<(), String> {
    run(&[QUICK, COMPRESSION].concat())
}

/// Runs those that take a minute.
pub(super) fn quick() -> Result<(), String> {
    run(QUICK)
}

/// Runs these cases: one run of the suite's client for each element.
pub(super) fn run(runs: &[&str]) -> Result<(), String> {
    let directory = target_directory().join("autobahn");
    if !directory.join("ready").exists() {
        println!("installing the Autobahn TestSuite into {}", directory.display());
        ensure("pip3", "python3-pip")?;
        succeed(Command::new("sh").arg(root().join("conformance/autobahn/install.sh")).arg(&directory))?;
    }
    succeed(cargo().args(["build", "--release", "-p", "narthex-cli", "-p", "narthex-tests"]))?;
    let mut failed = Vec::new();
    for provider in ["embedded", "shared"] {
        if let Err(error) = against(&directory, provider, runs) {
            failed.push(format!("{provider}: {error}"));
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
}

fn against(directory: &Path, provider: &str, runs: &[&str]) -> Result<(), String> {
    let output = directory.join("reports").join(provider);
    std::fs::create_dir_all(&output).map_err(|error| format!("cannot create {}: {error}", output.display()))?;
    let binaries = target_directory().join("release");
    let socket = output.join("host.sock");
    let mut app = Command::new(binaries.join("narthex-test-app"));
    app.args(["--provider", provider, "--prefix"]).arg(format!("http://127.0.0.1:{}/", free_port()?));
    let _host = if provider == "shared" {
        let mut host = Command::new(binaries.join("narthex"));
        host.arg("host").arg("--socket").arg(&socket);
        app.arg("--host-socket").arg(&socket);
        Some(Server::start(&mut host, "ready ")?.0)
    } else {
        None
    };
    let (_app, url) = Server::start(&mut app, "ready ")?;
    let url = url.replacen("http", "ws", 1);
    let mut indices = Vec::new();
    for (nth, cases) in runs.iter().enumerate() {
        println!("autobahn, {provider}: {cases}");
        let output = output.join(nth.to_string());
        ask(directory, &output, &format!("{url}hub"), cases)?;
        indices.push(output.join("index.json"));
    }
    println!("autobahn, {provider}:");
    succeed(Command::new("python3").arg(root().join("conformance/autobahn/report.py")).args(indices))
}

/// One run of the suite's client, which leaves its report in `output`.
fn ask(directory: &Path, output: &Path, url: &str, cases: &str) -> Result<(), String> {
    std::fs::create_dir_all(output).map_err(|error| format!("cannot create {}: {error}", output.display()))?;
    let list: Vec<String> = cases.split(',').map(|case| format!("{case:?}")).collect();
    let specification = format!(
        r#"{{"outdir":{output:?},"servers":[{{"agent":"narthex","url":"{url}"}}],"cases":[{}],"exclude-cases":[],"exclude-agent-cases":{{}}}}"#,
        list.join(",")
    );
    let file = output.join("specification.json");
    std::fs::write(&file, specification).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    let mut client = Command::new(directory.join("root/usr/bin/pypy"));
    client.env("LD_LIBRARY_PATH", directory.join("root/usr/lib/x86_64-linux-gnu")).env("PYTHONPATH", directory.join("site"));
    client.arg(root().join("conformance/autobahn/wstest.py")).args(["-m", "fuzzingclient", "-s"]).arg(&file);
    succeed(client.stdout(Stdio::null()))
}

fn succeed(command: &mut Command) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("cannot start {program}: {error}"))?;
    if status.success() { Ok(()) } else { Err(format!("{program} ended with {status}")) }
}

fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|error| format!("no port is free: {error}"))
}

/// A server that ends with this.
struct Server(Child);

impl Server {
    /// Starts it, and waits for the line that begins with `ready`; gives what follows there.
    fn start(command: &mut Command, ready: &str) -> Result<(Self, String), String> {
        let program = command.get_program().to_string_lossy().into_owned();
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        let mut server = Self(child.map_err(|error| format!("cannot start {program}: {error}"))?);
        let output = server.0.stdout.take().ok_or("its output is not there")?;
        for line in BufReader::new(output).lines() {
            let line = line.map_err(|error| format!("cannot read what {program} says: {error}"))?;
            if let Some(rest) = line.strip_prefix(ready) {
                return Ok((server, rest.to_owned()));
            }
        }
        Err(format!("{program} ended before it was ready"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It fails only if the process has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
