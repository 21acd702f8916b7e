//! `narthex add|update|delete|show sslcert`.

use anyhow::{Context, bail};
use narthex_httpsys::configuration::{Configuration, Entry, Flag, Key, Kind, SslCert, SslKey};
use serde_json::{Value, json};

use super::found;
use crate::args::{BindingArgument, BindingOptions, BindingSwitches, ShowSslcert, Switch};
use crate::listing::Listing;
use crate::output::{print, print_json};

/// `CERT_CHAIN_POLICY` bits of `DefaultCertCheckMode`.
const NO_REVOCATION_CHECK: u32 = 0x1;
const CACHED_REVOCATION_ONLY: u32 = 0x2;
const NO_USAGE_CHECK: u32 = 0x1_0000;

/// The key that was typed.
pub(super) fn named(typed: BindingArgument) -> anyhow::Result<SslKey> {
    typed.key().context("name the binding with ipport=, hostnameport= or ccs=")
}

/// A new binding.
pub(super) fn added(key: BindingArgument, options: &BindingOptions) -> anyhow::Result<SslCert> {
    let mut binding = SslCert::new(named(key)?);
    apply(&mut binding, options);
    let of_store = matches!(binding.key, SslKey::Ccs(_));
    if of_store != binding.hash.0.is_empty() {
        bail!(match of_store {
            true => "a central certificate store has its certificates itself: leave certhash= out",
            false => "the binding has no certificate: name the thumbprint of one in the machine's store with certhash=",
        });
    }
    if options.appid.is_none() {
        bail!("say whose binding it is with appid=, any GUID that you keep for your app");
    }
    Ok(binding)
}

/// A binding that is there, with a change.
pub(super) fn changed(
    configuration: &impl Configuration,
    key: BindingArgument,
    options: &BindingOptions,
) -> anyhow::Result<SslCert> {
    let key = named(key)?;
    let only = Key::SslCert(key.clone());
    let Some(Entry::SslCert(mut binding)) = found(configuration, Kind::SslCert, Some(&only))?.into_iter().next() else {
        bail!("there is no binding {key}; `narthex show sslcert` lists what is there");
    };
    apply(&mut binding, options);
    Ok(binding)
}

fn apply(binding: &mut SslCert, options: &BindingOptions) {
    let BindingOptions { certhash, appid, certstorename, sslctlidentifier, sslctlstorename, switches, .. } = options;
    binding.hash = certhash.clone().unwrap_or_else(|| binding.hash.clone());
    binding.app_id = appid.unwrap_or(binding.app_id);
    binding.store = certstorename.clone().or(binding.store.take());
    binding.ctl_identifier = sslctlidentifier.clone().or(binding.ctl_identifier.take());
    binding.ctl_store = sslctlstorename.clone().or(binding.ctl_store.take());
    binding.revocation_freshness = options.revocationfreshnesstime.unwrap_or(binding.revocation_freshness);
    binding.retrieval_timeout = options.urlretrievaltimeout.unwrap_or(binding.retrieval_timeout);
    for (bit, switch, when) in [
        (NO_REVOCATION_CHECK, options.verifyclientcertrevocation, Switch::Disable),
        (CACHED_REVOCATION_ONLY, options.verifyrevocationwithcachedclientcertonly, Switch::Enable),
        (NO_USAGE_CHECK, options.usagecheck, Switch::Disable),
    ] {
        match switch {
            Some(switch) if switch == when => binding.check_mode |= bit,
            Some(_) => binding.check_mode &= !bit,
            None => {}
        }
    }
    for flag in Flag::ALL {
        if let Some(switch) = switch(switches, flag) {
            binding.set(flag, switch.is_on());
        }
    }
}

fn switch(typed: &BindingSwitches, flag: Flag) -> Option<Switch> {
    match flag {
        Flag::DsMapper => typed.dsmapperusage,
        Flag::NegotiateClientCertificate => typed.clientcertnegotiation,
        Flag::Reject => typed.reject,
        Flag::DisableHttp2 => typed.disablehttp2,
        Flag::DisableQuic => typed.disablequic,
        Flag::DisableTls13 => typed.disabletls13,
        Flag::DisableOcspStapling => typed.disableocspstapling,
        Flag::EnableTokenBinding => typed.enabletokenbinding,
        Flag::LogExtendedEvents => typed.logextendedevents,
        Flag::DisableLegacyTls => typed.disablelegacytls,
        Flag::EnableSessionTicket => typed.enablesessionticket,
        Flag::DisableTls12 => typed.disabletls12,
        Flag::DisableSessionId => typed.disablesessionid,
    }
}

pub(super) fn show(configuration: &impl Configuration, typed: ShowSslcert) -> anyhow::Result<()> {
    let only = typed.binding.key().map(Key::SslCert);
    let entries = found(configuration, Kind::SslCert, only.as_ref())?;
    let bindings: Vec<&SslCert> = entries.iter().filter_map(binding).collect();
    if typed.asking.json {
        return print_json(&bindings.iter().map(|binding| as_json(binding)).collect::<Vec<_>>());
    }
    print(&table(&bindings));
    Ok(())
}

