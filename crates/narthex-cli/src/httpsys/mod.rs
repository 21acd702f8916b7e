//! netsh's verbs on Windows: they act on the machine's HTTP.sys itself.

mod sslcert;
mod urlacl;

use std::process::Command as Program;

use anyhow::{Context, bail};
use narthex_httpsys::Code;
use narthex_httpsys::configuration::{CacheParam, Configuration, Entry, Key, Kind, SystemConfiguration, Timer};
use serde_json::{Value, json};

use crate::args::{Add, Asking, Delete, Show, ShowServicestate, Update, View};
use crate::listing::Listing;
use crate::output::{print, print_json};

/// The number of seconds that means "never".
const NEVER: u16 = u16::MAX;

fn system() -> anyhow::Result<SystemConfiguration> {
    SystemConfiguration::open().map_err(|code| anyhow::anyhow!("this Windows has no HTTP.sys to ask: {code}"))
}

/// `narthex show`.
pub(crate) fn show(what: Show) -> anyhow::Result<()> {
    let system = match what {
        Show::Servicestate(typed) => return service_state(&typed),
        _ => system()?,
    };
    match what {
        Show::Servicestate(_) => Ok(()),
        Show::Urlacl(typed) => urlacl::show(&system, &typed),
        Show::Sslcert(typed) => sslcert::show(&system, typed),
        Show::Iplisten(asking) => list(&system, asking, Kind::IpListen, None, "IP addresses present in the IP listen list:"),
        Show::Timeout(typed) => {
            let only = typed.timeouttype.map(|timer| Key::Timeout(timer.into()));
            list(&system, typed.asking, Kind::Timeout, only, "Timeouts:")
        }
        Show::Cacheparam(typed) => {
            let only = typed.kind.map(|param| Key::CacheParam(param.into()));
            list(&system, typed.asking, Kind::CacheParam, only, "Cache parameters:")
        }
    }
}

/// `narthex add`.
pub(crate) fn add(what: Add) -> anyhow::Result<()> {
    let system = system()?;
    let (entry, asking) = match what {
        Add::Urlacl(typed) => (urlacl::entry(&system, &typed)?, typed.asking),
        Add::Iplisten(typed) => (Entry::IpListen(typed.ipaddress), typed.asking),
        Add::Timeout(typed) => (Entry::Timeout(typed.timeouttype.into(), typed.value), typed.asking),
        Add::Cacheparam(typed) => (Entry::CacheParam(typed.kind.into(), typed.value), typed.asking),
        Add::Sslcert(typed) => (Entry::SslCert(sslcert::added(typed.binding, &typed.options)?), typed.asking),
    };
    let key = entry.key();
    let what = if matches!(key.kind(), Kind::Timeout | Kind::CacheParam) { "set" } else { "added" };
    done(asking, &key, what, system.add(&entry))
}

/// `narthex update`.
pub(crate) fn update(what: Update) -> anyhow::Result<()> {
    let Update::Sslcert(typed) = what;
    let system = system()?;
    let binding = sslcert::changed(&system, typed.binding, &typed.options)?;
    let entry = Entry::SslCert(binding);
    done(typed.asking, &entry.key(), "changed", system.update(&entry))
}

/// `narthex delete`.
pub(crate) fn delete(what: Delete) -> anyhow::Result<()> {
    let (key, asking) = match what {
        Delete::Urlacl(typed) => (Key::UrlAcl(typed.url), typed.asking),
        Delete::Iplisten(typed) => (Key::IpListen(typed.ipaddress), typed.asking),
        Delete::Timeout(typed) => (Key::Timeout(typed.timeouttype.into()), typed.asking),
        Delete::Cacheparam(typed) => (Key::CacheParam(typed.kind.into()), typed.asking),
        Delete::Sslcert(typed) => (Key::SslCert(sslcert::named(typed.binding)?), typed.asking),
    };
    done(asking, &key, "deleted", system()?.delete(&key))
}

/// Windows tells the state of HTTP.sys to netsh alone.
fn service_state(typed: &ShowServicestate) -> anyhow::Result<()> {
    let view = match typed.view {
        View::Session => "view=session",
        View::RequestQueue => "view=requestq",
    };
    let netsh = Program::new("netsh").args(["http", "show", "servicestate", view]).status();
    let status = netsh.context("cannot start netsh, which alone is told the state of HTTP.sys")?;
    if !status.success() {
        bail!("netsh http show servicestate {view} ended with {status}");
    }
    Ok(())
}

/// Says what became of a change.
fn done(asking: Asking, key: &Key, what: &str, outcome: Result<(), Code>) -> anyhow::Result<()> {
    if let Err(code) = outcome {
        bail!(refusal(key, code, &typed()));
    }
    if asking.json {
        return print_json(&json!({ "done": format!("{key} is {what}") }));
    }
    print(&format!("{key} is {what}"));
    Ok(())
}

