//! From the file's text to a [`Config`], or to an error with the place in the text and what to write instead.

mod binding;

use std::net::IpAddr;
use std::ops::Range;

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use narthex_proto::routing::Table;
use narthex_proto::wire::Principal;
use toml_edit::{Array, Document, Item, TableLike, Value};

use super::accounts;
use super::error::ConfigError;
use super::model::{Config, MachineTimer, Reserved};
use super::settings::{SETTINGS, Setting};
use super::spelling;
use crate::admin::Grant;

/// A valid configuration, and where in its text the reservations are.
#[derive(Clone, Debug)]
pub(crate) struct Parsed {
    pub(crate) config: Config,
    /// One for each reservation: its `url`.
    pub(crate) places: Vec<Option<Range<usize>>>,
}

type Span = Option<Range<usize>>;

const SECTIONS: [&str; 5] = ["iplisten", "timeouts", "settings", "urlacl", "binding"];

/// Reads a configuration.
pub(crate) fn parse(text: &str) -> Result<Parsed, ConfigError> {
    let document = Document::parse(text).map_err(|error| {
        let advice = "correct the line (https://toml.io explains the format)";
        ConfigError::at(text, error.span(), format!("this is not TOML: {}; {advice}", error.message().replace('\n', ", ")))
    })?;
    let mut reader = Reader { text, config: Config::default(), places: Vec::new(), table: Table::new() };
    for (name, item) in document.as_table().iter() {
        let key = key_span(document.as_table(), name);
        match name {
            "iplisten" => reader.iplisten(item)?,
            "timeouts" => reader.timeouts(item)?,
            "settings" => reader.settings(item)?,
            "urlacl" => reader.urlacls(item)?,
            "binding" => reader.bindings(item)?,
            "sslcert" => return Err(reader.wrong(key.or(item.span()), "write [[binding]] instead of [[sslcert]]")),
            _ => return Err(reader.unknown(name, key.or(item.span()), "the file", &SECTIONS)),
        }
    }
    Ok(Parsed { config: reader.config, places: reader.places })
}

struct Reader<'a> {
    text: &'a str,
    config: Config,
    places: Vec<Span>,
    /// Finds duplicates and two schemes on one port.
    table: Table<(), ()>,
}

