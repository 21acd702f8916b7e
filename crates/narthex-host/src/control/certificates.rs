//! The TLS bindings in force: made from the configuration and the files that it names, and made again when those change. What
//! cannot be used is told once; what was there before goes on.

mod load;
#[cfg(test)]
mod tests;
mod text;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use narthex_http::Watched;
use narthex_http::tls::{Bindings, Challenges};
use narthex_proto::prefix::{PrefixHost, PrefixSpec, Scheme, UrlPrefix};

use crate::admin::{BindingKey, BindingOption, BindingSpec, SslcertState};
use crate::config::{Bound, Config};

pub(in crate::control) use load::{Loaded, load, try_out};
pub(in crate::control) use text::{how_to_trust, remedy, with_warning};

/// The TLS bindings of a host.
pub(crate) struct Certificates {
    /// Where relative paths begin.
    directory: PathBuf,
    entries: Vec<Entry>,
    bindings: Arc<Bindings>,
    /// What CAs are answered that ask by handshakes.
    challenges: Challenges,
    http2: bool,
    http3: bool,
}

/// A binding of the configuration.
struct Entry {
    bound: Bound,
    /// What answers handshakes. If there is a problem, this is older.
    loaded: Option<Loaded>,
    problem: Option<String>,
    files: Watched,
}

impl Certificates {
    pub(crate) fn new(directory: PathBuf) -> Self {
        let bindings = Arc::new(Bindings::new(Vec::new()));
        Self { directory, entries: Vec::new(), bindings, challenges: Challenges::default(), http2: true, http3: true }
    }

    /// What CAs are answered that ask by handshakes, whatever the bindings are.
    pub(crate) fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// What the workers are to go by.
    pub(crate) fn bindings(&self) -> &Arc<Bindings> {
        &self.bindings
    }

    /// Goes by these from now on.
    pub(crate) fn follow(&mut self, config: &Config) {
        (self.http2, self.http3) = (config.settings.http2, config.settings.http3);
        let mut old = std::mem::take(&mut self.entries);
        for bound in &config.bindings {
            let entry = match old.iter().position(|entry| entry.bound.key == bound.key).map(|index| old.swap_remove(index)) {
                Some(same) if same.bound == *bound => same,
                changed => {
                    let loaded = changed.and_then(|entry| entry.loaded);
                    let mut entry = Entry { bound: bound.clone(), loaded, problem: None, files: Watched::default() };
                    entry.load(&self.directory);
                    entry
                }
            };
            self.entries.push(entry);
        }
        self.gather();
    }

    /// Makes those bindings again whose files have changed and come to rest. Whether there were any.
    pub(crate) fn follow_files(&mut self) -> bool {
        let mut renewed = false;
        for entry in self.entries.iter_mut().filter_map(|entry| entry.files.have_changed().then_some(entry)) {
            entry.load(&self.directory);
            renewed = true;
        }
        if renewed {
            self.gather();
        }
        renewed
    }

    /// Takes a certificate that has come for a name by ACME.
    pub(crate) fn take_issued(&mut self, name: &str) {
        for entry in self.entries.iter_mut().filter(|entry| acme_name(&entry.bound) == Some(name)) {
            entry.load(&self.directory);
        }
        self.gather();
    }

    fn gather(&mut self) {
        let usable = self.entries.iter().filter_map(|entry| entry.loaded.as_ref());
        let bindings = Bindings::new(usable.map(|loaded| Arc::clone(&loaded.binding)).collect());
        let bindings = bindings.with_challenges(self.challenges.clone());
        self.bindings = Arc::new(bindings.http2(self.http2).http3(self.http3));
    }

    /// All of them, or this one, for people.
    pub(crate) fn states(&self, key: Option<&BindingKey>) -> Vec<SslcertState> {
        let mut entries: Vec<_> = self.entries.iter().filter(|entry| key.is_none_or(|key| entry.bound.key == *key)).collect();
        entries.sort_by(|one, other| one.bound.key.cmp(&other.bound.key));
        entries.into_iter().map(Entry::state).collect()
    }

    /// Whether handshakes for this prefix are answered; always for one without TLS.
    ///
    /// # Errors
    /// Why not, and the command that helps.
    pub(crate) fn check(&self, spec: &PrefixSpec) -> Result<(), String> {
        if spec.scheme() == Scheme::Http || self.bindings.covers(spec.host(), spec.port()) || self.awaits(spec) {
            return Ok(());
        }
        Err(self.missing(spec.host(), spec.port()))
    }

