//! TLS bindings of HTTP.sys: certificates of the machine's stores, by their hashes.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

/// For which handshakes a binding is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SslKey {
    /// Those on this address whose server name no other binding has.
    IpPort(SocketAddr),
    /// Those for this server name.
    HostnamePort(String, u16),
    /// Those on this port for whose server name the central certificate store has a certificate.
    Ccs(u16),
}

impl SslKey {
    /// Reads an `ipport`.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn ip_port(text: &str) -> Result<Self, String> {
        let shape = "write an IP address and a port, as in 0.0.0.0:443 or [::]:443; for a name, use hostnameport";
        let address = text.parse().ok().filter(|address: &SocketAddr| address.port() != 0);
        address.map(Self::IpPort).ok_or_else(|| format!("{text:?} is not an address with a port: {shape}"))
    }

    /// Reads a `hostnameport`.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn hostname_port(text: &str) -> Result<Self, String> {
        let shape = "write a name and a port, as in shop.example.com:443 or *.example.com:443";
        let parts = text.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
        match parts {
            Some((host, port)) if !host.is_empty() && port != 0 && !host.contains([':', '/', ' ']) => {
                Ok(Self::HostnamePort(host.to_ascii_lowercase(), port))
            }
            _ => Err(format!("{text:?} is not a name with a port: {shape}")),
        }
    }

    /// Reads a `ccs` port.
    ///
    /// # Errors
    /// A sentence about what is wrong with it.
    pub fn ccs(text: &str) -> Result<Self, String> {
        let port = text.parse().ok().filter(|port| *port != 0);
        port.map(Self::Ccs).ok_or_else(|| format!("{text:?} is not a port: write one from 1 to 65535, as in 443"))
    }
}

/// As netsh has it typed.
impl fmt::Display for SslKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::IpPort(address) => write!(f, "ipport={address}"),
            Self::HostnamePort(host, port) => write!(f, "hostnameport={host}:{port}"),
            Self::Ccs(port) => write!(f, "ccs={port}"),
        }
    }
}

/// The hash (thumbprint) of a certificate: SHA-1 or SHA-256.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CertificateHash(pub Vec<u8>);

/// In hexadecimal, with spaces as certificate managers show it or without.
impl FromStr for CertificateHash {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits: Vec<u8> = text.bytes().filter(|byte| !matches!(byte, b' ' | b':')).collect();
        let value = |digit: u8| char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok());
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(|pair| Some(value(pair[0])? << 4 | value(*pair.get(1)?)?)).collect();
        match bytes {
            Some(bytes) if matches!(bytes.len(), 20 | 32) => Ok(Self(bytes)),
            _ => Err(format!("{text:?} is not a certificate's hash: write its thumbprint, 40 or 64 hexadecimal digits")),
        }
    }
}

impl fmt::Display for CertificateHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Whose binding it is: a GUID, as the number that its digits are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AppId(pub u128);

/// `{00112233-4455-6677-8899-aabbccddeeff}`, with or without the braces.
impl FromStr for AppId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let inner = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap_or(text);
        let groups: Vec<&str> = inner.split('-').collect();
        let fits = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
        let digits = groups.concat();
        let number =
            digits.bytes().all(|byte| byte.is_ascii_hexdigit()).then(|| u128::from_str_radix(&digits, 16).ok()).flatten();
        number.filter(|_| fits).map(Self).ok_or_else(|| {
            format!(
                "{text:?} is not a GUID: write one as in {{00112233-4455-6677-8899-aabbccddeeff}}; it says whose the binding is"
            )
        })
    }
}

impl fmt::Display for AppId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = format!("{:032x}", self.0);
        let (head, tail) = digits.split_at(20);
        write!(f, "{{{}-{}-{}-{}-{tail}}}", &head[..8], &head[8..12], &head[12..16], &head[16..])
    }
}

