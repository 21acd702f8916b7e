//! The task of one name: waits until its certificate is due, gets one, and does so again.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use jiff::Timestamp;
use narthex_http::tls::PeerCertificate;
use tokio::task::spawn_local;

use super::{Answering, Shared};
use crate::acme::{Client, Kind, Order, Progress, Question, Store, Trouble, account, schedule};
use crate::admin::{AcmeState, OrderState};
use crate::config::{AcmeSettings, Challenge};

/// How long nothing is looked at. Clocks are set, machines sleep, and files are moved away.
const LONGEST_SLEEP: Duration = Duration::from_secs(3600);

/// What there is to be done about a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Nothing until then, and what that is called.
    Wait(OrderState, Timestamp),
    Order,
    /// Nothing until somebody changes a setting.
    Stop(String),
}

/// Takes care of one name.
pub(super) struct Keeper {
    shared: Rc<Shared>,
    name: String,
    settings: AcmeSettings,
    store: Store,
    state: Rc<RefCell<AcmeState>>,
    /// By which the certificate that is there is renewed a little later than others of its age.
    chance: Cell<f64>,
}

impl Keeper {
    pub(super) fn new(shared: Rc<Shared>, name: String, settings: AcmeSettings) -> Self {
        let state = AcmeState { order: OrderState::Ordering, next: None, failures: 0, problem: None };
        let (store, chance) = (shared.acme.store.clone(), Cell::new(fastrand::f64()));
        Self { shared, name, settings, store, state: Rc::new(RefCell::new(state)), chance }
    }

    /// How it goes.
    pub(super) fn state(&self) -> Rc<RefCell<AcmeState>> {
        Rc::clone(&self.state)
    }

    /// Runs until it is dropped; whatever it was doing is undone then. An `impatient` one does not wait for what was to be waited
    /// for after a failure, unless the CA has said so.
    pub(super) async fn run(self, impatient: bool) {
        let mut progress = self.store.progress(&self.name);
        if impatient && !progress.next_try_is_the_cas {
            (progress.next_try, progress.failures) = (None, 0);
        }
        loop {
            let now = Timestamp::now();
            let certificate = self.store.certificate(&self.name);
            match next(&self.settings, &progress, certificate.as_ref(), now, self.chance.get()) {
                Next::Stop(problem) => {
                    tracing::error!("{} gets no certificate: {problem}", self.name);
                    self.show(OrderState::Stopped, None, 0, Some(&problem));
                    return std::future::pending().await;
                }
                Next::Wait(what, until) => {
                    self.show(what, Some(until), progress.failures, progress.problem.as_deref());
                    let wait = Duration::try_from(until.duration_since(now)).unwrap_or(Duration::ZERO);
                    tokio::time::sleep(wait.min(LONGEST_SLEEP)).await;
                }
                Next::Order => {
                    self.show(OrderState::Ordering, None, progress.failures, progress.problem.as_deref());
                    self.order(&mut progress).await;
                    if let Err(error) = self.store.keep_progress(&self.name, &progress) {
                        let file = self.store.certificate_file(&self.name);
                        tracing::error!("cannot write beside {}: {error}; let the host's user write there", file.display());
                    }
                }
            }
        }
    }

    fn show(&self, order: OrderState, next: Option<Timestamp>, failures: u32, problem: Option<&str>) {
        let next = next.and_then(|next| Timestamp::from_second(next.as_second()).ok()).map(|next| next.to_string());
        *self.state.borrow_mut() = AcmeState { order, next, failures, problem: problem.map(str::to_owned) };
    }

    /// Tries once, and writes down what has come of it.
    async fn order(&self, progress: &mut Progress) {
        // It is never closed.
        let _turn = self.shared.acme.turns.acquire().await;
        tracing::info!("asking {} for a certificate for {}", self.settings.directory, self.name);
        let Err(trouble) = self.attempt(progress).await else {
            self.chance.set(fastrand::f64());
            let directory = Some(self.settings.directory.clone());
            *progress = Progress { issued_by: directory, challenge: progress.challenge, ..Progress::default() };
            tracing::info!("the certificate for {} has come", self.name);
            return self.shared.take_issued(&self.name).await;
        };
        progress.failures = progress.failures.saturating_add(1);
        let now = Timestamp::now();
        let at_once = match trouble.kind {
            // The other way is tried before anybody has to wait.
            Kind::Unproved(_) => progress.failures == 1 && self.settings.challenge.is_none(),
            // One that closes every new account is not given them without a pause.
            Kind::NoAccount => self.store.retire_account(&self.settings.directory).is_ok() && progress.failures == 1,
            Kind::RateLimited | Kind::Other => false,
        };
        let limited = trouble.kind == Kind::RateLimited;
        let again = schedule::after_failure(now, progress.failures, trouble.until, limited, fastrand::f64());
        let again = if at_once { now } else { again };
        progress.next_try = Some(again);
        progress.next_try_is_the_cas = limited || trouble.until.is_some();
        tracing::error!("there is no new certificate for {}: {}; next try at {again:.0}", self.name, trouble.message);
        progress.problem = Some(trouble.message);
    }

