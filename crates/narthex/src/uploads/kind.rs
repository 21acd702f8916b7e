//! Which kind of form a request has.

use http::HeaderMap;
use http::header::CONTENT_TYPE;

use super::error::UploadError;

/// The longest boundary (RFC 2046 section 5.1.1).
const LONGEST_BOUNDARY: usize = 70;

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Kind {
    UrlEncoded,
    Multipart { boundary: String },
}

impl Kind {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, UploadError> {
        let Some(value) = headers.get(CONTENT_TYPE) else { return Err(UploadError::UnsupportedType(String::new())) };
        let unsupported = || UploadError::UnsupportedType(String::from_utf8_lossy(value.as_bytes()).into_owned());
        let text = value.to_str().map_err(|_| unsupported())?;
        let (essence, parameters) = text.split_once(';').unwrap_or((text, ""));
        if essence.trim().eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let foreign = parameters.split(';').filter_map(|parameter| parameter.split_once('=')).any(|(name, value)| {
                let charset = value.trim().trim_matches('"');
                name.trim().eq_ignore_ascii_case("charset") && !charset.eq_ignore_ascii_case("utf-8")
            });
            return if foreign { Err(unsupported()) } else { Ok(Self::UrlEncoded) };
        }
        if !essence.trim().eq_ignore_ascii_case("multipart/form-data") {
            return Err(unsupported());
        }
        let boundary = multer::parse_boundary(text).map_err(|_| UploadError::malformed("its Content-Type has no boundary"))?;
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
        let valid = (1..=LONGEST_BOUNDARY).contains(&boundary.len()) && !boundary.ends_with(' ') && boundary.bytes().all(allowed);
        if valid { Ok(Self::Multipart { boundary }) } else { Err(UploadError::malformed("its boundary is none")) }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn kind(content_type: &str) -> Result<Kind, u16> {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_str(content_type).unwrap())]);
        Kind::of(&headers).map_err(|error| error.status().as_u16())
    }

    #[test]
    fn forms_are_known_by_their_content_type() {
        let multipart = |boundary: &str| Ok(Kind::Multipart { boundary: boundary.to_owned() });
        assert_eq!(kind("application/x-www-form-urlencoded"), Ok(Kind::UrlEncoded));
        assert_eq!(kind("Application/X-WWW-Form-URLEncoded; charset=UTF-8"), Ok(Kind::UrlEncoded));
        assert_eq!(kind("multipart/form-data; boundary=----x7"), multipart("----x7"));
        assert_eq!(kind("Multipart/Form-Data; charset=utf-8; Boundary=\"a b:c\""), multipart("a b:c"));
    }

    #[test]
    fn other_types_are_415_and_bad_boundaries_400() {
        for other in ["", "text/plain", "multipart/mixed; boundary=x", "application/x-www-form-urlencoded; charset=latin1"] {
            assert_eq!(kind(other), Err(415), "{other}");
        }
        let long = format!("multipart/form-data; boundary={}", "x".repeat(71));
        for bad in ["multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; boundary=\"\"", &long] {
            assert_eq!(kind(bad), Err(400), "{bad}");
        }
        assert_eq!(Kind::of(&HeaderMap::new()).unwrap_err().status(), 415);
    }
}
