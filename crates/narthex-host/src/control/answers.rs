//! Answers those verbs that read and change the configuration. A change is in the file before it is answered; the control
//! thread then puts it in force.

mod dump;
pub(super) mod sslcert;

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use narthex_proto::prefix::{PrefixError, PrefixSpec, UrlPrefix};
use narthex_proto::routing::Table;
use narthex_proto::wire::RefusalCode;

use dump::Passphrases;

use super::names::{self, MOST_OF_URL};
use super::reservations::{self, Caller};
use super::state::Refusal;
use crate::admin::{Answer, CacheparamState, Grant, NamedGrant, Question, SettingState, TimerState, UrlaclState};
use crate::config::{
    self, CacheParam, Config, ConfigError, ConfigFile, Edit, MachineTimer, Parsed, Reserved, SETTINGS, Setting, Watch,
};
use crate::snapshot::Reservation;

/// A host that has this many has been misunderstood; more would make every change slow.
const MOST_RESERVATIONS: usize = 10_000;
/// Users and groups of one reservation.
const MOST_GRANTS: usize = 256;

/// An answer, and the configuration to put in force if it has changed.
pub(crate) type Answered = (Answer, Option<Arc<Config>>);

/// The configuration in force, and its file.
#[derive(Debug)]
pub(crate) struct Configuration {
    file: ConfigFile,
    current: Arc<Config>,
    /// What it was read from; `None` if there is no file.
    text: Option<String>,
    /// The file as it was before it was read first.
    seen: Option<narthex_http::Stamp>,
}

impl Configuration {
    /// Reads the file. One that does not exist means the defaults.
    pub(crate) fn open(file: ConfigFile) -> Result<Self, ConfigError> {
        let seen = file.stamp();
        let text = file.read()?;
        let Parsed { config, .. } = parse(&file, text.as_deref())?;
        Ok(Self { file, current: Arc::new(config), text, seen })
    }

    /// Where relative paths of the configuration begin.
    pub(crate) fn directory(&self) -> PathBuf {
        self.file.directory()
    }

    pub(crate) fn current(&self) -> &Arc<Config> {
        &self.current
    }

    /// Notices changes of the file since it was opened; see [`follow`](Self::follow).
    pub(crate) fn watch(&self) -> Watch {
        Watch::new(self.file.clone(), self.seen)
    }

    /// Reads the file again. `None` if it is what is in force already.
    ///
    /// # Errors
    /// If it is not valid, or contradicts what is registered in `routes`. The old configuration stays then.
    pub(crate) fn reload<V: Clone>(&mut self, routes: &Table<Reservation, V>) -> Result<Option<Arc<Config>>, ConfigError> {
        let text = self.file.read()?;
        self.take(text, routes)
    }

    /// What to do when [`Watch::changed`] returns: a mistake is logged, and so is a file that is gone. Both leave the old
    /// configuration in force.
    pub(crate) fn follow<V: Clone>(&mut self, routes: &Table<Reservation, V>) -> Option<Arc<Config>> {
        let path = self.file.path().display();
        let taken = match self.file.read() {
            Ok(None) if self.text.is_some() => {
                tracing::warn!(%path, "the configuration file is gone; what it said stays in force (narthex reload takes the defaults)");
                return None;
            }
            Ok(text) => self.take(text, routes),
            Err(error) => Err(error),
        };
        match taken {
            Ok(config) => {
                if config.is_some() {
                    tracing::info!(path = %self.file.path().display(), "the configuration has changed");
                }
                config
            }
            Err(error) => {
                let (line, column) = (error.line(), error.column());
                tracing::error!(line, column, "{error}; the old configuration stays in force");
                None
            }
        }
    }

    fn take<V: Clone>(
        &mut self,
        text: Option<String>,
        routes: &Table<Reservation, V>,
    ) -> Result<Option<Arc<Config>>, ConfigError> {
        if text == self.text {
            return Ok(None);
        }
        let parsed = parse(&self.file, text.as_deref())?;
        reservations::replaced(routes, &parsed.config.reservations).map_err(|conflict| {
            let index = parsed.config.reservations.iter().position(|reserved| &reserved.prefix == conflict.prefix());
            let place = index.and_then(|index| parsed.places.get(index).cloned().flatten());
            ConfigError::at(text.as_deref().unwrap_or_default(), place, conflict.to_string()).in_file(self.file.path())
        })?;
        self.text = text;
        if *self.current == parsed.config {
            return Ok(None);
        }
        self.current = Arc::new(parsed.config);
        Ok(Some(Arc::clone(&self.current)))
    }

