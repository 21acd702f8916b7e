//! The configuration as a script, which an operator can keep and run again.

use std::path::Path;

use narthex_proto::wire::Principal;

use super::super::reservations::quoted;
use super::{cacheparam, setting_state, timer_state};
use crate::admin::{BindingOption, CacheparamState, Grant, OptionKind, TimerState, sddl};
use crate::config::{self, Bound, CacheParam, Config, MachineTimer, Reserved, SETTINGS, Setting};

/// Whether a script has the passphrases that stand in the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Passphrases {
    /// It would not make the same bindings without them.
    Written,
    /// Everybody may ask for a script, and need not be allowed to read the configuration.
    LeftOut,
}

/// The commands that make the configuration from the defaults.
///
/// Relative paths of bindings begin at `directory`, wherever the script is run.
pub(super) fn script(config: &Config, directory: &Path, passphrases: Passphrases) -> String {
    let mut lines = vec!["# The configuration of a Narthex host. An operator runs these commands to make it again.".to_owned()];
    lines.extend(config.iplisten.iter().map(|address| format!("narthex add iplisten ipaddress={address}")));
    for TimerState { timer, seconds, .. } in
        MachineTimer::ALL.map(|timer| timer_state(config, timer)).iter().filter(|state| !state.default)
    {
        lines.push(format!("narthex add timeout timeouttype={} value={seconds}", timer.name()));
    }
    for CacheparamState { param, value, .. } in
        CacheParam::ALL.map(|param| cacheparam(config, param)).iter().filter(|state| !state.default)
    {
        lines.push(format!("narthex add cacheparam type={} value={value}", param.name()));
    }
    let is_cacheparam = |setting: &Setting| CacheParam::ALL.iter().any(|param| param.setting() == setting.name);
    for setting in SETTINGS.iter().filter(|setting| !is_cacheparam(setting)) {
        let state = setting_state(config, setting);
        if !state.default {
            lines.push(format!("narthex add setting settingtype={} value={}", state.name, quoted(&state.value)));
        }
    }
    let mut reserved: Vec<&Reserved> = config.reservations.iter().collect();
    reserved.sort_by(|one, other| one.prefix.cmp(&other.prefix));
    lines.extend(reserved.into_iter().map(add_urlacl));
    let mut bindings: Vec<&Bound> = config.bindings.iter().collect();
    bindings.sort_by(|one, other| one.key.cmp(&other.key));
    lines.extend(bindings.into_iter().map(|bound| add_sslcert(bound, directory, passphrases)));
    lines.join("\n") + "\n"
}

/// With a user's name where that says all, which reads well and fits another machine; else with numbers.
fn add_urlacl(reserved: &Reserved) -> String {
    let url = quoted(reserved.prefix.as_str());
    match reserved.grants.as_slice() {
        [Grant { principal: principal @ (Principal::User(_) | Principal::Everyone), listen, delegate }] => {
            let (user, yes_no) =
                (quoted(&config::accounts::name_or_number(*principal)), |right: &bool| if *right { "yes" } else { "no" });
            format!("narthex add urlacl url={url} user={user} listen={} delegate={}", yes_no(listen), yes_no(delegate))
        }
        grants => format!("narthex add urlacl url={url} sddl={}", quoted(&sddl::print(grants))),
    }
}

fn add_sslcert(bound: &Bound, directory: &Path, passphrases: Passphrases) -> String {
    if passphrases == Passphrases::LeftOut && bound.options.get(BindingOption::Passphrase).is_some() {
        let key = &bound.key;
        return format!("# The binding of {key} has a passphrase, which only an operator's dump has.");
    }
    let mut line = format!("narthex add sslcert {}={}", bound.key.kind(), quoted(&bound.key.value()));
    for (option, value) in bound.options.said() {
        let value = match option.kind() {
            OptionKind::Path => directory.join(value).display().to_string(),
            _ => value.to_owned(),
        };
        line += &typed(option, &value);
    }
    line
}

/// An option as netsh would have it typed.
fn typed(option: BindingOption, value: &str) -> String {
    use BindingOption as O;
    let on_off = |key: &str, is_on: bool| format!(" {key}={}", if is_on { "enable" } else { "disable" });
    let is_true = value == "true";
    match option {
        O::SelfSigned => " self-signed".to_owned(),
        O::Acme => " acme".to_owned(),
        O::Http2 => on_off("disablehttp2", !is_true),
        O::Http3 => on_off("disablequic", !is_true),
        O::EarlyData => on_off("earlydata", is_true),
        O::SessionTickets => on_off("enablesessionticket", is_true),
        O::Reject => on_off("reject", is_true),
        O::ClientCertificates => {
            let word = match value {
                "required" => "require",
                "optional" => "enable",
                _ => "disable",
            };
            format!(" clientcertnegotiation={word}")
        }
        _ => format!(" {}={}", option.typed(), quoted(value)),
    }
}