/// What is either on or off for a binding: `HTTP_SERVICE_CONFIG_SSL_FLAG_...`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Client certificates are mapped to Active Directory's users.
    DsMapper,
    /// Clients are asked for a certificate in the handshake.
    NegotiateClientCertificate,
    /// All connections are refused.
    Reject,
    /// No HTTP/2.
    DisableHttp2,
    /// No HTTP/3.
    DisableQuic,
    /// No TLS 1.3.
    DisableTls13,
    /// No OCSP answers are stapled.
    DisableOcspStapling,
    /// Token binding.
    EnableTokenBinding,
    /// More events in the log.
    LogExtendedEvents,
    /// No TLS 1.0 and 1.1.
    DisableLegacyTls,
    /// Session tickets.
    EnableSessionTicket,
    /// No TLS 1.2.
    DisableTls12,
    /// No session ids.
    DisableSessionId,
}

impl Flag {
    /// All, in the order of their bits.
    pub const ALL: [Self; 13] = [
        Self::DsMapper,
        Self::NegotiateClientCertificate,
        Self::Reject,
        Self::DisableHttp2,
        Self::DisableQuic,
        Self::DisableTls13,
        Self::DisableOcspStapling,
        Self::EnableTokenBinding,
        Self::LogExtendedEvents,
        Self::DisableLegacyTls,
        Self::EnableSessionTicket,
        Self::DisableTls12,
        Self::DisableSessionId,
    ];

    /// As netsh has it typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::DsMapper => "dsmapperusage",
            Self::NegotiateClientCertificate => "clientcertnegotiation",
            Self::Reject => "reject",
            Self::DisableHttp2 => "disablehttp2",
            Self::DisableQuic => "disablequic",
            Self::DisableTls13 => "disabletls13",
            Self::DisableOcspStapling => "disableocspstapling",
            Self::EnableTokenBinding => "enabletokenbinding",
            Self::LogExtendedEvents => "logextendedevents",
            Self::DisableLegacyTls => "disablelegacytls",
            Self::EnableSessionTicket => "enablesessionticket",
            Self::DisableTls12 => "disabletls12",
            Self::DisableSessionId => "disablesessionid",
        }
    }

    const fn bit(self) -> u32 {
        match self {
            Self::DsMapper => 0x1,
            Self::NegotiateClientCertificate => 0x2,
            Self::Reject => 0x8,
            Self::DisableHttp2 => 0x10,
            Self::DisableQuic => 0x20,
            Self::DisableTls13 => 0x40,
            Self::DisableOcspStapling => 0x80,
            Self::EnableTokenBinding => 0x100,
            Self::LogExtendedEvents => 0x200,
            Self::DisableLegacyTls => 0x400,
            Self::EnableSessionTicket => 0x800,
            Self::DisableTls12 => 0x1000,
            Self::DisableSessionId => 0x4000,
        }
    }
}

/// A TLS binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SslCert {
    /// For which handshakes it is.
    pub key: SslKey,
    /// Which certificate answers; none for a central certificate store.
    pub hash: CertificateHash,
    /// Whose it is.
    pub app_id: AppId,
    /// The machine's store that has the certificate; `None` is `MY`.
    pub store: Option<String>,
    /// How client certificates are checked: `DefaultCertCheckMode`.
    pub check_mode: u32,
    /// After how many seconds a list of revoked certificates is fetched anew; 0: when it says itself.
    pub revocation_freshness: u32,
    /// How long fetching it may take, in milliseconds; 0 is Windows' default.
    pub retrieval_timeout: u32,
    /// Whose client certificates are taken: a list of trusted authorities.
    pub ctl_identifier: Option<String>,
    /// The store that has the list.
    pub ctl_store: Option<String>,
    /// [`Flag`]s, and those that only Windows knows.
    flags: u32,
}

