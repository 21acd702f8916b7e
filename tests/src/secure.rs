//! An app with TLS, by every provider, at a port that is free for UDP too, so that HTTP/3 is served.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use crate::client::Client;
use crate::pki::{Authority, Use};
use crate::process::Process;
use crate::subject::{App, AppOptions, Host, Provider};
use crate::{h2, h3};

/// How it is set up, besides its certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'a> {
    /// The prefix's path; empty is the root.
    pub path: &'a str,
    /// Arguments of the app.
    pub app: &'a [&'a str],
    /// Arguments of an app with a listener of its own.
    pub embedded: &'a [&'a str],
    /// Options of the host's binding. `{ca}` is the file of the authority.
    pub binding: &'a [&'a str],
    /// Settings of the host, as its file has them. `{port}` is the app's port.
    pub settings: &'a str,
    /// Workers of the host, if not two.
    pub workers: Option<usize>,
}

/// An app, the host it needs, if any, and who certifies it.
#[derive(Debug)]
pub struct Secure {
    // Fields are dropped in order: the app leaves while its host still runs.
    /// The app.
    pub app: App,
    /// The host, for the shared provider.
    pub host: Option<Host>,
    /// Who has issued the certificate.
    pub authority: Authority,
    /// What is in files.
    pub directory: TempDir,
}

impl Secure {
    /// Starts it.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(provider: Provider, setup: Setup<'_>) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let authority = Authority::new(directory.path(), "ca");
        let certificate = authority.issue("server", Use::Server).display().to_string();
        let port = free_port();
        let ca = authority.file().display().to_string();
        let host = (provider == Provider::Shared).then(|| {
            let settings = format!("[settings]\n{}\n", setup.settings.replace("{port}", &port.to_string()));
            let host = Host::start_configured(directory.path(), setup.workers.unwrap_or(2), &settings);
            let binding =
                [format!("ipport=127.0.0.1:{port}"), format!("certfile={certificate}"), format!("keyfile={certificate}")];
            let more: Vec<_> = setup.binding.iter().map(|option| option.replace("{ca}", &ca)).collect();
            let words = ["add", "sslcert"].into_iter().chain(binding.iter().chain(&more).map(String::as_str));
            host.operate(&words.collect::<Vec<_>>());
            host
        });
        let mut options = AppOptions::new("app", prefix(port, setup.path)).arguments(setup.app.iter().copied());
        if provider == Provider::Embedded {
            options = options.arguments(["--tls", &certificate]);
            options = options.arguments(setup.embedded.iter().map(|argument| argument.replace("{ca}", &ca)));
        }
        let app = App::start(provider, host.as_ref(), &options);
        Self { app, host, authority, directory }
    }

    /// One more app of the same host, below another path.
    ///
    /// # Panics
    /// When there is no host, or it does not start.
    pub fn neighbour(&self, name: &str, path: &str) -> App {
        let options = AppOptions::new(name, prefix(self.address().port(), path));
        App::start(Provider::Shared, Some(self.host.as_ref().expect("only a host has room for two")), &options)
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        self.app.address
    }

    /// The process that clients are connected to.
    pub fn server(&mut self) -> &mut Process {
        match &mut self.host {
            Some(host) => &mut host.process,
            None => &mut self.app.process,
        }
    }

    /// The file of the certificate that is served, and its key.
    pub fn certificate(&self) -> PathBuf {
        self.directory.path().join("ca-server.pem")
    }

    /// A client of HTTP/3.
    pub fn client(&self) -> h3::Client {
        h3::Client::new(&self.authority.file())
    }

    /// A connection of HTTP/3.
    ///
    /// # Panics
    /// When the server does not want it.
    pub async fn http3(&self) -> h3::Connection {
        self.client().connect(self.address()).await.expect("the server speaks HTTP/3")
    }

    /// A connection of HTTP/2.
    ///
    /// # Panics
    /// When the server does not want it.
    pub fn http2(&self) -> h2::Connection {
        h2::Connection::open_tls(self.address(), &self.authority.file(), &[])
    }

    /// A connection of HTTP/1.1.
    ///
    /// # Panics
    /// When the server does not want it.
    pub fn http1(&self) -> Client {
        Client::connect_tls(self.address(), &self.authority.file()).expect("the server accepts connections")
    }

    /// Whether somebody has the UDP port.
    pub fn has_udp(&self) -> bool {
        UdpSocket::bind(self.address()).is_err()
    }
}

fn prefix(port: u16, path: &str) -> String {
    format!("https://127.0.0.1:{port}/{}", path.trim_start_matches('/'))
}

/// A port that nobody has, neither for TCP nor for UDP. It is none that clients are given by the system, and tests that run at the
/// same time look elsewhere: their processes have other ids.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let free = |port: &u16| {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, *port));
        TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok()
    };
    let ports = std::iter::repeat_with(|| {
        let nth = std::process::id().wrapping_mul(8).wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed));
        10_000 + u16::try_from(nth % 20_000).expect("it is small")
    });
    ports.take(1_000).find(free).expect("there is a free port")
}
