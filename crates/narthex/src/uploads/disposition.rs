//! The `Content-Disposition` of a part (RFC 7578 section 4.2), as senders really write it.
//!
//! Our own, since names decide where bytes go: the parser's looks for `name=` even inside of another parameter's quotes, and
//! knows no `filename*`.

use http::HeaderMap;
use http::header::CONTENT_DISPOSITION;

use super::error::UploadError;

/// What a part is called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Disposition {
    pub(super) name: String,
    /// There is one if the part is a file; browsers send an empty one if none was chosen.
    pub(super) file_name: Option<String>,
}

impl Disposition {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, UploadError> {
        let value =
            headers.get(CONTENT_DISPOSITION).ok_or_else(|| UploadError::malformed("a part has no Content-Disposition"))?;
        Self::parse(value.as_bytes())
    }

    fn parse(value: &[u8]) -> Result<Self, UploadError> {
        let (kind, mut rest) = value.split_at(value.iter().position(|&byte| byte == b';').unwrap_or(value.len()));
        if !kind.trim_ascii().eq_ignore_ascii_case(b"form-data") {
            return Err(UploadError::malformed("the Content-Disposition of a part is not form-data"));
        }
        let (mut name, mut file_name, mut extended) = (None, None, None);
        while let Some((key, text)) = parameter(&mut rest)? {
            let place = match key.as_slice() {
                b"name" => &mut name,
                b"filename" => &mut file_name,
                b"filename*" => &mut extended,
                _ => continue,
            };
            if place.replace(text).is_some() {
                return Err(UploadError::malformed("the Content-Disposition of a part has a parameter twice"));
            }
        }
        let name = name.ok_or_else(|| UploadError::malformed("a part has no name"))?;
        // RFC 7578 does not want `filename*`, and yet it is sent; RFC 6266 section 4.3 says which of the two counts.
        let extended = extended.and_then(|text| from_extended(&text));
        Ok(Self { name: from_browser(&name), file_name: extended.or_else(|| file_name.map(|text| from_browser(&text))) })
    }
}

/// A parameter's name in small letters, and its value without quotes.
type Parameter = (Vec<u8>, Vec<u8>);

/// Takes `; key=value` from the front.
fn parameter(rest: &mut &[u8]) -> Result<Option<Parameter>, UploadError> {
    let broken = || UploadError::malformed("the Content-Disposition of a part cannot be read");
    let mut text = rest.trim_ascii_start();
    while let Some(after) = text.strip_prefix(b";") {
        text = after.trim_ascii_start();
    }
    if text.is_empty() {
        return Ok(None);
    }
    let equals = text.iter().position(|&byte| byte == b'=').ok_or_else(broken)?;
    let (key, value) = text.split_at(equals);
    let key = key.trim_ascii().to_ascii_lowercase();
    if key.iter().any(|byte| b";\" \t".contains(byte)) {
        return Err(broken());
    }
    let value = value.get(1..).unwrap_or_default().trim_ascii_start();
    let Some(quoted) = value.strip_prefix(b"\"") else {
        let end = value.iter().position(|&byte| byte == b';').unwrap_or(value.len());
        let (value, after) = value.split_at(end);
        *rest = after;
        return Ok(Some((key, value.trim_ascii_end().to_vec())));
    };
    let mut unquoted = Vec::new();
    let mut bytes = quoted.iter().copied().enumerate().peekable();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => {
                let after = quoted.get(at + 1..).unwrap_or_default();
                if !matches!(after.trim_ascii_start().first(), None | Some(b';')) {
                    return Err(broken());
                }
                *rest = after;
                return Ok(Some((key, unquoted)));
            }
            // Other backslashes are those of paths: senders that escape do so with these two only.
            b'\\' => match bytes.next_if(|(_, next)| matches!(next, b'"' | b'\\')) {
                Some((_, escaped)) => unquoted.push(escaped),
                None => unquoted.push(byte),
            },
            _ => unquoted.push(byte),
        }
    }
    Err(broken())
}

