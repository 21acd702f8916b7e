//! What logs keep of a request's head.

use narthex_http::{ConnectionInfo, Request, Version};
use narthex_proto::host::RequestHost;

use super::fields::Field;
use super::spec::{Format, Spec};

/// The parts of a request that a line may have, borrowed. Empty is absent.
pub(super) struct Head<'a> {
    pub(super) connection: &'a ConnectionInfo,
    pub(super) method: &'a str,
    /// As it came.
    pub(super) target: &'a str,
    /// The target's path, as it came.
    pub(super) stem: &'a str,
    pub(super) query: &'a str,
    pub(super) version: &'static str,
    pub(super) host: Option<&'a RequestHost<'a>>,
    pub(super) named: Named<'a>,
}

/// Header fields that a line may have. The first counts if one is repeated.
#[derive(Default)]
pub(super) struct Named<'a> {
    pub(super) user_agent: &'a [u8],
    pub(super) cookie: &'a [u8],
    pub(super) referer: &'a [u8],
}

impl<'a> Head<'a> {
    pub(super) fn of(request: &Request<'a>, spec: &Spec) -> Self {
        Self {
            connection: request.connection,
            method: request.method,
            target: request.target,
            stem: if request.cooked.is_asterisk() { "*" } else { request.cooked.raw_path() },
            query: request.cooked.query().unwrap_or_default(),
            version: match request.version {
                Version::Http10 => "HTTP/1.0",
                Version::Http11 => "HTTP/1.1",
                Version::Http2 => "HTTP/2",
                Version::Http3 => "HTTP/3",
            },
            host: request.host,
            named: Named::find(request.headers(), spec),
        }
    }
}

impl<'a> Named<'a> {
    /// Looks only if the log has one of them.
    fn find(headers: impl Iterator<Item = (&'a str, &'a [u8])>, spec: &Spec) -> Self {
        let mut named = Self::default();
        let fields = spec.fields;
        let wanted = fields.has(Field::UserAgent) || fields.has(Field::Cookie) || fields.has(Field::Referer);
        if !wanted && spec.format != Format::Ncsa {
            return named;
        }
        for (name, value) in headers {
            let place = match name.len() {
                6 if name.eq_ignore_ascii_case("cookie") => &mut named.cookie,
                7 if name.eq_ignore_ascii_case("referer") => &mut named.referer,
                10 if name.eq_ignore_ascii_case("user-agent") => &mut named.user_agent,
                _ => continue,
            };
            if place.is_empty() {
                *place = value;
            }
        }
        named
    }
}

#[cfg(test)]
mod tests {
    use narthex_proto::wire::Logging;

    use super::*;

    #[test]
    fn fields_are_found_in_any_case_and_the_first_counts() {
        let spec = Spec::parse(&Logging::default(), "shop").unwrap().unwrap();
        let headers = [("USER-agent", &b"first"[..]), ("x-user-ag", b"x"), ("user-agent", b"second"), ("Cookie", b"a=b")];
        let named = Named::find(headers.into_iter(), &spec);
        assert_eq!((named.user_agent, named.cookie, named.referer), (&b"first"[..], &b"a=b"[..], &b""[..]));
    }
}
