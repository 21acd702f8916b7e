//! Handshakes of a client and a binding, in memory.

use rcgen::{
    CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::Acceptor;
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, HandshakeKind, NamedGroup, RootCertStore, ServerConnection,
    SignatureScheme,
};

use super::*;

/// Those who certify clients.
struct Clients(CertifiedIssuer<'static, KeyPair>);

type Shown = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Clients {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        params.distinguished_name.push(DnType::CommonName, name);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).unwrap();
    }

    fn issue(&self, serial: u64) -> Shown {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "alice");
        params.serial_number = Some(serial.into());
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        (vec![certificate.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
    }

    fn revoke(&self, serial: u64) -> rcgen::CertificateRevocationList {
        let revoked = RevokedCertParams {
            serial_number: SerialNumber::from(serial),
            revocation_time: rcgen::date_time_ymd(2024, 1, 1),
            reason_code: None,
            invalidity_date: None,
        };
        let params = CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2024, 1, 1),
            // Over for long: a list counts all the same.
            next_update: rcgen::date_time_ymd(2024, 2, 1),
            crl_number: 1.into(),
            issuing_distribution_point: None,
            revoked_certs: vec![revoked],
            key_identifier_method: KeyIdMethod::Sha256,
        };
        params.signed_by(&self.0).unwrap()
    }
}

/// A client that trusts the authority.
fn client(made: &Made, shown: Option<Shown>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(made.authority.certificate_file()).unwrap()).unwrap();
    let builder = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
    let builder = builder.with_root_certificates(roots);
    match shown {
        Some((chain, key)) => builder.with_client_auth_cert(chain, key).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

/// What the two have settled, or what the server did not like; or the client.
fn shake_hands(
    client: &Arc<ClientConfig>,
    bindings: &Bindings,
    name: &str,
) -> Result<(ClientConnection, ServerConnection), String> {
    let mut client = ClientConnection::new(Arc::clone(client), name.to_owned().try_into().unwrap()).unwrap();
    let mut wire = Vec::new();
    client.write_tls(&mut wire).unwrap();
    let mut acceptor = Acceptor::default();
    acceptor.read_tls(&mut wire.as_slice()).unwrap();
    let accepted = acceptor.accept().map_err(|(error, _)| error.to_string())?.unwrap();
    let config = bindings.select(local("127.0.0.1:443"), &accepted.client_hello()).ok_or("nobody answers")?;
    let mut server = accepted.into_connection(config).map_err(|(error, _)| error.to_string())?;
    for _ in 0..4 {
        let mut wire = Vec::new();
        while server.wants_write() {
            server.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            client.read_tls(&mut rest).unwrap();
            client.process_new_packets().map_err(|error| error.to_string())?;
        }
        let mut wire = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut wire).unwrap();
        }
        let mut rest = wire.as_slice();
        while !rest.is_empty() {
            server.read_tls(&mut rest).unwrap();
            server.process_new_packets().map_err(|error| error.to_string())?;
        }
    }
    assert!(!client.is_handshaking() && !server.is_handshaking());
    Ok((client, server))
}

fn bindings(binding: Binding) -> Bindings {
    Bindings::new(vec![Arc::new(binding)])
}

fn bound(made: &Made, options: TlsOptions) -> Binding {
    Binding::new("0.0.0.0:443".parse().unwrap(), &made.source("a.test"), options).unwrap()
}

#[test]
fn the_level_modern_has_mozillas_groups_and_tls_1_3_alone() {
    let made = Made::new();
    let modern = bindings(bound(&made, TlsOptions { level: SecurityLevel::Modern, ..TlsOptions::default() }));
    let mut asked = client(&made, None);
    asked.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let (_, server) = shake_hands(&Arc::new(asked), &modern, "a.test").unwrap();
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(server.alpn_protocol(), Some(b"h2".as_slice()));
    let mut old = rustls::crypto::aws_lc_rs::default_provider();
    old.cipher_suites.retain(|suite| suite.tls13().is_none());
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(made.authority.certificate_file()).unwrap()).unwrap();
    let old = ClientConfig::builder_with_provider(old.into()).with_protocol_versions(&[&rustls::version::TLS12]).unwrap();
    let old = Arc::new(old.with_root_certificates(roots).with_no_client_auth());
    assert!(shake_hands(&old, &modern, "a.test").is_err());
    let (_, server) = shake_hands(&old, &bindings(bound(&made, TlsOptions::default())), "a.test").unwrap();
    assert_eq!(server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    let groups = [NamedGroup::X25519MLKEM768, NamedGroup::X25519, NamedGroup::secp256r1, NamedGroup::secp384r1];
    for level in [SecurityLevel::Modern, SecurityLevel::Intermediate] {
        let provider = TlsOptions { level, ..TlsOptions::default() }.provider().unwrap();
        assert!(provider.kx_groups.iter().all(|group| groups.contains(&group.name())), "{level:?}: {:?}", provider.kx_groups);
    }
}

