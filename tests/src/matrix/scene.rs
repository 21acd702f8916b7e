//! An app in one of the ways in which it can be reached: provider, TLS or not, HTTP/1.1 or HTTP/2.

use std::fmt;
use std::net::SocketAddr;

use crate::client::Client;
use crate::h2::Connection;
use crate::matrix::wire::{Ask, Reply, Wire};
use crate::process::Process;
use crate::secure::{Secure, Setup};
use crate::subject::{App, AppOptions, Host, Provider, Subject};

/// Which HTTP clients speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Http {
    /// HTTP/1.1, requests one after another.
    One,
    /// HTTP/2, by prior knowledge where there is no TLS.
    Two,
}

/// One way to reach an app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Variant {
    /// How the app gets its requests.
    pub provider: Provider,
    /// Clients come over TLS.
    pub tls: bool,
    /// What they speak.
    pub http: Http,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let http = if self.http == Http::One { "HTTP/1.1" } else { "HTTP/2" };
        write!(f, "{} {} {http}", self.provider, if self.tls { "TLS" } else { "plain" })
    }
}

#[derive(Debug)]
enum Kind {
    Plain(Box<Subject>),
    Tls(Box<Secure>),
}

/// A running app.
#[derive(Debug)]
pub struct Scene {
    variant: Variant,
    kind: Kind,
}

impl Scene {
    /// Starts the app with these arguments.
    ///
    /// # Panics
    /// When it does not start.
    pub fn start(variant: Variant, arguments: &[&str]) -> Self {
        let kind = if variant.tls {
            Kind::Tls(Box::new(Secure::start(variant.provider, Setup { app: arguments, ..Setup::default() })))
        } else {
            let options = AppOptions::new("app", "http://127.0.0.1:0/").arguments(arguments.iter().copied());
            Kind::Plain(Box::new(Subject::start_with(variant.provider, &options)))
        };
        Self { variant, kind }
    }

    /// How it is reached.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// Where clients reach it.
    pub fn address(&self) -> SocketAddr {
        match &self.kind {
            Kind::Plain(subject) => subject.app.address,
            Kind::Tls(secure) => secure.address(),
        }
    }

    /// A second process that wants the same prefix.
    pub fn second(&self) -> Process {
        let authority = self.address();
        match &self.kind {
            Kind::Plain(subject) => {
                let options = AppOptions::new("second", format!("http://{authority}/"));
                App::spawn(self.variant.provider, subject.host.as_ref(), &options)
            }
            Kind::Tls(secure) => {
                let mut options = AppOptions::new("second", format!("https://{authority}/"));
                if self.variant.provider == Provider::Embedded {
                    options = options.arguments(["--tls".to_owned(), secure.certificate().display().to_string()]);
                }
                App::spawn(self.variant.provider, secure.host.as_ref(), &options)
            }
        }
    }

    /// The app's process.
    pub fn app(&mut self) -> &mut Process {
        match &mut self.kind {
            Kind::Plain(subject) => &mut subject.app.process,
            Kind::Tls(secure) => &mut secure.app.process,
        }
    }

    /// The host, for the shared provider.
    pub fn host(&self) -> Option<&Host> {
        match &self.kind {
            Kind::Plain(subject) => subject.host.as_ref(),
            Kind::Tls(secure) => secure.host.as_ref(),
        }
    }

    /// The descriptors that the process has open which clients are connected to.
    ///
    /// # Panics
    /// When it has ended.
    pub fn descriptors(&mut self) -> usize {
        let id = self.host().map(|host| host.process.id());
        let id = id.unwrap_or_else(|| self.app().id());
        std::fs::read_dir(format!("/proc/{id}/fd")).expect("the process runs").count()
    }

    /// A new connection.
    ///
    /// # Panics
    /// When the server does not want it.
    pub fn wire(&self) -> Wire {
        let address = self.address();
        match (&self.kind, self.variant.http) {
            (Kind::Plain(_), Http::One) => {
                Wire::http1(Client::connect(address).expect("the server accepts connections"), address)
            }
            (Kind::Plain(_), Http::Two) => Wire::http2(Connection::open(address)),
            (Kind::Tls(secure), Http::One) => Wire::http1(secure.http1(), address),
            (Kind::Tls(secure), Http::Two) => Wire::http2(secure.http2()),
        }
    }

    /// Sends all of these before it reads the first answer: on connections of their own, or as streams of one.
    ///
    /// # Errors
    /// When one of them is not answered.
    pub fn at_once(&self, asks: &[Ask]) -> Result<Vec<Reply>, String> {
        let mut wires: Vec<Wire> = match self.variant.http {
            Http::One => asks.iter().map(|_| self.wire()).collect(),
            Http::Two => vec![self.wire()],
        };
        let last = wires.len() - 1;
        let sent: Vec<_> = asks.iter().enumerate().map(|(nth, ask)| (nth.min(last), wires[nth.min(last)].send(ask))).collect();
        sent.into_iter().map(|(wire, sent)| wires[wire].reply(sent)).collect()
    }
}

/// The way that speaks HTTP/1.1.
pub fn with_http1(provider: Provider, tls: bool) -> Variant {
    Variant { provider, tls, http: Http::One }
}

/// The way that speaks HTTP/2.
pub fn with_http2(provider: Provider, tls: bool) -> Variant {
    Variant { provider, tls, http: Http::Two }
}