    /// Whether a question is one of those that [`answer`](Self::answer) answers.
    pub(crate) fn concerns(question: &Question) -> bool {
        !matches!(
            question,
            Question::ShowCachestate { .. }
                | Question::DeleteCache { .. }
                | Question::FlushLogbuffer
                | Question::TakeOver
                | Question::RestartQueue { .. }
                | Question::UpdateQueue { .. }
                | Question::Explain { .. }
                | Question::ShowSslcert { .. }
        )
    }

    /// Answers a question. A configuration that comes with the answer is saved, and is to be put in force.
    pub(crate) fn answer<V: Clone>(
        &mut self,
        caller: &Caller,
        question: &Question,
        routes: &Table<Reservation, V>,
    ) -> Result<Answered, Refusal> {
        let current = &self.current;
        let answer = match question {
            Question::ShowUrlacl { url } => Answer::Urlacls(urlacls(current, url.as_deref())?),
            Question::ShowIplisten => Answer::Addresses(current.iplisten.clone()),
            Question::ShowTimeout => Answer::Timeouts(MachineTimer::ALL.map(|timer| timer_state(current, timer)).into()),
            Question::ShowCacheparam => {
                Answer::Cacheparams(CacheParam::ALL.iter().map(|param| cacheparam(current, *param)).collect())
            }
            Question::ShowSetting { name } => Answer::Settings(settings(current, name.as_deref())?),
            Question::Dump => {
                let passphrases = if caller.is_operator() { Passphrases::Written } else { Passphrases::LeftOut };
                Answer::Script(dump::script(current, &self.file.directory(), passphrases))
            }
            Question::Reload => {
                caller.check_operator("reloading the configuration")?;
                let config = self.reload(routes).map_err(|error| {
                    Refusal::new(RefusalCode::Invalid, format!("{error}; the old configuration stays in force"))
                })?;
                return Ok((
                    done(if config.is_some() {
                        "Configuration successfully reloaded"
                    } else {
                        "The configuration has not changed"
                    }),
                    config,
                ));
            }
            _ => return self.change(caller, question, routes),
        };
        Ok((answer, None))
    }

    fn change<V: Clone>(
        &mut self,
        caller: &Caller,
        question: &Question,
        routes: &Table<Reservation, V>,
    ) -> Result<Answered, Refusal> {
        if !matches!(question, Question::AddUrlacl { .. } | Question::DeleteUrlacl { .. }) {
            caller.check_operator("changing the configuration")?;
        }
        match question {
            Question::AddUrlacl { url, grants } => {
                let prefix = prefix(url)?;
                check_grants(&prefix, grants)?;
                self.edit(routes, "URL reservation successfully added", |config, table| {
                    reservations::may_add(table, caller, &prefix)?;
                    if config.reservations.len() >= MOST_RESERVATIONS {
                        let message =
                            format!("there are {MOST_RESERVATIONS} reservations, and no more can be added: delete some");
                        return Err(Refusal::new(RefusalCode::LimitReached, message));
                    }
                    Ok(Edit::Reserve(Reserved { prefix, grants: grants.clone() }))
                })
            }
            Question::DeleteUrlacl { url } => {
                let prefix = prefix(url)?;
                self.edit(routes, "URL reservation successfully deleted", |_, table| {
                    reservations::may_delete(table, caller, &prefix)?;
                    Ok(Edit::Unreserve(prefix))
                })
            }
            Question::AddSslcert { binding, options } => self.bind(binding, options, routes),
            Question::UpdateSslcert { binding, options } => self.rebind(binding, options, routes),
            Question::DeleteSslcert { binding } => self.unbind(binding, routes),
            Question::AddIplisten { address } => self.edit(routes, "IP address successfully added", |config, _| {
                let address = address.to_canonical();
                if config.iplisten.contains(&address) {
                    return Err(Refusal::new(RefusalCode::AlreadyRegistered, format!("{address} is on the list already")));
                }
                Ok(Edit::Listen(address))
            }),
            Question::DeleteIplisten { address } => self.edit(routes, "IP address successfully deleted", |config, _| {
                let address: IpAddr = address.to_canonical();
                if !config.iplisten.contains(&address) {
                    let message = format!("{address} is not on the list (narthex show iplisten)");
                    return Err(Refusal::new(RefusalCode::NotFound, message));
                }
                Ok(Edit::Unlisten(address))
            }),
            Question::AddTimeout { seconds: 0, timer } => {
                let message = format!("{} is 1 to 65535 seconds, which is \"never\"", timer.name());
                Err(Refusal::new(RefusalCode::Invalid, message))
            }
            Question::AddTimeout { timer, seconds } => {
                self.edit(routes, "Timeout successfully added", |_, _| Ok(Edit::Timer(*timer, Some(*seconds))))
            }
            Question::DeleteTimeout { timer } => {
                self.edit(routes, "Timeout successfully deleted", |_, _| Ok(Edit::Timer(*timer, None)))
            }
            Question::AddCacheparam { param, value } => {
                self.set(routes, "Cache parameter successfully added", param.setting(), Some(&value.to_string()))
            }
            Question::DeleteCacheparam { param } => {
                self.set(routes, "Cache parameter successfully deleted", param.setting(), None)
            }
            Question::AddSetting { name, value } => self.set(routes, "Setting successfully added", name, Some(value)),
            Question::DeleteSetting { name } => self.set(routes, "Setting successfully deleted", name, None),
            _ => Err(Refusal::new(RefusalCode::Unsupported, "the configuration does not answer this")),
        }
    }

