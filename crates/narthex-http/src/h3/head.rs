//! From a field section to a request (RFC 9114 section 4.3).

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header::CONTENT_LENGTH};

use crate::h1::head::content_length;
use crate::h3::qpack::Field;
use crate::mux::{Incoming, Tunnel, is_of_connection};

/// A request, and what it says of its body's length. `None` if it is malformed.
pub(super) fn request(fields: Vec<Field>) -> Option<(Incoming, Option<u64>)> {
    let mut pseudo = Pseudo::default();
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        if name.first() != Some(&b':') {
            append(&mut map, &name, &value)?;
        } else if map.is_empty() {
            pseudo.take(&name, value)?;
        } else {
            return None;
        }
    }
    let tunnel = match pseudo.protocol.take() {
        None => None,
        Some(protocol) => Some(Tunnel(HeaderValue::from_bytes(&protocol).ok()?.to_str().ok()?.into())),
    };
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(pseudo.method.as_deref()?).ok()?;
    *request.uri_mut() = pseudo.uri(request.method() == Method::CONNECT, tunnel.is_some())?;
    let declared = match map.get(CONTENT_LENGTH) {
        None => None,
        Some(value) => Some(content_length(value.as_bytes())?),
    };
    *request.headers_mut() = map;
    let (head, ()) = request.into_parts();
    Some((Incoming { head, tunnel, ended: false }, declared))
}

/// Trailers. `None` if they are malformed.
pub(super) fn trailers(fields: Vec<Field>) -> Option<HeaderMap> {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        append(&mut map, &name, &value)?;
    }
    // RFC 9114 section 4.2. Those of a head are judged with its other fields.
    (!map.keys().any(is_of_connection)).then_some(map)
}

fn append(map: &mut HeaderMap, name: &[u8], value: &[u8]) -> Option<()> {
    // Neither a pseudo-header nor a name in upper case is a name there.
    map.try_append(HeaderName::from_lowercase(name).ok()?, HeaderValue::from_bytes(value).ok()?).ok()?;
    Some(())
}

#[derive(Default)]
struct Pseudo {
    method: Option<Vec<u8>>,
    scheme: Option<Vec<u8>>,
    authority: Option<Vec<u8>>,
    path: Option<Vec<u8>>,
    protocol: Option<Vec<u8>>,
}

impl Pseudo {
    fn take(&mut self, name: &[u8], value: Vec<u8>) -> Option<()> {
        let place = match name {
            b":method" => &mut self.method,
            b":scheme" => &mut self.scheme,
            b":authority" => &mut self.authority,
            b":path" => &mut self.path,
            b":protocol" => &mut self.protocol,
            _ => return None,
        };
        place.replace(value).is_none().then_some(())
    }

    fn uri(self, is_connect: bool, is_tunnel: bool) -> Option<Uri> {
        if is_tunnel && !is_connect || is_connect && self.authority.is_none() {
            return None;
        }
        if is_connect && !is_tunnel {
            let alone = self.scheme.is_none() && self.path.is_none();
            return alone.then(|| Authority::try_from(self.authority?.as_slice()).ok()).flatten().map(Uri::from);
        }
        let (scheme, path) = (self.scheme?, self.path?);
        let starts_well = path.first() == Some(&b'/') || path == b"*";
        // It has no fragment, and one would be lost here: the app would see another target than who looked before.
        let is_right = starts_well && !path.contains(&b'#');
        let path = PathAndQuery::try_from(path.as_slice()).ok().filter(|_| is_right)?;
        let Some(authority) = self.authority else {
            // `Host` has to say it, and the scheme must be the right one all the same.
            return (scheme == b"https").then(|| Uri::from(path));
        };
        let builder = Uri::builder().scheme(Scheme::try_from(scheme.as_slice()).ok()?).path_and_query(path);
        builder.authority(Authority::try_from(authority.as_slice()).ok()?).build().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &[(&str, &str)]) -> Option<Incoming> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()));
        request(fields.collect()).map(|(incoming, _)| incoming)
    }

    const GET: [(&str, &str); 4] = [(":method", "GET"), (":scheme", "https"), (":authority", "a"), (":path", "/x?y")];

    #[test]
    fn a_request_has_its_pseudo_headers_once_and_first() {
        let incoming = parse(&GET).unwrap();
        assert_eq!(incoming.head.uri, "https://a/x?y");
        for missing in [0, 1, 3] {
            let mut fields = GET.to_vec();
            fields.remove(missing);
            assert!(parse(&fields).is_none(), "{missing}");
        }
        assert!(parse(&[GET[0], GET[1], GET[2], (":path", "/x#y")]).is_none());
        for more in
            [(":method", "GET"), (":path", "/"), (":status", "200"), (":x", "y"), ("X-Upper", "y"), ("content-length", "+1")]
        {
            assert!(parse(&[&GET[..], &[more]].concat()).is_none(), "{more:?}");
        }
        assert!(parse(&[&[("x", "y")], &GET[..]].concat()).is_none());
    }

    #[test]
    fn a_tunnel_is_a_connect_with_a_protocol() {
        let tail = &GET[1..];
        let tunnel = parse(&[&[(":method", "CONNECT"), (":protocol", "websocket")], tail].concat()).unwrap();
        assert_eq!(&*tunnel.tunnel.unwrap().0, "websocket");
        assert!(parse(&[&[(":protocol", "websocket")], &GET[..]].concat()).is_none());
        assert!(parse(&[&[(":method", "CONNECT")], tail].concat()).is_none());
        assert!(parse(&[(":method", "CONNECT"), (":authority", "a:1")]).unwrap().tunnel.is_none());
    }
}
