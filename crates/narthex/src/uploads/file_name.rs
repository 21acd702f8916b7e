//! From the name that a client gives a file to one that is safe on every file system.

/// The longest name, in bytes. File systems take 255; this leaves room for a number, and for what an app puts before or behind.
const LONGEST: usize = 200;
/// The longest ending that is kept when a name is cut.
const LONGEST_ENDING: usize = 20;

/// The last component of what the client calls the file, in a form that names a file in its directory and nothing else.
///
/// * Everything before the last `/` or `\` goes, and so do control characters, marks that turn the direction of writing, dots at
///   the front (no hidden files, no `..`) and dots and spaces at the end.
/// * `< > : " | ? *` become `_`. Names that Windows keeps for devices (`con`, `lpt1.txt`) get a `_` in front.
/// * What is longer than 200 bytes of UTF-8 is cut between characters, and keeps its ending.
/// * What is empty then is called `upload-` and 16 hexadecimal digits.
pub(super) fn sanitised(sent: &str) -> String {
    let last = sent.rsplit(['/', '\\']).next().unwrap_or_default();
    let kept = last.chars().filter(|&character| !character.is_control() && !turns_direction(character));
    let safe: String = kept.map(|character| if "<>:\"|?*".contains(character) { '_' } else { character }).collect();
    let name = trimmed(&safe);
    if name.is_empty() {
        return format!("upload-{:016x}", fastrand::u64(..));
    }
    if is_device(name) { cut(&format!("_{name}")) } else { cut(name) }
}

/// `report.pdf` as `report (2).pdf`: the name to try when others are taken.
pub(super) fn numbered(name: &str, number: u32) -> String {
    let (stem, ending) = split(name);
    format!("{stem} ({number}){ending}")
}

fn trimmed(name: &str) -> &str {
    let name = name.trim_start_matches(|character: char| character == '.' || character.is_whitespace());
    name.trim_end_matches(|character: char| character == '.' || character.is_whitespace())
}

/// Stem, and ending with its dot if there is one.
fn split(name: &str) -> (&str, &str) {
    match name.rfind('.').and_then(|dot| name.split_at_checked(dot)) {
        Some((stem, ending)) if !stem.is_empty() && ending.len() <= LONGEST_ENDING => (stem, ending),
        _ => (name, ""),
    }
}

fn cut(name: &str) -> String {
    if name.len() <= LONGEST {
        return name.to_owned();
    }
    let (stem, ending) = split(name);
    let end = stem.floor_char_boundary(LONGEST.saturating_sub(ending.len()));
    format!("{}{ending}", trimmed(stem.get(..end).unwrap_or_default()))
}

/// Marks by which `gpj.exe` shows as `exe.jpg`.
fn turns_direction(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or_default().trim_end();
    if ["con", "prn", "aux", "nul", "conin$", "conout$"].iter().any(|device| stem.eq_ignore_ascii_case(device)) {
        return true;
    }
    let Some((kind, number)) = stem.split_at_checked(3) else { return false };
    let mut number = number.chars();
    let one = matches!(number.next(), Some('0'..='9' | '¹' | '²' | '³')) && number.next().is_none();
    one && ["com", "lpt"].iter().any(|device| kind.eq_ignore_ascii_case(device))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ordinary_names_stay_as_they_are() {
        for name in ["note.txt", "my holiday pictures.tar.gz", "Ünïcödé 文件.pdf", "a", "console.log", "com10.txt", "👩‍👩‍👧.png"]
        {
            assert_eq!(sanitised(name), name);
        }
    }

    #[test]
    fn no_name_leaves_its_directory() {
        for (sent, safe) in [
            ("../../etc/passwd", "passwd"),
            ("..\\..\\boot.ini", "boot.ini"),
            ("C:\\Users\\me\\x.txt", "x.txt"),
            ("/etc/shadow", "shadow"),
            ("...hidden", "hidden"),
            (".htaccess", "htaccess"),
            ("a\0b\r\nc\u{202e}d.txt", "abcd.txt"),
            ("C:evil", "C_evil"),
            ("a.txt::$DATA", "a.txt__$DATA"),
            ("x. . .", "x"),
            ("CON", "_CON"),
            ("lpt1.tar.gz", "_lpt1.tar.gz"),
            ("com¹", "_com¹"),
            ("nul .txt", "_nul .txt"),
        ] {
            assert_eq!(sanitised(sent), safe, "{sent:?}");
        }
    }

    #[test]
    fn what_has_no_name_gets_one_of_its_own() {
        for sent in ["", ".", "..", "../", "a/..", " ", "\0"] {
            let name = sanitised(sent);
            assert!(name.starts_with("upload-") && name.len() == 23, "{sent:?}: {name}");
        }
        assert_ne!(sanitised(""), sanitised(""));
    }

    #[test]
    fn long_names_are_cut_between_characters_and_keep_their_ending() {
        let name = sanitised(&format!("{}.jpeg", "ß".repeat(300)));
        assert_eq!(name, format!("{}.jpeg", "ß".repeat(97)));
        assert_eq!(sanitised(&"x".repeat(300)).len(), 200);
        assert_eq!(sanitised(&format!("a.{}", "y".repeat(300))).len(), 200);
    }

    #[test]
    fn numbers_go_before_the_ending() {
        assert_eq!(numbered("report.pdf", 2), "report (2).pdf");
        assert_eq!(numbered("report", 3), "report (3)");
    }

    proptest! {
        #[test]
        fn every_name_is_safe_and_is_itself_when_it_comes_again(sent in any::<String>()) {
            let name = sanitised(&sent);
            prop_assert!(!name.is_empty() && name.len() <= LONGEST);
            prop_assert!(!name.contains(['/', '\\', ':']) && !name.starts_with('.') && !name.chars().any(char::is_control));
            prop_assert_eq!(sanitised(&name), name);
        }
    }
}
