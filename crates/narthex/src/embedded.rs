//! The embedded provider: the app's own listeners, with the same HTTP engine and routing table that the host has.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::num::NonZeroU16;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::Version;
use narthex_http::tls::Bindings;
use narthex_http::{
    Acceptor, BodyLength, Exchange, Handler, Inbox, Limits, ListenError, ProxyProtocol, Reason, Settings, TrustedProxies, Worker,
    addresses, listen, listen_udp,
};
use narthex_proto::cooked::Relative;
use narthex_proto::prefix::{PrefixHost, PrefixSpec, Scheme, UrlPrefix};
use narthex_proto::routing::{Route, Table};
use narthex_proto::wire::Verbosity;
use tokio::task::JoinSet;

use crate::body::{Body, Feed};
use crate::call::{App, Calls, Means, Running};
use crate::change::GroupSettings;
use crate::error::{Error, Result};
use crate::lifetime::{Changes, Phases, Stop, Workers};
use crate::live::{self, Live, Updates};
use crate::request::{ConnectionInfo, Head, Heads, Told};
use crate::request_control::RequestControl;
use crate::tls::{Certificates, TlsSettings};
use crate::tuning::{FineTune, OperatingMode};
use crate::upgrade::Donor;

/// How often a port that is free for one address family may turn out to be taken for the other.
const PORT_ATTEMPTS: usize = 16;
/// How often the files of certificates are looked at.
const LOOK: Duration = Duration::from_secs(1);

type Prefixes = Table<(), ()>;

/// A server that has not started.
pub(crate) struct Embedded {
    pub(crate) prefixes: Vec<PrefixSpec>,
    pub(crate) group: GroupSettings,
    pub(crate) limits: Limits,
    pub(crate) tls: TlsSettings,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) proxy_protocol: bool,
    pub(crate) fine_tune: FineTune,
    pub(crate) workers: usize,
    pub(crate) told: Told,
    pub(crate) shutdown_timeout: Duration,
}

impl Embedded {
    /// Serves until `stop`. `ready` is called with the real ports when clients can connect.
    pub(crate) async fn run<S: App>(
        self,
        app: S,
        mut stop: Stop,
        mut changes: Changes,
        ready: impl FnOnce(&[UrlPrefix]),
    ) -> Result<()> {
        let accepting = match self.fine_tune.operating_mode {
            OperatingMode::OnePerWorker => self.workers.max(1),
            OperatingMode::SingleAcceptor => 1,
        };
        let Bound { prefixes, table, listeners } = bind(&self.prefixes, accepting)?;
        let secure = prefixes.iter().filter(|prefix| prefix.scheme() == Scheme::Https);
        if let (Some(prefix), None) = (secure.clone().next(), &self.tls.fallback)
            && self.tls.by_name.is_empty()
        {
            return Err(Error::NoCertificate(prefix.to_string()));
        }
        let ports: BTreeSet<u16> = secure.map(|prefix| prefix.port().get()).collect();
        let mut certificates = Certificates::load(&self.tls, &Vec::from_iter(ports))?;
        let bindings = (!certificates.is_empty()).then(|| certificates.bindings());
        // No proxy of connections is there for QUIC: its clients would come past the proxy.
        let mut quic = quic_sockets(&listeners, bindings.as_deref().filter(|_| !self.proxy_protocol));
        let alt_svc: Vec<u16> = quic.iter().filter_map(|socket| Some(socket.local_addr().ok()?.port())).collect();
        let table = Arc::new(table);
        let (acceptor, sources) = sources(&self.fine_tune, self.workers, listeners)?;
        let mut engine = Settings::default();
        engine.limits = self.limits;
        engine.trusted_proxies = Arc::new(self.trusted_proxies);
        if self.proxy_protocol {
            engine.proxy_protocol = Arc::new(ProxyProtocol::everywhere());
        }
        let mut running = live::Running::new(self.group, engine, bindings);
        let mut workers = Workers::new();
        for (index, source) in sources.into_iter().enumerate() {
            let (app, table, phases) = (app.clone(), Arc::clone(&table), workers.phases());
            let inline = self.fine_tune.inline_completion;
            let (live, updates, admission) = (running.live(), running.updates(), Arc::clone(&running.admission));
            let told = self.told;
            // A connection that migrates is to stay on its worker.
            let (quic, alt_svc) = (std::mem::take(&mut quic), alt_svc.clone());
            workers.spawn(format!("narthex-app-{index}"), move || {
                let handler = Mounted {
                    calls: Calls::new(app, inline),
                    table,
                    heads: Heads::new(told.connection_info),
                    request_control: told.request_control,
                    inline,
                    active: Cell::new(live.active),
                    verbosity: Cell::new(live.verbosity),
                    max_body: Cell::new(live.max_body()),
                };
                let worker = live.worker(admission);
                worker.set_alt_svc(alt_svc);
                run_worker(worker, source, quic, Rc::new(handler), updates, phases)
            })?;
        }
        ready(&prefixes);
        let mut look = tokio::time::interval(LOOK);
        loop {
            let asked = tokio::select! {
                () = stop.wait() => break,
                () = workers.one_ended() => return Err(Error::WorkerDied),
                asked = changes.next() => asked,
                _ = look.tick(), if !certificates.is_empty() => {
                    if certificates.follow_files() {
                        running.set_tls(certificates.bindings()).await?;
                    }
                    continue;
                }
            };
            let changed = tokio::select! {
                () = stop.wait() => break,
                changed = running.change(&asked.change) => changed,
            };
            let _ = asked.done.send(changed);
        }
        if let Some(acceptor) = acceptor {
            acceptor.stop().await;
        }
        workers.stop(self.shutdown_timeout).await;
        Ok(())
    }
}

