//! Which known name somebody may have meant.

/// The known name that is nearest to what was typed, if one is near.
pub(crate) fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let typed = typed.to_ascii_lowercase();
    let near = |name: &'a str| {
        let distance = distance(&typed, name);
        (distance <= 1 + name.len() / 5).then_some((distance, name))
    };
    known.into_iter().filter_map(near).min().map(|(_, name)| name)
}

/// ` (did you mean "…"?)`, or nothing.
pub(crate) fn hint<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(typed, known).map_or(String::new(), |name| format!("; did you mean {name}?"))
}

/// Levenshtein's: how many characters have to be put in, left out or exchanged.
fn distance(from: &str, to: &str) -> usize {
    let from: Vec<char> = from.chars().take(64).collect();
    let mut row: Vec<usize> = (0..=from.len()).collect();
    for (index, right) in to.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], index + 1);
        for (column, left) in from.iter().enumerate() {
            let exchanged = diagonal + usize::from(*left != right);
            diagonal = row[column + 1];
            row[column + 1] = exchanged.min(row[column] + 1).min(diagonal + 1);
        }
    }
    row[from.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_is_recognised_and_another_word_is_not() {
        let known = ["queue_length", "max_request_bytes", "cooking"];
        assert_eq!(nearest("queue_lenght", known), Some("queue_length"));
        assert_eq!(nearest("Max_Request_Byte", known), Some("max_request_bytes"));
        assert_eq!(nearest("colour", known), None);
    }
}
