//! Header fields, in one piece of memory.

use std::ops::Range;

/// Header fields in order, names as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    bytes: Vec<u8>,
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl Fields {
    /// None, behind bytes that are something else.
    pub(crate) fn behind(bytes: Vec<u8>) -> Self {
        Self { bytes, places: Vec::new() }
    }

    /// Adds a field.
    pub fn push(&mut self, name: &[u8], value: &[u8]) {
        let name = self.keep(name);
        let value = self.keep(value);
        self.places.push((name, value));
    }

    fn keep(&mut self, part: &[u8]) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(part);
        start..self.bytes.len()
    }

    /// The fields.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&[u8], &[u8])> {
        self.places.iter().map(|(name, value)| (self.at(name), self.at(value)))
    }

    /// The only value of a field; `None` if there is none or more than one.
    #[must_use]
    pub fn only(&self, name: &str) -> Option<&[u8]> {
        let mut values = self.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes()));
        values.next().filter(|_| values.next().is_none()).map(|(_, value)| value)
    }

    /// Whether a field is a list that has this option, in whatever case (RFC 9110 section 5.6.1).
    #[must_use]
    pub fn lists(&self, name: &str, option: &str) -> bool {
        let values = self.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name.as_bytes())).map(|(_, value)| value);
        let mut listed = values.flat_map(|value| value.split(|byte| *byte == b','));
        listed.any(|known| known.trim_ascii().eq_ignore_ascii_case(option.as_bytes()))
    }

    /// All of the memory: names, values, and what is before them.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    fn at(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }
}

impl<'a> FromIterator<(&'a [u8], &'a [u8])> for Fields {
    fn from_iter<I: IntoIterator<Item = (&'a [u8], &'a [u8])>>(fields: I) -> Self {
        let mut collected = Self::default();
        fields.into_iter().for_each(|(name, value)| collected.push(name, value));
        collected
    }
}
