//! The methods and header fields that the HTTP Server API has numbers for (`HTTP_VERB`, `HTTP_HEADER_ID`).

/// Methods by number; the first ones are none.
const METHODS: [&str; 20] = [
    "",
    "",
    "",
    "OPTIONS",
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "DELETE",
    "TRACE",
    "CONNECT",
    "TRACK",
    "MOVE",
    "COPY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "LOCK",
    "UNLOCK",
    "SEARCH",
];

/// Fields that requests and responses have in common, by number.
const COMMON_FIELDS: [&str; 20] = [
    "Cache-Control",
    "Connection",
    "Date",
    "Keep-Alive",
    "Pragma",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
    "Via",
    "Warning",
    "Allow",
    "Content-Length",
    "Content-Type",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-MD5",
    "Content-Range",
    "Expires",
    "Last-Modified",
];

/// Fields of requests, behind those.
const REQUEST_FIELDS: [&str; 21] = [
    "Accept",
    "Accept-Charset",
    "Accept-Encoding",
    "Accept-Language",
    "Authorization",
    "Cookie",
    "Expect",
    "From",
    "Host",
    "If-Match",
    "If-Modified-Since",
    "If-None-Match",
    "If-Range",
    "If-Unmodified-Since",
    "Max-Forwards",
    "Proxy-Authorization",
    "Referer",
    "Range",
    "TE",
    "Translate",
    "User-Agent",
];

/// Fields of responses, behind the common ones.
const RESPONSE_FIELDS: [&str; 10] = [
    "Accept-Ranges",
    "Age",
    "ETag",
    "Location",
    "Proxy-Authenticate",
    "Retry-After",
    "Server",
    "Set-Cookie",
    "Vary",
    "WWW-Authenticate",
];

/// The method of this number.
pub(crate) fn method(number: i32) -> Option<&'static str> {
    let name = METHODS.get(usize::try_from(number).ok()?)?;
    (!name.is_empty()).then_some(name)
}

/// The request field of this number.
pub(crate) fn request_field(number: usize) -> Option<&'static str> {
    COMMON_FIELDS.iter().chain(&REQUEST_FIELDS).nth(number).copied()
}

/// The number of a response field.
pub(crate) fn response_field(name: &[u8]) -> Option<usize> {
    COMMON_FIELDS.iter().chain(&RESPONSE_FIELDS).position(|known| known.as_bytes().eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_the_windows_headers() {
        assert_eq!((method(4), method(19), method(1), method(20)), (Some("GET"), Some("SEARCH"), None, None));
        assert_eq!(
            (request_field(28), request_field(36), request_field(40)),
            (Some("Host"), Some("Referer"), Some("User-Agent"))
        );
        assert_eq!((request_field(37), request_field(41)), (Some("Range"), None));
        assert_eq!((response_field(b"content-type"), response_field(b"Set-Cookie")), (Some(12), Some(27)));
        assert_eq!((response_field(b"WWW-AUTHENTICATE"), response_field(b"Host")), (Some(29), None));
    }
}
