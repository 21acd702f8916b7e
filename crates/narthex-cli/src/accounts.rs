//! Users and groups of this machine, by name or number.

use anyhow::{Context, bail};
use narthex_proto::wire::Principal;

/// The user that was typed; `Everyone` is every user, unless somebody is called so.
///
/// # Errors
/// If there is no such user.
pub(crate) fn user_or_everyone(typed: &str) -> anyhow::Result<Principal> {
    if let Some(found) = nix::unistd::User::from_name(typed).with_context(|| format!("cannot look up the user {typed:?}"))? {
        return Ok(Principal::User(found.uid.as_raw()));
    }
    // `\Everyone` is how netsh's own pages write it.
    if typed.trim_start_matches('\\').eq_ignore_ascii_case("everyone") {
        return Ok(Principal::Everyone);
    }
    Ok(Principal::User(user(typed)?))
}

/// The user that was typed.
///
/// # Errors
/// If there is no such user.
pub(crate) fn user(typed: &str) -> anyhow::Result<u32> {
    match nix::unistd::User::from_name(typed).with_context(|| format!("cannot look up the user {typed:?}"))? {
        Some(found) => Ok(found.uid.as_raw()),
        None => number(typed, "user", "getent passwd"),
    }
}

/// The group that was typed.
///
/// # Errors
/// If there is no such group.
pub(crate) fn group(typed: &str) -> anyhow::Result<u32> {
    match nix::unistd::Group::from_name(typed).with_context(|| format!("cannot look up the group {typed:?}"))? {
        Some(found) => Ok(found.gid.as_raw()),
        None => number(typed, "group", "getent group"),
    }
}

/// A number needs no name on this machine: containers have such users. The largest means "none" to the kernel.
fn number(typed: &str, kind: &str, listing: &str) -> anyhow::Result<u32> {
    match typed.parse() {
        Ok(number) if number != u32::MAX && typed.bytes().all(|byte| byte.is_ascii_digit()) => Ok(number),
        _ => bail!("this machine has no {kind} {typed:?}: `{listing}` lists those it has, and a number is taken as it is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_have_names_and_numbers() {
        assert_eq!(user("root").unwrap(), 0);
        assert_eq!(user("4242424").unwrap(), 4_242_424);
        assert_eq!(group("0").unwrap(), 0);
        assert_eq!(user_or_everyone("root").unwrap(), Principal::User(0));
    }

    #[test]
    fn everyone_is_nobody_in_particular() {
        assert_eq!(user_or_everyone("Everyone").unwrap(), Principal::Everyone);
        assert_eq!(user_or_everyone("\\everyone").unwrap(), Principal::Everyone);
    }

    #[test]
    fn who_is_not_there_is_told_by_name() {
        for typed in ["no such user", "", "-1", "+5", "4294967295", "a\0b"] {
            assert!(user(typed).is_err(), "{typed}");
            assert!(group(typed).is_err(), "{typed}");
        }
        let error = user_or_everyone("nosuchuser").unwrap_err().to_string();
        assert!(error.contains("no user \"nosuchuser\""), "{error}");
    }
}
