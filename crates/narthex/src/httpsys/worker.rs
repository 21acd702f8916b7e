//! One worker on HTTP.sys: its receives, which wait at the queue beforehand, and the way from a request to the app.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Version;
use narthex_http::RequestId;
use narthex_httpsys::{Api, Exchange, Feature, Intake, Queue, Request};
use narthex_proto::cooked::{Cooking, cook_bytes};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{JoinSet, spawn_local};

use super::registrations::Rules;
use super::serving::Serving;
use super::stream::Stream;
use crate::body::Body;
use crate::call::{App, Calls, Means};
use crate::lifetime::Phases;
use crate::request::{ConnectionInfo, Head, Heads, Told};
use crate::request_control::RequestControl;
use crate::upgrade::Donor;

/// Receives that wait at the queue at a time. More would only hold memory: each is posted again as soon as it has its request.
const RECEIVES: u32 = 16;

/// What a worker runs with.
pub(super) struct Station {
    pub(super) api: Arc<dyn Api>,
    pub(super) queue: Arc<dyn Queue>,
    pub(super) rules: watch::Receiver<Arc<Rules>>,
    /// Requests that it may have at a time.
    pub(super) accepts: u32,
    pub(super) inline: bool,
    pub(super) told: Told,
    /// Each request has an id.
    pub(super) has_ids: bool,
    /// Told when HTTP.sys gives out no more requests.
    pub(super) failed: mpsc::UnboundedSender<narthex_httpsys::Error>,
}

/// Runs a worker until the server drains and its requests are answered.
pub(super) async fn run<S: App>(app: S, station: Station, phases: Phases) {
    let Station { api, queue, rules, accepts, inline, told, has_ids, failed } = station;
    let worker = Rc::new(Worker {
        calls: Calls::new(app, inline),
        heads: Heads::new(told.connection_info),
        request_control: told.request_control,
        has_ids,
        current: RefCell::new(Arc::default()),
        rules: RefCell::new(rules),
        api,
        queue,
    });
    worker.rules.borrow_mut().mark_changed();
    let credits = Arc::new(Semaphore::new(accepts as usize));
    let mut receiving = JoinSet::new();
    for _ in 0..accepts.min(RECEIVES) {
        let receives = receive(Rc::clone(&worker), Arc::clone(&credits), phases.clone(), failed.clone());
        receiving.spawn_local(receives);
    }
    while receiving.join_next().await.is_some() {}
    // What is still being answered has the other credits.
    let _ = credits.acquire_many(accepts).await;
}

/// Takes one request after the other until the server drains.
async fn receive<S: App>(
    worker: Rc<Worker<S>>,
    credits: Arc<Semaphore>,
    mut phases: Phases,
    failed: mpsc::UnboundedSender<narthex_httpsys::Error>,
) {
    let intake = Intake::new(Arc::clone(&worker.queue));
    loop {
        let credit = tokio::select! {
            biased;
            _ = phases.draining() => return,
            credit = Arc::clone(&credits).acquire_owned() => credit,
        };
        let draining = async {
            phases.draining().await;
        };
        match intake.next(draining).await {
            Ok(Some(request)) => {
                if let (Some(serving), Ok(credit)) = (worker.on_request(&request), credit) {
                    spawn_local(finish(serving, credit, phases.clone()));
                }
            }
            Ok(None) => return,
            Err(error) => {
                let _ = failed.send(error);
                return;
            }
        }
    }
}

/// Goes on with a request until it is over, or the server closes.
async fn finish<S: App>(serving: Serving<S>, credit: OwnedSemaphorePermit, mut phases: Phases) {
    tokio::select! {
        () = serving => {}
        () = phases.closing() => {}
    }
    drop(credit);
}

struct Worker<S: App> {
    calls: Calls<S, Stream>,
    heads: Heads,
    /// Requests have a [`RequestControl`].
    request_control: bool,
    has_ids: bool,
    current: RefCell<Arc<Rules>>,
    /// Where new ones come from.
    rules: RefCell<watch::Receiver<Arc<Rules>>>,
    api: Arc<dyn Api>,
    queue: Arc<dyn Queue>,
}

