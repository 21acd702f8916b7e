//! The machine's users and groups: names and numbers. Name services may be slow; only the control thread asks them.

use std::collections::HashMap;
use std::time::Duration;

use narthex_proto::wire::Principal;
use nix::unistd::{Gid, Group, Uid, User};
use tokio::time::Instant;

/// How long a user's groups are taken as known. Long enough for a program that registers many URLs.
const REMEMBERED: Duration = Duration::from_secs(10);

/// The user with this name.
pub(crate) fn user_id(name: &str) -> Option<u32> {
    User::from_name(name).ok()?.map(|user| user.uid.as_raw())
}

/// The group with this name.
pub(crate) fn group_id(name: &str) -> Option<u32> {
    Group::from_name(name).ok()?.map(|group| group.gid.as_raw())
}

/// The name of a user or group, if it has one that finds it again.
pub(crate) fn name(principal: Principal) -> Option<String> {
    match principal {
        Principal::User(uid) => User::from_uid(Uid::from_raw(uid)).ok()?.map(|user| user.name),
        Principal::Group(gid) => Group::from_gid(Gid::from_raw(gid)).ok()?.map(|group| group.name),
        Principal::Everyone => Some("Everyone".to_owned()),
    }
}

/// The name, or the number as text.
pub(crate) fn name_or_number(principal: Principal) -> String {
    name(principal).unwrap_or_else(|| match principal {
        Principal::User(number) | Principal::Group(number) => number.to_string(),
        Principal::Everyone => String::new(),
    })
}

/// As a sentence names it: `user "web"`, `group 1000`, `everyone`.
pub(crate) fn described(principal: Principal) -> String {
    let kind = match principal {
        Principal::User(_) => "user",
        Principal::Group(_) => "group",
        Principal::Everyone => return "everyone".to_owned(),
    };
    match name(principal) {
        Some(name) => format!("{kind} {name:?}"),
        None => format!("{kind} {}", name_or_number(principal)),
    }
}

/// The group that the processes of a user have unless they choose another; the user's own number if nothing is known.
pub(crate) fn primary_group(uid: u32) -> u32 {
    User::from_uid(Uid::from_raw(uid)).ok().flatten().map_or(uid, |user| user.gid.as_raw())
}

/// The groups of users, remembered for a short time.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    known: HashMap<(u32, u32), (Instant, Vec<u32>)>,
}

impl Groups {
    /// The groups of a user whose process has the group `gid`: that one, and those that the user database has.
    ///
    /// A process that has given up some of its user's groups counts as a member all the same: the socket's credentials do
    /// not tell.
    pub(crate) fn of(&mut self, uid: u32, gid: u32) -> Vec<u32> {
        let now = Instant::now();
        self.known.retain(|_, (asked, _)| now.duration_since(*asked) < REMEMBERED);
        let (_, groups) = self.known.entry((uid, gid)).or_insert_with(|| (now, look_up(uid, gid)));
        groups.clone()
    }
}

fn look_up(uid: u32, gid: u32) -> Vec<u32> {
    let user = User::from_uid(Uid::from_raw(uid)).ok().flatten();
    let mut groups = user.and_then(|user| listed(&user.name, user.gid)).unwrap_or_default();
    if !groups.contains(&gid) {
        groups.push(gid);
    }
    groups
}

#[cfg(not(target_vendor = "apple"))]
fn listed(user: &str, gid: Gid) -> Option<Vec<u32>> {
    let groups = nix::unistd::getgrouplist(&std::ffi::CString::new(user).ok()?, gid).ok()?;
    Some(groups.into_iter().map(Gid::as_raw).collect())
}

/// Apple's systems have another interface for this, which no crate here offers safely.
#[cfg(target_vendor = "apple")]
fn listed(_user: &str, gid: Gid) -> Option<Vec<u32>> {
    Some(vec![gid.as_raw()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_lead_to_each_other() {
        assert_eq!(user_id("root"), Some(0));
        assert_eq!(name(Principal::User(0)).as_deref(), Some("root"));
        assert_eq!(user_id("no-such-user-here"), None);
        assert_eq!(described(Principal::User(3_999_999_999)), "user 3999999999");
        assert_eq!(described(Principal::User(0)), "user \"root\"");
    }

    #[test]
    fn a_user_is_in_the_group_of_its_process_and_in_those_of_the_database() {
        let mut groups = Groups::default();
        assert!(groups.of(0, 0).contains(&0));
        assert!(groups.of(0, 4_242).contains(&4_242));
        assert!(groups.of(0, 4_242).contains(&0), "the database's own group is missing");
        assert_eq!(groups.of(3_999_999_999, 17), [17]);
    }
}
