//! What `narthex new` makes: it builds, its tests pass, and it answers by either provider.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

use std::path::{Path, PathBuf};
use std::process::Command;

use narthex_tests::process::narthex_program;
use narthex_tests::{Client, Host, Process, Provider};
use tempfile::TempDir;

#[test]
fn pages_build_and_answer() {
    answers("web", "", &["<h1>web-project</h1>", "method=\"post\""]);
}

#[test]
fn an_api_builds_and_answers() {
    answers("api", "notes", &["[]"]);
}

#[test]
fn a_chat_builds_and_answers() {
    answers("chat", "", &["<h1>chat-project</h1>", "./narthex.js"]);
}

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the workspace is there")
}

/// Makes a project, has it tested, and looks for these texts in what it answers.
fn answers(template: &str, target: &str, texts: &[&str]) {
    let directory = TempDir::new().expect("a temporary directory can be made");
    let name = format!("{template}-project");
    let project = directory.path().join(&name);
    let mut new = Command::new(narthex_program());
    new.arg("new").arg(&project).args(["--template", template, "--prefix", "http://+:8899/below/"]);
    let made = new.arg("--narthex-path").arg(workspace().join("crates/narthex")).output().expect("narthex can be started");
    let told = String::from_utf8_lossy(&made.stdout);
    assert!(made.status.success() && told.contains("open http://localhost:8899/below/"), "{made:?}");

    // The versions that are there already, so that nothing is downloaded.
    std::fs::copy(workspace().join("Cargo.lock"), project.join("Cargo.lock")).expect("the lock file can be copied");
    let built = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from);
    cargo(&project, &built, &["fmt", "--check"]);
    cargo(&project, &built, &["clippy", "--offline", "--all-targets", "--", "-D", "warnings"]);
    cargo(&project, &built, &["test", "--offline"]);

    for provider in [Provider::Embedded, Provider::Shared] {
        let host = (provider == Provider::Shared).then(|| Host::start(directory.path()));
        let socket = host.as_ref().map_or(Path::new("/nowhere/host.sock"), Host::socket);
        let mut command = Command::new(built.join("debug").join(&name));
        let mut app = Process::start(&name, command.arg("http://127.0.0.1:0/below/").env("NARTHEX_HOST", socket));
        let url = app.line("serving http://");
        let (authority, path) = url.split_once('/').expect("a prefix has a path");
        let mut client = Client::connect(authority.parse().expect("an address")).expect("the app accepts connections");
        client.send(format!("GET /{path}{target} HTTP/1.1\r\nHost: {authority}\r\n\r\n").as_bytes()).expect("it takes a request");
        let answer = client.response(false).expect("it answers");
        assert_eq!((answer.status, answer.header("x-frame-options")), (200, Some("DENY")), "{provider}");
        texts.iter().for_each(|text| assert!(answer.text().contains(text), "{provider}: {}", answer.text()));
        let by_host = host.map(|host| host.operate(&["show", "servicestate"]).contains("/below/"));
        assert_ne!(by_host, Some(false), "it is behind the host");
        app.terminate();
        assert!(app.wait(std::time::Duration::from_secs(10)).success(), "{}", app.log());
    }
}

fn cargo(project: &Path, target: &Path, arguments: &[&str]) {
    let mut command = Command::new(env!("CARGO"));
    command.args(arguments).current_dir(project).env("CARGO_TARGET_DIR", target);
    // As the workspace has it, so that what is built is used again.
    command.env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    let output = command.output().expect("cargo can be started");
    let [out, err] = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "cargo {arguments:?} fails in {}:\n{out}{err}", project.display());
}