    fn set<V: Clone>(
        &mut self,
        routes: &Table<Reservation, V>,
        done: &str,
        name: &str,
        value: Option<&str>,
    ) -> Result<Answered, Refusal> {
        let setting = Setting::find(name).map_err(|message| Refusal::new(RefusalCode::NotFound, message))?;
        self.edit(routes, done, |config, _| {
            let Some(value) = value else { return Ok(Edit::Setting(setting, None)) };
            let mut settings = config.settings.clone();
            setting.set(&mut settings, value).map_err(|message| Refusal::new(RefusalCode::Invalid, message))?;
            Ok(Edit::Setting(setting, Some(setting.toml(&settings))))
        })
    }

    /// Changes the newest text of the file, which may have more than what is in force, and takes what comes out.
    fn edit<V: Clone>(
        &mut self,
        routes: &Table<Reservation, V>,
        text: &str,
        edit: impl FnOnce(&Config, &Table<Reservation, V>) -> Result<Edit, Refusal>,
    ) -> Result<Answered, Refusal> {
        let conflicts = |error: narthex_proto::routing::Conflict| Refusal::new(RefusalCode::Invalid, error.to_string());
        let file = self.file.clone();
        let (new, config) = file
            .edit(|old| {
                let Parsed { config, .. } = parse(&file, old.as_deref()).map_err(NotSaved::File)?;
                let table = reservations::replaced(routes, &config.reservations).map_err(conflicts)?;
                let edit = edit(&config, &table)?;
                let new = config::apply(old.as_deref().unwrap_or(config::HEADER), &edit).map_err(NotSaved::File)?;
                let Parsed { config, .. } = parse(&file, Some(&new)).map_err(NotSaved::File)?;
                reservations::replaced(routes, &config.reservations).map_err(conflicts)?;
                Ok::<_, NotSaved>((new.clone(), (new, config)))
            })
            .map_err(NotSaved::refusal)?;
        self.text = Some(new);
        if *self.current == config {
            return Ok((done(text), None));
        }
        self.current = Arc::new(config);
        Ok((done(text), Some(Arc::clone(&self.current))))
    }
}

/// Why a change was not made.
enum NotSaved {
    File(ConfigError),
    Refused(Refusal),
}

impl From<ConfigError> for NotSaved {
    fn from(error: ConfigError) -> Self {
        Self::File(error)
    }
}

