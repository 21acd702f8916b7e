//! The commands that bring an `https://` registration its certificate, and how clients come to trust one of the host's own.

use std::path::Path;

use narthex_proto::prefix::{PrefixHost, UrlPrefix};

use crate::admin::{Answer, BindingKey};
use crate::control::reservations::quoted;

/// Whether a binding can be meant for the handshakes of this host.
pub(super) fn is_for(key: &BindingKey, host: &PrefixHost) -> bool {
    match (key, host) {
        (BindingKey::HostnamePort(name), PrefixHost::Name(_)) => {
            let host = wire(host);
            match name.host().strip_prefix("*.") {
                Some(domain) => host.split_once('.').is_some_and(|(_, rest)| rest == domain),
                None => name.host() == host,
            }
        }
        (BindingKey::IpPort(address), PrefixHost::Ip(ip)) => address.ip() == *ip || address.ip().is_unspecified(),
        _ => true,
    }
}

/// The name as clients send it.
fn wire(host: &PrefixHost) -> String {
    let prefix = format!("https://{host}:1/").parse::<UrlPrefix>();
    prefix.map_or_else(|_| host.to_string(), |prefix| prefix.wire_host().to_owned())
}

/// The command that binds a certificate to the host of a prefix.
pub(in crate::control) fn remedy(host: &PrefixHost, port: u16) -> String {
    // Port 0 takes any: the operator has to choose one.
    let port = if port == 0 { "PORT".to_owned() } else { port.to_string() };
    let files = "certfile=/path/to/certificate.pem keyfile=/path/to/key.pem";
    match host {
        PrefixHost::Name(name) if &**name == "localhost" || name.ends_with(".localhost") => {
            format!("narthex add sslcert hostnameport={name}:{port} self-signed")
        }
        PrefixHost::Name(_) => format!("narthex add sslcert hostnameport={}:{port} {files}", wire(host)),
        PrefixHost::Ip(ip) if ip.is_ipv6() => format!("narthex add sslcert ipport='[{ip}]:{port}' {files}"),
        PrefixHost::Ip(ip) => format!("narthex add sslcert ipport={ip}:{port} {files}"),
        PrefixHost::Strong | PrefixHost::Weak => format!("narthex add sslcert ipport=0.0.0.0:{port} {files}"),
    }
}

/// What to do with the certificate of the host's own authority.
pub(in crate::control) fn how_to_trust(directory: &Path) -> String {
    let ca = super::load::authority_file(directory).display().to_string();
    let quoted = quoted(&ca);
    format!(
        "It is signed by this host's own authority for development, whose certificate is {ca}\n\
         Trust it in one client: curl --cacert {quoted} https://...\n\
         Trust it on this machine: sudo cp {quoted} /usr/local/share/ca-certificates/narthex.crt && sudo update-ca-certificates"
    )
}

/// Tells an operator whose registrations have lost their certificate by a change.
pub(in crate::control) fn with_warning(answer: Answer, lost: &[UrlPrefix], mend: impl FnOnce(&UrlPrefix) -> String) -> Answer {
    let (Answer::Done(done), Some(first)) = (&answer, lost.first()) else { return answer };
    let more = match lost.len() {
        1 => String::new(),
        all => format!(" and {} more", all - 1),
    };
    let command = mend(first);
    let warning = format!("warning: handshakes for {first}{more} fail from now on; to mend it: {command}");
    tracing::warn!("{warning}");
    Answer::Done(format!("{done}\n{warning}"))
}