/// A UDP socket for each address where HTTP/3 is to be served. Where there is none, clients have HTTP/2.
fn quic_sockets(listeners: &[Vec<Listener>], bindings: Option<&Bindings>) -> Vec<UdpSocket> {
    let Some(bindings) = bindings else { return Vec::new() };
    let addresses = listeners.iter().flatten().filter(|(_, scheme)| *scheme == Scheme::Https);
    let addresses: BTreeSet<_> = addresses.filter_map(|(listener, _)| listener.local_addr().ok()).collect();
    let mut sockets = Vec::new();
    for address in addresses.into_iter().filter(|address| bindings.offers_http3(*address)) {
        match listen_udp(address) {
            Ok(socket) => sockets.push(socket),
            Err(error) => tracing::warn!("HTTP/3 is not served: {error}"),
        }
    }
    sockets
}

/// Where each worker's connections come from. The acceptor, if there is one, accepts until it is dropped.
fn sources(tune: &FineTune, workers: usize, listeners: Vec<Vec<Listener>>) -> Result<(Option<Acceptor>, Vec<Source>)> {
    if tune.operating_mode == OperatingMode::OnePerWorker {
        return Ok((None, listeners.into_iter().map(Source::Listeners).collect()));
    }
    let started = Acceptor::start("narthex-acceptor".to_owned(), workers);
    let (acceptor, inboxes) = started.map_err(Error::io("start the accepting thread"))?;
    for (listener, scheme) in listeners.into_iter().flatten() {
        let address = listener.local_addr().map_err(Error::io("find out the port"))?;
        acceptor.listen(address, listener, scheme);
    }
    Ok((Some(acceptor), inboxes.into_iter().map(Source::Inbox).collect()))
}

/// Where a worker's connections come from.
enum Source {
    Listeners(Vec<Listener>),
    Inbox(Inbox),
}

async fn run_worker<S: App>(
    worker: Rc<Worker>,
    source: Source,
    quic: Vec<UdpSocket>,
    handler: Rc<Mounted<S>>,
    mut updates: Updates,
    mut phases: Phases,
) {
    let mut accepting: JoinSet<io::Result<()>> = JoinSet::new();
    match source {
        Source::Listeners(listeners) => {
            for (listener, scheme) in listeners {
                let (worker, handler) = (Rc::clone(&worker), Rc::clone(&handler));
                accepting.spawn_local(async move {
                    worker.accept(tokio::net::TcpListener::from_std(listener)?, scheme, handler).await
                });
            }
        }
        Source::Inbox(inbox) => {
            let (worker, handler) = (Rc::clone(&worker), Rc::clone(&handler));
            accepting.spawn_local(async move {
                worker.accept_dealt(inbox, handler).await;
                Ok(())
            });
        }
    }
    let mut accepting_quic = JoinSet::new();
    for socket in quic {
        let (worker, handler) = (Rc::clone(&worker), Rc::clone(&handler));
        accepting_quic.spawn_local(async move { worker.accept_quic(socket, handler).await });
    }
    loop {
        tokio::select! {
            () = phases.draining() => break,
            Some((live, done)) = updates.recv() => {
                handler.apply(&live);
                live.apply(&worker);
                let _ = done.send(());
            }
            Some(ended) = accepting.join_next() => {
                tracing::error!(?ended, "a listener broke");
                break;
            }
        }
    }
    accepting.shutdown().await;
    worker.drain();
    tokio::select! {
        () = worker.emptied() => {}
        () = phases.closing() => {
            worker.kill_connections();
            worker.emptied().await;
        }
    }
}

