//! The configuration as a script, which an operator can keep and run again.

use narthex_proto::wire::Principal;

use super::super::reservations::quoted;
use super::{cacheparam, setting_state, timer_state};
use crate::admin::{CacheparamState, Grant, TimerState, sddl};
use crate::config::{self, CacheParam, Config, MachineTimer, Reserved, SETTINGS, Setting};

/// The commands that make the configuration from the defaults.
pub(super) fn script(config: &Config) -> String {
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
