//! What `narthex show sslcert` prints, for people and for programs.

use narthex_host::admin::{Answer, BindingKey, BindingOption as O, BindingSpec, CertificateState, Question, SslcertState};
use serde_json::{Value, json};

use crate::verbs::fake_host::{FakeHost, stdout};

fn options(said: &[(O, &str)]) -> BindingSpec {
    let mut options = BindingSpec::default();
    said.iter().for_each(|(option, value)| options.set(*option, value).unwrap());
    options
}

fn bindings() -> Answer {
    let certificate = CertificateState {
        subject: "CN=shop.example".to_owned(),
        names: vec!["shop.example".to_owned(), "www.shop.example\u{1b}[2J".to_owned()],
        issuer: "CN=Some CA".to_owned(),
        not_before: "2026-10-01T00:00:00Z".to_owned(),
        not_after: "2026-12-30T00:00:00Z".to_owned(),
        days_left: 32,
        sha256: "00ff".to_owned(),
    };
    Answer::Sslcerts(vec![
        SslcertState {
            key: BindingKey::hostname_port("shop.example:443").unwrap(),
            options: options(&[(O::Pkcs12, "/s.p12"), (O::Passphrase, "?"), (O::MinVersion, "1.3"), (O::Http2, "false")]),
            certificate: Some(certificate),
            problem: Some("/s.p12: the passphrase is wrong".to_owned()),
            acme: None,
        },
        SslcertState {
            key: BindingKey::Ccs(443),
            options: options(&[(O::Directory, "/certificates")]),
            certificate: None,
            problem: None,
            acme: None,
        },
    ])
}

#[test]
fn bindings_are_shown_with_their_certificates_and_what_is_wrong_with_them() {
    let host = FakeHost::that_answers(bindings());
    let expected = "\
SSL Certificate bindings:
-------------------------

    Hostname:port       : shop.example:443
    PKCS#12 file        : /s.p12
    Passphrase          : (not shown)
    Subject             : CN=shop.example
    Names               : shop.example, www.shop.example\u{fffd}[2J
    Issuer              : CN=Some CA
    Valid from          : 2026-10-01T00:00:00Z
    Valid until         : 2026-12-30T00:00:00Z (32 days left)
    SHA-256 fingerprint : 00ff
    Minimum version     : 1.3
    HTTP/2              : Disabled
    Problem             : /s.p12: the passphrase is wrong

    Central Certificate Store : 443
    Directory                 : /certificates
";
    assert_eq!(stdout(&host.run(&["show", "sslcert", "ccs=443"])), expected);
    assert_eq!(host.asked(), [Question::ShowSslcert { binding: Some(BindingKey::Ccs(443)) }]);
    let json: Value = serde_json::from_slice(&host.run(&["show", "sslcert", "--json"]).stdout).unwrap();
    assert_eq!(host.asked(), [Question::ShowSslcert { binding: None }]);
    assert_eq!(json[0]["hostnameport"], "shop.example:443");
    assert_eq!(json[0]["options"]["min_version"], "1.3");
    assert_eq!(json[0]["certificate"]["days_left"], 32);
    let second = json!({ "ccs": 443, "options": { "directory": "/certificates" }, "certificate": null, "problem": null });
    assert_eq!(json[1], second);
}

#[test]
fn where_there_is_no_binding_the_verb_that_makes_one_is_named() {
    let host = FakeHost::that_answers(Answer::Sslcerts(Vec::new()));
    let text = "SSL Certificate bindings:\n-------------------------\n\nThere is no binding; `narthex add sslcert` makes one.\n";
    assert_eq!(stdout(&host.run(&["show", "sslcert"])), text);
}
