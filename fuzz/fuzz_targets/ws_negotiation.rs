//! Any header: what is agreed on answers the offer, and what is written is read as the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use narthex_ws::deflate::{Config, Offer, WindowBits};
use narthex_ws::{Extension, Role};

fuzz_target!(|data: (u8, u8, u8, &str)| {
    let (flags, server, client, header) = data;
    let window = |bits: u8| WindowBits::new(9 + bits % 7).expect("9 to 15");
    let config = Config {
        server_context_takeover: flags & 1 != 0,
        client_context_takeover: flags & 2 != 0,
        server_max_window_bits: window(server),
        client_max_window_bits: window(client),
        ..Config::default()
    };
    let Ok(extensions) = Extension::parse_list(header) else {
        assert!(config.accept_from(header).is_err());
        return;
    };
    let accepted = config.accept_from(header).expect("well formed");
    let offers: Vec<Offer> = extensions.iter().filter_map(Offer::parse).collect();
    assert!(accepted.is_none() || !offers.is_empty());
    for offer in offers {
        let written = offer.to_string();
        let read = Extension::parse_list(&written).expect("well formed");
        assert_eq!(Offer::parse(&read[0]), Some(offer));
        let Some(agreement) = config.accept(&offer) else { continue };
        assert!(agreement.window_bits(Role::Server) <= config.server_max_window_bits);
        let answer = agreement.to_string();
        let answer = Extension::parse_list(&answer).expect("well formed");
        assert_eq!(offer.agreed(&answer[0]), Ok(agreement));
    }
    let response = Offer::new(&config);
    for extension in &extensions {
        let _ = response.agreed(extension);
    }
});
