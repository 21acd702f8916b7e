//! What a client offers, RFC 7692 section 7.1.

use std::fmt;

use super::{Agreement, Config, WindowBits};
use crate::extension::Extension;

/// The extension's name.
pub(super) const NAME: &str = "permessage-deflate";

/// One offer of permessage-deflate. [`fmt::Display`] writes it as it stands in `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    pub(super) params: Params,
}

/// The four parameters, as they stand in an offer or a response. Windows have 8 to 15 bits here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<u8>,
    /// In an offer it may stand without a value.
    pub(super) client_max_window_bits: Option<Option<u8>>,
}

impl Params {
    /// `None` if this is another extension, a parameter is unknown, stands twice, or has a value that it cannot have. RFC 7692
    /// section 7.1: such an offer is declined, and with such a response the connection fails.
    pub(super) fn parse(extension: &Extension<'_>) -> Option<Self> {
        if !extension.name.eq_ignore_ascii_case(NAME) {
            return None;
        }
        let mut params = Self::default();
        for (name, value) in &extension.params {
            let value = value.as_deref();
            let twice = match name.to_ascii_lowercase().as_str() {
                "server_no_context_takeover" if value.is_none() => {
                    std::mem::replace(&mut params.server_no_context_takeover, true)
                }
                "client_no_context_takeover" if value.is_none() => {
                    std::mem::replace(&mut params.client_no_context_takeover, true)
                }
                "server_max_window_bits" => params.server_max_window_bits.replace(window(value?)?).is_some(),
                "client_max_window_bits" => {
                    let bits = match value {
                        Some(value) => Some(window(value)?),
                        None => None,
                    };
                    params.client_max_window_bits.replace(bits).is_some()
                }
                _ => return None,
            };
            if twice {
                return None;
            }
        }
        Some(params)
    }
}

/// 8 to 15, in decimal and without leading zeros.
fn window(value: &str) -> Option<u8> {
    match value {
        "8" => Some(8),
        "9" => Some(9),
        _ if value.len() == 2 && value.starts_with('1') => value.parse().ok().filter(|bits| *bits <= 15),
        _ => None,
    }
}

impl fmt::Display for Params {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        if self.server_no_context_takeover {
            f.write_str("; server_no_context_takeover")?;
        }
        if self.client_no_context_takeover {
            f.write_str("; client_no_context_takeover")?;
        }
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        match self.client_max_window_bits {
            Some(Some(bits)) => write!(f, "; client_max_window_bits={bits}"),
            Some(None) => f.write_str("; client_max_window_bits"),
            None => Ok(()),
        }
    }
}

impl Offer {
    /// The offer in `extension`; `None` if it is another extension, or one that must be declined.
    pub fn parse(extension: &Extension<'_>) -> Option<Self> {
        Params::parse(extension).map(|params| Self { params })
    }

    /// What a client with `config` offers.
    pub fn new(config: &Config) -> Self {
        let smaller = |bits: WindowBits| (bits < WindowBits::MAX).then_some(bits.get());
        Self {
            params: Params {
                server_no_context_takeover: !config.server_context_takeover,
                client_no_context_takeover: !config.client_context_takeover,
                server_max_window_bits: smaller(config.server_max_window_bits),
                client_max_window_bits: Some(smaller(config.client_max_window_bits)),
            },
        }
    }

