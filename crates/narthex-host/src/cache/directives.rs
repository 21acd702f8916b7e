//! `Cache-Control` of a response, read strictly: what cannot be understood must not be cached.

use super::list::{elements, is_token, number};

/// What the directives say that concern a shared cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct CacheControl {
    /// `public`.
    pub(super) public: bool,
    /// `no-store`, `private` or `no-cache`, also in the forms that name fields.
    pub(super) forbidden: bool,
    /// `s-maxage`, else `max-age`, in seconds. Of several the smallest.
    pub(super) max_age: Option<u64>,
}

/// A directive is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl CacheControl {
    /// Reads the values of all `Cache-Control` lines (RFC 9111 section 5.2).
    pub(super) fn parse<'v>(values: impl Iterator<Item = &'v [u8]>) -> Result<Self, Malformed> {
        let mut found = Self::default();
        let (mut own, mut shared) = (None, None);
        for element in values.flat_map(elements) {
            let (name, argument) = directive(element)?;
            match name {
                _ if name.eq_ignore_ascii_case(b"public") => {
                    found.public = true;
                    if argument.is_some() {
                        return Err(Malformed);
                    }
                }
                _ if ["no-store", "private", "no-cache"].iter().any(|no| name.eq_ignore_ascii_case(no.as_bytes())) => {
                    found.forbidden = true;
                }
                _ if name.eq_ignore_ascii_case(b"max-age") => smaller(&mut own, argument)?,
                _ if name.eq_ignore_ascii_case(b"s-maxage") => smaller(&mut shared, argument)?,
                // Unknown directives are to be ignored.
                _ => {}
            }
        }
        found.max_age = shared.or(own);
        Ok(found)
    }
}

fn smaller(known: &mut Option<u64>, argument: Option<&[u8]>) -> Result<(), Malformed> {
    let seconds = number(argument.ok_or(Malformed)?).ok_or(Malformed)?;
    *known = Some(known.map_or(seconds, |known| known.min(seconds)));
    Ok(())
}

/// `token [ "=" ( token / quoted-string ) ]`. Of a quoted argument, what is between the quotes.
fn directive(element: &[u8]) -> Result<(&[u8], Option<&[u8]>), Malformed> {
    let Some(equals) = memchr::memchr(b'=', element) else {
        return if is_token(element) { Ok((element, None)) } else { Err(Malformed) };
    };
    let (name, argument) = element.split_at_checked(equals).ok_or(Malformed)?;
    let argument = argument.get(1..).ok_or(Malformed)?;
    if !is_token(name) {
        return Err(Malformed);
    }
    if is_token(argument) {
        return Ok((name, Some(argument)));
    }
    match argument {
        [b'"', inner @ .., b'"'] if is_quoted(inner) => Ok((name, Some(inner))),
        _ => Err(Malformed),
    }
}

/// Whether this may stand between the quotes of a quoted string (RFC 9110 section 5.6.4).
fn is_quoted(inner: &[u8]) -> bool {
    let mut escaped = false;
    for &byte in inner {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return false,
            b'\t' | b' '..=b'~' | 0x80.. => {}
            _ => return false,
        }
    }
    !escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(lines: &[&str]) -> Result<CacheControl, Malformed> {
        CacheControl::parse(lines.iter().map(|line| line.as_bytes()))
    }

    fn says(public: bool, forbidden: bool, max_age: impl Into<Option<u64>>) -> Result<CacheControl, Malformed> {
        Ok(CacheControl { public, forbidden, max_age: max_age.into() })
    }

    #[test]
    fn directives_are_read_in_every_form_that_is_one() {
        for (lines, expected) in [
            (&[][..], says(false, false, None)),
            (&[""], says(false, false, None)),
            (&["public, max-age=60"], says(true, false, 60)),
            (&["PUBLIC,Max-Age=60"], says(true, false, 60)),
            (&["max-age=60", "public"], says(true, false, 60)),
            (&["public, max-age=600, s-maxage=5"], says(true, false, 5)),
            (&["public, s-maxage=5, max-age=1"], says(true, false, 5)),
            (&["max-age=60, max-age=7", "max-age=9"], says(false, false, 7)),
            (&[r#"public, max-age="60""#], says(true, false, 60)),
            (&["max-age=99999999999999999999999"], says(false, false, u64::MAX)),
            (&["no-store"], says(false, true, None)),
            (&["private"], says(false, true, None)),
            (&[r#"public, no-cache="set-cookie, x", max-age=5"#], says(true, true, 5)),
            (&[r#"private="a""#], says(false, true, None)),
            (&[r#"public, ext="a, max-age=5", stale-if-error=6, immutable"#], says(true, false, None)),
            (&[r#"public, ext="\"", max-age=5"#], says(true, false, 5)),
            (&["must-revalidate, proxy-revalidate, no-transform"], says(false, false, None)),
        ] {
            assert_eq!(parse(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn one_malformed_directive_spoils_them_all() {
        for line in [
            "public, max-age",
            "public, max-age=",
            "public, max-age=-1",
            "public, max-age=+1",
            "public, max-age=1.5",
            "public, max-age = 60",
            "public, max-age=60 s",
            r#"public, max-age="6"0"#,
            r#"public, max-age="60"#,
            "public, max-age=60, max-age=x",
            "public max-age=60",
            "public=yes, max-age=60",
            "public, =60",
            r#"public, ext="\"#,
            "public, ext=\"a\x01\"",
            "public; max-age=60",
        ] {
            assert_eq!(parse(&[line]), Err(Malformed), "{line:?}");
        }
    }
}
