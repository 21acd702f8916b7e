use super::*;
use crate::admin::{BindingKey, BindingOption as O, BindingSpec};
use crate::config::Bound;

const TEXT: &str = "\
# top

# the shop
[[binding]]
hostnameport = \"Shop.example:443\" # both
certificate = \"shop.pem\"
key   = 'shop.key'

# everybody else
[[binding]]
directory = \"certs\"
port = 443
http2 = false
";

fn bound(key: &str, options: &[(O, &str)]) -> Bound {
    let mut spec = BindingSpec::default();
    options.iter().for_each(|(option, value)| spec.set(*option, value).unwrap());
    let key = match key.parse() {
        Ok(port) => BindingKey::Ccs(port),
        Err(_) => BindingKey::hostname_port(key).unwrap(),
    };
    Bound { key, options: spec }
}

#[test]
fn a_binding_is_added_changed_and_taken_out_and_the_rest_stays_byte_by_byte() {
    let shop = |options: &[(O, &str)]| {
        bound("shop.example:443", &[&[(O::Certificate, "shop.pem"), (O::Key, "shop.key")], options].concat())
    };
    let added = "\n[[binding]]\nhostnameport = \"localhost:8443\"\nself_signed = true\ncipher_suites = [\"a\", \"b\"]\n";
    let new = bound("localhost:8443", &[(O::SelfSigned, "true"), (O::CipherSuites, "a,b")]);
    let cut = &TEXT[TEXT.find("# the shop").unwrap()..TEXT.find("# everybody").unwrap()];
    let last = &TEXT[TEXT.find("\n# everybody").unwrap()..];
    for (edit, from, to) in [
        (Edit::Bind(new), "http2 = false\n", &*format!("http2 = false\n{added}")),
        (Edit::Rebind(shop(&[])), "", ""),
        (Edit::Rebind(shop(&[(O::Reject, "true")])), "'shop.key'\n", "'shop.key'\nreject = true\n"),
        (Edit::Rebind(bound("443", &[(O::Directory, "certs"), (O::Http2, "true")])), "http2 = false", "http2 = true"),
        (Edit::Rebind(bound("443", &[(O::Directory, "certs")])), "http2 = false\n", ""),
        (Edit::Unbind(shop(&[]).key), cut, ""),
        (Edit::Unbind(BindingKey::Ccs(443)), last, ""),
    ] {
        let expected = TEXT.replacen(from, to, 1);
        assert_eq!(edited(TEXT, &edit), expected, "{edit:?}");
    }
}

#[test]
fn what_is_added_is_read_as_what_it_was() {
    let all = [
        bound("*.example:443", &[(O::Pkcs12, "/a \"b\".p12"), (O::Passphrase, "it's"), (O::MinVersion, "1.3")]),
        bound("8443", &[(O::Directory, "/d"), (O::ClientCertificates, "required"), (O::Ca, "ca"), (O::EarlyData, "false")]),
    ];
    let text = all.iter().fold(HEADER.to_owned(), |text, bound| edited(&text, &Edit::Bind(bound.clone())));
    assert_eq!(parse(&text).unwrap().config.bindings, all);
}
