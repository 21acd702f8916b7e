//! `application/x-www-form-urlencoded`, pair by pair as it arrives (URL standard, section 5.1).

use super::error::{Limited, UploadError};

/// The pairs of a form whose bytes arrive in pieces.
pub(super) struct Pairs {
    /// What has come and is not decoded yet.
    bytes: Vec<u8>,
    /// Where the next pair begins, and up to where there is no `&` behind it.
    start: usize,
    searched: usize,
    max_field: usize,
}

impl Pairs {
    pub(super) fn new(max_field: usize) -> Self {
        Self { bytes: Vec::new(), start: 0, searched: 0, max_field }
    }

    pub(super) fn push(&mut self, bytes: &[u8]) -> Result<(), UploadError> {
        self.bytes.drain(..self.start);
        self.searched -= self.start;
        self.start = 0;
        // A byte takes three when it is encoded; the name is not longer than the value may be.
        let longest = self.max_field.saturating_mul(6);
        let open = self.bytes.len() + bytes.iter().position(|&byte| byte == b'&').unwrap_or(bytes.len());
        if open > longest {
            return Err(UploadError::TooLarge { what: Limited::Field, limit: self.max_field as u64 });
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }

    /// The next pair that is complete.
    pub(super) fn next(&mut self) -> Option<(String, String)> {
        loop {
            let found = self.bytes.get(self.searched..)?.iter().position(|&byte| byte == b'&');
            let Some(found) = found else {
                self.searched = self.bytes.len();
                return None;
            };
            let (start, end) = (self.start, self.searched + found);
            self.start = end + 1;
            self.searched = self.start;
            if let Some(pair) = self.bytes.get(start..end).and_then(decode) {
                return Some(pair);
            }
        }
    }

    /// The last pair, when there are no more bytes.
    pub(super) fn last(self) -> Option<(String, String)> {
        self.bytes.get(self.start..).and_then(decode)
    }
}

fn decode(pair: &[u8]) -> Option<(String, String)> {
    let (name, value) = form_urlencoded::parse(pair).next()?;
    Some((name.into_owned(), value.into_owned()))
}
