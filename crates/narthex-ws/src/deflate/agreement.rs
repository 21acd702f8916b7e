//! What server and client agree on, RFC 7692 section 7.1.

use std::fmt;

use super::offer::Params;
use super::{Offer, WindowBits};
use crate::extension::{Extension, Malformed};
use crate::role::Role;

/// How one end wants to compress. The default suits a server with many connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// 1 (fastest) to 9 (smallest); what lies outside is taken for the nearest. Default: 2, which for small messages is
    /// as good as the middle ones.
    pub level: u8,
    /// Memory for the compressor's state, 1 to 9, as zlib has it; what lies outside is taken for the nearest. Default: 8.
    pub memory_level: u8,
    /// Messages with fewer bytes are not compressed. Default: 64.
    pub min_size: usize,
    /// Whether the server's messages may refer to earlier ones. It costs the server one compressor, and the client one
    /// decompressor, for each connection that uses it. Default: false.
    pub server_context_takeover: bool,
    /// Whether the client's messages may refer to earlier ones. It costs the server 47 KiB for each connection that uses it.
    /// Default: false.
    pub client_context_takeover: bool,
    /// The window of what the server compresses. Default: 15.
    pub server_max_window_bits: WindowBits,
    /// The window of what the client compresses; asked for where clients allow it. Default: 15.
    pub client_max_window_bits: WindowBits,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            level: 2,
            memory_level: 8,
            min_size: 64,
            server_context_takeover: false,
            client_context_takeover: false,
            server_max_window_bits: WindowBits::MAX,
            client_max_window_bits: WindowBits::MAX,
        }
    }
}

impl Config {
    /// The first of a client's offers in a value of `Sec-WebSocket-Extensions` that a server with these settings can accept;
    /// other extensions are passed over.
    ///
    /// # Errors
    ///
    /// The header field is malformed: the handshake fails, RFC 6455 section 9.1.
    pub fn accept_from(&self, value: &str) -> Result<Option<Agreement>, Malformed> {
        let extensions = Extension::parse_list(value)?;
        Ok(extensions.iter().filter_map(Offer::parse).find_map(|offer| self.accept(&offer)))
    }

    /// The response to `offer`; `None` declines it.
    pub fn accept(&self, offer: &Offer) -> Option<Agreement> {
        let offer = offer.params;
        let server_max_window_bits = match offer.server_max_window_bits {
            // 8 bits cannot be done, see the module's documentation.
            Some(bits) => Some(WindowBits::new(bits).ok()?.min(self.server_max_window_bits)),
            // RFC 7692 section 7.1.2.1: the server may say so of its own accord.
            None => Some(self.server_max_window_bits).filter(|bits| *bits < WindowBits::MAX),
        };
        // RFC 7692 section 7.1.2.2: only if the client has offered it, and no more than it has. 8 bits are below anything that
        // could be asked for.
        let client_max_window_bits = offer.client_max_window_bits.and_then(|hint| {
            let hint = WindowBits::new(hint.unwrap_or(15)).ok()?;
            Some(self.client_max_window_bits.min(hint)).filter(|bits| *bits < WindowBits::MAX)
        });
        Some(Agreement {
            server_no_context_takeover: offer.server_no_context_takeover || !self.server_context_takeover,
            client_no_context_takeover: offer.client_no_context_takeover || !self.client_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
        })
    }
}

/// permessage-deflate as agreed on. [`fmt::Display`] writes it as it stands in the response's `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<WindowBits>,
    pub(super) client_max_window_bits: Option<WindowBits>,
}

impl Agreement {
    /// Whether messages that the end in `role` writes may refer to earlier ones.
    pub fn context_takeover(&self, role: Role) -> bool {
        match role {
            Role::Server => !self.server_no_context_takeover,
            Role::Client => !self.client_no_context_takeover,
        }
    }

    /// How far back what the end in `role` writes may refer.
    pub fn window_bits(&self, role: Role) -> WindowBits {
        match role {
            Role::Server => self.server_max_window_bits,
            Role::Client => self.client_max_window_bits,
        }
        .unwrap_or_default()
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Params {
            server_no_context_takeover: self.server_no_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover,
            server_max_window_bits: self.server_max_window_bits.map(WindowBits::get),
            client_max_window_bits: self.client_max_window_bits.map(|bits| Some(bits.get())),
        }
        .fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEEPING: fn() -> Config =
        || Config { server_context_takeover: true, client_context_takeover: true, ..Config::default() };

    fn response(config: Config, offers: &str) -> Option<String> {
        config.accept_from(offers).unwrap().map(|agreement| agreement.to_string())
    }

    #[test]
    fn a_server_keeps_no_context_unless_it_is_told_to() {
        let both = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
        assert_eq!(response(Config::default(), "permessage-deflate; client_max_window_bits").as_deref(), Some(both));
        assert_eq!(response(KEEPING(), "permessage-deflate; client_max_window_bits").as_deref(), Some("permessage-deflate"));
        assert_eq!(response(KEEPING(), both).as_deref(), Some(both));
    }

    #[test]
    fn windows_are_no_larger_than_either_end_wants() {
        let small = Config {
            server_max_window_bits: WindowBits::new(12).unwrap(),
            client_max_window_bits: WindowBits::new(11).unwrap(),
            ..KEEPING()
        };
        for (offer, expected) in [
            ("", "; server_max_window_bits=12"),
            ("; server_max_window_bits=15", "; server_max_window_bits=12"),
            ("; server_max_window_bits=10", "; server_max_window_bits=10"),
            ("; client_max_window_bits", "; server_max_window_bits=12; client_max_window_bits=11"),
            ("; client_max_window_bits=9", "; server_max_window_bits=12; client_max_window_bits=9"),
            ("; client_max_window_bits=8", "; server_max_window_bits=12"),
        ] {
            let response = response(small, &format!("permessage-deflate{offer}")).unwrap();
            assert_eq!(response, format!("permessage-deflate{expected}"), "offered {offer}");
        }
        // What was offered is answered, even where it asks for nothing.
        let offered = "permessage-deflate; server_max_window_bits=15";
        assert_eq!(response(KEEPING(), offered).as_deref(), Some(offered));
    }

    #[test]
    fn the_first_offer_that_can_be_accepted_is() {
        let offers = "foo, permessage-deflate; server_max_window_bits=8, permessage-deflate; bar, permessage-deflate; server_max_window_bits=9";
        assert_eq!(response(KEEPING(), offers).as_deref(), Some("permessage-deflate; server_max_window_bits=9"));
        assert_eq!(response(KEEPING(), "foo, permessage-deflate; server_max_window_bits=8"), None);
    }

    #[test]
    fn every_answer_is_one_to_our_own_offers() {
        let windows = [9, 12, 15].map(|bits| WindowBits::new(bits).unwrap());
        let configs: Vec<Config> = (0..36)
            .map(|n| Config {
                server_context_takeover: n & 1 == 0,
                client_context_takeover: n & 2 == 0,
                server_max_window_bits: windows[n / 4 % 3],
                client_max_window_bits: windows[n / 12],
                ..Config::default()
            })
            .collect();
        for client in &configs {
            for server in &configs {
                let offer = Offer::new(client);
                let agreement = server.accept_from(&offer.to_string()).unwrap().unwrap();
                let answer = agreement.to_string();
                assert_eq!(offer.agreed(&Extension::parse_list(&answer).unwrap()[0]), Ok(agreement), "{offer} / {answer}");
            }
        }
    }
}
