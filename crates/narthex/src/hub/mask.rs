//! Names with wildcards: `*` stands for any text, `?` for any one character.

/// Whether a name has wildcards.
pub(super) fn is_mask(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Whether `mask` stands for `name`. Takes time in proportion to the product of their lengths at worst.
pub(super) fn matches(mask: &str, name: &str) -> bool {
    let (mut mask, mut name) = (mask.chars(), name.chars());
    // Where to go on if what follows the last star does not fit.
    let mut retry = None;
    loop {
        let mut rest = mask.clone();
        match (rest.next(), name.clone().next()) {
            (Some('*'), _) => {
                retry = Some((rest.clone(), name.clone()));
                mask = rest;
            }
            (Some(wanted), Some(found)) if wanted == '?' || wanted == found => {
                mask = rest;
                name.next();
            }
            (None, None) => return true,
            _ => {
                let Some((after, from)) = &mut retry else { return false };
                if from.next().is_none() {
                    return false;
                }
                (mask, name) = (after.clone(), from.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text_and_question_marks_for_one_character() {
        for (mask, name) in [
            ("", ""),
            ("*", ""),
            ("*", "anything"),
            ("weather/*/rain", "weather/spain/rain"),
            ("weather/*", "weather/"),
            ("a*b*c", "aXbXbXc"),
            ("?", "ü"),
            ("room?", "room1"),
            ("**a", "aa"),
        ] {
            assert!(matches(mask, name), "{mask} {name}");
        }
        for (mask, name) in
            [("", "a"), ("a", ""), ("?", ""), ("a*b", "abc"), ("room?", "room"), ("weather/*", "weather"), ("*a*", "b")]
        {
            assert!(!matches(mask, name), "{mask} {name}");
        }
    }
}
