//! The verbs of TLS bindings that change the configuration.

use std::path::{Path, PathBuf};

use narthex_proto::routing::Table;
use narthex_proto::wire::RefusalCode;

use super::{Answered, Configuration};
use crate::acme::Store;
use crate::admin::{Answer, BindingKey, BindingOption, BindingSpec};
use crate::config::{Bound, Config, Edit};
use crate::control::certificates;
use crate::control::state::Refusal;
use crate::snapshot::Reservation;

/// A host that has this many has been misunderstood: a directory takes any number of certificates.
const MOST_BINDINGS: usize = 10_000;
/// The names of files and cipher suites.
const MOST_OF_OPTION: usize = 8 * 1024;

impl Configuration {
    pub(super) fn bind<V: Clone>(
        &mut self,
        key: &BindingKey,
        options: &BindingSpec,
        routes: &Table<Reservation, V>,
    ) -> Result<Answered, Refusal> {
        check_size(options)?;
        let directory = self.file.directory();
        let answered = self.edit(routes, "SSL Certificate successfully added", |config, _| {
            if find(config, key).is_some() {
                let message = format!(
                    "there is a binding of {key} already (narthex show sslcert {key}): change it (narthex update sslcert {key} \
                     ...), or delete it first (narthex delete sslcert {key})"
                );
                return Err(Refusal::new(RefusalCode::AlreadyRegistered, message));
            }
            if config.bindings.len() >= MOST_BINDINGS {
                let message =
                    format!("there are {MOST_BINDINGS} bindings, and no more can be added: use a directory of certificates");
                return Err(Refusal::new(RefusalCode::LimitReached, message));
            }
            let bound = Bound { key: key.clone(), options: options.clone() };
            usable(&directory, &bound, "add")?;
            check_terms(config, &bound)?;
            Ok(Edit::Bind(bound))
        })?;
        Ok(with_hint(answered, &Bound { key: key.clone(), options: options.clone() }, &directory))
    }

    pub(super) fn rebind<V: Clone>(
        &mut self,
        key: &BindingKey,
        change: &BindingSpec,
        routes: &Table<Reservation, V>,
    ) -> Result<Answered, Refusal> {
        check_size(change)?;
        let directory = self.file.directory();
        let answered = self.edit(routes, "SSL Certificate successfully updated", |config, _| {
            let old = find(config, key).ok_or_else(|| not_bound(key))?;
            if change.is_empty() {
                let message =
                    format!("nothing of the binding of {key} is to be changed: name what, as in certfile= and keyfile=");
                return Err(Refusal::new(RefusalCode::Invalid, message));
            }
            let bound = Bound { key: key.clone(), options: old.options.changed(change) };
            usable(&directory, &bound, "change")?;
            if change.is_set(BindingOption::Acme) {
                check_terms(config, &bound)?;
            }
            Ok(Edit::Rebind(bound))
        })?;
        Ok(with_hint(answered, &Bound { key: key.clone(), options: change.clone() }, &directory))
    }

    pub(super) fn unbind<V: Clone>(&mut self, key: &BindingKey, routes: &Table<Reservation, V>) -> Result<Answered, Refusal> {
        let bound = find(&self.current, key).cloned();
        let (answer, config) = self.edit(routes, "SSL Certificate successfully deleted", |config, _| {
            find(config, key).ok_or_else(|| not_bound(key))?;
            Ok(Edit::Unbind(key.clone()))
        })?;
        let name = bound.as_ref().and_then(certificates::acme_name);
        let last = name.filter(|name| !self.current.bindings.iter().any(|bound| certificates::acme_name(bound) == Some(*name)));
        let file = last.map(|name| Store::beside(&self.file.directory()).certificate_file(name));
        Ok((with_left_file(answer, file.filter(|file| file.exists())), config))
    }
}

pub(in crate::control) fn not_bound(key: &BindingKey) -> Refusal {
    Refusal::new(RefusalCode::NotFound, format!("there is no binding of {key} (narthex show sslcert lists them)"))
}

fn find<'a>(config: &'a Config, key: &BindingKey) -> Option<&'a Bound> {
    config.bindings.iter().find(|bound| bound.key == *key)
}

fn check_size(options: &BindingSpec) -> Result<(), Refusal> {
    match options.said().find(|(_, value)| value.len() > MOST_OF_OPTION) {
        None => Ok(()),
        Some((option, _)) => {
            Err(Refusal::new(RefusalCode::LimitReached, format!("{} has more than {MOST_OF_OPTION} bytes", option.name())))
        }
    }
}

/// Whether TLS can do with the binding. It reads the files now, as it does whenever they change.
fn usable(directory: &Path, bound: &Bound, what: &str) -> Result<(), Refusal> {
    let refused = |message: String| {
        Refusal::new(RefusalCode::Invalid, format!("cannot {what} the binding of {}: {message}; nothing was changed", bound.key))
    };
    bound.options.check(&bound.key).map_err(refused)?;
    certificates::try_out(directory, bound).map_err(refused)
}

/// Nothing is asked of a CA before its terms are agreed to.
fn check_terms(config: &Config, bound: &Bound) -> Result<(), Refusal> {
    let acme = &config.settings.acme;
    if certificates::acme_name(bound).is_none() || acme.terms_agreed {
        return Ok(());
    }
    let message = format!(
        "nothing is asked of the CA at {} before you agree to its terms of service: narthex add setting \
         settingtype=acme_terms_agreed value=true; nothing was changed",
        acme.directory
    );
    Err(Refusal::new(RefusalCode::Invalid, message))
}

/// Says what stays of an automatic certificate that nobody renews any more.
fn with_left_file(answer: Answer, file: Option<PathBuf>) -> Answer {
    match (answer, file) {
        (Answer::Done(done), Some(file)) => {
            Answer::Done(format!("{done}\nIt is not renewed any more; the certificate and its key stay in {}", file.display()))
        }
        (answer, _) => answer,
    }
}

/// Says how clients come to trust a development certificate, and when there will be an automatic one.
fn with_hint((answer, config): Answered, bound: &Bound, directory: &Path) -> Answered {
    let Answer::Done(done) = answer else { return (answer, config) };
    let hint = match certificates::acme_name(bound) {
        Some(name) if Store::beside(directory).certificate(name).is_none() => {
            let key = &bound.key;
            format!(
                "\nThe CA is asked for a certificate now; until it is there, handshakes are refused: narthex show sslcert {key}"
            )
        }
        _ if bound.options.is_set(BindingOption::SelfSigned) => format!("\n{}", certificates::how_to_trust(directory)),
        _ => String::new(),
    };
    (Answer::Done(done + &hint), config)
}
