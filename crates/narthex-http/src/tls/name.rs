//! Distinguished names as text (RFC 4514).
//!
//! Names are compared with text by those who decide who a client is, so that what a certificate has in one value must not look
//! like two: `O=Example\, OU=Admins` is one organisation.

use std::fmt::Write as _;

use x509_parser::der_parser::asn1_rs::ToDer as _;
use x509_parser::x509::{AttributeTypeAndValue, RelativeDistinguishedName, X509Name};

/// Those of RFC 4514 section 3, and two that are common.
const TYPES: [(&str, &str); 11] = [
    ("2.5.4.3", "CN"),
    ("2.5.4.7", "L"),
    ("2.5.4.8", "ST"),
    ("2.5.4.10", "O"),
    ("2.5.4.11", "OU"),
    ("2.5.4.6", "C"),
    ("2.5.4.9", "STREET"),
    ("0.9.2342.19200300.100.1.25", "DC"),
    ("0.9.2342.19200300.100.1.1", "UID"),
    ("2.5.4.5", "serialNumber"),
    ("1.2.840.113549.1.9.1", "emailAddress"),
];

/// The last part first (RFC 4514 section 2.1): `CN=alice,O=Example,C=DE`.
pub(super) fn text(name: &X509Name<'_>) -> String {
    let mut parts: Vec<_> = name.iter_rdn().map(relative).collect();
    parts.reverse();
    parts.join(",")
}

fn relative(part: &RelativeDistinguishedName<'_>) -> String {
    let attributes: Vec<_> = part.iter().map(attribute).collect();
    attributes.join("+")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let oid = attribute.attr_type().to_id_string();
    let known = TYPES.iter().find(|(number, _)| *number == oid).map(|(_, name)| *name);
    match (known, attribute.as_str()) {
        (Some(name), Ok(value)) => format!("{name}={}", escaped(value)),
        _ => format!("{}={}", known.unwrap_or(&oid), hexadecimal(attribute)),
    }
}

/// RFC 4514 section 2.4: the encoding, for what has no text or is of no known type.
fn hexadecimal(attribute: &AttributeTypeAndValue<'_>) -> String {
    let der = attribute.attr_value().to_der_vec().unwrap_or_default();
    der.iter().fold("#".to_owned(), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

fn escaped(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (index, character) in value.chars().enumerate() {
        match character {
            ' ' if index == 0 || index == last => text.push_str("\\ "),
            '#' if index == 0 => text.push_str("\\#"),
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' | '=' => text.extend(['\\', character]),
            // NUL has to be; the others would break a line of a log or a field of a header.
            control if control.is_control() => {
                for byte in control.encode_utf8(&mut [0; 4]).bytes() {
                    // Writing to a String does not fail.
                    let _ = write!(text, "\\{byte:02X}");
                }
            }
            other => text.push(other),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

    use super::super::PeerCertificate;

    fn subject(parts: &[(DnType, DnValue)]) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), value.clone());
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        PeerCertificate::new(certificate.der().to_vec().into()).subject()
    }

    #[test]
    fn a_name_is_told_from_its_last_part_to_its_first() {
        let parts = [
            (DnType::CountryName, "DE".into()),
            (DnType::OrganizationName, "Example".into()),
            (DnType::CommonName, "alice".into()),
        ];
        assert_eq!(subject(&parts), "CN=alice,O=Example,C=DE");
    }

    #[test]
    fn a_value_cannot_look_like_another_part() {
        assert_eq!(subject(&[(DnType::CommonName, "alice,O=Admins".into())]), r"CN=alice\,O\=Admins");
        assert_eq!(subject(&[(DnType::CommonName, " #a+b\\ ".into())]), r"CN=\ #a\+b\\\ ");
        assert_eq!(subject(&[(DnType::CommonName, "#a\0\n".into())]), r"CN=\#a\00\0A");
        assert_eq!(subject(&[(DnType::CommonName, "zoë".into())]), "CN=zoë");
    }

    #[test]
    fn a_type_that_is_not_known_has_its_number_and_its_encoding() {
        let custom = DnType::CustomDnType(vec![1, 3, 6, 1, 4, 1, 99999]);
        assert_eq!(subject(&[(custom, "ab".into())]), "1.3.6.1.4.1.99999=#0C026162");
    }
}