/// The app behind its prefixes, on one worker.
struct Mounted<S: App> {
    calls: Calls<S, Exchange>,
    table: Arc<Prefixes>,
    heads: Heads,
    /// Requests have a [`RequestControl`].
    request_control: bool,
    inline: bool,
    active: Cell<bool>,
    verbosity: Cell<Verbosity>,
    max_body: Cell<Option<u64>>,
}

impl<S: App> Handler for Mounted<S> {
    type Future = Running<S, Exchange>;

    fn handle(&self, request: narthex_http::Request<'_>, exchange: Exchange) -> Option<Self::Future> {
        if self.verbosity.get() != Verbosity::default() {
            exchange.set_verbosity(self.verbosity.get());
        }
        let prefix = match self.route(&request) {
            Ok(prefix) => prefix,
            Err(reason) => {
                exchange.refuse(reason);
                return None;
            }
        };
        if !request.body.is_empty() {
            // An app that does not look at the body would never learn that it is too long: the answer would depend on the app.
            exchange.set_max_body(self.max_body.get());
            if !exchange.is_open() {
                return None;
            }
        }
        let (body, feed) = match request.body {
            BodyLength::Exact(0) => (Body::empty(), None),
            BodyLength::Exact(length) => with_feed(Body::channel(Some(length))),
            BodyLength::Unknown => with_feed(Body::channel(None)),
        };
        // Filled in where it is: a request is too large to be passed from hand to hand.
        let mut app_request = self.calls.request(body);
        let relative = request.cooked.relative_to(prefix.path());
        if self.heads.fill(&mut app_request, head(&request, &relative)).is_err() {
            exchange.refuse(Reason::Url);
            return None;
        }
        let donor = if request.wants_upgrade { Donor::new() } else { None };
        let donor = donor.map(|(donor, on_upgrade)| {
            app_request.extensions_mut().insert(on_upgrade);
            donor
        });
        let watched = self.request_control.then(|| RequestControl::give(&mut app_request));
        let call = self.calls.begin(app_request, Means { downstream: exchange, feed, donor, watched })?;
        // The connection's task is the one that goes on with the call.
        Some(if self.inline { call } else { call.giving_way() })
    }
}

impl<S: App> Mounted<S> {
    fn apply(&self, live: &Live) {
        self.active.set(live.active);
        self.verbosity.set(live.verbosity);
        self.max_body.set(live.max_body());
    }

    /// The prefix that a request is for, or why there is none.
    fn route(&self, request: &narthex_http::Request<'_>) -> Result<&UrlPrefix, Reason> {
        let connection = request.connection;
        match self.table.route(connection.scheme, connection.local, request.host, request.cooked.path()) {
            Route::Registered { .. } if !self.active.get() => Err(Reason::Disabled),
            Route::Registered { prefix, .. } => Ok(prefix),
            Route::Reserved { .. } => Err(Reason::NotAvailable),
            Route::NoPath => Err(Reason::NotFound),
            Route::NoHost => Err(Reason::UnknownHost),
        }
    }
}

fn head<'a>(
    request: &narthex_http::Request<'a>,
    relative: &'a Relative<'_>,
) -> Head<'a, impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + use<'a>> {
    let connection = request.connection;
    Head {
        raw: request.raw,
        method: request.method,
        target: request.target.as_bytes(),
        path_base: relative.path_base.as_bytes(),
        relative: relative.path_and_query.as_bytes(),
        headers: request.headers().map(|(name, value)| (name.as_bytes(), value)),
        upgrade: request.wants_upgrade,
        certificate: request.tls.and_then(|tls| tls.client_certificate.as_deref()).unwrap_or_default(),
        connection: ConnectionInfo {
            peer: connection.peer,
            local: connection.local,
            tls: connection.secure,
            version: match request.version {
                narthex_http::Version::Http10 => Version::HTTP_10,
                narthex_http::Version::Http11 => Version::HTTP_11,
                narthex_http::Version::Http2 => Version::HTTP_2,
                narthex_http::Version::Http3 => Version::HTTP_3,
            },
        },
    }
}

