//! Every setting with one value, in one table: what the file, the verbs and the documentation say about it.

mod acme;
mod table;

use toml_edit::{Array, Value};

pub use table::SETTINGS;

use super::model::Settings;
use super::spelling;

/// A setting: its name, what is said about it, and how it is read and written.
#[derive(Clone, Copy, Debug)]
pub struct Setting {
    /// As it is typed, here and in the file.
    pub name: &'static str,
    /// What it does and its unit, in a sentence. [`description`](Self::description) adds range and default.
    pub help: &'static str,
    /// What HTTP.sys calls it in the registry, where that is more than a matter of case and underscores.
    aliases: &'static [&'static str],
    kind: Kind,
}

/// The accessors are plain functions, so that the table is a constant.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Flag {
        get: fn(&Settings) -> bool,
        set: fn(&mut Settings, bool),
    },
    /// `none` is the word for `None`, if the setting has that.
    Number {
        least: u64,
        most: u64,
        none: Option<&'static str>,
        get: fn(&Settings) -> Option<u64>,
        set: fn(&mut Settings, Option<u64>),
    },
    /// One of a few words; its place in the list.
    Word {
        words: &'static [&'static str],
        get: fn(&Settings) -> usize,
        set: fn(&mut Settings, usize),
    },
    Text {
        shape: &'static str,
        get: fn(&Settings) -> String,
        set: fn(&mut Settings, &str) -> Result<(), &'static str>,
    },
    /// Any number of texts without commas; typed with commas between them.
    List {
        shape: &'static str,
        get: fn(&Settings) -> Vec<String>,
        set: fn(&mut Settings, &[&str]) -> Result<(), &'static str>,
    },
}

/// How an empty list is typed.
const EMPTY: &str = "none";

