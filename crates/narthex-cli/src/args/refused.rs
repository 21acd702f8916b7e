//! What netsh has and a host has not, and what to type instead.

use std::ffi::OsString;

use anyhow::bail;

/// netsh's verbs for what a binding's HTTP/2 is allowed.
const SSLPROPERTYEX: &str = "sslpropertyex";

/// netsh's parameters of `sslcert` that make no sense here, and what to type instead.
pub(super) const KEYS: [(&str, &str); 16] = [
    ("certhash", "there is no certificate store: name the files with certfile= and keyfile=, or pkcs12file="),
    ("certstorename", "there is no certificate store: name the files with certfile= and keyfile=, or pkcs12file="),
    ("sslctlidentifier", "there are no trust lists: name the authorities of client certificates with cafile="),
    ("sslctlstorename", "there are no trust lists: name the authorities of client certificates with cafile="),
    ("dsmapperusage", "certificates are not mapped to users: the app sees the client's certificate, and decides"),
    ("verifyclientcertrevocation", "revocation is checked where it is known: name the revoked certificates with crlfile="),
    (
        "verifyrevocationwithcachedclientcertonly",
        "nothing is fetched in a handshake: name the revoked certificates with crlfile=",
    ),
    ("usagecheck", "the usage of client certificates is always checked: leave it out"),
    ("revocationfreshnesstime", "nothing is fetched in a handshake: replace the file of crlfile= when there is a newer one"),
    ("urlretrievaltimeout", "nothing is fetched in a handshake: name the revoked certificates with crlfile="),
    ("disabletls13", "TLS 1.3 is always spoken: leave it out"),
    ("disablelegacytls", "TLS 1.0 and 1.1 are never spoken: leave it out"),
    ("disableocspstapling", "no OCSP answers are stapled: leave it out"),
    ("enabletokenbinding", "no client has token binding any more: leave it out"),
    ("logextendedevents", "handshakes that fail are in the host's own log: leave it out"),
    ("scopedccs", "a directory serves every name that it has a file for: type ccs=PORT"),
];

/// Refuses verbs of netsh for which the host has something else.
pub(super) fn refuse(words: &[OsString]) -> anyhow::Result<()> {
    let is = |index: usize, name: &str| words.get(index).is_some_and(|word| word.eq_ignore_ascii_case(name));
    if is(2, SSLPROPERTYEX) {
        bail!(
            "{SSLPROPERTYEX} is about HTTP/2, for which the host has settings: narthex add setting \
             settingtype=http2_initial_window value=1048576 (narthex show setting lists all)"
        );
    }
    if is(1, "update")
        && words.get(2).is_some_and(|word| !is(2, "sslcert") && !is(2, "queue") && !word.to_string_lossy().starts_with('-'))
    {
        bail!("update is a verb of sslcert and queue; to change anything else, delete it and add it again");
    }
    Ok(())
}
