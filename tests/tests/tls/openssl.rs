//! `openssl s_client`, as a TLS client of another family.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// What a client has seen.
pub(crate) struct Seen {
    /// What came from the server, and what openssl says of the connection.
    pub(crate) text: String,
}

impl Seen {
    /// Whether the server has answered 200.
    pub(crate) fn is_ok(&self) -> bool {
        self.text.contains("HTTP/1.1 200")
    }
}

/// Connects, sends `request`, and reads to the end.
pub(crate) fn ask(address: SocketAddr, authority: &Path, arguments: &[&str], request: &str) -> Seen {
    // `timeout` so that a server that never ends fails its test alone.
    let mut command = Command::new("timeout");
    command.args(["10", "openssl", "s_client", "-connect", &address.to_string(), "-servername", "localhost"]);
    command.arg("-CAfile").arg(authority).args(["-verify_return_error", "-ign_eof"]).args(arguments);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut client = command.spawn().expect("openssl and timeout are there: apt-get install openssl coreutils");
    let mut input = client.stdin.take().expect("the input is a pipe");
    // A handshake that fails closes it.
    let _ = input.write_all(request.as_bytes());
    let output = client.wait_with_output().expect("openssl ends");
    drop(input);
    let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!text.contains("No such file or directory") || text.contains("CONNECTED"), "openssl cannot run: {text}");
    Seen { text }
}

/// A request whose response ends the connection.
pub(crate) fn closing(line: &str, fields: &str, body: &str) -> String {
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{fields}\r\n{body}")
}