impl Reader<'_> {
    fn wrong(&self, span: Span, message: impl Into<String>) -> ConfigError {
        ConfigError::at(self.text, span, message)
    }

    fn unknown(&self, name: &str, span: Span, of: &str, known: &[&str]) -> ConfigError {
        let hint = spelling::hint(name, known.iter().copied());
        self.wrong(span, format!("{of} has no {name:?}{hint} (it may have: {})", known.join(", ")))
    }

    fn table<'i>(&self, name: &str, item: &'i Item) -> Result<&'i dyn TableLike, ConfigError> {
        item.as_table_like()
            .ok_or_else(|| self.wrong(item.span(), format!("{name} is a table: write [{name}] on a line of its own")))
    }

    fn iplisten(&mut self, item: &Item) -> Result<(), ConfigError> {
        let shape = "iplisten is a list of IP addresses: write iplisten = [\"127.0.0.1\", \"::1\"]";
        let Some(list) = item.as_array() else { return Err(self.wrong(item.span(), shape)) };
        for value in list {
            let Some(text) = value.as_str() else { return Err(self.wrong(value.span(), shape)) };
            let address: IpAddr = text.parse().map_err(|_| {
                self.wrong(
                    value.span(),
                    format!("{text:?} is not an IP address: write one without a port, as in \"127.0.0.1\" or \"::1\""),
                )
            })?;
            let address = address.to_canonical();
            if self.config.iplisten.contains(&address) {
                return Err(self.wrong(value.span(), format!("{address} is listed twice: remove one")));
            }
            self.config.iplisten.push(address);
        }
        Ok(())
    }

    fn timeouts(&mut self, item: &Item) -> Result<(), ConfigError> {
        let table = self.table("timeouts", item)?;
        for (name, item) in table.iter() {
            let Some(timer) = MachineTimer::ALL.into_iter().find(|timer| timer.name() == name) else {
                let known = MachineTimer::ALL.map(MachineTimer::name);
                return Err(self.unknown(name, key_span(table, name), "[timeouts]", &known));
            };
            let seconds = item.as_integer().and_then(|seconds| u16::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
            let Some(seconds) = seconds else {
                return Err(self.wrong(item.span(), format!("{name} is a number of seconds from 1 to 65535, which is \"never\"")));
            };
            *self.config.timer_mut(timer) = Some(seconds);
        }
        Ok(())
    }

    fn settings(&mut self, item: &Item) -> Result<(), ConfigError> {
        let table = self.table("settings", item)?;
        for (name, item) in table.iter() {
            let Some(setting) = SETTINGS.iter().find(|setting| setting.name == name) else {
                let key = key_span(table, name);
                return Err(match Setting::find(name) {
                    Ok(setting) => self.wrong(key, format!("write {} instead of {name}", setting.name)),
                    Err(message) => self.wrong(key, message),
                });
            };
            let Some(value) = item.as_value() else {
                return Err(self
                    .wrong(item.span(), format!("{name} is one value: write {name} = {}", setting.toml(&self.config.settings))));
            };
            setting.read(&mut self.config.settings, value).map_err(|message| ConfigError::at(self.text, item.span(), message))?;
        }
        Ok(())
    }

    fn urlacls(&mut self, item: &Item) -> Result<(), ConfigError> {
        let Some(tables) = item.as_array_of_tables() else {
            return Err(
                self.wrong(item.span(), "write each reservation as [[urlacl]] on a line of its own, with url and allow below it")
            );
        };
        for table in tables {
            for (name, _) in table {
                if !["url", "allow"].contains(&name) {
                    return Err(self.unknown(name, key_span(table, name), "[[urlacl]]", &["url", "allow"]));
                }
            }
            let Some(url) = table.get("url") else {
                return Err(
                    self.wrong(table.span(), "the reservation has no url: write url = \"http://+:80/shop/\" below [[urlacl]]")
                );
            };
            let prefix = self.prefix(url)?;
            let missing = "write who may register it: allow = [{ user = \"web\" }]";
            let Some(allow) = table.get("allow") else {
                return Err(self.wrong(table.span(), format!("the reservation has no allow: {missing}")));
            };
            let Some(list) = allow.as_array().filter(|list| !list.is_empty()) else {
                return Err(self.wrong(allow.span(), format!("allow is a list of users and groups: {missing}")));
            };
            let grants = self.grants(list)?;
            self.table.reserve(prefix.clone(), ()).map_err(|conflict| self.wrong(url.span(), format!("{conflict}")))?;
            self.config.reservations.push(Reserved { prefix, grants });
            self.places.push(url.span());
        }
        Ok(())
    }

    fn prefix(&self, url: &Item) -> Result<UrlPrefix, ConfigError> {
        let Some(text) = url.as_str() else {
            return Err(self.wrong(url.span(), "url is text in quotes: write url = \"http://+:80/shop/\""));
        };
        let wrong = |message: String| self.wrong(url.span(), format!("{text:?} is not a UrlPrefix: {message}"));
        let spec: PrefixSpec = text.parse().map_err(|error: narthex_proto::prefix::PrefixError| wrong(error.to_string()))?;
        spec.resolve().ok_or_else(|| wrong("a reservation names its port: write one from 1 to 65535".to_owned()))
    }

    fn grants(&self, list: &Array) -> Result<Vec<Grant>, ConfigError> {
        let mut grants: Vec<Grant> = Vec::new();
        for value in list {
            let grant = self.grant(value)?;
            if grants.iter().any(|other| other.principal == grant.principal) {
                let message =
                    format!("{} is named twice: write all its rights in one place", accounts::described(grant.principal));
                return Err(self.wrong(value.span(), message));
            }
            grants.push(grant);
        }
        Ok(grants)
    }

    fn grant(&self, value: &Value) -> Result<Grant, ConfigError> {
        const KEYS: [&str; 5] = ["user", "group", "everyone", "listen", "delegate"];
        let shape = "write { user = \"web\" }, { group = \"devs\" } or { everyone = true }";
        let Some(table) = value.as_inline_table() else { return Err(self.wrong(value.span(), shape)) };
        let mut principal = None;
        let (mut listen, mut delegate) = (true, false);
        for (name, value) in table {
            match name {
                "listen" => listen = self.yes_or_no(name, value)?,
                "delegate" => delegate = self.yes_or_no(name, value)?,
                "user" | "group" | "everyone" => {
                    if principal.replace(self.principal(name, value)?).is_some() {
                        return Err(self.wrong(key_span(table, name), format!("one entry is for one user or group: {shape}")));
                    }
                }
                _ => return Err(self.unknown(name, key_span(table, name), "an entry of allow", &KEYS)),
            }
        }
        let Some(principal) = principal else {
            return Err(self.wrong(value.span(), format!("the entry does not say for whom it is: {shape}")));
        };
        if !listen && !delegate {
            return Err(
                self.wrong(value.span(), "the entry gives no right: remove it, or write listen = true or delegate = true")
            );
        }
        Ok(Grant { principal, listen, delegate })
    }

    fn yes_or_no(&self, name: &str, value: &Value) -> Result<bool, ConfigError> {
        value.as_bool().ok_or_else(|| self.wrong(value.span(), format!("{name} is true or false, without quotes")))
    }

    fn principal(&self, kind: &str, value: &Value) -> Result<Principal, ConfigError> {
        let of = match kind {
            "user" => Principal::User,
            "group" => Principal::Group,
            _ if value.as_bool() == Some(true) => return Ok(Principal::Everyone),
            _ => return Err(self.wrong(value.span(), "write everyone = true, or remove the entry")),
        };
        let find = if kind == "user" { accounts::user_id } else { accounts::group_id };
        match value {
            Value::String(name) => find(name.value()).map(of).ok_or_else(|| {
                let message = format!(
                    "this machine has no {kind} {:?}: correct the name, or write the number: {kind} = 1000",
                    name.value()
                );
                self.wrong(value.span(), message)
            }),
            Value::Integer(number) => u32::try_from(*number.value()).ok().map(of).ok_or_else(|| {
                self.wrong(value.span(), format!("{} is not the number of a {kind}: it is 0 to 4294967295", number.value()))
            }),
            _ => Err(self.wrong(value.span(), format!("{kind} is a name in quotes or a number: {kind} = \"web\""))),
        }
    }
}

fn key_span(table: &dyn TableLike, name: &str) -> Span {
    table.key(name)?.span()
}

#[cfg(test)]
mod tests;