fn binding(entry: &Entry) -> Option<&SslCert> {
    match entry {
        Entry::SslCert(binding) => Some(binding),
        _ => None,
    }
}

fn table(bindings: &[&SslCert]) -> String {
    let mut listing = Listing::titled("SSL Certificate bindings:");
    if bindings.is_empty() {
        listing.line("There is no binding; `narthex add sslcert` makes one.");
    }
    for binding in bindings {
        listing.below(|listing| listing.values(&values(binding)));
        listing.blank();
    }
    listing.into_text()
}

/// Names as netsh has them typed, so that a line of the list can be typed again.
fn values(binding: &SslCert) -> Vec<(String, String)> {
    let key = binding.key.to_string();
    let (kind, value) = key.split_once('=').unwrap_or((&key, ""));
    let mut values = vec![(kind.to_owned(), value.to_owned())];
    let mut say = |name: &str, value: String| values.push((name.to_owned(), value));
    if !binding.hash.0.is_empty() {
        say("certhash", binding.hash.to_string());
    }
    say("appid", binding.app_id.to_string());
    let texts = [
        ("certstorename", &binding.store),
        ("sslctlidentifier", &binding.ctl_identifier),
        ("sslctlstorename", &binding.ctl_store),
    ];
    for (name, text) in texts {
        if let Some(text) = text {
            say(name, text.clone());
        }
    }
    let checks = |bit: u32| binding.check_mode & bit != 0;
    let enabled = |on: bool| if on { "enable" } else { "disable" }.to_owned();
    say("verifyclientcertrevocation", enabled(!checks(NO_REVOCATION_CHECK)));
    say("verifyrevocationwithcachedclientcertonly", enabled(checks(CACHED_REVOCATION_ONLY)));
    say("usagecheck", enabled(!checks(NO_USAGE_CHECK)));
    say("revocationfreshnesstime", binding.revocation_freshness.to_string());
    say("urlretrievaltimeout", binding.retrieval_timeout.to_string());
    Flag::ALL.into_iter().for_each(|flag| say(flag.name(), enabled(binding.has(flag))));
    values
}

pub(super) fn as_json(binding: &SslCert) -> Value {
    json!(values(binding).into_iter().collect::<std::collections::BTreeMap<_, _>>())
}

#[cfg(test)]
mod tests {
    use narthex_httpsys::configuration::FakeConfiguration;

    use super::*;

    const HASH: &str = "00112233445566778899aabbccddeeff00112233";
    const APP: &str = "{00112233-4455-6677-8899-aabbccddeeff}";

    fn on(text: &str) -> BindingArgument {
        BindingArgument { ipport: Some(SslKey::ip_port(text).unwrap()), ..BindingArgument::default() }
    }

    fn options() -> BindingOptions {
        BindingOptions { certhash: HASH.parse().ok(), appid: APP.parse().ok(), ..BindingOptions::default() }
    }

    #[test]
    fn a_change_leaves_what_it_does_not_name() {
        let fake = FakeConfiguration::default();
        let mut first = options();
        first.switches.disablehttp2 = Some(Switch::Enable);
        first.verifyclientcertrevocation = Some(Switch::Disable);
        fake.add(&Entry::SslCert(added(on("0.0.0.0:443"), &first).unwrap())).unwrap();
        let mut change = BindingOptions { certstorename: Some("WebHosting".to_owned()), ..BindingOptions::default() };
        change.switches.clientcertnegotiation = Some(Switch::Enable);
        let binding = changed(&fake, on("0.0.0.0:443"), &change).unwrap();
        fake.update(&Entry::SslCert(binding.clone())).unwrap();
        assert!(binding.has(Flag::DisableHttp2) && binding.has(Flag::NegotiateClientCertificate));
        assert_eq!((binding.hash.to_string().as_str(), binding.check_mode), (HASH, NO_REVOCATION_CHECK));
        let text = table(&[&binding]);
        for (name, value) in [
            ("ipport", "0.0.0.0:443"),
            ("certhash", HASH),
            ("appid", APP),
            ("certstorename", "WebHosting"),
            ("disablehttp2", "enable"),
        ] {
            let line = text.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
            assert!(line.ends_with(&format!(": {value}")), "{line}");
        }
        assert!(changed(&fake, on("0.0.0.0:444"), &change).unwrap_err().to_string().contains("0.0.0.0:444"));
    }

    #[test]
    fn a_binding_has_a_certificate_and_an_owner() {
        let without = |change: fn(&mut BindingOptions)| {
            let mut options = options();
            change(&mut options);
            added(on("0.0.0.0:443"), &options).unwrap_err().to_string()
        };
        assert!(without(|options| options.certhash = None).contains("certhash="));
        assert!(without(|options| options.appid = None).contains("appid="));
        let store = BindingArgument { ccs: Some(SslKey::Ccs(443)), ..BindingArgument::default() };
        assert!(added(store.clone(), &options()).unwrap_err().to_string().contains("leave certhash= out"));
        let options = BindingOptions { certhash: None, ..options() };
        assert_eq!(added(store, &options).unwrap().key, SslKey::Ccs(443));
    }
}
