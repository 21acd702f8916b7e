//! What clients may call a channel.

use super::rejection::Rejection;
use crate::hub::mask::is_mask;

/// Whether `name` names one channel, and is no longer than `most` bytes.
pub(super) fn check(name: &str, most: usize) -> Result<(), Rejection> {
    check_length(name, most)?;
    match is_mask(name) {
        true => Err(bad("this takes the name of one channel, without * and ?")),
        false => Ok(()),
    }
}

/// [`check`], for who may use masks.
pub(super) fn check_mask(name: &str, most: usize, masks: bool) -> Result<(), Rejection> {
    if masks { check_length(name, most) } else { check(name, most) }
}

fn check_length(name: &str, most: usize) -> Result<(), Rejection> {
    if name.is_empty() || name.len() > most {
        return Err(bad(format!("a channel's name has 1 to {most} bytes")));
    }
    if name.contains(char::is_control) {
        return Err(bad("a channel's name has no control characters"));
    }
    Ok(())
}

fn bad(text: impl Into<std::borrow::Cow<'static, str>>) -> Rejection {
    Rejection::coded("bad-channel", text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_short_printable_and_a_mask_only_where_masks_are_allowed() {
        assert!(check("chat/über uns", 20).is_ok());
        assert!(check_mask("chat/*", 20, true).is_ok());
        for (name, masks) in [("", true), ("a\n", true), ("123456", true), ("a*", false), ("a?", false)] {
            assert_eq!(check_mask(name, 5, masks).unwrap_err().code(), "bad-channel", "{name:?}");
        }
    }
}