    /// What a client that made this offer has agreed to when the server's response has `extension`.
    ///
    /// # Errors
    ///
    /// It is no answer to this offer; the connection must fail, RFC 7692 section 5.
    pub fn agreed(&self, extension: &Extension<'_>) -> Result<Agreement, ResponseError> {
        let answer = Params::parse(extension).ok_or(ResponseError)?;
        let offer = self.params;
        if offer.server_no_context_takeover && !answer.server_no_context_takeover {
            return Err(ResponseError);
        }
        if offer.server_max_window_bits.is_some_and(|offered| answer.server_max_window_bits.is_none_or(|bits| bits > offered)) {
            return Err(ResponseError);
        }
        let client_max_window_bits = match (answer.client_max_window_bits, offer.client_max_window_bits) {
            (None, _) => None,
            (Some(Some(bits)), Some(offered)) if bits <= offered.unwrap_or(15) => {
                // A server may ask for 8; no client can do it that uses zlib.
                Some(WindowBits::new(bits).map_err(|_| ResponseError)?)
            }
            _ => return Err(ResponseError),
        };
        Ok(Agreement {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: answer.client_no_context_takeover,
            server_max_window_bits: answer.server_max_window_bits.map(|bits| WindowBits::new(bits).unwrap_or(WindowBits::MIN)),
            client_max_window_bits,
        })
    }
}

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.params.fmt(f)
    }
}

/// A server's response does not answer the client's offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's response does not answer what was offered")]
pub struct ResponseError;

#[cfg(test)]
mod tests {
    use super::*;

    fn offer(text: &str) -> Option<Offer> {
        Offer::parse(&Extension::parse_list(text).unwrap()[0])
    }

    #[test]
    fn a_good_offer_is_written_as_it_was_read() {
        for text in [
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
            "permessage-deflate; server_max_window_bits=8; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=15; client_max_window_bits=10",
        ] {
            assert_eq!(offer(text).map(|offer| offer.to_string()).as_deref(), Some(text));
        }
        assert_eq!(
            offer("PerMessage-Deflate; CLIENT_MAX_WINDOW_BITS=\"9\""),
            offer("permessage-deflate; client_max_window_bits=9")
        );
    }

    #[test]
    fn a_bad_parameter_declines_the_offer() {
        for params in [
            "unknown",
            "server_no_context_takeover=1",
            "client_no_context_takeover=\"true\"",
            "server_no_context_takeover; server_no_context_takeover",
            "client_max_window_bits; client_max_window_bits=10",
            "server_max_window_bits",
            "server_max_window_bits=7",
            "server_max_window_bits=16",
            "server_max_window_bits=010",
            "server_max_window_bits=+9",
            "client_max_window_bits=1",
            "client_max_window_bits=100",
        ] {
            assert_eq!(offer(&format!("permessage-deflate; {params}")), None, "{params}");
        }
        assert_eq!(offer("x-webkit-deflate-frame"), None);
    }

    #[test]
    fn a_response_must_answer_the_offer() {
        let agreed = |offered: &str, response: &str| {
            let response = Extension::parse_list(response).unwrap();
            offer(offered).unwrap().agreed(&response[0]).map(|agreement| agreement.to_string())
        };
        let same = |text: &str| agreed(text, text);
        assert_eq!(same("permessage-deflate").as_deref(), Ok("permessage-deflate"));
        assert!(
            same("permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_max_window_bits=10").is_ok()
        );
        assert!(agreed("permessage-deflate; client_max_window_bits", "permessage-deflate; client_max_window_bits=9").is_ok());
        assert!(agreed("permessage-deflate", "permessage-deflate; client_no_context_takeover; server_max_window_bits=8").is_ok());
        for (offered, response) in [
            ("server_no_context_takeover", "client_no_context_takeover"),
            ("server_max_window_bits=10", "client_no_context_takeover"),
            ("server_max_window_bits=10", "server_max_window_bits=11"),
            ("server_max_window_bits=10", "server_max_window_bits=10; client_max_window_bits=15"),
            ("client_max_window_bits", "client_max_window_bits"),
            ("client_max_window_bits", "client_max_window_bits=8"),
            ("client_max_window_bits=10", "client_max_window_bits=11"),
            ("client_max_window_bits", "something=1"),
        ] {
            let refused = agreed(&format!("permessage-deflate; {offered}"), &format!("permessage-deflate; {response}"));
            assert_eq!(refused, Err(ResponseError), "{offered} answered by {response}");
        }
    }
}
