//! What a request for events asks for.

use http::request::Parts;

use crate::hub::channels::Position;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Query {
    /// The channels in the order in which they are named, and where the client has stopped in each.
    pub(super) channels: Vec<(String, Option<Position>)>,
    /// How many of the last messages who does not come back wants.
    pub(super) last: usize,
}

impl Query {
    /// From the query, and `Last-Event-ID`, which browsers send when they come back. `since` says the same for who cannot send fields.
    pub(super) fn of(parts: &Parts) -> Self {
        let mut query = Self { channels: Vec::new(), last: 0 };
        let mut since = String::new();
        for pair in parts.uri.query().unwrap_or_default().split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decode(value);
            match &*decode(name) {
                "channel" if query.channels.iter().all(|(known, _)| *known != value) => query.channels.push((value, None)),
                "last" => query.last = value.parse().unwrap_or(0),
                "since" => since = value,
                _ => {}
            }
        }
        let field = parts.headers.get("last-event-id").and_then(|field| field.to_str().ok());
        for ((_, at), position) in query.channels.iter_mut().zip(field.unwrap_or(&since).split(',')) {
            *at = position.parse().ok();
        }
        query
    }
}

/// `application/x-www-form-urlencoded`. What is no UTF-8 is replaced, and a `%` without digits is one.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        match (first, after) {
            (b'+', _) => bytes.push(b' '),
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                bytes.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn digit(hex: u8) -> u8 {
    char::from(hex).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn query(target: &str, field: Option<&str>) -> Query {
        let mut request = http::Request::get(target);
        if let Some(field) = field {
            request = request.header("Last-Event-ID", field);
        }
        Query::of(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn channels_are_named_in_the_query_and_positions_go_with_them_in_order() {
        let asked = query("/e?channel=a%2Fb+c&channel=%C3%BC&last=5&channel=a/b+c&x=y&channel=z", Some("00ff.3,,0001.4,7"));
        let at = |text: &str| Some(text.parse().unwrap());
        assert_eq!(asked.last, 5);
        assert_eq!(asked.channels, [("a/b c".to_owned(), at("ff.3")), ("ü".to_owned(), None), ("z".to_owned(), at("1.4"))]);
        assert_eq!(query("/e?channel=a&since=1.2", None).channels, [("a".to_owned(), at("1.2"))]);
        assert_eq!(query("/e?channel=a&since=1.2", Some("1.3")).channels, [("a".to_owned(), at("1.3"))]);
    }

    #[test]
    fn nonsense_is_taken_for_what_it_may_be() {
        assert!(query("/e", Some("x")).channels.is_empty());
        let asked = query("/e?channel=%&channel=%ff%4&channel&last=x&&=", Some("nonsense,1.x"));
        assert_eq!(asked.channels.iter().map(|(name, _)| &**name).collect::<Vec<_>>(), ["%", "\u{fffd}%4", ""]);
        assert!(asked.last == 0 && asked.channels.iter().all(|(_, at)| at.is_none()));
    }
}
