//! Certificates and TLS clients that are not ours: those of the `openssl` command.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Runs `openssl`, without which these tests prove nothing.
fn openssl(arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command.args(arguments).stdin(Stdio::null());
    command
}

fn started(command: &mut Command) -> Child {
    command.spawn().unwrap_or_else(|error| panic!("these tests need the openssl command, please install it: {error}"))
}

#[track_caller]
fn run(arguments: &[&str]) {
    let child = started(openssl(arguments).stdout(Stdio::null()).stderr(Stdio::piped()));
    let output = child.wait_with_output().expect("openssl can be waited for");
    assert!(output.status.success(), "openssl {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A certificate and its key, in files.
pub(crate) struct Certificate {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
}

impl Certificate {
    /// Makes one in `directory` whose subject is `label`, for these names.
    pub(crate) fn new(directory: &Path, label: &str, names: &[&str]) -> Self {
        let this = Self { certificate: directory.join(format!("{label}.crt")), key: directory.join(format!("{label}.key")) };
        let names: Vec<String> = names.iter().map(|name| format!("DNS:{name}")).collect();
        let (subject, names) = (format!("/CN={label}"), format!("subjectAltName={}", names.join(",")));
        let (certificate, key) = (text(&this.certificate), text(&this.key));
        let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
        let rest = ["-subj", &subject, "-addext", &names, "-keyout", &key, "-out", &certificate];
        run(&[&["req", "-x509"], &curve[..], &rest[..]].concat());
        this
    }

    /// The options of `narthex add sslcert` that name it.
    pub(crate) fn options(&self) -> String {
        format!("certfile={} keyfile={}", self.certificate.display(), self.key.display())
    }

    /// Puts this in the place of another one, file by file.
    pub(crate) fn replace(&self, other: &Self) {
        fs::rename(&self.certificate, &other.certificate).expect("a file can be renamed");
        fs::rename(&self.key, &other.key).expect("a file can be renamed");
    }

    /// Both in one file, as a directory of certificates has them.
    pub(crate) fn join(&self, file: &Path) {
        let read = |path| fs::read_to_string(path).expect("the file can be read");
        fs::write(file, read(&self.certificate) + &read(&self.key)).expect("a file can be written");
    }

    /// Both in one PKCS#12 file.
    pub(crate) fn pkcs12(&self, file: &Path, passphrase: &str) {
        let (certificate, key, passphrase) = (text(&self.certificate), text(&self.key), format!("pass:{passphrase}"));
        let files = ["-in", &certificate, "-inkey", &key, "-passout", &passphrase, "-out"];
        run(&[&["pkcs12", "-export"], &files[..], &[&text(file)]].concat());
    }
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

/// What `openssl s_client` tells of a handshake.
#[derive(Debug)]
pub(crate) struct Handshake {
    /// The common name of the certificate.
    pub(crate) name: String,
    /// The protocol that the server has chosen.
    pub(crate) alpn: Option<String>,
    /// Everything.
    pub(crate) said: String,
}

/// A client's handshake on a port of 127.0.0.1, with these arguments beside the server name; without one if that is empty.
/// None if it failed.
pub(crate) fn handshake(port: u16, server_name: &str, arguments: &[&str]) -> Option<Handshake> {
    let mut command = client(port, server_name);
    let client = started(command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let output = client.wait_with_output().expect("openssl can be waited for");
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let after = |text: &str| said.lines().find_map(|line| line.trim().strip_prefix(text).map(|rest| rest.trim().to_owned()));
    let name = after("subject=")?.rsplit('=').next().unwrap_or_default().trim().to_owned();
    let alpn = after("ALPN protocol:");
    output.status.success().then_some(Handshake { name, alpn, said })
}

/// Options by which a handshake fails whose certificate is not signed by this authority, or is for another name.
pub(crate) fn verifying<'a>(authority: &'a str, name: &'a str) -> [&'a str; 5] {
    ["-CAfile", authority, "-verify_return_error", "-verify_hostname", name]
}

fn client(port: u16, server_name: &str) -> Command {
    let address = format!("127.0.0.1:{port}");
    let mut command = openssl(&["s_client", "-connect", &address]);
    match server_name {
        "" => command.arg("-noservername"),
        name => command.args(["-servername", name]),
    };
    command
}

/// A connection of `openssl s_client` that HTTP/1.1 is spoken on. It ends when this is dropped.
pub(crate) struct Connection {
    client: Child,
    reader: BufReader<ChildStdout>,
}

impl Connection {
    pub(crate) fn open(port: u16, server_name: &str) -> Self {
        let mut command = client(port, server_name);
        let mut client = started(command.arg("-quiet").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()));
        let reader = BufReader::new(client.stdout.take().expect("it is piped"));
        Self { client, reader }
    }

    /// Asks and reads the whole answer: its head with the body behind it.
    pub(crate) fn get(&mut self, target: &str) -> String {
        self.get_of("localhost", target)
    }

    /// As `get`, of another host.
    pub(crate) fn get_of(&mut self, host: &str, target: &str) -> String {
        let stdin = self.client.stdin.as_mut().expect("it is piped");
        write!(stdin, "GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n").expect("the client reads");
        let mut answer = String::new();
        while !answer.ends_with("\r\n\r\n") {
            let read = self.reader.read_line(&mut answer).expect("the answer is text");
            assert!(read > 0, "{target}: the connection was closed after {answer:?}");
        }
        let length = answer.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or_else(|| panic!("{target}: no length in {answer:?}"))];
        self.reader.read_exact(&mut body).expect("the body comes");
        answer + &String::from_utf8_lossy(&body)
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.client.kill();
        let _ = self.client.wait();
    }
}
