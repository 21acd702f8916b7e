//! The verbs of TLS bindings that change the configuration.

use narthex_proto::routing::Table;
use narthex_proto::wire::RefusalCode;

use super::{Answered, Configuration};
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
            Ok(Edit::Bind(bound))
        })?;
        Ok(with_hint(answered, options.is_set(BindingOption::SelfSigned), &directory))
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
            Ok(Edit::Rebind(bound))
        })?;
        Ok(with_hint(answered, change.is_set(BindingOption::SelfSigned), &directory))
    }

    pub(super) fn unbind<V: Clone>(&mut self, key: &BindingKey, routes: &Table<Reservation, V>) -> Result<Answered, Refusal> {
        self.edit(routes, "SSL Certificate successfully deleted", |config, _| {
            find(config, key).ok_or_else(|| not_bound(key))?;
            Ok(Edit::Unbind(key.clone()))
        })
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
fn usable(directory: &std::path::Path, bound: &Bound, what: &str) -> Result<(), Refusal> {
    let refused = |message: String| {
        Refusal::new(RefusalCode::Invalid, format!("cannot {what} the binding of {}: {message}; nothing was changed", bound.key))
    };
    bound.options.check(&bound.key).map_err(refused)?;
    certificates::try_out(directory, bound).map_err(refused)
}

/// Says how clients come to trust a development certificate.
fn with_hint((answer, config): Answered, is_self_signed: bool, directory: &std::path::Path) -> Answered {
    match answer {
        Answer::Done(done) if is_self_signed => {
            (Answer::Done(format!("{done}\n{}", certificates::how_to_trust(directory))), config)
        }
        answer => (answer, config),
    }
}