    /// Whether handshakes for this prefix are answered as soon as a CA has issued a certificate.
    fn awaits(&self, spec: &PrefixSpec) -> bool {
        let pending = |entry: &&Entry| entry.is_pending() && !entry.bound.options.is_set(BindingOption::Reject);
        let mut keys = self.entries.iter().filter(pending).map(|entry| &entry.bound.key);
        keys.any(|key| key.port() == spec.port() && text::is_for(key, spec.host()))
    }

    fn missing(&self, host: &PrefixHost, port: u16) -> String {
        let on_port = self.entries.iter().filter(|entry| entry.bound.key.port() == port);
        let broken = on_port.filter(|entry| entry.loaded.is_none()).find(|entry| text::is_for(&entry.bound.key, host));
        match broken {
            Some(Entry { bound, problem, .. }) => {
                let problem = problem.as_deref().unwrap_or("it has no certificate");
                format!("its TLS binding {} cannot be used: {problem} (narthex show sslcert {})", bound.key, bound.key)
            }
            None => match self.refusing(host, port) {
                Some(key) => format!("its TLS binding {key} refuses connections ({})", admit(key)),
                None => format!("no TLS binding has a certificate for it; an operator can add one: {}", remedy(host, port)),
            },
        }
    }

    /// The command that lets the handshakes of a host be answered.
    pub(crate) fn remedy(&self, host: &PrefixHost, port: u16) -> String {
        self.refusing(host, port).map_or_else(|| remedy(host, port), admit)
    }

    /// The binding by which connections to a host are refused: one more of its key cannot be added.
    fn refusing(&self, host: &PrefixHost, port: u16) -> Option<&BindingKey> {
        let rejects = |entry: &&Entry| entry.bound.options.is_set(BindingOption::Reject);
        let mut keys = self.entries.iter().filter(rejects).map(|entry| &entry.bound.key);
        keys.find(|key| key.port() == port && text::is_for(key, host))
    }

    /// The binding that answers a handshake.
    pub(crate) fn answering(&self, local: std::net::SocketAddr, server_name: Option<&str>) -> Option<SslcertState> {
        let binding = self.bindings.find(local, server_name)?;
        let is = |entry: &&Entry| entry.loaded.as_ref().is_some_and(|loaded| Arc::ptr_eq(&loaded.binding, binding));
        self.entries.iter().find(is).map(Entry::state)
    }

    /// Those of `prefixes` whose handshakes fail.
    pub(crate) fn uncovered<'a>(&self, prefixes: impl Iterator<Item = &'a UrlPrefix>) -> Vec<UrlPrefix> {
        prefixes.filter(|prefix| self.check(&PrefixSpec::from(*prefix)).is_err()).cloned().collect()
    }
}

/// The name that a binding is to get a certificate for by ACME, if it is.
pub(in crate::control) fn acme_name(bound: &Bound) -> Option<&str> {
    match &bound.key {
        BindingKey::HostnamePort(name) if bound.options.is_set(BindingOption::Acme) => Some(name.host()),
        _ => None,
    }
}

fn admit(key: &BindingKey) -> String {
    format!("narthex update sslcert {key} reject=disable")
}

impl Entry {
    /// Whether no CA has issued its certificate yet.
    fn is_pending(&self) -> bool {
        self.loaded.as_ref().is_some_and(|loaded| loaded.pending)
    }

    /// Makes the binding from its files.
    fn load(&mut self, directory: &Path) {
        self.files = Watched::new(load::files(directory, &self.bound));
        let key = &self.bound.key;
        match load(directory, &self.bound, self.loaded.as_ref()) {
            Ok(loaded) => {
                if self.problem.take().is_some() || self.loaded.is_some() {
                    tracing::info!("the TLS binding {key} has been renewed");
                }
                self.loaded = Some(loaded);
            }
            Err(problem) => {
                let instead = match self.loaded {
                    Some(_) => "it goes on with what it had",
                    None => "its handshakes fail until that is corrected",
                };
                tracing::error!("the TLS binding {key} cannot be used: {problem}; {instead}");
                self.problem = Some(problem);
            }
        }
    }

    fn state(&self) -> SslcertState {
        let mut options = BindingSpec::default();
        for (option, value) in self.bound.options.said() {
            let value = if option == BindingOption::Passphrase { "(not shown)" } else { value };
            // It was read by the same rules.
            let _ = options.set(option, value);
        }
        let certificate = self.loaded.as_ref().and_then(|loaded| loaded.certificate());
        SslcertState { key: self.bound.key.clone(), options, certificate, problem: self.problem.clone(), acme: None }
    }
}
