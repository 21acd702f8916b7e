//! What a key looks like: `nk_`, 43 random characters, and 6 that tell a key from a typing error and help scanners find leaked ones.

use crate::secret::{Secret, random, sha256};

const LETTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// 62^43 is more than 2^256.
const RANDOM: usize = 43;
const CHECKSUM: usize = 6;
/// The largest multiple of 62 that a byte can be: beyond it, some letters would come more often.
const FAIR: u8 = 248;

/// A new key.
pub(super) fn new(prefix: &str) -> Secret {
    let mut text = format!("{prefix}_");
    let end = text.len() + RANDOM;
    while text.len() < end {
        let fair = random::<64>().into_iter().filter(|byte| *byte < FAIR);
        text.extend(
            fair.filter_map(|byte| LETTERS.get(usize::from(byte % 62))).map(|letter| char::from(*letter)).take(end - text.len()),
        );
    }
    text.push_str(&checksum(&text));
    text.into()
}

/// Whether a text can be a key, which says nothing of whether it is one.
pub(super) fn is_wellformed(text: &str, prefix: &str) -> bool {
    let rest = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    let is_long =
        rest.is_some_and(|rest| rest.len() == RANDOM + CHECKSUM && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    is_long && text.split_at_checked(text.len() - CHECKSUM).is_some_and(|(body, sum)| checksum(body) == sum)
}

fn checksum(text: &str) -> String {
    let mut left = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM];
    for digit in digits.iter_mut().rev() {
        *digit = usize::try_from(left % 62).ok().and_then(|nth| LETTERS.get(nth)).copied().unwrap_or(b'0');
        left /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

/// What is kept of a key, and by what it is called: it has 256 random bits, which nobody finds by trying, so that neither salt nor a
/// slow hash would make it safer.
pub(super) fn digest(text: &str) -> ([u8; 32], String) {
    let hash = sha256(text.as_bytes());
    let id = hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    (hash, id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_told_from_a_typing_error() {
        let key = new("nk");
        let text = key.expose();
        assert!(is_wellformed(text, "nk") && text.len() == 3 + RANDOM + CHECKSUM, "{text}");
        assert_ne!(new("nk").expose(), text);
        for position in 3..text.len() {
            let mut wrong = text.to_owned();
            let other = if &text[position..=position] == "x" { "y" } else { "x" };
            wrong.replace_range(position..=position, other);
            assert!(!is_wellformed(&wrong, "nk"), "{wrong}");
        }
        for wrong in ["", "nk_", "nk", &text[1..], &text[..text.len() - 1], &format!("{text}0"), &"ä".repeat(26)] {
            assert!(!is_wellformed(wrong, "nk"), "{wrong}");
        }
        assert!(!is_wellformed(text, "live"));
    }
}
