//! Which of a file's compressed siblings a client prefers (RFC 9110 section 12.5.3).

use http::HeaderMap;
use http::header::ACCEPT_ENCODING;

/// A content coding and the extension of files that have it, the best first.
pub(super) const CODINGS: [Coding; 3] =
    [Coding { name: "br", extension: "br" }, Coding { name: "zstd", extension: "zst" }, Coding { name: "gzip", extension: "gz" }];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Coding {
    pub(super) name: &'static str,
    pub(super) extension: &'static str,
}

/// The codings that the client prefers to none, in its order; where it has none, in ours.
pub(super) fn accepted(headers: &HeaderMap) -> Vec<Coding> {
    let mut weighed: Vec<(u16, Coding)> = Vec::new();
    let plain = weight(headers, "identity").unwrap_or(1);
    for coding in CODINGS {
        let weight = weight(headers, coding.name).unwrap_or_default();
        // A tie is the server's to decide, and it decides for fewer bytes.
        if weight > 0 && weight >= plain {
            weighed.push((weight, coding));
        }
    }
    weighed.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    weighed.into_iter().map(|(_, coding)| coding).collect()
}

/// The weight of a coding in thousandths; `None` if it is not spoken of.
fn weight(headers: &HeaderMap, coding: &str) -> Option<u16> {
    let mut others = None;
    let elements =
        headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    for element in elements {
        let mut parameters = element.split(';').map(str::trim);
        let name = parameters.next().unwrap_or_default();
        let weight = parameters.find_map(|parameter| parameter.strip_prefix("q=").or_else(|| parameter.strip_prefix("Q=")));
        let weight = weight.map_or(Some(1000), thousandths);
        let is_it = name.eq_ignore_ascii_case(coding) || coding == "gzip" && name.eq_ignore_ascii_case("x-gzip");
        if is_it {
            // What cannot be read is not wanted.
            return Some(weight.unwrap_or_default());
        }
        // Whoever takes anything takes it plain, too; only with 0 does it speak of that.
        if name == "*" && (coding != "identity" || weight == Some(0)) {
            others = Some(weight.unwrap_or_default());
        }
    }
    others
}

fn thousandths(weight: &str) -> Option<u16> {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let valid = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let fraction = format!("{fraction:0<3}").parse::<u16>().ok().filter(|_| valid)?;
    match whole {
        "0" => Some(fraction),
        "1" if fraction == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn order(field: &str) -> String {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_str(field).unwrap())]);
        accepted(&headers).iter().map(|coding| coding.name).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn the_clients_weights_go_before_the_servers_order() {
        assert_eq!(order("gzip, deflate, br, zstd"), "br zstd gzip");
        assert_eq!(order("gzip;q=1.0, br;q=0.5"), "gzip br");
        assert_eq!(order("GZIP"), "gzip");
        assert_eq!(order("x-gzip ; q=0.001"), "gzip");
        assert_eq!(order("*"), "br zstd gzip");
        assert_eq!(order("br;q=0, *;q=1"), "zstd gzip");
    }

    #[test]
    fn what_is_not_wanted_or_cannot_be_read_is_not_sent() {
        for field in
            ["", "identity", "deflate", "gzip;q=0", "gzip;q=0.000", "gzip;q=2", "gzip;q=0.1234", "gzip;q=-1", "gzip;q=", "*;q=0"]
        {
            assert_eq!(order(field), "", "{field}");
        }
        assert_eq!(order("gzip;q=0.5, identity"), "");
        assert_eq!(order("gzip;q=0.5, identity;q=0.1"), "gzip");
        assert_eq!(accepted(&HeaderMap::new()), []);
    }
}
