//! Which of several stored answers fits a request: `Vary` (RFC 9111 section 4.1).

use super::list::{elements, is_token};

/// More selecting fields than this, and the response is not stored.
const MOST_NAMES: usize = 16;

/// A request field that selected a response, and its value at that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Selecting {
    /// In lower case.
    pub(super) name: Box<str>,
    /// Normalised; `None` if the request had no such field.
    value: Option<Box<[u8]>>,
}

/// `Vary` says that no other request can be compared with this one, or cannot be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Incomparable;

/// The names in all `Vary` lines, sorted, in lower case.
pub(super) fn names<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Vec<Box<str>>, Incomparable> {
    let mut names = Vec::new();
    for element in values.flat_map(elements) {
        if element == b"*" || !is_token(element) || names.len() == MOST_NAMES {
            return Err(Incomparable);
        }
        let name = String::from_utf8(element.to_ascii_lowercase()).map_err(|_| Incomparable)?;
        names.push(name.into_boxed_str());
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

impl Selecting {
    /// What a request with these fields has under `name`.
    pub(super) fn new<'f>(name: Box<str>, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Self {
        let mut value = None;
        each_part(named(fields, &name), |part| value.get_or_insert_with(Vec::new).extend_from_slice(part));
        Self { name, value: value.map(Vec::into_boxed_slice) }
    }

    /// Whether a request with these fields has the same. Does not allocate.
    pub(super) fn matches<'f>(&self, fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> bool {
        let mut rest = self.value.as_deref();
        let mut differs = false;
        let mut present = false;
        each_part(named(fields, &self.name), |part| {
            present = true;
            rest = rest.and_then(|rest| rest.strip_prefix(part));
            differs |= rest.is_none();
        });
        !differs && present == self.value.is_some() && rest.is_none_or(<[u8]>::is_empty)
    }

    /// Bytes that it takes.
    pub(super) fn size(&self) -> usize {
        self.name.len() + self.value.as_ref().map_or(0, |value| value.len())
    }
}

fn named<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>, name: &str) -> impl Iterator<Item = &'f [u8]> {
    fields.filter(move |(other, _)| other.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value)
}

/// The normalised value in parts: lines joined, and no white space around commas. Called at least once if there is a line.
fn each_part<'v>(values: impl Iterator<Item = &'v [u8]>, mut part: impl FnMut(&[u8])) {
    let mut first = true;
    for value in values {
        part(b"");
        for element in elements(value) {
            if !first {
                part(b",");
            }
            first = false;
            part(element);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields<'a>(lines: &[(&'a str, &'a str)]) -> Vec<(&'a [u8], &'a [u8])> {
        lines.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect()
    }

    #[test]
    fn values_are_compared_without_regard_to_how_they_are_written() {
        let stored = Selecting::new("accept-encoding".into(), fields(&[("Accept-Encoding", "gzip, br")]).into_iter());
        let fits = |lines: &[(&str, &str)]| stored.matches(fields(lines).into_iter());
        assert!(fits(&[("accept-encoding", "gzip, br")]));
        assert!(fits(&[("ACCEPT-ENCODING", "gzip ,\tbr")]));
        assert!(fits(&[("a", "b"), ("accept-encoding", "gzip"), ("accept-encoding", "br")]));
        assert!(!fits(&[("accept-encoding", "br, gzip")]));
        assert!(!fits(&[("accept-encoding", "gzip")]));
        assert!(!fits(&[("accept-encoding", "gzip, br, zstd")]));
        assert!(!fits(&[("accept-encoding", "gzipbr")]));
        assert!(!fits(&[]));
    }

    #[test]
    fn an_absent_field_is_not_an_empty_one() {
        let absent = Selecting::new("a".into(), fields(&[("b", "c")]).into_iter());
        let empty = Selecting::new("a".into(), fields(&[("a", " ")]).into_iter());
        for (stored, fits_absent) in [(absent, true), (empty, false)] {
            assert_eq!(stored.matches(fields(&[]).into_iter()), fits_absent);
            assert_eq!(stored.matches(fields(&[("A", "")]).into_iter()), !fits_absent);
            assert!(!stored.matches(fields(&[("a", "x")]).into_iter()));
        }
    }

    #[test]
    fn white_space_in_quotes_is_part_of_the_value() {
        let stored = Selecting::new("a".into(), fields(&[("a", r#""x, y""#)]).into_iter());
        assert!(!stored.matches(fields(&[("a", r#""x,y""#)]).into_iter()));
    }

    #[test]
    fn a_star_or_what_is_no_name_compares_with_nothing() {
        let parse = |lines: &[&'static str]| names(lines.iter().map(|line| line.as_bytes()));
        let two = ["accept".into(), "cookie".into()];
        assert_eq!(parse(&["Cookie, accept", "COOKIE"]).as_deref(), Ok(&two[..]));
        assert_eq!(parse(&[""]).as_deref(), Ok(&[][..]));
        for line in ["*", "accept, *", "a b", "accept;q=1", "\"accept\""] {
            assert_eq!(parse(&[line]), Err(Incomparable), "{line:?}");
        }
        let many = (0..=MOST_NAMES).map(|n| format!("a{n}")).collect::<Vec<_>>().join(",");
        assert_eq!(names(std::iter::once(many.as_bytes())), Err(Incomparable));
    }
}
