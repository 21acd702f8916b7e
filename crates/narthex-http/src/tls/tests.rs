//! Certificates made here, and what is made of them.

mod handshakes;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use narthex_proto::prefix::PrefixHost;
use rustls::pki_types::UnixTime;
use tempfile::TempDir;

use super::development::{Authority, Issued};
use super::*;

struct Made {
    directory: TempDir,
    authority: Authority,
}

impl Made {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let authority = Authority::in_directory(&directory.path().join("ca")).unwrap();
        Self { directory, authority }
    }

    fn issue(&self, name: &str) -> Issued {
        self.authority.issue(&[name]).unwrap()
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn source(&self, name: &str) -> Source {
        text(&self.issue(name))
    }

    fn binding(&self, at: &str, name: &str) -> Arc<Binding> {
        Arc::new(Binding::new(at.parse().unwrap(), &self.source(name), TlsOptions::default()).unwrap())
    }
}

fn text(issued: &Issued) -> Source {
    Source::PemText { certificate: issued.certificate.as_bytes().into(), key: issued.key.as_bytes().into() }
}

fn local(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn the_most_exact_binding_answers() {
    let made = Made::new();
    let shelf = made.path().join("shelf");
    std::fs::create_dir(&shelf).unwrap();
    made.issue("in.shelf.test").write(&shelf.join("in.shelf.test.pem")).unwrap();
    made.issue("www.shelf.test").write(&shelf.join("www.shelf.test.pem")).unwrap();
    made.issue("x.wild.test").write(&shelf.join("_.wild.test.pem")).unwrap();
    let directory = Binding::directory(shelf, 443, "".into(), TlsOptions::default()).unwrap();
    let bindings = Bindings::new(vec![
        made.binding("0.0.0.0:443", "any.test"),
        made.binding("10.0.0.1:443", "one.test"),
        Arc::new(directory),
        made.binding("*.shelf.test:443", "wild.test"),
        made.binding("www.shelf.test:443", "www.test"),
    ]);
    for (at, name, expected) in [
        ("10.0.0.1:443", Some("www.shelf.test"), "www.shelf.test:443"),
        ("10.0.0.1:443", Some("WWW.Shelf.Test"), "www.shelf.test:443"),
        ("10.0.0.1:443", Some("in.shelf.test"), "*.shelf.test:443"),
        ("10.0.0.1:443", Some("a.wild.test"), "shelf on port 443"),
        ("10.0.0.1:443", Some("a.b.shelf.test"), "10.0.0.1:443"),
        ("10.0.0.1:443", Some("../../etc/passwd"), "10.0.0.1:443"),
        ("10.0.0.1:443", None, "10.0.0.1:443"),
        ("10.0.0.2:443", Some("other.test"), "0.0.0.0:443"),
    ] {
        let found = bindings.find(local(at), name).map(|binding| binding.at().to_string()).unwrap_or_default();
        assert!(found.ends_with(expected), "{at} {name:?}: {found}");
    }
    assert!(bindings.find(local("10.0.0.1:444"), Some("www.shelf.test")).is_none(), "the port counts");
    assert!(bindings.find(local("[::1]:443"), None).is_none(), "0.0.0.0 is of IPv4");
}

#[test]
fn a_prefix_is_covered_if_some_handshake_for_it_succeeds() {
    let made = Made::new();
    let bindings = Bindings::new(vec![made.binding("a.test:443", "a.test"), made.binding("127.0.0.1:444", "b.test")]);
    let covers = |host: &str, port| {
        let prefix: narthex_proto::prefix::PrefixSpec = format!("https://{host}:{port}/").parse().unwrap();
        bindings.covers(prefix.host(), port)
    };
    assert!(covers("a.test", 443) && covers("+", 443) && covers("127.0.0.1", 444) && covers("+", 444));
    assert!(!covers("b.test", 443) && !covers("a.test", 8443) && !covers("127.0.0.1", 443) && !covers("127.0.0.2", 444));
    assert!(bindings.covers(&PrefixHost::Weak, 443));
}

#[test]
fn a_prefix_is_not_covered_by_what_its_own_binding_refuses() {
    let made = Made::new();
    let reject = TlsOptions { reject: true, ..TlsOptions::default() };
    let refused = Binding::new("a.test:443".parse().unwrap(), &made.source("a.test"), reject).unwrap();
    let bindings = Bindings::new(vec![Arc::new(refused), made.binding("0.0.0.0:443", "b.test")]);
    assert!(!bindings.covers(&PrefixHost::Name("a.test".into()), 443));
    assert!(bindings.covers(&PrefixHost::Name("b.test".into()), 443));
}

#[test]
fn an_international_name_is_covered_by_its_a_label() {
    let made = Made::new();
    let bindings = Bindings::new(vec![made.binding("xn--bcher-kva.test:443", "xn--bcher-kva.test")]);
    assert!(bindings.covers(&PrefixHost::Name("bücher.test".into()), 443));
}

#[test]
fn a_client_by_ipv4_at_a_socket_of_both_families_is_one_by_ipv4() {
    let made = Made::new();
    let bindings = Bindings::new(vec![made.binding("10.0.0.1:443", "one.test"), made.binding("[::]:443", "six.test")]);
    let found = |at| bindings.find(local(at), None).map(|binding| binding.at().to_string());
    assert_eq!(found("[::ffff:10.0.0.1]:443").as_deref(), Some("10.0.0.1:443"));
    assert_eq!(found("[::ffff:10.0.0.2]:443"), None);
    assert_eq!(found("[2001:db8::1]:443").as_deref(), Some("[::]:443"));
}

#[test]
fn a_request_for_a_stricter_host_is_not_admitted_by_a_laxer_handshake() {
    let made = Made::new();
    let rules = ClientCertificates::new(Demand::Required).authorities(made.authority.certificate_file());
    let options = TlsOptions { client_certificates: rules, ..TlsOptions::default() };
    let strict = Binding::new("strict.test:443".parse().unwrap(), &made.source("strict.test"), options).unwrap();
    let bindings = Bindings::new(vec![Arc::new(strict), made.binding("0.0.0.0:443", "any.test")]);
    let admits = |name, host| bindings.admits(local("10.0.0.1:443"), name, host);
    assert!(admits(Some("any.test"), "any.test") && admits(Some("any.test"), "other.test") && admits(None, "any.test"));
    assert!(admits(Some("strict.test"), "strict.test") && admits(Some("strict.test"), "any.test"));
    assert!(!admits(Some("any.test"), "strict.test") && !admits(None, "Strict.test"));
}

#[test]
fn a_request_for_an_address_is_not_admitted_by_the_laxer_handshake_of_a_name() {
    let made = Made::new();
    let rules = ClientCertificates::new(Demand::Required).authorities(made.authority.certificate_file());
    let options = TlsOptions { client_certificates: rules, ..TlsOptions::default() };
    let strict = |at: &str| Arc::new(Binding::new(at.parse().unwrap(), &made.source("a.test"), options.clone()).unwrap());
    let all = vec![strict("10.0.0.1:443"), strict("[::]:443"), made.binding("lax.test:443", "lax.test")];
    let bindings = Bindings::new(all);
    for (at, host) in [("10.0.0.1:443", "10.0.0.1"), ("[2001:db8::1]:443", "[2001:db8::1]")] {
        assert!(bindings.admits(local(at), None, host) && bindings.admits(local(at), Some("other.test"), host));
        assert!(!bindings.admits(local(at), Some("lax.test"), host), "{host}");
    }
}

#[test]
fn a_key_and_a_certificate_that_are_no_pair_are_refused() {
    let made = Made::new();
    let (one, other) = (made.issue("a.test"), made.issue("a.test"));
    let source = text(&Issued { certificate: one.certificate, key: other.key });
    let error = Binding::new("0.0.0.0:1".parse().unwrap(), &source, TlsOptions::default()).unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
}

#[test]
fn mistakes_with_files_are_named() {
    let made = Made::new();
    let issued = made.issue("a.test");
    let write = |name: &str, bytes: &[u8]| {
        let path = made.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let good = (write("cert.pem", issued.certificate.as_bytes()), write("key.pem", issued.key.as_bytes()));
    let load = |certificate: &Path, key: &Path| {
        let source = Source::Pem { certificate: certificate.into(), key: key.into() };
        Binding::new("0.0.0.0:1".parse().unwrap(), &source, TlsOptions::default()).map_err(|error| error.to_string())
    };
    assert!(load(&good.0, &good.1).is_ok());
    let encrypted = write("enc.pem", b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n");
    let der = write("cert.der", &[0x30, 0x82, 1, 2]);
    let pfx = write("cert.pfx", &[0x30, 0x82, 9, 9, 2, 1, 3, 0x30]);
    let utf16 = write("utf16.pem", &[0xff, 0xfe, b'-', 0]);
    let damaged = write("damaged.pem", b"-----BEGIN CERTIFICATE-----\n$$$$\n-----END CERTIFICATE-----\n");
    let marked = write("marked.pem", format!("\u{feff}{}", issued.certificate).as_bytes());
    assert!(load(&marked, &good.1).is_ok());
    let foreign = made.issue("b.test").certificate;
    let twisted = write("chain.pem", format!("{}{}", issued.certificate, foreign).as_bytes());
    for (certificate, key, part) in [
        (made.path().join("none.pem"), good.1.clone(), "cannot read"),
        (good.1.clone(), good.1.clone(), "has no certificate"),
        (good.0.clone(), good.0.clone(), "has no private key"),
        (good.0.clone(), encrypted, "is encrypted: decrypt it"),
        (der, good.1.clone(), "openssl x509 -inform der"),
        (pfx, good.1.clone(), "PKCS#12 file that it is"),
        (utf16, good.1.clone(), "this one is UTF-16"),
        (damaged, good.1.clone(), "certificate 1 in"),
        (twisted, good.1.clone(), "put the server's certificate first"),
    ] {
        let error = load(&certificate, &key).unwrap_err();
        assert!(error.contains(part), "{part}: {error}");
    }
}

#[test]
fn a_chain_of_another_authority_with_the_same_name_is_refused() {
    let (made, other) = (Made::new(), Made::new());
    let issued = made.issue("a.test");
    let load = |made: &Made| {
        let authority = std::fs::read_to_string(made.authority.certificate_file()).unwrap();
        let chain = format!("{}{authority}", issued.certificate);
        text(&Issued { certificate: chain, key: issued.key.clone() }).load().map(drop)
    };
    assert!(load(&made).is_ok());
    assert!(matches!(load(&other), Err(TlsError::Signature { number: 1, .. })));
}

#[test]
fn a_bad_file_of_authorities_or_revoked_certificates_is_named() {
    let made = Made::new();
    let bad = made.path().join("bad.der");
    std::fs::write(&bad, [0x30, 0x82, 1, 2]).unwrap();
    let ca = made.authority.certificate_file();
    for rules in [
        ClientCertificates::new(Demand::Optional).authorities(&bad),
        ClientCertificates::new(Demand::Optional).authorities(ca).revoked(&bad),
        ClientCertificates::new(Demand::Optional).authorities(ca).revoked(ca),
    ] {
        let file = rules.files().last().unwrap().display().to_string();
        let options = TlsOptions { client_certificates: rules, ..TlsOptions::default() };
        let error = Binding::new("0.0.0.0:1".parse().unwrap(), &made.source("a.test"), options).unwrap_err().to_string();
        assert!(error.contains(&file), "{error}");
    }
}

#[test]
fn options_that_there_are_not_are_refused_with_those_that_there_are() {
    let error = "RC4-SHA".parse::<CipherSuiteName>().unwrap_err().to_string();
    assert!(error.contains("RC4-SHA") && error.contains("TLS_AES_256_GCM_SHA384"), "{error}");
    assert_eq!(
        "ECDHE-RSA-AES128-GCM-SHA256".parse::<CipherSuiteName>().unwrap(),
        "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".parse().unwrap()
    );
    assert!("old".parse::<SecurityLevel>().is_err() && "1.1".parse::<MinVersion>().is_err());
    let made = Made::new();
    let build = |options| Binding::new("0.0.0.0:1".parse().unwrap(), &made.source("a.test"), options);
    let modern = TlsOptions { level: SecurityLevel::Modern, ..TlsOptions::default() };
    assert!(build(modern.clone()).is_ok());
    assert!(build(TlsOptions { min_version: Some(MinVersion::Tls12), ..modern.clone() }).is_err());
    let old_suite = vec!["ECDHE-RSA-AES128-GCM-SHA256".parse().unwrap()];
    assert!(build(TlsOptions { cipher_suites: old_suite, ..modern }).is_err());
    // The keys made here are of the kind ECDSA.
    let for_rsa = vec!["ECDHE-RSA-AES128-GCM-SHA256".parse().unwrap()];
    let error = build(TlsOptions { cipher_suites: for_rsa, ..TlsOptions::default() }).unwrap_err().to_string();
    assert!(error.contains("goes with the ECDSA key"), "{error}");
    let nobody = ClientCertificates::new(Demand::Required);
    assert!(build(TlsOptions { client_certificates: nobody, ..TlsOptions::default() }).is_err());
}

#[test]
fn only_who_adds_it_is_told_that_a_certificate_has_expired() {
    let made = Made::new();
    let identity = made.source("a.test").load().unwrap();
    let at = |days: u64| UnixTime::since_unix_epoch(std::time::Duration::from_secs(UnixTime::now().as_secs() + days * 86_400));
    assert!(identity.check_time(UnixTime::now()).is_ok());
    assert!(matches!(identity.check_time(at(400)), Err(TlsError::Expired { .. })));
    let long_ago = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
    assert!(matches!(identity.check_time(long_ago), Err(TlsError::NotYetValid { .. })));
}

#[test]
fn one_that_is_bound_for_a_name_that_its_certificate_is_not_for_is_warned_of() {
    let made = Made::new();
    let warning = |at: &str, name: &str| made.source(name).load().unwrap().warning(&at.parse().unwrap());
    assert_eq!(warning("a.test:443", "a.test"), None);
    assert_eq!(warning("a.wild.test:443", "*.wild.test"), None);
    assert_eq!(warning("*.wild.test:443", "*.wild.test"), None);
    assert_eq!(warning("0.0.0.0:443", "a.test"), None);
    assert!(warning("b.test:443", "a.test").unwrap().contains("for b.test: it is for DNS:a.test"));
    assert!(warning("*.wild.test:443", "a.wild.test").is_some());
}

#[test]
fn an_authority_is_kept_and_its_key_is_its_owners() {
    let made = Made::new();
    let again = Authority::in_directory(&made.path().join("ca")).unwrap();
    let issued = again.issue(&["localhost"]).unwrap();
    let certificate = source::certificates("here", issued.certificate.as_bytes()).unwrap();
    let leaf = PeerCertificate::new(certificate[0].to_vec().into());
    assert_eq!(leaf.alternative_names(), ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]);
    assert_eq!(leaf.common_name().as_deref(), Some("localhost"));
    assert!(leaf.issuer().contains("Narthex development authority"));
    assert_eq!((leaf.fingerprint().len(), leaf.thumbprint().len()), (32 * 3 - 1, 40));
    assert!(leaf.is_for("LOCALHOST") && leaf.is_for("127.0.0.1") && leaf.is_for("[::1]"));
    assert!(!leaf.is_for("a.localhost") && !leaf.is_for("127.0.0.2"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = std::fs::metadata(made.path().join("ca/ca.key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn http3_is_not_offered_where_certificates_are_asked_for() {
    let made = Made::new();
    let ca = made.authority.certificate_file();
    let options =
        TlsOptions { client_certificates: ClientCertificates::new(Demand::Optional).authorities(ca), ..TlsOptions::default() };
    let asks = Arc::new(Binding::new("a.test:443".parse().unwrap(), &made.source("a.test"), options).unwrap());
    let at = local("127.0.0.1:443");
    assert!(Arc::new(Bindings::new(vec![Arc::clone(&asks)])).quic(at).unwrap().is_none());
    let both = Arc::new(Bindings::new(vec![asks, made.binding("0.0.0.0:443", "b.test")]));
    let config = both.quic(at).unwrap().unwrap();
    assert_eq!(config.alpn_protocols, [b"h3".to_vec()]);
    assert_eq!(config.max_early_data_size, 0);
}

#[test]
fn http3_does_not_pass_by_a_stricter_binding_of_the_address() {
    let made = Made::new();
    let rules = ClientCertificates::new(Demand::Required).authorities(made.authority.certificate_file());
    let options = TlsOptions { client_certificates: rules, ..TlsOptions::default() };
    let strict = Binding::new("10.0.0.1:443".parse().unwrap(), &made.source("a.test"), options).unwrap();
    let all = vec![Arc::new(strict), made.binding("0.0.0.0:443", "b.test"), made.binding("c.test:443", "c.test")];
    let bindings = Bindings::new(all);
    let found = |at, name| bindings.find_for_quic(local(at), name).map(|binding| binding.at().to_string());
    assert_eq!(found("10.0.0.1:443", None), None);
    assert_eq!(found("10.0.0.1:443", Some("c.test")).as_deref(), Some("c.test:443"));
    assert_eq!(found("10.0.0.2:443", None).as_deref(), Some("0.0.0.0:443"));
    assert_eq!(found("0.0.0.0:443", None), None, "it may be any address");
    assert_eq!(found("0.0.0.0:443", Some("c.test")).as_deref(), Some("c.test:443"));
}

#[test]
fn http3_has_the_cipher_suites_that_all_bindings_of_the_address_allow() {
    let made = Made::new();
    let with = |at: &str, suites: &[&str]| {
        let cipher_suites = suites.iter().map(|suite| suite.parse().unwrap()).collect();
        let options = TlsOptions { cipher_suites, ..TlsOptions::default() };
        Arc::new(Binding::new(at.parse().unwrap(), &made.source("a.test"), options).unwrap())
    };
    let quic = |bindings: Vec<_>| Arc::new(Bindings::new(bindings)).quic(local("127.0.0.1:443"));
    let (aes_128, aes_256) = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384");
    let config = quic(vec![with("a.test:443", &[aes_128]), with("0.0.0.0:443", &[aes_256, aes_128])]).unwrap().unwrap();
    assert_eq!(config.crypto_provider().cipher_suites.len(), 1);
    assert!(quic(vec![with("a.test:443", &[aes_256])]).unwrap().is_some());
    let nothing = quic(vec![with("a.test:443", &[aes_128]), with("0.0.0.0:443", &[aes_256])]).unwrap_err();
    assert!(nothing.to_string().contains("in common"), "{nothing}");
    assert!(quic(vec![with("0.0.0.0:443", &["ECDHE-ECDSA-AES128-GCM-SHA256"])]).unwrap().is_none());
}
