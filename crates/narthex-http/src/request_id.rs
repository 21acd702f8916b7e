//! Request ids: what ties together the lines that a request leaves in the logs of proxies, of this server, and of the app.

use crate::h1::head::is_token;

/// The header field that carries an id.
pub(crate) const NAME: &str = "x-request-id";

/// What a server does about request ids.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequestIds {
    /// There are none: what clients send in `X-Request-Id` is a header field like any other.
    #[default]
    Off,
    /// Each request has one.
    On,
    /// Each request has one, and its response says it in `X-Request-Id`.
    Answered,
}

/// The id of a request: of 1 to 128 token characters (RFC 9110 section 5.6.2).
///
/// It is the one in the request's `X-Request-Id` if a [trusted proxy](crate::TrustedProxies) has sent that, and it is one; else
/// it is new, 32 hexadecimal digits. Anybody else could choose an id that is another request's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(Text);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Text {
    New([u8; 32]),
    Sent(Box<str>),
}

impl RequestId {
    /// The longest that is taken over, in bytes.
    pub const LONGEST: usize = 128;

    /// A new one, which no other request has.
    #[must_use]
    pub fn new() -> Self {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 32];
        for (pair, byte) in text.as_chunks_mut().0.iter_mut().zip(fastrand::u128(..).to_ne_bytes()) {
            *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
        }
        Self(Text::New(text))
    }

    /// Takes over an id that was sent. `None` if it is none.
    #[must_use]
    pub fn parse(sent: &[u8]) -> Option<Self> {
        let usable = (1..=Self::LONGEST).contains(&sent.len()) && sent.iter().all(|byte| is_token(*byte));
        let text = std::str::from_utf8(sent).ok().filter(|_| usable)?;
        Some(Self(Text::Sent(text.into())))
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Text::New(digits) => std::str::from_utf8(digits).unwrap_or_default(),
            Text::Sent(text) => text,
        }
    }

    /// The id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Text::New(digits) => digits,
            Text::Sent(text) => text.as_bytes(),
        }
    }
}

impl Default for RequestId {
    fn default() -> Self {
        Self::new()
    }
}

/// The fields of a response, with the id that is to be answered in the place of what the app says of it.
#[expect(clippy::map_identity, reason = "the map is what shortens the lifetimes")]
pub(crate) fn answered<'a, 'h: 'a>(
    headers: impl Iterator<Item = (&'h [u8], &'h [u8])>,
    id: Option<&'a RequestId>,
) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
    let others = headers.filter(move |(name, _)| id.is_none() || !name.eq_ignore_ascii_case(NAME.as_bytes()));
    others.map(|field| -> (&'a [u8], &'a [u8]) { field }).chain(id.map(|id| (NAME.as_bytes(), id.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_is_an_id_if_it_is_a_short_token() {
        for good in ["a", "1-67891233-abcdef012345678912345678", "x_y.z~", &"x".repeat(128)] {
            assert_eq!(RequestId::parse(good.as_bytes()).unwrap().as_str(), good);
        }
        for bad in ["", "a b", "a\tb", "<script>", "a\"b", "a,b", "ä", "a\0", &"x".repeat(129)] {
            assert_eq!(RequestId::parse(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn new_ids_are_tokens_and_differ() {
        let (one, other) = (RequestId::new(), RequestId::new());
        assert_ne!(one, other);
        assert_eq!(one.as_str().len(), 32);
        assert!(RequestId::parse(one.as_bytes()).is_some());
    }

    #[test]
    fn an_answered_id_takes_the_place_of_the_apps() {
        let id = RequestId::parse(b"mine").unwrap();
        let headers = || [(&b"X-Request-ID"[..], &b"yours"[..]), (b"a", b"b")].into_iter();
        let names = |id| answered(headers(), id).map(|(_, value)| value.to_vec()).collect::<Vec<_>>();
        assert_eq!(names(Some(&id)), [b"b".to_vec(), b"mine".to_vec()]);
        assert_eq!(names(None), [b"yours".to_vec(), b"b".to_vec()]);
    }
}