/// What is in the way, and what to do about it.
fn refusal(key: &Key, code: Code, typed: &str) -> String {
    match code {
        Code::ACCESS_DENIED => {
            format!("access is denied; in a console that was opened with \"Run as administrator\", run: {typed}")
        }
        Code::ALREADY_EXISTS => format!("{key} is there already: delete it first, or leave it"),
        Code::FILE_NOT_FOUND => format!("there is no {key}; `narthex show` lists what is there"),
        Code::INVALID_PARAMETER => format!("HTTP.sys does not take {key}: a prefix is scheme://host:port/path/ ({code})"),
        code if code.is_lacking() => format!("this Windows has no way to do that with {key} ({code})"),
        code => format!("HTTP.sys refuses {key}: {code}"),
    }
}

/// The command line, to be typed again.
fn typed() -> String {
    let quoted = |word: String| if word.contains([' ', ';', '&']) { format!("\"{word}\"") } else { word };
    let words = std::env::args().skip(1).map(quoted);
    std::iter::once("narthex".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// The entries of a kind, or the one with this key.
fn found(configuration: &impl Configuration, kind: Kind, only: Option<&Key>) -> anyhow::Result<Vec<Entry>> {
    let mut entries = match configuration.list(kind) {
        Ok(entries) => entries,
        Err(Code::ACCESS_DENIED) => {
            bail!("access is denied; in a console that was opened with \"Run as administrator\", run: {}", typed())
        }
        Err(code) => bail!("HTTP.sys does not tell: {code}"),
    };
    entries.retain(|entry| only.is_none_or(|only| entry.key() == *only));
    Ok(entries)
}

/// Prints entries that are a name and a value each.
fn list(configuration: &impl Configuration, asking: Asking, kind: Kind, only: Option<Key>, title: &str) -> anyhow::Result<()> {
    let entries = found(configuration, kind, only.as_ref())?;
    if asking.json {
        return print_json(&entries.iter().map(as_json).collect::<Vec<_>>());
    }
    print(&table(title, &entries));
    Ok(())
}

fn as_json(entry: &Entry) -> Value {
    match entry {
        Entry::UrlAcl { url, sddl } => json!({ "url": url, "sddl": sddl }),
        Entry::IpListen(address) => json!(address),
        Entry::Timeout(timer, seconds) => json!({ "timer": label_of_timer(*timer), "seconds": seconds }),
        Entry::CacheParam(param, bytes) => json!({ "param": label_of_param(*param), "value": bytes }),
        Entry::SslCert(binding) => sslcert::as_json(binding),
    }
}

fn table(title: &str, entries: &[Entry]) -> String {
    let mut listing = Listing::titled(title);
    if entries.is_empty() {
        listing.line("None: HTTP.sys goes by its defaults.");
    }
    let values: Vec<(String, String)> = entries.iter().filter_map(value).collect();
    listing.below(|listing| {
        listing.values(&values);
        entries.iter().for_each(|entry| {
            if let Entry::IpListen(address) = entry {
                listing.line(address);
            }
        });
    });
    listing.into_text()
}

fn value(entry: &Entry) -> Option<(String, String)> {
    match entry {
        Entry::Timeout(timer, NEVER) => Some((label_of_timer(*timer).to_owned(), "never".to_owned())),
        Entry::Timeout(timer, seconds) => Some((label_of_timer(*timer).to_owned(), seconds.to_string())),
        Entry::CacheParam(param, bytes) => Some((label_of_param(*param).to_owned(), bytes.to_string())),
        _ => None,
    }
}

fn label_of_timer(timer: Timer) -> &'static str {
    match timer {
        Timer::IdleConnection => "Idle connection timeout (secs)",
        Timer::HeaderWait => "Header wait timeout (secs)",
    }
}

fn label_of_param(param: CacheParam) -> &'static str {
    match param {
        CacheParam::MaxCacheResponseSize => "Maximum cache response size (bytes)",
        CacheParam::CacheRangeChunkSize => "Cache range chunk size (bytes)",
    }
}

#[cfg(test)]
mod tests {
    use narthex_httpsys::configuration::FakeConfiguration;

    use super::*;

    #[test]
    fn a_refusal_says_what_to_type_where() {
        let key = Key::UrlAcl("http://+:80/shop/".to_owned());
        let typed = "narthex add urlacl url=http://+:80/shop/ user=PC\\me";
        let denied = FakeConfiguration::denying().delete(&key).unwrap_err();
        let text = refusal(&key, denied, typed);
        assert!(text.contains("Run as administrator") && text.ends_with(typed) && !text.contains('\n'), "{text}");
        assert!(refusal(&key, Code::ALREADY_EXISTS, typed).contains("url=http://+:80/shop/ is there already"));
        assert!(refusal(&key, Code::CALL_NOT_IMPLEMENTED, typed).contains("120"));
    }

    #[test]
    fn timers_and_parameters_are_listed_with_their_units() {
        let fake = FakeConfiguration::default();
        fake.add(&Entry::Timeout(Timer::IdleConnection, NEVER)).unwrap();
        fake.add(&Entry::Timeout(Timer::HeaderWait, 30)).unwrap();
        let text = table("Timeouts:", &found(&fake, Kind::Timeout, None).unwrap());
        assert!(text.contains("Idle connection timeout (secs) : never"), "{text}");
        let only = Key::Timeout(Timer::HeaderWait);
        let one = found(&fake, Kind::Timeout, Some(&only)).unwrap();
        assert_eq!(one, [Entry::Timeout(Timer::HeaderWait, 30)]);
        assert!(table("IP:", &[]).contains("defaults"));
    }
}
