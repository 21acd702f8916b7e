//! Changes of the TLS bindings in the file.

use std::ops::Range;

use toml_edit::{Array, ArrayOfTables, Document, DocumentMut, Item, Table, Value};

use super::{insert, lines};
use crate::admin::{BindingKey, BindingOption, BindingSpec, OptionKind};
use crate::config::model::Bound;

pub(super) fn add(document: &mut DocumentMut, bound: &Bound) {
    let mut table = Table::new();
    match &bound.key {
        // A directory is both a key and an option: it stands first.
        BindingKey::Ccs(port) => {
            table.insert("directory", bound.options.get(BindingOption::Directory).unwrap_or_default().into());
            table.insert("port", i64::from(*port).into());
        }
        key => _ = table.insert(key.kind(), key.value().into()),
    }
    write(&mut table, &bound.options);
    if let Some(tables) = document.get_mut("binding").and_then(Item::as_array_of_tables_mut) {
        table.decor_mut().set_prefix("\n");
        return tables.push(table);
    }
    let mut tables = ArrayOfTables::new();
    tables.push(table);
    insert(document, "binding", Item::ArrayOfTables(tables));
}

/// Lets a binding say this and nothing else.
pub(super) fn change(document: &mut DocumentMut, bound: &Bound) {
    let Some(tables) = document.get_mut("binding").and_then(Item::as_array_of_tables_mut) else { return };
    let Some(table) = tables.iter_mut().find(|table| is(table, &bound.key)) else { return };
    for option in BindingOption::ALL.into_iter().filter(|option| bound.options.get(*option).is_none()) {
        table.remove(option.name());
    }
    write(table, &bound.options);
}

/// The text of a binding: header to last entry.
pub(super) fn cut(text: &str, document: &Document<&str>, key: &BindingKey) -> Option<Range<usize>> {
    let table = document.get("binding")?.as_array_of_tables()?.iter().find(|table| is(table, key))?;
    let end = table.iter().filter_map(|(_, item)| item.span()).map(|span| span.end).max()?;
    Some(lines(text, table.span()?.start..end))
}

fn is(table: &Table, key: &BindingKey) -> bool {
    let text = |name: &str| table.get(name).and_then(Item::as_str);
    match key {
        BindingKey::IpPort(_) => text("ipport").and_then(|text| BindingKey::ip_port(text).ok()).as_ref() == Some(key),
        BindingKey::HostnamePort(_) => {
            text("hostnameport").and_then(|text| BindingKey::hostname_port(text).ok()).as_ref() == Some(key)
        }
        BindingKey::Ccs(port) => table.get("port").and_then(Item::as_integer) == Some(i64::from(*port)),
    }
}

fn write(table: &mut Table, options: &BindingSpec) {
    for (option, text) in options.said() {
        let mut value: Value = match option.kind() {
            OptionKind::Flag => (text == "true").into(),
            OptionKind::List => text.split(',').collect::<Array>().into(),
            OptionKind::Path | OptionKind::Text | OptionKind::Word(_) => text.into(),
        };
        match table.get_mut(option.name()) {
            // What stays the same stays as it is written.
            Some(Item::Value(old)) if same(old, &value) => {}
            Some(Item::Value(old)) => {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
            _ => _ = table.insert(option.name(), Item::Value(value)),
        }
    }
}

fn same(old: &Value, new: &Value) -> bool {
    match (old, new) {
        (Value::Boolean(old), Value::Boolean(new)) => old.value() == new.value(),
        (Value::String(old), Value::String(new)) => old.value() == new.value(),
        (Value::Array(old), Value::Array(new)) => old.iter().map(Value::as_str).eq(new.iter().map(Value::as_str)),
        _ => false,
    }
}
