//! `narthex doctor` on this machine, of which a test knows nothing, and with configurations, of which it does.

use std::net::TcpListener;
use std::process::{Command, Stdio};

use serde_json::Value;

struct Seen {
    code: Option<i32>,
    findings: Vec<Value>,
}

impl Seen {
    fn finding(&self, check: &str) -> &Value {
        self.findings
            .iter()
            .find(|finding| finding["check"] == check)
            .unwrap_or_else(|| panic!("no {check}: {:?}", self.findings))
    }
}

fn doctor(configuration: &str, arguments: &[&str]) -> Seen {
    let directory = tempfile::tempdir().unwrap();
    let (config, socket) = (directory.path().join("narthex.toml"), directory.path().join("host.sock"));
    std::fs::write(&config, configuration).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_narthex"))
        .args(["doctor", "--json", "--config"])
        .arg(&config)
        .arg("--socket")
        .arg(&socket)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    Seen { code: output.status.code(), findings: serde_json::from_slice(&output.stdout).unwrap() }
}

#[test]
fn a_machine_without_a_host_is_told_how_to_get_one_and_strictness_makes_that_a_failure() {
    let seen = doctor("", &["--strict"]);
    assert_eq!(seen.finding("host")["state"], "warning");
    assert!(seen.finding("host")["remedy"].as_str().unwrap().contains("narthex host install"));
    assert_eq!(seen.finding("configuration")["state"], "good");
    // A machine may have something worse.
    assert!([Some(5), Some(1)].contains(&seen.code), "{:?}", seen.code);
}

#[test]
fn a_mistake_in_the_configuration_is_a_failure() {
    let seen = doctor("[settings]\nqueue_length = 0\n", &[]);
    assert_eq!(seen.code, Some(1));
    assert!(seen.finding("configuration")["found"].as_str().unwrap().contains("narthex.toml:2"), "{:?}", seen.findings);
}

#[test]
fn a_port_of_the_configuration_that_somebody_has_is_a_failure() {
    let taken = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let seen = doctor(&format!("[[urlacl]]\nurl = \"http://+:{port}/\"\nallow = [{{ everyone = true }}]\n"), &[]);
    assert_eq!(seen.code, Some(1));
    assert_eq!(seen.finding("ports")["state"], "failure");
    assert!(seen.finding("ports")["remedy"].as_str().unwrap().contains(&format!("sport = {port}")));
}

#[test]
fn a_certificate_that_is_not_there_is_a_failure() {
    let text = "[[binding]]\nhostnameport = \"a.example:8443\"\ncertificate = \"gone.pem\"\nkey = \"gone.key\"\n";
    let seen = doctor(text, &[]);
    assert_eq!(seen.code, Some(1));
    assert!(seen.finding("certificate")["found"].as_str().unwrap().contains("gone.pem"), "{:?}", seen.findings);
}
