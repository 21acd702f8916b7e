use super::*;

fn spec(said: &[(BindingOption, &str)]) -> BindingSpec {
    let mut spec = BindingSpec::default();
    for (option, value) in said {
        spec.set(*option, value).unwrap();
    }
    spec
}

#[test]
fn a_key_is_read_as_netsh_writes_it() {
    assert_eq!(BindingKey::ip_port("[::]:443").unwrap().to_string(), "ipport=[::]:443");
    assert_eq!(BindingKey::ip_port("[::ffff:127.0.0.1]:443").unwrap().to_string(), "ipport=127.0.0.1:443");
    assert_eq!(BindingKey::hostname_port("Shop.Example.com:443").unwrap().to_string(), "hostnameport=shop.example.com:443");
    assert_eq!(
        BindingKey::hostname_port("*.Bücher.example:443").unwrap().to_string(),
        "hostnameport=*.xn--bcher-kva.example:443"
    );
    for (text, said) in [("example.com:443", "use hostnameport"), ("0.0.0.0", "a port"), ("0.0.0.0:0", "no port")] {
        assert!(BindingKey::ip_port(text).unwrap_err().contains(said), "{text}");
    }
    for (text, said) in [
        ("example.com", "no port"),
        ("example.com:0", "no port"),
        ("example.com:x", "no port"),
        ("127.0.0.1:443", "ipport"),
        ("a.*.com:443", "no name of a host"),
        ("*.:443", "no name of a host"),
        ("+:443", "no name of a host"),
        ("a/b:443", "no name of a host"),
    ] {
        let error = BindingKey::hostname_port(text).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
}

#[test]
fn every_option_is_in_the_list_once_and_in_its_order() {
    assert!(BindingOption::ALL.is_sorted_by(|one, other| one < other));
    for option in BindingOption::ALL {
        assert_eq!(serde_json::to_value(option).unwrap(), option.name());
    }
}

#[test]
fn a_binding_has_one_source_and_all_of_it() {
    use BindingOption as O;
    let name = BindingKey::hostname_port("a.example:443").unwrap();
    let files = [(O::Certificate, "c"), (O::Key, "k")];
    for (key, said, wrong) in [
        (&name, vec![], "no certificate"),
        (&name, vec![(O::Http2, "false")], "no certificate"),
        (&name, vec![(O::Certificate, "c")], "name both"),
        (&name, vec![(O::Key, "k")], "name both"),
        (&name, vec![(O::Passphrase, "x")], "name that too"),
        (&name, vec![(O::Pkcs12, "p"), (O::Passphrase, "x"), (O::PassphraseFile, "x")], "given twice"),
        (&name, vec![(O::Pkcs12, "p"), (O::Key, "k")], "two sources"),
        (&name, vec![(O::SelfSigned, "true"), (O::Acme, "true")], "two sources"),
        (&BindingKey::hostname_port("*.a.example:443").unwrap(), vec![(O::Acme, "true")], "by DNS alone"),
        (&BindingKey::hostname_port("a.localhost:443").unwrap(), vec![(O::Acme, "true")], "take self_signed"),
        (&BindingKey::ip_port("192.0.2.1:443").unwrap(), vec![(O::Acme, "true")], "bind it with hostnameport"),
        (&name, vec![(O::Directory, "d")], "for a port"),
        (&BindingKey::Ccs(443), vec![(O::SelfSigned, "true")], "not from self_signed"),
        (&BindingKey::Ccs(443), vec![], "directory="),
        (&name, vec![(O::SelfSigned, "true"), (O::ClientCertificates, "required")], "a ca"),
        (&name, vec![(O::SelfSigned, "true"), (O::Crl, "x")], "name the ca"),
    ] {
        let error = spec(&said).check(key).unwrap_err();
        assert!(error.contains(wrong), "{said:?}: {error}");
    }
    assert_eq!(spec(&files).check(&name), Ok(()));
    assert_eq!(spec(&[(O::Pkcs12, "p")]).check(&name), Ok(()), "without a passphrase it may have none");
    assert_eq!(spec(&[(O::Directory, "d")]).check(&BindingKey::Ccs(443)), Ok(()));
    assert_eq!(spec(&[(O::Acme, "true")]).check(&name), Ok(()));
}

#[test]
fn a_change_keeps_what_it_does_not_name_but_not_another_source() {
    use BindingOption as O;
    let old = spec(&[(O::Certificate, "c"), (O::Key, "k"), (O::Http2, "false")]);
    let renewed = old.changed(&spec(&[(O::Certificate, "d")]));
    assert_eq!(renewed, spec(&[(O::Certificate, "d"), (O::Key, "k"), (O::Http2, "false")]));
    let other = old.changed(&spec(&[(O::Pkcs12, "p"), (O::Http2, "true")]));
    assert_eq!(other, spec(&[(O::Pkcs12, "p"), (O::Http2, "true")]));
}

#[test]
fn what_an_option_cannot_be_is_told_with_what_it_can() {
    use BindingOption as O;
    let wrong = |option, value| BindingSpec::default().set(option, value).unwrap_err();
    assert!(wrong(O::MinVersion, "1.1").contains("1.2 or 1.3"));
    assert!(wrong(O::SecurityLevel, "old").contains("modern or intermediate"));
    assert!(wrong(O::Http2, "yes").contains("true or false"));
    assert!(wrong(O::SelfSigned, "false").contains("leave it out"));
    assert!(wrong(O::CipherSuites, " , ").contains("at least one"));
    assert!(wrong(O::Ca, "").contains("empty"));
    assert_eq!(spec(&[(O::CipherSuites, "a: b,c")]).get(O::CipherSuites), Some("a,b,c"));
}

#[test]
fn a_passphrase_is_not_printed_for_developers() {
    let spec = spec(&[(BindingOption::Pkcs12, "/s.p12"), (BindingOption::Passphrase, "secret")]);
    let printed = format!("{spec:?} {spec:#?}");
    assert!(printed.contains("/s.p12") && !printed.contains("secret"), "{printed}");
}
