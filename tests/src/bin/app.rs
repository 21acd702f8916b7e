//! `narthex-test-app`: the app under test as a program of its own, on whichever provider the suite asks for.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use narthex_tests::app::{Recorder, Settings, router};
use narthex_tests::matrix::{general, letters};
use narthex_tests::responses;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Provider {
    /// A listener of the app's own.
    Embedded,
    /// Through a host.
    Shared,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Routes {
    /// Those of the raw-byte suites.
    Raw,
    /// Those of the matrix's lettered rows.
    Letters,
    /// Those of its numbered rows.
    General,
    /// Those of the suite on responses.
    Responses,
}

#[derive(Debug, Parser)]
struct Arguments {
    /// What the app serves.
    #[arg(long, value_enum, default_value = "raw")]
    routes: Routes,
    #[arg(long, value_enum)]
    provider: Provider,
    /// A UrlPrefix to register; may be repeated. Port 0 is any free port.
    #[arg(long, required = true)]
    prefix: Vec<String>,
    /// The host's socket, for the shared provider.
    #[arg(long)]
    host_socket: Option<PathBuf>,
    /// What `/whoami` answers.
    #[arg(long, default_value = "app")]
    name: String,
    /// Writes every request's head and body to this file.
    #[arg(long)]
    record: Option<PathBuf>,
    /// Reads every request to its end before answering.
    #[arg(long)]
    whole_bodies: bool,
    /// The request queue's name; processes that name the same share it.
    #[arg(long)]
    queue: Option<String>,
    /// A PEM file with the certificate, its chain and the key of https prefixes.
    #[arg(long)]
    tls: Option<PathBuf>,
    /// A PEM file of who issues client certificates, which are required then.
    #[arg(long)]
    client_ca: Option<PathBuf>,
    /// Clients are asked for a certificate and need not have one.
    #[arg(long)]
    client_may_be_unknown: bool,
    /// HTTP/3 is not offered.
    #[arg(long)]
    no_http3: bool,
    /// HTTP/3 clients that come again may begin with requests.
    #[arg(long)]
    early_data: bool,
    /// One thread accepts for all workers.
    #[arg(long)]
    single_acceptor: bool,
    /// `modern` or `intermediate`.
    #[arg(long)]
    security_level: Option<String>,
    /// Cipher suites by name.
    #[arg(long)]
    cipher_suite: Vec<String>,
    /// A network of proxies that are believed; may be repeated.
    #[arg(long)]
    trusted_proxy: Vec<String>,
    /// Connections begin with a PROXY header.
    #[arg(long)]
    proxy_protocol: bool,
    /// The seconds in which a head has to come.
    #[arg(long)]
    header_wait: Option<u64>,
    /// The seconds in which the next bytes of a body have to come.
    #[arg(long)]
    entity_body: Option<u64>,
    /// Lets `/headers` tell whether the client's connection is encrypted.
    #[arg(long)]
    connection_info: bool,
    /// Lifts the limit on request bodies.
    #[arg(long)]
    unlimited_body: bool,
    /// A directory whose files are below `/files/` and `/download/`.
    #[arg(long)]
    files: Option<PathBuf>,
    /// The bytes that a request body may have.
    #[arg(long)]
    max_body: Option<u64>,
    /// The connections that the app's clients may have.
    #[arg(long)]
    max_connections: Option<u32>,
    /// The app has a page of its own at this address.
    #[arg(long)]
    ui: Option<std::net::SocketAddr>,
    /// The URL of a collector that gets the app's spans.
    #[arg(long)]
    collector: Option<String>,
    /// The milliseconds that requests have when the app is told to stop.
    #[arg(long)]
    shutdown_timeout: Option<u64>,
}

#[tokio::main(worker_threads = 2)]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Routes::General = arguments.routes {
        // What is told of panics is looked at.
        let errors = tracing_subscriber::filter::LevelFilter::ERROR;
        tracing_subscriber::fmt().with_max_level(errors).with_ansi(false).with_writer(std::io::stderr).init();
    }
    let recorder = arguments.record.as_deref().map(Recorder::create).transpose().context("cannot create the record")?;
    let settings =
        Settings { name: arguments.name.clone(), recorder, whole_bodies: arguments.whole_bodies, files: arguments.files };
    let provider = match (arguments.provider, &arguments.host_socket) {
        (Provider::Embedded, _) => narthex::Provider::embedded(),
        (Provider::Shared, Some(socket)) => narthex::Provider::shared_at(socket),
        (Provider::Shared, None) => narthex::Provider::shared(),
    };
    let router = match arguments.routes {
        Routes::Raw => router(settings),
        Routes::Letters => letters::router(),
        Routes::General => general::router(),
        Routes::Responses => responses::router(),
    };
    let router = match &arguments.collector {
        Some(url) => {
            let collector = narthex::trace::Collector::open(url, arguments.name.as_str())?;
            tracing_subscriber::registry().with(collector.layer()).init();
            router.layer(narthex::trace::TraceLayer)
        }
        None if arguments.ui.is_some() => {
            tracing_subscriber::registry().with(narthex::ui::log_tail()).init();
            router
        }
        None => router,
    };
    let mut server = narthex::Server::new(router).prefixes(&arguments.prefix).provider(provider).workers(2);
    let mut timeouts = narthex::Timeouts::default();
    if let Some(seconds) = arguments.header_wait {
        timeouts = timeouts.header_wait(std::time::Duration::from_secs(seconds));
    }
    if let Some(seconds) = arguments.entity_body {
        timeouts = timeouts.entity_body(std::time::Duration::from_secs(seconds));
    }
    server = server.timeouts(timeouts);
    if arguments.unlimited_body {
        server = server.max_body(None);
    }
    if let Some(bytes) = arguments.max_body {
        server = server.max_body(bytes);
    }
    if let Some(connections) = arguments.max_connections {
        server = server.max_connections(connections);
    }
    if let Some(milliseconds) = arguments.shutdown_timeout {
        server = server.shutdown_timeout(std::time::Duration::from_millis(milliseconds));
    }
    if arguments.single_acceptor {
        server = server.fine_tune(narthex::FineTune::default().operating_mode(narthex::OperatingMode::SingleAcceptor));
    }
    server = server.trusted_proxies(&arguments.trusted_proxy).proxy_protocol(arguments.proxy_protocol);
    server = server.connection_info(arguments.connection_info);
    server = server.request_control(matches!(arguments.routes, Routes::Responses));
    if let Some(file) = &arguments.tls {
        let mut tls = narthex::Tls::pem_files(file, file).http3(!arguments.no_http3).early_data(arguments.early_data);
        if let Some(authorities) = &arguments.client_ca {
            let optional = arguments.client_may_be_unknown;
            let demand = if optional { narthex::Demand::Optional } else { narthex::Demand::Required };
            tls = tls.client_certificates(narthex::ClientCertificates::new(demand).authorities(authorities));
        }
        if let Some(level) = &arguments.security_level {
            tls = tls.security_level(level.parse()?);
        }
        if !arguments.cipher_suite.is_empty() {
            tls = tls.cipher_suites(&arguments.cipher_suite);
        }
        server = server.tls(tls);
    }
    if let Some(address) = arguments.ui {
        server = server.ui(address);
    }
    if let Some(queue) = arguments.queue {
        server = server.queue(narthex::RequestQueue::new().named(queue));
    }
    server.on_ready(ready).run().await?;
    Ok(())
}

/// One line with the prefixes as they really are.
fn ready(prefixes: &[narthex::UrlPrefix]) {
    let prefixes: Vec<_> = prefixes.iter().map(ToString::to_string).collect();
    println!("ready {}", prefixes.join(" "));
    let _ = std::io::stdout().flush();
}
