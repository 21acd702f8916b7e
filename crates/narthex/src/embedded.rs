//! The embedded provider: the app's own listeners, with the same HTTP engine and routing table that the host has.

mod listening;
mod mounted;
mod ports;
mod worker;

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use narthex_http::{Acceptor, Inbox, Limits, ProxyProtocol, RequestIds, Settings, TrustedProxies};
use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use narthex_proto::routing::Table;
use tokio::sync::mpsc;

use self::listening::Listening;
use self::mounted::Mounted;
use self::worker::{Broken, Station};
use crate::call::App;
use crate::change::GroupSettings;
use crate::error::{Error, Result};
use crate::lifetime::{Course, Workers};
use crate::live;
use crate::request::Told;
use crate::tls::TlsSettings;
use crate::tuning::{FineTune, OperatingMode};

/// How often the files of certificates are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What goes to the app.
pub(crate) type Prefixes = Table<(), ()>;

/// A server that has not started.
pub(crate) struct Embedded {
    pub(crate) prefixes: Vec<PrefixSpec>,
    pub(crate) group: GroupSettings,
    pub(crate) limits: Limits,
    pub(crate) tls: TlsSettings,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) proxy_protocol: bool,
    pub(crate) request_ids: RequestIds,
    pub(crate) fine_tune: FineTune,
    pub(crate) workers: usize,
    pub(crate) told: Told,
    pub(crate) shutdown_timeout: Duration,
}

impl Embedded {
    /// Serves until `course` says to end. `ready` is called with the real ports when clients can connect.
    pub(crate) async fn run<S: App>(
        self,
        app: S,
        course: &mut Course<'_>,
        ready: impl FnOnce(&[UrlPrefix]) + Send,
    ) -> Result<()> {
        let mut workers = Workers::new(course.server.clone());
        let (breaks, broken) = mpsc::unbounded_channel();
        let (grace, specs) = (self.shutdown_timeout, self.prefixes.clone());
        let mut listening = self.start(app, &mut workers, breaks)?;
        let served = async {
            // Nobody hangs yet.
            listening.add(&specs).await?;
            ready(&listening.prefixes());
            serve(&mut listening, &mut workers, broken, course).await
        };
        let served = served.await;
        let back = course.ending.comes_back();
        listening.accept_no_more().await;
        workers.stop(grace, back).await;
        listening.close();
        served
    }

    /// Starts workers, which do not listen yet.
    fn start<S: App>(self, app: S, workers: &mut Workers, breaks: mpsc::UnboundedSender<Broken>) -> Result<Listening> {
        let (acceptor, inboxes) = match self.fine_tune.operating_mode {
            OperatingMode::OnePerWorker => (None, Vec::new()),
            OperatingMode::SingleAcceptor => {
                let started = Acceptor::start("narthex-acceptor".to_owned(), self.workers);
                let (acceptor, inboxes) = started.map_err(Error::io("start the accepting thread"))?;
                (Some(acceptor), inboxes)
            }
        };
        let mut engine = Settings::default();
        engine.limits = self.limits;
        engine.trusted_proxies = Arc::new(self.trusted_proxies);
        engine.request_ids = self.request_ids;
        if self.proxy_protocol {
            engine.proxy_protocol = Arc::new(ProxyProtocol::everywhere());
        }
        let mut running = live::Running::new(self.group, engine, None);
        let inboxes = inboxes.into_iter().map(Some).chain(std::iter::repeat_with(|| None::<Inbox>));
        for (index, inbox) in (0..self.workers.max(1)).zip(inboxes) {
            let (app, phases, breaks) = (app.clone(), workers.phases(), breaks.clone());
            let (inline, told) = (self.fine_tune.inline_completion, self.told);
            let (live, updates, admission) = (running.live(), running.updates(), Arc::clone(&running.admission));
            workers.spawn(format!("narthex-app-{index}"), move || {
                let handler = Rc::new(Mounted::new(app, inline, told, &live));
                Station { worker: live.worker(admission), handler, inbox, updates, broken: breaks }.run(phases)
            })?;
        }
        // No proxy of connections is there for QUIC: its clients would come past the proxy.
        Ok(Listening::new(self.workers.max(1), acceptor, running, self.tls, !self.proxy_protocol))
    }
}

/// Does what is asked until the server is to end.
async fn serve(
    listening: &mut Listening,
    workers: &mut Workers,
    mut broken: mpsc::UnboundedReceiver<Broken>,
    course: &mut Course<'_>,
) -> Result<()> {
    let broke = |(address, source)| Err(Error::ListenerBroke { address, source });
    let mut look = tokio::time::interval(LOOK);
    loop {
        let asked = tokio::select! {
            () = course.ending.wait() => return Ok(()),
            () = workers.one_ended() => return Err(Error::WorkerDied),
            Some(which) = broken.recv() => return broke(which),
            which = listening.listener_broke() => return broke(which),
            asked = course.asks.next() => Some(asked),
            _ = look.tick(), if listening.has_certificates() => None,
        };
        let Some(asked) = asked else {
            tokio::select! {
                () = course.ending.wait() => return Ok(()),
                followed = listening.follow_files() => followed?,
            }
            continue;
        };
        // A worker that hangs must not keep the server from ending.
        let answer = tokio::select! {
            () = course.ending.wait() => {
                course.asks.put_back(asked);
                return Ok(());
            }
            answer = listening.fulfil(&asked.what) => answer,
        };
        course.lasting.note(&asked.what, &answer);
        course.server.set_prefixes(&listening.prefixes());
        let _ = asked.done.send(answer);
    }
}