impl SslCert {
    /// A binding that says nothing yet.
    #[must_use]
    pub fn new(key: SslKey) -> Self {
        Self {
            key,
            hash: CertificateHash::default(),
            app_id: AppId::default(),
            store: None,
            check_mode: 0,
            revocation_freshness: 0,
            retrieval_timeout: 0,
            ctl_identifier: None,
            ctl_store: None,
            flags: 0,
        }
    }

    /// Whether a flag is on.
    #[must_use]
    pub const fn has(&self, flag: Flag) -> bool {
        self.flags & flag.bit() != 0
    }

    /// Switches a flag.
    pub fn set(&mut self, flag: Flag, on: bool) {
        if on {
            self.flags |= flag.bit();
        } else {
            self.flags &= !flag.bit();
        }
    }

    /// As Windows has the flags.
    #[must_use]
    pub const fn flags(&self) -> u32 {
        self.flags
    }

    #[cfg_attr(not(windows), allow(dead_code, reason = "only HTTP.sys itself says them so"))]
    pub(super) fn set_flags(&mut self, flags: u32) {
        self.flags = flags;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read_as_they_are_written() {
        for text in ["ipport=0.0.0.0:443", "ipport=[::1]:8443", "hostnameport=*.example.com:443", "ccs=443"] {
            let (kind, value) = text.split_once('=').unwrap();
            let key = match kind {
                "ipport" => SslKey::ip_port(value),
                "hostnameport" => SslKey::hostname_port(value),
                _ => SslKey::ccs(value),
            };
            assert_eq!(key.unwrap().to_string(), text);
        }
        assert!(SslKey::ip_port("0.0.0.0:0").is_err() && SslKey::ip_port("a:443").unwrap_err().contains("hostnameport"));
        for wrong in ["a", ":443", "a:0", "a:b", "http://a:443", "::1:443"] {
            assert!(SslKey::hostname_port(wrong).is_err(), "{wrong}");
        }
        assert!(SslKey::ccs("0").is_err() && SslKey::ccs("65536").is_err());
    }

    #[test]
    fn hashes_are_read_with_and_without_what_is_between_their_digits() {
        let plain = "00112233445566778899aabbccddeeff00112233";
        let spaced = "00 11 22 33 44 55 66 77 88 99 AA BB CC DD EE FF 00 11 22 33";
        assert_eq!(plain.parse::<CertificateHash>().unwrap().to_string(), plain);
        assert_eq!(spaced.parse::<CertificateHash>(), plain.parse());
        for wrong in ["", "00", "zz112233445566778899aabbccddeeff00112233", &plain[1..]] {
            assert!(wrong.parse::<CertificateHash>().unwrap_err().contains("thumbprint"), "{wrong}");
        }
    }

    #[test]
    fn an_app_id_is_a_guid() {
        let text = "{00112233-4455-6677-8899-aabbccddeeff}";
        let id: AppId = text.parse().unwrap();
        assert_eq!(id.0, 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff);
        assert_eq!(id.to_string(), text);
        assert_eq!(text.trim_matches(['{', '}']).to_uppercase().parse(), Ok(id));
        for wrong in ["", "{00112233}", "0011223-34455-6677-8899-aabbccddeeff", "+0112233-4455-6677-8899-aabbccddeeff"] {
            assert!(wrong.parse::<AppId>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_flag_has_a_bit_and_a_name_of_its_own() {
        let mut binding = SslCert::new(SslKey::Ccs(443));
        for flag in Flag::ALL {
            assert!(!binding.has(flag));
            binding.set(flag, true);
            assert!(binding.has(flag));
        }
        assert_eq!(binding.flags().count_ones() as usize, Flag::ALL.len());
        binding.set(Flag::Reject, false);
        assert!(!binding.has(Flag::Reject) && binding.has(Flag::DisableHttp2));
        let mut names: Vec<_> = Flag::ALL.iter().map(|flag| flag.name()).collect();
        names.dedup();
        assert_eq!(names.len(), Flag::ALL.len());
    }
}
