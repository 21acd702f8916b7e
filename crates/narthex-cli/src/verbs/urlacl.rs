//! `narthex add urlacl` and `narthex show urlacl`.

use narthex_host::admin::{AdminError, Answer, Grant, Question, UrlaclState, sddl};
use narthex_proto::wire::Principal;

use super::{answer, command};
use crate::accounts;
use crate::admin::ask;
use crate::args::{AddUrlacl, ShowUrlacl};
use crate::listing::{Listing, yes_or_no};

pub(super) fn add(typed: AddUrlacl) -> anyhow::Result<()> {
    let grants = grants(&typed)?;
    command(&typed.asking, &Question::AddUrlacl { url: typed.url, grants })
}

pub(super) fn show(typed: ShowUrlacl) -> anyhow::Result<()> {
    let asked = typed.url.clone();
    let Answer::Urlacls(found) = ask(&typed.asking.socket, &Question::ShowUrlacl { url: typed.url })? else {
        return Err(AdminError::Unexpected.into());
    };
    answer(&typed.asking, &found, || table(&found, asked.as_deref()))
}

/// Who gets what.
fn grants(typed: &AddUrlacl) -> anyhow::Result<Vec<Grant>> {
    if let Some(sddl) = &typed.sddl {
        return Ok(sddl::parse(sddl)?);
    }
    let mut principals = Vec::new();
    for user in &typed.user {
        principals.push(accounts::user_or_everyone(user)?);
    }
    for group in &typed.group {
        principals.push(Principal::Group(accounts::group(group)?));
    }
    if typed.everyone.is_some_and(|everyone| everyone.is_yes()) {
        principals.push(Principal::Everyone);
    }
    // Named twice is meant once.
    let mut grants: Vec<Grant> = Vec::new();
    for principal in principals {
        if grants.iter().all(|grant| grant.principal != principal) {
            grants.push(Grant { principal, listen: typed.listen.is_yes(), delegate: typed.delegate.is_yes() });
        }
    }
    if grants.is_empty() {
        anyhow::bail!("the reservation would be for nobody: name somebody with user=, group= or everyone=yes");
    }
    Ok(grants)
}

fn table(found: &[UrlaclState], asked: Option<&str>) -> String {
    let mut listing = Listing::titled("URL Reservations:");
    if found.is_empty() {
        match asked {
            Some(url) => listing.line(format_args!("{url} is not reserved; `narthex show urlacl` lists what is.")),
            None => listing.line("No URL is reserved; `narthex add urlacl` reserves one."),
        }
    }
    for reservation in found {
        listing.below(|listing| reserved(listing, reservation));
        listing.blank();
    }
    listing.into_text()
}

fn reserved(listing: &mut Listing, reservation: &UrlaclState) {
    let grants: Vec<Grant> = reservation.grants.iter().map(|named| named.grant).collect();
    listing.line(format_args!("Reserved URL            : {}", reservation.url));
    listing.below(|listing| {
        for named in &reservation.grants {
            match named.grant.principal {
                Principal::User(_) => listing.line(format_args!("User: {}", named.name)),
                Principal::Group(_) => listing.line(format_args!("Group: {}", named.name)),
                Principal::Everyone => listing.line("User: Everyone"),
            }
            listing.below(|listing| {
                listing.line(format_args!("Listen: {}", yes_or_no(named.grant.listen)));
                listing.line(format_args!("Delegate: {}", yes_or_no(named.grant.delegate)));
            });
        }
        listing.below(|listing| listing.line(format_args!("SDDL: {}", sddl::print(&grants))));
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Asking, YesNo};

    fn typed(user: &[&str], group: &[&str]) -> AddUrlacl {
        AddUrlacl {
            url: "http://+:80/".to_owned(),
            user: user.iter().map(|user| (*user).to_owned()).collect(),
            group: group.iter().map(|group| (*group).to_owned()).collect(),
            everyone: None,
            listen: YesNo::Yes,
            delegate: YesNo::No,
            sddl: None,
            asking: Asking::default(),
        }
    }

    fn principals(typed: &AddUrlacl) -> Vec<Principal> {
        grants(typed).unwrap().into_iter().map(|grant| grant.principal).collect()
    }

    #[test]
    fn everybody_who_is_named_gets_the_same_rights_once() {
        let both = AddUrlacl { delegate: YesNo::Yes, ..typed(&["root", "0", "everyone"], &["4242"]) };
        assert_eq!(principals(&both), [Principal::User(0), Principal::Everyone, Principal::Group(4242)]);
        assert!(grants(&both).unwrap().iter().all(|grant| grant.listen && grant.delegate));
    }

    #[test]
    fn a_reservation_for_nobody_is_refused() {
        let nobody = AddUrlacl { everyone: Some(YesNo::No), ..typed(&[], &[]) };
        assert!(grants(&nobody).unwrap_err().to_string().contains("everyone=yes"));
        assert!(grants(&typed(&["no such user"], &[])).unwrap_err().to_string().contains("no such user"));
    }
}
