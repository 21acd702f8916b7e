//! Changes of the file's text. Everything that a change does not concern stays as the person wrote it, byte by byte.

mod binding;

use std::net::IpAddr;
use std::ops::Range;

use narthex_proto::prefix::{PrefixSpec, UrlPrefix};
use narthex_proto::wire::Principal;
use toml_edit::{Array, Document, DocumentMut, InlineTable, Item, Table, Value};

use super::accounts;
use super::error::ConfigError;
use super::model::{Bound, MachineTimer, Reserved};
use super::settings::Setting;
use crate::admin::{BindingKey, Grant};

/// What a verb changes. `None` takes the entry out, which means the default.
#[derive(Clone, Debug)]
pub(crate) enum Edit {
    Reserve(Reserved),
    Unreserve(UrlPrefix),
    Bind(Bound),
    /// What a binding is to be, instead of what it is.
    Rebind(Bound),
    Unbind(BindingKey),
    Listen(IpAddr),
    Unlisten(IpAddr),
    Timer(MachineTimer, Option<u16>),
    Setting(&'static Setting, Option<Value>),
}

/// The text with the change. The text has to be a valid configuration; whether the result is one, the caller finds out.
pub(crate) fn apply(text: &str, edit: &Edit) -> Result<String, ConfigError> {
    let failed = |error: toml_edit::TomlError| ConfigError::at(text, error.span(), error.message());
    let document = Document::parse(text).map_err(failed)?;
    let cut = match edit {
        Edit::Unreserve(prefix) => cut_reservation(text, &document, prefix),
        Edit::Unbind(key) => binding::cut(text, &document, key),
        Edit::Timer(timer, None) => cut_entry(text, &document, "timeouts", timer.name()),
        Edit::Setting(setting, None) => cut_entry(text, &document, "settings", setting.name),
        _ => None,
    };
    if let Some(cut) = cut {
        return Ok(without(text, cut));
    }
    let mut document = document.into_mut();
    match edit {
        Edit::Reserve(reserved) => add_reservation(&mut document, reserved),
        Edit::Bind(bound) => binding::add(&mut document, bound),
        Edit::Rebind(bound) => binding::change(&mut document, bound),
        Edit::Listen(address) => add_address(&mut document, *address),
        Edit::Unlisten(address) => remove_address(&mut document, *address),
        Edit::Timer(timer, seconds) => {
            set(&mut document, "timeouts", timer.name(), seconds.map(|seconds| i64::from(seconds).into()))
        }
        Edit::Setting(setting, value) => set(&mut document, "settings", setting.name, value.clone()),
        Edit::Unreserve(_) | Edit::Unbind(_) => {}
    }
    Ok(lines_ended_as_in(text, document.to_string()))
}

/// toml_edit ends lines as Unix does; a file that came from Windows keeps its own ends.
fn lines_ended_as_in(text: &str, edited: String) -> String {
    let all = text.matches('\n').count();
    if all == 0 || text.matches("\r\n").count() < all {
        return edited;
    }
    edited.replace("\r\n", "\n").replace('\n', "\r\n")
}

/// Puts a new table or array at the end. What a text without entries has for comments stays above it.
fn insert(document: &mut DocumentMut, name: &str, mut item: Item) {
    let first = document.as_table().is_empty();
    let comments = if first { document.trailing().as_str().unwrap_or_default().trim_end().to_owned() } else { String::new() };
    if first {
        document.set_trailing("");
    }
    let above = match comments.as_str() {
        "" => String::new(),
        comments => format!("{comments}\n\n"),
    };
    let prefix = if first { above.as_str() } else { "\n" };
    match &mut item {
        Item::Table(table) => table.decor_mut().set_prefix(prefix),
        Item::ArrayOfTables(tables) => {
            if let Some(first) = tables.get_mut(0) {
                first.decor_mut().set_prefix(prefix);
            }
        }
        _ => return insert_value(document, name, item, above),
    }
    document.insert(name, item);
}

/// A key of the root stands above all tables, but below the comment that the file begins with.
fn insert_value(document: &mut DocumentMut, name: &str, item: Item, mut above: String) {
    let has_values = document.as_table().iter().any(|(_, item)| item.is_value());
    if !has_values && let Some(first) = first_table(document) {
        let prefix = first.decor().prefix().and_then(|prefix| prefix.as_str()).unwrap_or_default().to_owned();
        let (head, rest) = prefix.rsplit_once("\n\n").unwrap_or(("", &prefix));
        if !head.is_empty() {
            above = format!("{head}\n\n");
        }
        first.decor_mut().set_prefix(format!("\n{}", rest.trim_start_matches('\n')));
    }
    document.insert(name, item);
    if let Some(mut key) = document.as_table_mut().key_mut(name)
        && !above.is_empty()
    {
        key.leaf_decor_mut().set_prefix(above);
    }
}

fn first_table(document: &mut DocumentMut) -> Option<&mut Table> {
    let tables = document.as_table_mut().iter_mut().flat_map(|(_, item)| match item {
        Item::Table(table) => vec![table],
        Item::ArrayOfTables(tables) => tables.iter_mut().collect(),
        _ => Vec::new(),
    });
    tables.filter(|table| table.position().is_some()).min_by_key(|table| table.position())
}

fn set(document: &mut DocumentMut, section: &str, name: &str, value: Option<Value>) {
    if !document.contains_key(section) && value.is_some() {
        insert(document, section, Item::Table(Table::new()));
    }
    let Some(table) = document.get_mut(section).and_then(Item::as_table_like_mut) else { return };
    match (table.get_mut(name), value) {
        (_, None) => {
            table.remove(name);
        }
        (Some(Item::Value(old)), Some(mut new)) => {
            *new.decor_mut() = old.decor().clone();
            *old = new;
        }
        (_, Some(new)) => {
            table.insert(name, Item::Value(new));
        }
    }
}

fn add_reservation(document: &mut DocumentMut, reserved: &Reserved) {
    let mut table = Table::new();
    table.insert("url", reserved.prefix.as_str().into());
    table.insert("allow", Item::Value(reserved.grants.iter().map(|grant| Value::from(entry(grant))).collect::<Array>().into()));
    if let Some(tables) = document.get_mut("urlacl").and_then(Item::as_array_of_tables_mut) {
        table.decor_mut().set_prefix("\n");
        return tables.push(table);
    }
    let mut tables = toml_edit::ArrayOfTables::new();
    tables.push(table);
    insert(document, "urlacl", Item::ArrayOfTables(tables));
}

fn entry(grant: &Grant) -> InlineTable {
    let mut table = InlineTable::new();
    // A name that does not lead back would make the file invalid.
    let (kind, value) = match grant.principal {
        Principal::User(uid) => ("user", named(grant.principal, uid, accounts::user_id)),
        Principal::Group(gid) => ("group", named(grant.principal, gid, accounts::group_id)),
        Principal::Everyone => ("everyone", true.into()),
    };
    table.insert(kind, value);
    if !grant.listen {
        table.insert("listen", false.into());
    }
    if grant.delegate {
        table.insert("delegate", true.into());
    }
    table
}

fn named(principal: Principal, id: u32, find: fn(&str) -> Option<u32>) -> Value {
    accounts::name(principal).filter(|name| find(name) == Some(id)).map_or_else(|| i64::from(id).into(), Value::from)
}

fn add_address(document: &mut DocumentMut, address: IpAddr) {
    if !document.contains_key("iplisten") {
        return insert(document, "iplisten", Item::Value(Array::from_iter([address.to_string()]).into()));
    }
    let Some(list) = document.get_mut("iplisten").and_then(Item::as_array_mut) else { return };
    let last = list.iter().last().and_then(|last| last.decor().prefix()?.as_str()).unwrap_or_default();
    // One address a line stays so.
    match last.rsplit_once('\n').map(|(_, indent)| format!("\n{indent}")) {
        Some(prefix) => list.push_formatted(Value::from(address.to_string()).decorated(prefix, "")),
        None => list.push(address.to_string()),
    }
}

fn remove_address(document: &mut DocumentMut, address: IpAddr) {
    let Some(list) = document.get_mut("iplisten").and_then(Item::as_array_mut) else { return };
    let is =
        |value: &Value| value.as_str().and_then(|text| text.parse().ok()).map(|ip: IpAddr| ip.to_canonical()) == Some(address);
    let Some(index) = list.iter().position(is) else { return };
    let removed = list.remove(index);
    if index == 0
        && let Some(first) = list.get_mut(0)
        && let Some(prefix) = removed.decor().prefix()
    {
        first.decor_mut().set_prefix(prefix.clone());
    }
}

/// The text of a reservation: header to last entry.
fn cut_reservation(text: &str, document: &Document<&str>, prefix: &UrlPrefix) -> Option<Range<usize>> {
    let tables = document.get("urlacl")?.as_array_of_tables()?;
    let is = |table: &&Table| {
        let url = table.get("url").and_then(Item::as_str).and_then(|url| url.parse::<PrefixSpec>().ok());
        url.and_then(|url| url.resolve()).as_ref() == Some(prefix)
    };
    let table = tables.iter().find(is)?;
    let end = table.iter().filter_map(|(_, item)| item.span()).map(|span| span.end).max()?;
    Some(lines(text, table.span()?.start..end))
}

/// The text of a key and its value, if it has lines of its own.
fn cut_entry(text: &str, document: &Document<&str>, section: &str, name: &str) -> Option<Range<usize>> {
    let table = document.get(section)?.as_table()?;
    let (key, item) = table.get_key_value(name)?;
    Some(lines(text, key.span()?.start..item.span()?.end))
}

/// Whole lines, with the comment that stands directly above them, unless that is what the file begins with.
fn lines(text: &str, span: Range<usize>) -> Range<usize> {
    let before = text.get(..span.start).unwrap_or_default();
    let mut start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let end = text.get(span.end..).and_then(|rest| rest.find('\n')).map_or(text.len(), |newline| span.end + newline + 1);
    let mut above = start;
    while let Some(line) = line_before(text, above)
        && line.trim_start().starts_with('#')
    {
        above -= line.len();
    }
    if above > 0 {
        start = above;
    }
    start..end
}

/// The line that ends at `end`, with its newline.
fn line_before(text: &str, end: usize) -> Option<&str> {
    let before = text.get(..end)?;
    let begin = before.strip_suffix('\n')?.rfind('\n').map_or(0, |newline| newline + 1);
    before.get(begin..)
}

/// The text without these lines, and without one of two empty lines that would come together.
fn without(text: &str, cut: Range<usize>) -> String {
    let (before, after) = (text.get(..cut.start).unwrap_or_default(), text.get(cut.end..).unwrap_or_default());
    let after = if before.is_empty() || before.ends_with("\n\n") { after.strip_prefix('\n').unwrap_or(after) } else { after };
    match before.strip_suffix('\n') {
        Some(before) if after.is_empty() && before.ends_with('\n') => before.to_owned(),
        _ => format!("{before}{after}"),
    }
}

#[cfg(test)]
mod tests;