/// Browsers write these three in percent-encoding, and nothing else, not even the percent sign (HTML, "multipart form data").
fn from_browser(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    if !text.contains('%') {
        return text.into_owned();
    }
    text.replace("%22", "\"").replace("%0D", "\r").replace("%0A", "\n")
}

/// `UTF-8'en'%e2%82%ac.txt` (RFC 8187 section 3.2). What is in another character set is left alone.
fn from_extended(text: &[u8]) -> Option<String> {
    let mut parts = text.splitn(3, |&byte| byte == b'\'');
    let (charset, _, encoded) = (parts.next()?, parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case(b"utf-8") {
        return None;
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.iter();
    while let Some(&byte) = rest.next() {
        let mut digit = || char::from(*rest.next()?).to_digit(16);
        bytes.push(if byte == b'%' { u8::try_from(digit()? * 16 + digit()?).ok()? } else { byte });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(value: &str) -> Option<(String, Option<String>)> {
        Disposition::parse(value.as_bytes()).ok().map(|found| (found.name, found.file_name))
    }

    fn file(value: &str) -> Option<String> {
        parse(&format!("form-data; name=\"f\"; {value}")).and_then(|(_, file_name)| file_name)
    }

    #[test]
    fn names_are_read_with_and_without_quotes() {
        assert_eq!(parse("form-data; name=\"my field\""), Some(("my field".into(), None)));
        assert_eq!(parse("Form-Data;NAME=a ; FileName = b.txt"), Some(("a".into(), Some("b.txt".into()))));
        assert_eq!(parse("form-data; name=\"\"; filename=\"\""), Some((String::new(), Some(String::new()))));
        assert_eq!(parse("form-data; filename=\"a;b\"; name=\"päth\";"), Some(("päth".into(), Some("a;b".into()))));
    }

    #[test]
    fn a_name_inside_of_quotes_is_not_a_parameter() {
        assert_eq!(
            parse("form-data; filename=\"a; name=evil\"; name=\"good\""),
            Some(("good".into(), Some("a; name=evil".into())))
        );
    }

    #[test]
    fn escapes_of_quotes_are_undone_and_the_backslashes_of_paths_stay() {
        assert_eq!(file("filename=\"a\\\"b\\\\c.txt\"").as_deref(), Some("a\"b\\c.txt"));
        assert_eq!(file("filename=\"C:\\dir\\x.txt\"").as_deref(), Some("C:\\dir\\x.txt"));
        assert_eq!(file("filename=\"a%22b%0D%0A%41.txt\"").as_deref(), Some("a\"b\r\n%41.txt"));
    }

    #[test]
    fn the_extended_file_name_goes_first_if_it_can_be_read() {
        assert_eq!(file("filename=\"x\"; filename*=UTF-8''%e2%82%ac%20rates.txt").as_deref(), Some("€ rates.txt"));
        assert_eq!(file("filename*=utf-8'en'a.txt").as_deref(), Some("a.txt"));
        assert_eq!(file("filename*=utf-8''%ff; filename=\"x\"").as_deref(), Some("x"));
        assert_eq!(file("filename*=utf-8''%4; filename=\"x\"").as_deref(), Some("x"));
        assert_eq!(file("filename*=iso-8859-1''a; filename=\"x\"").as_deref(), Some("x"));
    }

    #[test]
    fn what_cannot_be_read_for_sure_is_refused() {
        for value in [
            "",
            "attachment; name=\"a\"",
            "form-data",
            "form-data; filename=\"a\"",
            "form-data; name=\"a",
            "form-data; name=\"a\"b",
            "form-data; name=\"a\"; name=\"b\"",
            "form-data; name",
            "form-data; x \"y=z\"; name=a",
        ] {
            assert_eq!(parse(value), None, "{value}");
        }
    }
}