impl From<Refusal> for NotSaved {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl NotSaved {
    fn refusal(self) -> Refusal {
        match self {
            Self::Refused(refusal) => refusal,
            Self::File(error) => {
                let code = if error.is_access_denied() { RefusalCode::AccessDenied } else { RefusalCode::Invalid };
                Refusal::new(code, format!("nothing was changed: {error}"))
            }
        }
    }
}

fn parse(file: &ConfigFile, text: Option<&str>) -> Result<Parsed, ConfigError> {
    config::parse(text.unwrap_or_default()).map_err(|error| error.in_file(file.path()))
}

fn done(text: &str) -> Answer {
    Answer::Done(text.to_owned())
}

/// The prefix that somebody typed.
fn prefix(url: &str) -> Result<UrlPrefix, Refusal> {
    let wrong =
        |what: &str| Refusal::new(RefusalCode::Invalid, format!("{} cannot be reserved: {what}", names::shown(url, MOST_OF_URL)));
    let spec: PrefixSpec = url.parse().map_err(|error: PrefixError| wrong(&error.to_string()))?;
    spec.resolve().ok_or_else(|| wrong("a reservation names its port, from 1 to 65535"))
}

fn check_grants(prefix: &UrlPrefix, grants: &[Grant]) -> Result<(), Refusal> {
    let wrong = |what: String| Err(Refusal::new(RefusalCode::Invalid, format!("cannot reserve {prefix}: {what}")));
    if grants.is_empty() || grants.len() > MOST_GRANTS {
        return wrong(format!("name at least one user or group and at most {MOST_GRANTS}, as in user=web"));
    }
    for (index, grant) in grants.iter().enumerate() {
        if !grant.listen && !grant.delegate {
            return wrong("a reservation gives listen=yes, delegate=yes or both".to_owned());
        }
        if grants.iter().take(index).any(|other| other.principal == grant.principal) {
            return wrong(format!("{} is named twice", config::accounts::described(grant.principal)));
        }
    }
    Ok(())
}

fn urlacls(config: &Config, url: Option<&str>) -> Result<Vec<UrlaclState>, Refusal> {
    let mut reserved: Vec<&Reserved> = config.reservations.iter().collect();
    reserved.sort_by(|one, other| one.prefix.cmp(&other.prefix));
    if let Some(url) = url {
        let prefix = prefix(url)?;
        reserved.retain(|reserved| reserved.prefix == prefix);
        if reserved.is_empty() {
            return Err(reservations::not_reserved(&prefix));
        }
    }
    let named = |grant: &Grant| NamedGrant { grant: *grant, name: config::accounts::name_or_number(grant.principal) };
    let state = |reserved: &&Reserved| UrlaclState {
        url: reserved.prefix.to_string(),
        grants: reserved.grants.iter().map(named).collect(),
    };
    Ok(reserved.iter().map(state).collect())
}

fn timer_state(config: &Config, timer: MachineTimer) -> TimerState {
    let seconds = config.timer(timer).unwrap_or(MachineTimer::DEFAULT_SECONDS);
    TimerState { timer, seconds, default: seconds == MachineTimer::DEFAULT_SECONDS }
}

fn cacheparam(config: &Config, param: CacheParam) -> CacheparamState {
    let of = |settings: &config::Settings| match param {
        CacheParam::MaxCacheResponseSize => settings.max_cache_response_size,
        CacheParam::CacheRangeChunkSize => settings.cache_range_chunk_size,
        CacheParam::MaxCacheSize => settings.max_cache_size,
        CacheParam::ScavengerPeriod => settings.scavenger_period,
    };
    let value = of(&config.settings);
    CacheparamState { param, value, default: value == of(&config::Settings::default()) }
}

fn settings(config: &Config, name: Option<&str>) -> Result<Vec<SettingState>, Refusal> {
    let one = name.map(Setting::find).transpose().map_err(|message| Refusal::new(RefusalCode::NotFound, message))?;
    let shown = one.map_or(SETTINGS, std::slice::from_ref);
    Ok(shown.iter().map(|setting| setting_state(config, setting)).collect())
}

fn setting_state(config: &Config, setting: &Setting) -> SettingState {
    let value = setting.get(&config.settings);
    let default = value == setting.default_text();
    SettingState { name: setting.name.to_owned(), value, default, help: setting.description() }
}

#[cfg(test)]
mod tests;
