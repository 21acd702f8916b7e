//! The TLS bindings of the file.

use toml_edit::{Item, Table, Value};

use super::{ConfigError, Reader, Span, key_span};
use crate::admin::{BindingKey, BindingOption, BindingSpec, OptionKind};
use crate::config::model::Bound;

/// One of these says for which handshakes a binding is.
const KEYS: [&str; 3] = ["ipport", "hostnameport", "directory"];
const SHAPE: &str =
    "write ipport = \"0.0.0.0:443\", hostnameport = \"shop.example.com:443\" or directory = \"/path\" with port = 443";

impl Reader<'_> {
    pub(super) fn bindings(&mut self, item: &Item) -> Result<(), ConfigError> {
        let Some(tables) = item.as_array_of_tables() else {
            return Err(
                self.wrong(item.span(), "write each binding as [[binding]] on a line of its own, with its options below it")
            );
        };
        for table in tables {
            let (key, place) = self.binding_key(table)?;
            if let Some(other) = self.config.bindings.iter().find(|bound| bound.key == key) {
                return Err(self.wrong(place, format!("there are two bindings of {}: remove one", other.key)));
            }
            let mut options = BindingSpec::default();
            for (name, item) in table {
                if name != "directory" && KEYS.contains(&name) || name == "port" {
                    continue;
                }
                let Some(option) = BindingOption::ALL.into_iter().find(|option| option.name() == name) else {
                    let known: Vec<&str> = KEYS
                        .into_iter()
                        .chain(["port"])
                        .chain(BindingOption::ALL.map(BindingOption::name).into_iter().skip(1))
                        .collect();
                    return Err(self.unknown(name, key_span(table, name), "[[binding]]", &known));
                };
                let text = item.as_value().and_then(|value| text(option, value));
                let text = text.ok_or_else(|| self.wrong(item.span(), format!("{name} is written as {}", written(option))))?;
                options.set(option, &text).map_err(|message| self.wrong(item.span(), message))?;
            }
            options.check(&key).map_err(|message| self.wrong(table.span(), message))?;
            self.config.bindings.push(Bound { key, options });
        }
        Ok(())
    }

    fn binding_key(&self, table: &Table) -> Result<(BindingKey, Span), ConfigError> {
        let mut found = KEYS.into_iter().filter_map(|name| Some((name, table.get(name)?)));
        let Some((name, item)) = found.next() else {
            return Err(self.wrong(table.span(), format!("the binding does not say for which handshakes it is: {SHAPE}")));
        };
        if let Some((other, item)) = found.next() {
            return Err(self.wrong(item.span(), format!("a binding has {name} or {other}, not both: {SHAPE}")));
        }
        let text = item.as_str().ok_or_else(|| self.wrong(item.span(), format!("{name} is text in quotes: {SHAPE}")))?;
        let wrong = |message: String| self.wrong(item.span(), message);
        let key = match name {
            "ipport" => BindingKey::ip_port(text).map_err(wrong)?,
            "hostnameport" => BindingKey::hostname_port(text).map_err(wrong)?,
            _ => {
                let Some(port) = table.get("port") else {
                    return Err(self.wrong(item.span(), "a directory is for one port: write port = 443 below it"));
                };
                let number = port.as_integer().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
                return match number {
                    Some(port_number) => Ok((BindingKey::Ccs(port_number), port.span())),
                    None => Err(self.wrong(port.span(), "port is a number from 1 to 65535, without quotes")),
                };
            }
        };
        if let Some(port) = table.get("port") {
            return Err(self.wrong(port.span(), format!("the port is part of {name} already: remove port")));
        }
        Ok((key, item.span()))
    }
}

/// The value as text, if it has the option's type.
fn text(option: BindingOption, value: &Value) -> Option<String> {
    match (option.kind(), value) {
        (OptionKind::Flag, Value::Boolean(value)) => Some(value.value().to_string()),
        (OptionKind::List, Value::Array(names)) => {
            names.iter().map(Value::as_str).collect::<Option<Vec<_>>>().map(|names| names.join(","))
        }
        (OptionKind::Path | OptionKind::Text | OptionKind::Word(_), Value::String(value)) => Some(value.value().clone()),
        _ => None,
    }
}

fn written(option: BindingOption) -> String {
    match option.kind() {
        OptionKind::Flag => "true or false, without quotes".to_owned(),
        OptionKind::List => "a list of names in quotes: [\"TLS13_AES_128_GCM_SHA256\"]".to_owned(),
        OptionKind::Word(words) => {
            format!("text in quotes: {}", words.iter().map(|word| format!("{word:?}")).collect::<Vec<_>>().join(" or "))
        }
        OptionKind::Path => "a path in quotes".to_owned(),
        OptionKind::Text => "text in quotes".to_owned(),
    }
}
