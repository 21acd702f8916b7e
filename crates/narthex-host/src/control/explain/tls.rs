//! Which TLS binding answers a URL's handshake.

use std::net::SocketAddr;

use narthex_proto::explain::AskedUrl;
use narthex_proto::prefix::{PrefixHost, PrefixSpec};

use crate::admin::{BindingOption, ExplainedTls};
use crate::control::certificates::remedy;
use crate::control::state::State;

pub(super) fn handshake(state: &State, url: &AskedUrl, local: SocketAddr) -> ExplainedTls {
    let host = url.request_host();
    // Clients name no address to a server.
    let name = host.as_ref().filter(|host| host.ip().is_none()).map(|host| host.name().to_ascii_lowercase());
    let binding = state.certificates.answering(local, name.as_deref());
    let failure = match &binding {
        Some(binding) if binding.options.is_set(BindingOption::Reject) => {
            let key = &binding.key;
            Some(format!("the TLS binding {key} refuses connections (narthex update sslcert {key} reject=disable)"))
        }
        Some(binding) if binding.options.is_set(BindingOption::Acme) && binding.certificate.is_none() => {
            let key = &binding.key;
            Some(format!("the TLS binding {key} waits for a CA to issue its certificate (narthex show sslcert {key})"))
        }
        Some(_) => None,
        None => Some(missing(state, name.as_deref(), local)),
    };
    ExplainedTls { binding, failure }
}

fn missing(state: &State, name: Option<&str>, local: SocketAddr) -> String {
    let host = match name {
        Some(name) => format!("https://{name}:{}/", local.port()),
        None => format!("https://{local}/"),
    };
    match host.parse::<PrefixSpec>() {
        // Its binding may be there and not be usable.
        Ok(spec) => state.certificates.check(&spec).err().unwrap_or_else(|| {
            format!("no TLS binding answers there; an operator can add one: {}", remedy(spec.host(), local.port()))
        }),
        Err(_) => {
            let any = PrefixHost::Strong;
            format!("no TLS binding answers there; an operator can add one: {}", remedy(&any, local.port()))
        }
    }
}
