use crate::admin::{BindingKey, BindingOption as O};
use crate::config::parse;

#[test]
fn every_kind_of_binding_is_read() {
    let text = r#"
        [[binding]]
        ipport = "0.0.0.0:443"
        certificate = "tls/site.pem"
        key = "tls/site.key"
        security_level = "Modern"
        cipher_suites = ["TLS13_AES_128_GCM_SHA256", "TLS13_AES_256_GCM_SHA384"]
        client_certificates = "optional"
        ca = "tls/clients.pem"
        http2 = false
        appid = "{00112233-4455-6677-8899-aabbccddeeff}"
        [[binding]]
        hostnameport = "*.Example.com:443"
        pkcs12 = "/etc/site.p12"
        passphrase = ""
        [[binding]]
        directory = "/etc/certificates"
        port = 8443
        [[binding]]
        hostnameport = "localhost:8443"
        self_signed = true
    "#;
    let bindings = parse(text).unwrap().config.bindings;
    let keys: Vec<String> = bindings.iter().map(|bound| bound.key.to_string()).collect();
    assert_eq!(keys, ["ipport=0.0.0.0:443", "hostnameport=*.example.com:443", "ccs=8443", "hostnameport=localhost:8443"]);
    let first = &bindings[0].options;
    assert_eq!(first.get(O::SecurityLevel), Some("modern"));
    assert_eq!(first.get(O::CipherSuites), Some("TLS13_AES_128_GCM_SHA256,TLS13_AES_256_GCM_SHA384"));
    assert_eq!(first.get(O::Http2), Some("false"));
    assert_eq!(bindings[1].options.get(O::Passphrase), Some(""));
    assert_eq!(bindings[2].options.get(O::Directory), Some("/etc/certificates"));
    assert_eq!(bindings[2].key, BindingKey::Ccs(8443));
    assert!(bindings[3].options.is_set(O::SelfSigned));
}

/// The text before `<<` is right; what follows is wrong, and the error has to point there and say so.
#[test]
fn every_mistake_of_a_binding_has_its_place_and_its_remedy() {
    let whole = "[[binding]]\nipport = \"0.0.0.0:443\"\ncertificate = \"c\"\nkey = \"k\"\n";
    for (text, said) in [
        ("binding = <<[]", "[[binding]] on a line"),
        ("<<[[binding]]\nself_signed = true", "for which handshakes"),
        ("[[binding]]\nipport = <<443", "text in quotes"),
        ("[[binding]]\nipport = <<\"example.com:443\"", "hostnameport"),
        ("[[binding]]\nhostnameport = <<\"example.com\"", "no port"),
        ("[[binding]]\nipport = \"0.0.0.0:443\"\nhostnameport = <<\"a:443\"", "not both"),
        ("[[binding]]\ndirectory = <<\"/d\"", "port = 443"),
        ("[[binding]]\ndirectory = \"/d\"\nport = <<\"443\"", "without quotes"),
        ("[[binding]]\nipport = \"0.0.0.0:443\"\nport = <<443", "already"),
        ("<<[[binding]]\nipport = \"0.0.0.0:443\"", "no certificate"),
        ("<<[[binding]]\nipport = \"0.0.0.0:443\"\ncertificate = \"c\"", "name both"),
        ("WHOLE<<http_2 = true", "did you mean http2?"),
        ("WHOLE<<certificates = \"c\"", "did you mean certificate?"),
        ("WHOLEhttp2 = <<\"no\"", "true or false, without quotes"),
        ("WHOLEmin_version = <<1.2", "\"1.2\" or \"1.3\""),
        ("WHOLEmin_version = <<\"1.1\"", "1.2 or 1.3"),
        ("WHOLEcipher_suites = <<\"x\"", "a list"),
        ("WHOLEcipher_suites = <<[]", "at least one"),
        ("WHOLE[[binding]]\nipport = <<\"0.0.0.0:443\"\nself_signed = true", "two bindings"),
    ] {
        let text = text.replace("WHOLE", whole);
        let (before, after) = text.split_once("<<").unwrap();
        let error = parse(&format!("{before}{after}")).unwrap_err();
        assert!(error.to_string().contains(said), "{text}: {error}");
        assert_eq!(error.line(), Some(before.matches('\n').count() + 1), "{text}: {error}");
        assert_eq!(error.column(), Some(before.rsplit('\n').next().unwrap().chars().count() + 1), "{text}: {error}");
    }
}