impl<S: App> Worker<S> {
    /// Calls the app. `None` if HTTP.sys has the whole answer already.
    fn on_request(&self, request: &Request) -> Option<Serving<S>> {
        let rules = self.rules();
        let exchange = Rc::new(Exchange::new(Arc::clone(&self.api), Arc::clone(&self.queue), request));
        let call = self.call(request, &rules, &exchange);
        Serving::begin(call, exchange)
    }

    fn call(&self, request: &Request, rules: &Rules, exchange: &Rc<Exchange>) -> Option<crate::call::Running<S, Stream>> {
        let Ok(cooked) = cook_bytes(request.target(), Cooking::Strict) else {
            exchange.refuse(400, "Bad Request");
            return None;
        };
        let prefix = rules.prefixes.get(&request.facts.context).filter(|prefix| prefix.covers_path(cooked.path()));
        // Gone meanwhile, or HTTP.sys reads the path in another way than Narthex.
        let Some(prefix) = prefix else {
            exchange.refuse(404, "Not Found");
            return None;
        };
        exchange.set_max_body(rules.max_body.filter(|_| request.facts.has_body), request.length());
        if !exchange.is_open() {
            return None;
        }
        let (body, feed) = match request.length() {
            Some(0) => (Body::empty(), None),
            length => {
                let (body, feed) = Body::channel(length);
                (body, Some(feed))
            }
        };
        let mut app_request = self.calls.request(body);
        let relative = cooked.relative_to(prefix.path());
        let upgrade = wants_upgrade(request);
        let id = self.has_ids.then(RequestId::new);
        let head = Head {
            raw: request.head(),
            method: std::str::from_utf8(request.method()).unwrap_or_default(),
            target: request.target(),
            path_base: relative.path_base.as_bytes(),
            relative: relative.path_and_query.as_bytes(),
            headers: request.fields().iter(),
            upgrade,
            certificate: request.facts.certificate.as_deref().unwrap_or_default(),
            connection: connection(request),
            id: id.as_ref().map(RequestId::as_str),
        };
        if self.heads.fill(&mut app_request, head).is_err() {
            exchange.refuse(400, "Bad Request");
            return None;
        }
        let donor = if upgrade { Donor::new() } else { None };
        let donor = donor.map(|(donor, on_upgrade)| {
            app_request.extensions_mut().insert(on_upgrade);
            donor
        });
        let watched = self.request_control.then(|| {
            if !exchange.watch_client() {
                warn_once(&NO_NOTICE, Feature::DisconnectNotice.name());
            }
            RequestControl::give(&mut app_request)
        });
        let downstream = Stream::new(Rc::clone(exchange), rules.response_cache, self.api.has(Feature::FileChunks));
        self.calls.begin(app_request, Means { downstream, feed, donor, watched })
    }

    fn rules(&self) -> Arc<Rules> {
        let mut rules = self.rules.borrow_mut();
        if rules.has_changed().unwrap_or(false) {
            self.current.replace(Arc::clone(&rules.borrow_and_update()));
        }
        Arc::clone(&self.current.borrow())
    }
}

static NO_NOTICE: AtomicBool = AtomicBool::new(false);

/// Says once what this HTTP.sys does not have.
pub(super) fn warn_once(said: &AtomicBool, feature: &str) {
    if !said.swap(true, Ordering::Relaxed) {
        tracing::warn!("this HTTP.sys does not have {feature}: apps have to do without");
    }
}

/// As HTTP/1.1 asks for it (RFC 9110 section 7.8). HTTP.sys has no other way.
fn wants_upgrade(request: &Request) -> bool {
    let fields = request.fields();
    let asks = fields.lists("connection", "upgrade") && fields.only("upgrade").is_some();
    request.facts.version == narthex_httpsys::Version::Http11 && !request.facts.has_body && asks
}

fn connection(request: &Request) -> ConnectionInfo {
    ConnectionInfo {
        peer: request.facts.peer,
        local: request.facts.local,
        tls: request.facts.secure,
        version: match request.facts.version {
            narthex_httpsys::Version::Http10 => Version::HTTP_10,
            narthex_httpsys::Version::Http11 => Version::HTTP_11,
            narthex_httpsys::Version::Http2 => Version::HTTP_2,
            narthex_httpsys::Version::Http3 => Version::HTTP_3,
        },
    }
}
