//! Case-insensitive comparison as prefixes need it: simple lower-casing, one character to one character.
//!
//! ASCII is compared in place; only text with non-ASCII characters is ever copied.

use std::borrow::Cow;

/// Lower-cases `text` character by character.
pub(crate) fn fold(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Cow::Owned(text.to_ascii_lowercase());
        }
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().map(fold_char).collect())
}

/// A character whose lower case is a sequence (only U+0130) stays itself: folding never changes how many
/// characters there are.
fn fold_char(character: char) -> char {
    let mut lower = character.to_lowercase();
    match (lower.next(), lower.next()) {
        (Some(only), None) => only,
        _ => character,
    }
}

#[cfg(test)]
mod tests {
    use super::fold;

    #[test]
    fn folding_is_simple_and_idempotent() {
        assert_eq!(fold("/MyApp/"), "/myapp/");
        assert_eq!(fold("/BÜCHER/ΣΑΣ/"), "/bücher/σασ/");
        assert_eq!(fold("\u{212A}"), "k");
        assert_eq!(fold("İ"), "İ");
        assert_eq!(fold(&fold("ẞİ\u{212A}")), fold("ẞİ\u{212A}"));
    }
}
