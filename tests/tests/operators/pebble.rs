//! A certificate authority that speaks ACME: Pebble, which Let's Encrypt tests clients with. It comes to the host as a CA would,
//! at ports that it is told, and to every name at 127.0.0.1.

use std::fs;
use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use narthex_tests::Process;
use narthex_tests::pki::{Authority, Use};
use tempfile::TempDir;

use crate::operators::certificates::free_port;
use crate::operators::machine::eventually;

/// How Pebble is to be.
#[derive(Clone, Debug)]
pub(crate) struct Wanted {
    /// Where its connections to port 443 go.
    pub(crate) tls_port: u16,
    /// Where its connections to port 80 go.
    pub(crate) http_port: u16,
    /// How long its certificates live, in seconds.
    pub(crate) lifetime: u32,
    /// It takes up to so many seconds before it looks.
    pub(crate) hesitates: u32,
    /// The key of the only account that may have accounts, base64url.
    pub(crate) external_key: Option<&'static str>,
}

impl Wanted {
    /// At two ports of its own, quick, and for a day.
    pub(crate) fn new() -> Self {
        Self { tls_port: free_port(), http_port: free_port(), lifetime: 86_400, hesitates: 0, external_key: None }
    }
}

/// A running Pebble.
pub(crate) struct Pebble {
    process: Process,
    wanted: Wanted,
    port: u16,
    dns: Dns,
    directory: TempDir,
    authority: PathBuf,
}

impl Pebble {
    pub(crate) fn start(wanted: Wanted) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let authority = Authority::new(directory.path(), "directory");
        authority.issue("pebble", Use::Server);
        let (dns, authority) = (Dns::start(), authority.file());
        let (process, port) = serve(&directory, &wanted, &dns, None);
        Self { process, wanted, port, dns, directory, authority }
    }

    /// Ends it. It forgets everything.
    pub(crate) fn stop(&mut self) {
        self.process.crash();
    }

    /// Starts it again at the same address.
    pub(crate) fn restart(&mut self) {
        self.stop();
        (self.process, self.port) = serve(&self.directory, &self.wanted, &self.dns, Some(self.port));
    }

    /// What it has written down.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// How many orders were placed.
    pub(crate) fn orders(&self) -> usize {
        self.log().matches("Added order ").count()
    }

    /// The settings of a host that asks it, but for the agreement to its terms.
    pub(crate) fn settings(&self) -> String {
        format!(
            "[settings]\nacme_directory = \"https://localhost:{}/dir\"\nacme_ca = \"{}\"\nacme_tls_port = {}\nacme_http_port = {}\n",
            self.port,
            self.authority.display(),
            self.wanted.tls_port,
            self.wanted.http_port
        )
    }
}

fn serve(directory: &TempDir, wanted: &Wanted, dns: &Dns, at: Option<u16>) -> (Process, u16) {
    // Another program may be quicker than Pebble to take a port that was free.
    for _ in 0..5 {
        let port = at.unwrap_or_else(free_port);
        let mut process = started(directory, wanted, dns, port);
        let listens = || TcpStream::connect(("127.0.0.1", port)).is_ok();
        if eventually("Pebble", || if process.has_ended() { Some(false) } else { listens().then_some(true) }) {
            return (process, port);
        }
        assert!(process.log().contains("address already in use"), "{}", process.log());
    }
    panic!("Pebble finds no port");
}

fn started(directory: &TempDir, wanted: &Wanted, dns: &Dns, port: u16) -> Process {
    let files = directory.path().join("directory-pebble.pem");
    let keys = wanted.external_key.map_or_else(|| serde_json::json!({}), |key| serde_json::json!({ "narthex": key }));
    let config = serde_json::json!({ "pebble": {
        "listenAddress": format!("127.0.0.1:{port}"),
        "managementListenAddress": "",
        "certificate": files,
        "privateKey": files,
        "httpPort": wanted.http_port,
        "tlsPort": wanted.tls_port,
        "ocspResponderURL": "",
        "externalAccountBindingRequired": wanted.external_key.is_some(),
        "externalAccountMACKeys": keys,
        "certificateValidityPeriod": wanted.lifetime,
    }});
    let file = directory.path().join("pebble.json");
    fs::write(&file, config.to_string()).expect("a file can be written");
    assert!(
        Command::new("pebble").arg("-h").output().is_ok(),
        "these tests need the ACME server pebble: on Debian, apt-get install pebble (cargo xtask test does it)"
    );
    let mut command = Command::new("pebble");
    command.arg("-config").arg(&file).arg("-strict=false").arg("-dnsserver").arg(dns.address.to_string());
    match wanted.hesitates {
        0 => command.env("PEBBLE_VA_NOSLEEP", "1"),
        seconds => command.env("PEBBLE_VA_SLEEPTIME", seconds.to_string()),
    };
    // Of what it has seen before, it is to see all again; and nothing is to be left to chance, as its refusals of good nonces are.
    command.env("PEBBLE_AUTHZREUSE", "0").env("PEBBLE_WFE_NONCEREJECT", "0");
    Process::start("pebble", &mut command)
}

/// A DNS server by which every name is at 127.0.0.1.
struct Dns {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Dns {
    fn start() -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("there is a free port");
        let address = socket.local_addr().expect("it has an address");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket has timeouts");
        let over = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let mut question = [0; 1024];
            while !end.load(Ordering::Relaxed) {
                match socket.recv_from(&mut question) {
                    Ok((length, asker)) => {
                        if let Some(answer) = answer(&question[..length]) {
                            let _ = socket.send_to(&answer, asker);
                        }
                    }
                    Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                    Err(error) => panic!("the DNS server cannot receive: {error}"),
                }
            }
        });
        Self { address, over, thread: Some(thread) }
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// The answer to a message with one question (RFC 1035 section 4): an address if one of IPv4 is asked for, else that there is
/// nothing of the kind.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let mut end = 12;
    while let Some(label) = question.get(end).filter(|label| **label != 0) {
        end += usize::from(*label) + 1;
    }
    let end = end + 5;
    let asked = question.get(12..end)?;
    let is_a = asked.ends_with(&[0, 1, 0, 1]);
    let mut message = [question.get(..2)?, &[0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0], asked].concat();
    if is_a {
        // The name is that of the question; a class, a lifetime of nothing, four bytes.
        message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4, 127, 0, 0, 1]);
    }
    Some(message)
}