fn with_feed((body, feed): (Body, Feed)) -> (Body, Option<Feed>) {
    (body, Some(feed))
}

/// Open listeners, and what their ports made of the prefixes.
struct Bound {
    prefixes: Vec<UrlPrefix>,
    table: Prefixes,
    /// For each that accepts.
    listeners: Vec<Vec<Listener>>,
}

/// An open port, and what is spoken there.
type Listener = (TcpListener, Scheme);

/// Opens what `specs` need, once for each of `times` that accept.
fn bind(specs: &[PrefixSpec], times: usize) -> Result<Bound> {
    let mut bound = Bound { prefixes: Vec::new(), table: Table::new(), listeners: (0..times).map(|_| Vec::new()).collect() };
    let mut ports = BTreeMap::new();
    for spec in specs {
        match spec.resolve() {
            Some(prefix) => {
                let (scheme, hosts) = ports.entry(prefix.port()).or_insert_with(|| (prefix.scheme(), Vec::new()));
                if *scheme != prefix.scheme() {
                    return Err(Error::OtherScheme(prefix.to_string(), prefix.port().get()));
                }
                hosts.push(prefix.host().clone());
                bound.add(prefix)?;
            }
            None => {
                let prefix = spec.with_port(bound.listen_anywhere(spec.host(), spec.scheme())?);
                bound.add(prefix)?;
            }
        }
    }
    for (port, (scheme, hosts)) in ports {
        bound.listen(port.get(), scheme, &merged(hosts.iter().flat_map(addresses).collect()))?;
    }
    Ok(bound)
}

impl Bound {
    fn add(&mut self, prefix: UrlPrefix) -> Result<()> {
        self.table.register(prefix.clone(), ())?;
        self.prefixes.push(prefix);
        Ok(())
    }

    /// Opens a port on each of these addresses. A machine without IPv6 is served over IPv4 alone.
    fn listen(&mut self, port: u16, scheme: Scheme, ips: &[IpAddr]) -> Result<u16, ListenError> {
        let mut port = port;
        let mut opened = Vec::new();
        for ip in ips {
            match listen(*ip, port, self.listeners.len()) {
                Ok(listeners) => {
                    port = listeners.first().and_then(|first| first.local_addr().ok()).map_or(port, |address| address.port());
                    opened.push(listeners);
                }
                Err(error @ (ListenError::NoSuchAddress(_) | ListenError::Other(..))) if ip.is_ipv6() && !opened.is_empty() => {
                    tracing::debug!(%error, "serving over IPv4 alone");
                }
                Err(error) => return Err(error),
            }
        }
        for listeners in opened {
            for (worker, listener) in self.listeners.iter_mut().zip(listeners) {
                worker.push((listener, scheme));
            }
        }
        Ok(port)
    }

    /// Opens any port that is free on all addresses of `host`.
    fn listen_anywhere(&mut self, host: &PrefixHost, scheme: Scheme) -> Result<NonZeroU16> {
        let ips = addresses(host);
        let mut attempt = 1;
        loop {
            match self.listen(0, scheme, &ips) {
                Ok(port) => {
                    let none = || Error::io("find out the port")(std::io::ErrorKind::AddrNotAvailable.into());
                    return NonZeroU16::new(port).ok_or_else(none);
                }
                Err(ListenError::InUse(..)) if attempt < PORT_ATTEMPTS => attempt += 1,
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// Leaves out what a wildcard of the same family covers, and doubles.
fn merged(mut ips: Vec<IpAddr>) -> Vec<IpAddr> {
    for any in [IpAddr::from(Ipv4Addr::UNSPECIFIED), IpAddr::from(Ipv6Addr::UNSPECIFIED)] {
        if ips.contains(&any) {
            ips.retain(|ip| *ip == any || ip.is_ipv4() != any.is_ipv4());
        }
    }
    ips.sort_unstable();
    ips.dedup();
    ips
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_covers_the_other_addresses_of_its_family() {
        let ips = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        assert_eq!(merged(ips(&["127.0.0.1", "0.0.0.0", "::1", "127.0.0.1"])), ips(&["0.0.0.0", "::1"]));
        assert_eq!(merged(ips(&["::1", "::", "10.0.0.1"])), ips(&["10.0.0.1", "::"]));
    }
}