    async fn attempt(&self, progress: &mut Progress) -> Result<(), Trouble> {
        let client = Client::new(self.settings.ca.as_deref()).map_err(Trouble::new)?;
        let account = {
            let _one_at_a_time = self.shared.acme.account.lock().await;
            account(&self.settings, &self.store, &client).await?
        };
        let directory = &self.settings.directory;
        let mut order = Order::open(&self.name, &account, directory, &self.store, &client, progress).await?;
        let questions = order.questions().await?;
        if !questions.is_empty() {
            let (challenge, answering) = self.answer(&questions, progress).await?;
            order.have_looked(challenge).await?;
            progress.challenge = Some(challenge);
            drop(answering);
        }
        order.finish().await?;
        let (now, shown) = (Timestamp::now(), self.store.certificate(&self.name));
        match shown.as_ref().and_then(|shown| renewal(shown, 0.0)).filter(|renewal| *renewal > now) {
            Some(_) => Ok(()),
            // Else it would be renewed at once, and again.
            None => Err(Trouble::new(
                "the certificate that the CA has sent is due for renewal already; check the clock of this machine",
            )),
        }
    }

    /// Answers one of the questions, so that the CA can be told to look.
    async fn answer(&self, questions: &[Question], progress: &Progress) -> Result<(Challenge, Answering), Trouble> {
        let mut why_not = Vec::new();
        for question in in_order(questions, &self.settings, progress) {
            let challenge = question.challenge;
            let (shared, name, settings) = (Rc::clone(&self.shared), self.name.clone(), self.settings.clone());
            let question = question.clone();
            // A task of its own, which is not left half done when this one ends: a port would be open without a listener.
            let answered = spawn_local(async move { shared.answer_ca(&name, &question, &settings).await }).await;
            match answered.unwrap_or_else(|_| Err("the host is stopping".to_owned())) {
                Ok(answering) => return Ok((challenge, answering)),
                Err(problem) => why_not.push(format!("by {challenge}: {problem}")),
            }
        }
        let why_not = match why_not.is_empty() {
            true => "it does not know the challenge of acme_challenge; set it to any".to_owned(),
            false => why_not.join("; "),
        };
        Err(Trouble::new(format!("the CA cannot be shown that {} is this machine: {why_not}", self.name)))
    }
}

/// The questions that may be answered: the one first that has led to a certificate before, and after a failure another one.
pub(super) fn in_order<'q>(questions: &'q [Question], settings: &AcmeSettings, progress: &Progress) -> Vec<&'q Question> {
    let allowed = |question: &&Question| settings.challenge.is_none_or(|only| only == question.challenge);
    let mut ways: Vec<&Question> = questions.iter().filter(allowed).collect();
    ways.sort_by_key(|question| (progress.challenge != Some(question.challenge), question.challenge));
    let failures = usize::try_from(progress.failures).unwrap_or_default();
    let first = failures.checked_rem(ways.len()).unwrap_or_default();
    ways.rotate_left(first);
    ways
}

fn renewal(certificate: &PeerCertificate, chance: f64) -> Option<Timestamp> {
    let time = |seconds: Option<i64>| Timestamp::from_second(seconds?).ok();
    Some(schedule::renewal(time(certificate.not_before())?, time(certificate.not_after())?, chance))
}

/// What there is to be done.
pub(super) fn next(
    settings: &AcmeSettings,
    progress: &Progress,
    certificate: Option<&PeerCertificate>,
    now: Timestamp,
    chance: f64,
) -> Next {
    let own = certificate.filter(|_| progress.issued_by.as_ref() == Some(&settings.directory));
    if let Some(renewal) = own.and_then(|certificate| renewal(certificate, chance)).filter(|renewal| *renewal > now) {
        return Next::Wait(OrderState::Valid, renewal);
    }
    if !settings.terms_agreed {
        return Next::Stop(format!(
            "nothing is asked of the CA at {} before you agree to its terms of service: narthex add setting \
             settingtype=acme_terms_agreed value=true",
            settings.directory
        ));
    }
    match progress.next_try.filter(|next_try| *next_try > now) {
        Some(next_try) => Next::Wait(OrderState::Waiting, next_try),
        None => Next::Order,
    }
}