#[test]
fn a_client_without_a_certificate_is_served_unless_one_is_required() {
    let made = Made::new();
    let (clients, strangers) = (Clients::new("Clients"), Clients::new("Strangers"));
    let ca = made.path().join("clients.pem");
    clients.write(&ca);
    let asks = |demand| {
        let client_certificates = ClientCertificates::new(demand).authorities(&ca);
        bindings(bound(&made, TlsOptions { client_certificates, ..TlsOptions::default() }))
    };
    let shake = |shown, demand| shake_hands(&Arc::new(client(&made, shown)), &asks(demand), "a.test").map(|(_, server)| server);
    assert!(shake(None, Demand::Required).unwrap_err().contains("no certificate"));
    assert!(shake(None, Demand::Optional).unwrap().peer_certificates().is_none());
    for demand in [Demand::Required, Demand::Optional] {
        let served = shake(Some(clients.issue(7)), demand).unwrap();
        let shown = PeerCertificate::new(served.peer_certificates().unwrap()[0].to_vec().into());
        assert_eq!((shown.subject().as_str(), shown.serial().as_str()), ("CN=alice", "07"));
        assert!(shake(Some(strangers.issue(7)), demand).is_err(), "{demand:?}");
    }
    let lax = bindings(bound(&made, TlsOptions::default()));
    let (_, server) = shake_hands(&Arc::new(client(&made, Some(clients.issue(7)))), &lax, "a.test").unwrap();
    assert!(server.peer_certificates().is_none());
}

#[test]
fn a_revoked_certificate_is_refused_by_a_list_in_pem_or_der_that_is_past_its_date() {
    let made = Made::new();
    let clients = Clients::new("Clients");
    let ca = made.path().join("clients.pem");
    clients.write(&ca);
    let list = clients.revoke(7);
    for (name, bytes) in [("list.pem", list.pem().unwrap().into_bytes()), ("list.der", list.der().to_vec())] {
        let file = made.path().join(name);
        std::fs::write(&file, bytes).unwrap();
        let client_certificates = ClientCertificates::new(Demand::Required).authorities(&ca).revoked(&file);
        let bindings = bindings(bound(&made, TlsOptions { client_certificates, ..TlsOptions::default() }));
        let shake = |serial| shake_hands(&Arc::new(client(&made, Some(clients.issue(serial)))), &bindings, "a.test").map(drop);
        assert!(shake(7).unwrap_err().contains("Revoked"), "{name}");
        assert_eq!(shake(8), Ok(()), "{name}");
    }
}

#[test]
fn a_session_outlives_a_renewal_unless_client_certificates_are_asked_for() {
    let made = Made::new();
    let clients = Clients::new("Clients");
    let ca = made.path().join("clients.pem");
    clients.write(&ca);
    for (demand, expected) in [(Demand::None, HandshakeKind::Resumed), (Demand::Optional, HandshakeKind::Full)] {
        let client_certificates = match demand {
            Demand::None => ClientCertificates::none(),
            asked => ClientCertificates::new(asked).authorities(&ca),
        };
        let options = TlsOptions { client_certificates, ..TlsOptions::default() };
        let old = bound(&made, options.clone());
        let new = old.renewed(&made.source("a.test"), options).unwrap();
        assert_ne!(old.certificate(), new.certificate());
        let mut asked = client(&made, Some(clients.issue(1)));
        asked.resumption = Resumption::in_memory_sessions(4);
        let asked = Arc::new(asked);
        let (old, new) = (bindings(old), bindings(new));
        shake_hands(&asked, &old, "a.test").unwrap();
        let (_, again) = shake_hands(&asked, &old, "a.test").unwrap();
        assert_eq!(again.handshake_kind(), Some(HandshakeKind::Resumed));
        let (_, renewed) = shake_hands(&asked, &new, "a.test").unwrap();
        assert_eq!(renewed.handshake_kind(), Some(expected), "{demand:?}");
    }
}

/// An ACME server trusts no authority: it looks at what the certificate says (RFC 8737 section 3).
#[derive(Debug)]
struct Anybody;

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &rustls::pki_types::ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // webpki reads no certificate with this extension.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // webpki reads no certificate with this extension.
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        provider().signature_verification_algorithms.supported_schemes()
    }
}

#[test]
fn an_acme_server_gets_the_certificate_of_its_question() {
    let made = Made::new();
    let challenges = Challenges::default();
    challenges.add("A.test", "token.thumbprint").unwrap();
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"token.thumbprint");
    let bindings = bindings(bound(&made, TlsOptions::default())).with_challenges(challenges.clone());
    let ask = |alpn: &[&[u8]]| {
        let mut asked = client(&made, None);
        asked.dangerous().set_certificate_verifier(Arc::new(Anybody));
        asked.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let (client, _) = shake_hands(&Arc::new(asked), &bindings, "a.test")?;
        let shown = PeerCertificate::new(client.peer_certificates().unwrap()[0].to_vec().into());
        assert_eq!(shown.dns_names(), ["a.test"]);
        let answers = shown.der().windows(32).any(|part| part == digest.as_ref());
        Ok::<_, String>((client.alpn_protocol().map(<[u8]>::to_vec), answers))
    };
    assert_eq!(ask(&[b"acme-tls/1"]), Ok((Some(b"acme-tls/1".to_vec()), true)));
    assert_eq!(ask(&[b"http/1.1", b"acme-tls/1"]), Ok((Some(b"http/1.1".to_vec()), false)));
    challenges.remove("a.test");
    assert!(ask(&[b"acme-tls/1"]).is_err());
    assert!(challenges.add("bücher.test", "x").is_err());
}

#[test]
fn one_that_rejects_answers_nobody() {
    let made = Made::new();
    let bindings = bindings(bound(&made, TlsOptions { reject: true, ..TlsOptions::default() }));
    assert_eq!(shake_hands(&Arc::new(client(&made, None)), &bindings, "a.test").map(drop), Err("nobody answers".to_owned()));
}