impl Setting {
    /// The setting of this name, or of this registry value of HTTP.sys. Case, `_` and `-` do not matter.
    ///
    /// # Errors
    /// If there is none: a sentence that says so, with the name that was probably meant.
    pub fn find(typed: &str) -> Result<&'static Self, String> {
        let plain = plain(typed);
        let is = |setting: &&Self| setting.names().any(|name| self::plain(name) == plain);
        SETTINGS.iter().find(is).ok_or_else(|| {
            let hint = spelling::hint(typed, SETTINGS.iter().map(|setting| setting.name));
            format!("there is no setting {typed:?}{hint} (narthex show setting lists them)")
        })
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().copied())
    }

    /// What is typed and written: `help`, then the range and the default.
    #[must_use]
    pub fn description(&self) -> String {
        let (range, default) = (self.range(), self.default_text());
        // Some say in their range what they are if nobody says anything.
        match default == "default" {
            true => format!("{} {range}.", self.help),
            false => format!("{} {range}; default {default}.", self.help),
        }
    }

    /// The values that it may have.
    fn range(&self) -> String {
        match self.kind {
            Kind::Flag { .. } => "true or false".to_owned(),
            Kind::Number { least, most, none, .. } => {
                let none = none.map_or(String::new(), |word| format!(", or {word}"));
                match most {
                    ANY => format!("{least} or more{none}"),
                    _ => format!("{least} to {most}{none}"),
                }
            }
            Kind::Word { words, .. } => words.join(", "),
            Kind::Text { shape, .. } => shape.to_owned(),
            Kind::List { shape, .. } => format!("{shape}, or {EMPTY}"),
        }
    }

    /// The value it has unless the configuration says otherwise.
    #[must_use]
    pub fn default_text(&self) -> String {
        self.get(&Settings::default())
    }

    /// The value as it is typed.
    pub(crate) fn get(&self, settings: &Settings) -> String {
        match self.kind {
            Kind::Flag { get, .. } => get(settings).to_string(),
            Kind::Number { get, none, .. } => {
                get(settings).map_or_else(|| none.unwrap_or_default().to_owned(), |number| number.to_string())
            }
            Kind::Word { words, get, .. } => words.get(get(settings)).copied().unwrap_or_default().to_owned(),
            Kind::Text { get, .. } => get(settings),
            Kind::List { get, .. } => match get(settings) {
                list if list.is_empty() => EMPTY.to_owned(),
                list => list.join(","),
            },
        }
    }

    /// Sets what was typed.
    pub(crate) fn set(&self, settings: &mut Settings, typed: &str) -> Result<(), String> {
        let wrong = || format!("{} cannot be {typed:?}: write {}", self.name, self.range());
        match self.kind {
            Kind::Flag { set, .. } => set(settings, flag(typed).ok_or_else(wrong)?),
            Kind::Number { none: Some(word), set, .. } if word.eq_ignore_ascii_case(typed) => set(settings, None),
            Kind::Number { least, most, set, .. } => {
                let number = number(typed).filter(|number| (least..=most).contains(number)).ok_or_else(wrong)?;
                set(settings, Some(number));
            }
            Kind::Word { words, set, .. } => {
                let index = words.iter().position(|word| word.eq_ignore_ascii_case(typed)).ok_or_else(wrong)?;
                set(settings, index);
            }
            Kind::Text { set, .. } => {
                set(settings, typed).map_err(|what| format!("{} cannot be {typed:?}: {what}", self.name))?
            }
            Kind::List { set, .. } => {
                let list: Vec<&str> = if typed == EMPTY { Vec::new() } else { typed.split(',').map(str::trim).collect() };
                set(settings, &list).map_err(|what| format!("{} cannot be {typed:?}: {what}", self.name))?
            }
        }
        Ok(())
    }

    /// Sets what the file says. It has to have the TOML type in which [`toml`](Self::toml) writes it.
    pub(crate) fn read(&self, settings: &mut Settings, value: &Value) -> Result<(), String> {
        match (self.kind, value) {
            (Kind::Flag { set, .. }, Value::Boolean(value)) => {
                set(settings, *value.value());
                Ok(())
            }
            (Kind::Number { .. }, Value::Integer(value)) => self.set(settings, &value.value().to_string()),
            (Kind::Number { none: Some(word), .. }, Value::String(value)) if value.value() == word => self.set(settings, word),
            (Kind::Word { .. } | Kind::Text { .. }, Value::String(value)) => self.set(settings, value.value()),
            (Kind::List { set, .. }, Value::Array(array)) => {
                let list: Option<Vec<&str>> = array.iter().map(Value::as_str).collect();
                let list = list.ok_or_else(|| format!("{} is a list of texts in quotes: {}", self.name, self.range()))?;
                set(settings, &list).map_err(|what| format!("{} cannot be {list:?}: {what}", self.name))
            }
            (Kind::List { .. }, _) => Err(format!("{} is written as a list in [ ], of texts in quotes", self.name)),
            (Kind::Flag { .. }, _) => Err(format!("{} is written as true or false, without quotes", self.name)),
            (Kind::Number { none: Some(word), .. }, _) => {
                Err(format!("{} is written as a number, {}, with {word:?} in quotes", self.name, self.range()))
            }
            (Kind::Number { .. }, _) => Err(format!("{} is written as a number, {}, without quotes", self.name, self.range())),
            (Kind::Word { .. } | Kind::Text { .. }, _) => {
                Err(format!("{} is written as text in quotes: {}", self.name, self.range()))
            }
        }
    }

    /// The value as the file has it.
    pub(crate) fn toml(&self, settings: &Settings) -> Value {
        match self.kind {
            Kind::Flag { get, .. } => get(settings).into(),
            Kind::Number { get, none, .. } => match get(settings) {
                Some(number) => i64::try_from(number).unwrap_or(i64::MAX).into(),
                None => none.unwrap_or_default().into(),
            },
            Kind::Word { .. } | Kind::Text { .. } => self.get(settings).into(),
            Kind::List { get, .. } => Value::Array(Array::from_iter(get(settings))),
        }
    }
}

fn plain(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-')).map(|c| c.to_ascii_lowercase()).collect()
}

fn flag(typed: &str) -> Option<bool> {
    match typed.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" | "enable" | "enabled" => Some(true),
        "false" | "no" | "off" | "0" | "disable" | "disabled" => Some(false),
        _ => None,
    }
}

/// A number as netsh takes it: decimal, or hexadecimal after `0x`.
fn number(typed: &str) -> Option<u64> {
    let (digits, radix) = match typed.strip_prefix("0x").or_else(|| typed.strip_prefix("0X")) {
        Some(digits) => (digits, 16),
        None => (typed, 10),
    };
    // from_str_radix takes a plus sign.
    if !digits.starts_with(|c: char| c.is_ascii_hexdigit()) {
        return None;
    }
    u64::from_str_radix(digits, radix).ok()
}

/// TOML's integers end here.
const ANY: u64 = i64::MAX as u64;

#[cfg(test)]
mod tests;
