//! Security descriptors as `netsh http` takes and prints them, as far as reservations need them.
//!
//! `D:(A;;GX;;;S-1-22-1-1000)` lets the user 1000 register. Users and groups are Samba's SIDs for Unix accounts:
//! `S-1-22-1-<uid>` and `S-1-22-2-<gid>`; `WD` is everyone, `SY` and `BA` are root.

use std::fmt::Write;

use narthex_proto::wire::Principal;

use super::Grant;

/// Why a text is not a security descriptor of a reservation. The message says what is understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{part:?} in the SDDL is not understood: {what}. Understood is D:(A;;RIGHT;;;SID)... with GX (listen), GW (delegate) or GA \
     (both), and the SIDs S-1-22-1-<uid>, S-1-22-2-<gid>, WD (everyone), SY and BA (root)"
)]
pub struct SddlError {
    part: String,
    what: &'static str,
}

fn wrong(part: &str, what: &'static str) -> SddlError {
    SddlError { part: part.chars().take(100).collect(), what }
}

/// Reads a descriptor. Entries for the same user or group are taken together.
///
/// # Errors
/// If it has anything but a list of entries that allow something: owners, flags, entries that deny.
pub fn parse(text: &str) -> Result<Vec<Grant>, SddlError> {
    let text = text.trim();
    let mut rest = strip_prefix(text, "D:").ok_or_else(|| wrong(text, "it begins with D:"))?;
    let mut grants: Vec<Grant> = Vec::new();
    while !rest.is_empty() {
        let entry = rest.strip_prefix('(').and_then(|rest| rest.split_once(')'));
        let (entry, after) = entry.ok_or_else(|| wrong(rest, "entries are in parentheses, without flags before them"))?;
        let grant = entry_of(entry)?;
        match grants.iter_mut().find(|other| other.principal == grant.principal) {
            Some(other) => {
                other.listen |= grant.listen;
                other.delegate |= grant.delegate;
            }
            None => grants.push(grant),
        }
        rest = after;
    }
    if grants.is_empty() {
        return Err(wrong(text, "it names nobody"));
    }
    Ok(grants)
}

/// Writes a descriptor, one entry for each grant.
#[must_use]
pub fn print(grants: &[Grant]) -> String {
    let mut text = "D:".to_owned();
    for grant in grants {
        let right = match (grant.listen, grant.delegate) {
            (true, true) => "GA",
            (true, false) => "GX",
            (false, true) => "GW",
            (false, false) => continue,
        };
        // Writing to a String cannot fail.
        let _ = match grant.principal {
            Principal::User(uid) => write!(text, "(A;;{right};;;S-1-22-1-{uid})"),
            Principal::Group(gid) => write!(text, "(A;;{right};;;S-1-22-2-{gid})"),
            Principal::Everyone => write!(text, "(A;;{right};;;WD)"),
        };
    }
    text
}

fn entry_of(entry: &str) -> Result<Grant, SddlError> {
    let parts: Vec<&str> = entry.split(';').collect();
    let &[kind, flags, rights, object, inherited, sid] = parts.as_slice() else {
        return Err(wrong(entry, "an entry has six parts"));
    };
    if !kind.eq_ignore_ascii_case("A") {
        return Err(wrong(kind, "only A (allow) entries decide here"));
    }
    if let Some(part) = [flags, object, inherited].into_iter().find(|part| !part.is_empty()) {
        return Err(wrong(part, "reservations are not inherited and have no object types"));
    }
    let (listen, delegate) = rights_of(rights)?;
    Ok(Grant { principal: principal_of(sid)?, listen, delegate })
}

fn rights_of(rights: &str) -> Result<(bool, bool), SddlError> {
    match rights.to_ascii_uppercase().as_str() {
        "GX" => Ok((true, false)),
        "GW" => Ok((false, true)),
        "GA" | "GXGW" | "GWGX" => Ok((true, true)),
        _ => Err(wrong(rights, "it is not a right of a reservation")),
    }
}

fn principal_of(sid: &str) -> Result<Principal, SddlError> {
    let unknown = || wrong(sid, "the SID stands for nobody here");
    let upper = sid.to_ascii_uppercase();
    match upper.as_str() {
        "WD" | "S-1-1-0" => return Ok(Principal::Everyone),
        "SY" | "BA" | "S-1-5-18" | "S-1-5-32-544" => return Ok(Principal::User(0)),
        _ => {}
    }
    let number = |prefix: &str| {
        let digits = upper.strip_prefix(prefix)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    number("S-1-22-1-").map(Principal::User).or_else(|| number("S-1-22-2-").map(Principal::Group)).ok_or_else(unknown)
}

fn strip_prefix<'t>(text: &'t str, prefix: &str) -> Option<&'t str> {
    let (start, rest) = text.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn grant(principal: Principal, listen: bool, delegate: bool) -> Grant {
        Grant { principal, listen, delegate }
    }

    #[test]
    fn what_reservations_need_is_read_and_written_alike() {
        let (user, group) = (Principal::User(1000), Principal::Group(44));
        for (text, grants) in [
            ("D:(A;;GX;;;S-1-22-1-1000)", vec![grant(user, true, false)]),
            ("D:(A;;GA;;;S-1-22-2-44)", vec![grant(group, true, true)]),
            ("D:(A;;GW;;;WD)", vec![grant(Principal::Everyone, false, true)]),
            (
                "D:(A;;GX;;;WD)(A;;GA;;;S-1-22-1-0)",
                vec![grant(Principal::Everyone, true, false), grant(Principal::User(0), true, true)],
            ),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(grants.as_slice()), "{text}");
            assert_eq!(print(&grants), text);
        }
    }

    #[test]
    fn other_spellings_of_the_same_are_read_too() {
        let root = vec![grant(Principal::User(0), true, true)];
        for text in ["d:(a;;ga;;;sy)", " D:(A;;GXGW;;;BA) ", "D:(A;;GX;;;SY)(A;;GW;;;BA)", "D:(A;;GA;;;S-1-5-18)"] {
            assert_eq!(parse(text), Ok(root.clone()), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_is_understood() {
        for (text, part) in [
            ("", ""),
            ("D:", "D:"),
            ("O:SYD:(A;;GX;;;WD)", "O:SY"),
            ("D:P(A;;GX;;;WD)", "P(A"),
            ("D:(D;;GX;;;WD)", "D"),
            ("D:(A;OI;GX;;;WD)", "OI"),
            ("D:(A;;GR;;;WD)", "GR"),
            ("D:(A;;GX;;;S-1-5-21-1-2-3-1001)", "S-1-5-21"),
            ("D:(A;;GX;;;S-1-22-1-)", "S-1-22-1-"),
            ("D:(A;;GX;;;S-1-22-1-4294967296)", "4294967296"),
            ("D:(A;;GX;;;S-1-22-1-+5)", "+5"),
            ("D:(A;;GX;;WD)", "A;;GX;;WD"),
            ("D:(A;;GX;;;WD", "(A;;GX"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(part) && error.contains("S-1-22-1-<uid>"), "{text}: {error}");
        }
    }
}
