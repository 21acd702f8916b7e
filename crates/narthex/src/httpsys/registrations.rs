//! What a server has registered with HTTP.sys, and what its workers know of it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, TcpListener};
use std::num::NonZeroU16;
use std::sync::Arc;

use narthex_http::Limits;
use narthex_httpsys::{Api, Error as Refusal, Queue, QueueProperty, Server, Settings};
use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use narthex_proto::routing::Conflict;
use narthex_proto::wire::Verbosity;
use tokio::sync::watch;

use super::settings;
use crate::change::GroupSettings;
use crate::error::{Error, Result};
use crate::lifetime::{Answer, What};

/// How often a port that was free may turn out to be taken.
const ATTEMPTS: usize = 16;

/// What workers go by.
#[derive(Clone, Default)]
pub(super) struct Rules {
    /// By what each was registered with.
    pub(super) prefixes: BTreeMap<u64, UrlPrefix>,
    pub(super) max_body: Option<u64>,
    /// HTTP.sys may keep responses.
    pub(super) response_cache: bool,
}

/// The registrations of a server that runs.
pub(super) struct Registrations {
    server: Server,
    group: GroupSettings,
    limits: Limits,
    served: Vec<UrlPrefix>,
    rules: watch::Sender<Arc<Rules>>,
}

impl Registrations {
    /// Opens the queue. `ignored` are settings that do nothing here, which is said once.
    pub(super) fn open(
        api: &Arc<dyn Api>,
        group: &GroupSettings,
        limits: &Limits,
        mut ignored: Vec<&'static str>,
    ) -> Result<Self> {
        let settings = Settings {
            queue: group.queue.name.clone(),
            queue_properties: settings::queue(group),
            group_properties: settings::group(group),
        };
        let server = Server::open(Arc::clone(api), &settings)?;
        if server.is_attached() {
            tracing::info!("the request queue is another process's, which has registered the prefixes and set the properties");
        } else if group.queue.verbosity.is_none() {
            // What clients get elsewhere, where HTTP.sys would reset their connections.
            let usual = QueueProperty::Verbosity(settings::verbosity(Verbosity::default()));
            match server.set_queue(usual) {
                Ok(()) => {}
                Err(Refusal::Lacking { feature, .. }) => ignored.push(feature),
                Err(error) => return Err(error.into()),
            }
        }
        if !ignored.is_empty() {
            tracing::warn!("on this HTTP.sys these do nothing: {} (docs/windows.md)", ignored.join(", "));
        }
        let (rules, _) = watch::channel(Arc::default());
        let registrations = Self { server, group: group.clone(), limits: limits.clone(), served: Vec::new(), rules };
        registrations.publish();
        Ok(registrations)
    }

    pub(super) fn queue(&self) -> Arc<dyn Queue> {
        self.server.queue()
    }

    pub(super) fn rules(&self) -> watch::Receiver<Arc<Rules>> {
        self.rules.subscribe()
    }

    pub(super) fn prefixes(&self) -> &[UrlPrefix] {
        &self.served
    }

    pub(super) fn fulfil(&mut self, what: &What) -> Answer {
        match what {
            What::Change(change) => self.change(change).map(|()| None),
            What::AddPrefix(spec) => self.add(spec).map(Some),
            What::RemovePrefix(prefix) => self.remove(prefix).map(|()| None),
        }
    }

    /// Registers a prefix, on any free port if it names none.
    pub(super) fn add(&mut self, spec: &PrefixSpec) -> Result<UrlPrefix> {
        if let Some(prefix) = spec.resolve() {
            self.register(&prefix)?;
            return Ok(prefix);
        }
        let mut attempts = 0;
        loop {
            attempts += 1;
            let prefix = spec.with_port(free_port()?);
            match self.register(&prefix) {
                Err(Error::HttpSys(Refusal::PortTaken { .. })) if attempts < ATTEMPTS => {}
                registered => return registered.map(|()| prefix),
            }
        }
    }

    fn register(&mut self, prefix: &UrlPrefix) -> Result<()> {
        if let Some(existing) = self.served.iter().find(|known| *known == prefix).cloned() {
            return Err(Conflict::Registered { prefix: prefix.clone(), existing }.into());
        }
        // Its first request may come before this returns: the workers have to know it by then.
        self.served.push(prefix.clone());
        self.publish();
        if let Err(error) = self.server.add_url(prefix.as_str(), context(prefix)) {
            self.served.pop();
            self.publish();
            return Err(error.into());
        }
        Ok(())
    }

    fn remove(&mut self, prefix: &UrlPrefix) -> Result<()> {
        let Some(at) = self.served.iter().position(|served| served == prefix) else {
            return Err(Error::NoSuchPrefix { prefix: prefix.to_string(), prefixes: self.served.clone() });
        };
        if self.served.len() == 1 {
            return Err(Error::LastPrefix(prefix.to_string()));
        }
        self.server.remove_url(prefix.as_str())?;
        self.served.remove(at);
        self.publish();
        Ok(())
    }

    fn change(&mut self, change: &GroupSettings) -> Result<()> {
        let settings = settings::not_here(change);
        if !settings.is_empty() {
            return Err(Error::NeedsHost { settings });
        }
        let mut changed = self.group.clone();
        changed.merge(change);
        // Timers are one property: those that stay have to be told again.
        let mut properties = change.clone();
        if change.timeouts != Default::default() {
            properties.timeouts = changed.timeouts.clone();
        }
        for property in settings::group(&properties) {
            self.server.set_group(property)?;
        }
        for property in settings::queue(change) {
            self.server.set_queue(property)?;
        }
        self.group = changed;
        self.publish();
        Ok(())
    }

    /// Gives all prefixes back, also those of other processes of a queue that this one has made: they are registered by it.
    pub(super) fn withdraw(&mut self) {
        self.server.remove_urls();
    }

    fn publish(&self) {
        self.rules.send_replace(Arc::new(Rules {
            prefixes: self.served.iter().map(|prefix| (context(prefix), prefix.clone())).collect(),
            max_body: self.group.max_body.unwrap_or(self.limits.max_body),
            response_cache: self.group.response_cache.unwrap_or(true),
        }));
    }
}

/// What a prefix is registered with. Every process of a queue has to come to the same number (FNV-1a).
fn context(prefix: &UrlPrefix) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    prefix.as_str().bytes().map(|byte| byte.to_ascii_lowercase()).fold(0xcbf2_9ce4_8422_2325, step)
}

/// HTTP.sys chooses no ports. One that is free now is likely to be so in a moment.
fn free_port() -> Result<NonZeroU16> {
    let bound = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|listener| listener.local_addr());
    let port = bound.map_err(Error::io("find a free port"))?.port();
    NonZeroU16::new(port).ok_or_else(|| Error::io("find a free port")(std::io::ErrorKind::AddrNotAvailable.into()))
}
