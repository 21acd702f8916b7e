//! `narthex add urlacl` and `narthex show urlacl`.

use anyhow::{Context, anyhow, bail};
use narthex_httpsys::Code;
use narthex_httpsys::configuration::{Configuration, Entry, Key, Kind};

use super::{as_json, found};
use crate::args::{AddUrlacl, ShowUrlacl};
use crate::listing::Listing;
use crate::output::{print, print_json};

/// The reservation that was typed.
pub(super) fn entry(configuration: &impl Configuration, typed: &AddUrlacl) -> anyhow::Result<Entry> {
    let sddl = match &typed.sddl {
        Some(sddl) => sddl.clone(),
        None => descriptor(configuration, typed)?,
    };
    Ok(Entry::UrlAcl { url: typed.url.clone(), sddl })
}

fn descriptor(configuration: &impl Configuration, typed: &AddUrlacl) -> anyhow::Result<String> {
    let right = match (typed.listen.is_yes(), typed.delegate.is_yes()) {
        (true, true) => "GA",
        (true, false) => "GX",
        (false, true) => "GW",
        (false, false) => bail!("the reservation would allow nothing: leave listen=no or delegate=no out"),
    };
    let mut descriptor = "D:".to_owned();
    for user in &typed.user {
        // `\Everyone` is how netsh's own pages write it.
        let sid = configuration.sid(user.trim_start_matches('\\')).map_err(|code| match code {
            Code::NONE_MAPPED => anyhow!("there is no user or group {user:?}: write it as DOMAIN\\name, or PC\\name"),
            code => anyhow!("cannot look up {user:?}: {code}"),
        })?;
        descriptor.push_str(&format!("(A;;{right};;;{sid})"));
    }
    Ok(descriptor)
}

pub(super) fn show(configuration: &impl Configuration, typed: &ShowUrlacl) -> anyhow::Result<()> {
    let only = typed.url.clone().map(Key::UrlAcl);
    let entries = found(configuration, Kind::UrlAcl, only.as_ref()).context("cannot list the reservations")?;
    if typed.asking.json {
        return print_json(&entries.iter().map(as_json).collect::<Vec<_>>());
    }
    print(&table(&entries, typed.url.as_deref()));
    Ok(())
}

fn table(entries: &[Entry], asked: Option<&str>) -> String {
    let mut listing = Listing::titled("URL Reservations:");
    if entries.is_empty() {
        match asked {
            Some(url) => listing.line(format_args!("{url} is not reserved; `narthex show urlacl` lists what is.")),
            None => listing.line("No URL is reserved; `narthex add urlacl` reserves one."),
        }
    }
    for entry in entries {
        let Entry::UrlAcl { url, sddl } = entry else { continue };
        listing.below(|listing| {
            listing.line(format_args!("Reserved URL            : {url}"));
            listing.below(|listing| listing.line(format_args!("SDDL: {sddl}")));
        });
        listing.blank();
    }
    listing.into_text()
}

#[cfg(test)]
mod tests {
    use narthex_httpsys::configuration::FakeConfiguration;

    use super::*;
    use crate::args::{Asking, YesNo};

    fn typed(user: &[&str], listen: YesNo, delegate: YesNo) -> AddUrlacl {
        let user = user.iter().map(|user| (*user).to_owned()).collect();
        AddUrlacl { url: "http://+:80/".to_owned(), user, listen, delegate, sddl: None, asking: Asking::default() }
    }

    #[test]
    fn users_become_entries_of_a_descriptor() {
        let fake = FakeConfiguration::default();
        let both = typed(&["\\Everyone", "BUILTIN\\Users"], YesNo::Yes, YesNo::No);
        let Entry::UrlAcl { sddl, .. } = entry(&fake, &both).unwrap() else { panic!("it is a reservation") };
        assert_eq!(sddl, "D:(A;;GX;;;S-1-1-0)(A;;GX;;;S-1-5-32-545)");
        let all = descriptor(&fake, &typed(&["Everyone"], YesNo::Yes, YesNo::Yes)).unwrap();
        assert_eq!(all, "D:(A;;GA;;;S-1-1-0)");
    }

    #[test]
    fn nobody_and_nothing_are_refused() {
        let fake = FakeConfiguration::default();
        let nobody = descriptor(&fake, &typed(&["nobody"], YesNo::Yes, YesNo::No)).unwrap_err().to_string();
        assert!(nobody.contains("\"nobody\"") && nobody.contains("DOMAIN\\name"), "{nobody}");
        assert!(descriptor(&fake, &typed(&["Everyone"], YesNo::No, YesNo::No)).unwrap_err().to_string().contains("listen=no"));
    }

    #[test]
    fn reservations_are_listed_with_their_descriptors() {
        let entry = Entry::UrlAcl { url: "http://+:80/".to_owned(), sddl: "D:(A;;GX;;;WD)".to_owned() };
        let text = table(&[entry], None);
        assert!(text.contains("Reserved URL            : http://+:80/") && text.contains("SDDL: D:(A;;GX;;;WD)"), "{text}");
        assert!(table(&[], Some("http://+:81/")).contains("http://+:81/ is not reserved"));
    }
}
