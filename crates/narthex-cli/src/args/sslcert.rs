//! TLS bindings.

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, ValueEnum};
use narthex_host::admin::BindingKey;

use super::Asking;

/// For which handshakes a binding is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub(crate) struct BindingArgument {
    /// An IP address and port: for all handshakes there that no other binding is for, such as 0.0.0.0:443
    #[arg(long, value_name = "IP:PORT", value_parser = BindingKey::ip_port)]
    pub(crate) ipport: Option<BindingKey>,
    /// A name and port: for handshakes with this server name, such as shop.example.com:443 or *.example.com:443
    #[arg(long, value_name = "NAME:PORT", value_parser = BindingKey::hostname_port)]
    pub(crate) hostnameport: Option<BindingKey>,
    /// A port: for handshakes there for whose server name a directory has a certificate
    #[arg(long, value_name = "PORT", value_parser = ccs)]
    pub(crate) ccs: Option<BindingKey>,
}

impl BindingArgument {
    /// The one that was typed.
    pub(crate) fn key(self) -> Option<BindingKey> {
        self.ipport.or(self.hostnameport).or(self.ccs)
    }
}

fn ccs(typed: &str) -> Result<BindingKey, String> {
    let port = typed.parse().ok().filter(|port| *port != 0);
    port.map(BindingKey::Ccs).ok_or_else(|| format!("{typed:?} is not a port: write one from 1 to 65535, as in 443"))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    #[value(alias = "yes")]
    Enable,
    #[value(alias = "no")]
    Disable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Negotiation {
    #[value(alias = "no")]
    Disable,
    #[value(alias = "yes")]
    Enable,
    Require,
}

/// Where the certificate comes from, and how TLS is spoken.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct BindingOptions {
    /// The certificate, with those that lead to its authority: a PEM file
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) certfile: Option<String>,
    /// The certificate's private key: a PEM file
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) keyfile: Option<String>,
    /// Certificate and key in one PKCS#12 file (.pfx, .p12)
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) pkcs12file: Option<String>,
    /// The passphrase of the PKCS#12 file; it stands in the configuration then
    #[arg(long, value_name = "TEXT")]
    pub(crate) passphrase: Option<String>,
    /// A file with that passphrase
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) passphrasefile: Option<String>,
    /// The directory of ccs=, with certificates named after their hosts
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) directory: Option<String>,
    /// Make a certificate for development, signed by an authority of this host's own
    #[arg(long)]
    pub(crate) self_signed: bool,
    /// Get a certificate for the name from a CA by ACME, and renew it in time; the acme_... settings say from whom
    #[arg(long)]
    pub(crate) acme: bool,
    /// modern (TLS 1.3 only) or intermediate
    #[arg(long, value_name = "LEVEL")]
    pub(crate) securitylevel: Option<String>,
    /// The oldest version of TLS: 1.2 or 1.3
    #[arg(long, value_name = "VERSION")]
    pub(crate) minversion: Option<String>,
    /// The cipher suites to use, with commas between them
    #[arg(long, value_name = "NAMES")]
    pub(crate) ciphersuites: Option<String>,
    /// Whether clients are asked for a certificate (enable), and must have one (require)
    #[arg(long, value_name = "DISABLE|ENABLE|REQUIRE", value_enum, ignore_case = true, hide_possible_values = true)]
    pub(crate) clientcertnegotiation: Option<Negotiation>,
    /// The authorities of client certificates: a PEM file
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) cafile: Option<String>,
    /// The client certificates that are revoked: a PEM file
    #[arg(long, value_name = "PATH", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) crlfile: Option<String>,
    /// Whether HTTP/2 is not spoken
    #[arg(long, value_name = "ENABLE|DISABLE", value_enum, ignore_case = true, hide_possible_values = true)]
    pub(crate) disablehttp2: Option<Switch>,
    /// Whether HTTP/3 is not spoken
    #[arg(long, value_name = "ENABLE|DISABLE", value_enum, ignore_case = true, hide_possible_values = true)]
    pub(crate) disablequic: Option<Switch>,
    /// Whether TLS 1.2 is not spoken; the same as minversion=1.3
    #[arg(
        long,
        value_name = "ENABLE|DISABLE",
        value_enum,
        ignore_case = true,
        hide_possible_values = true,
        conflicts_with = "minversion"
    )]
    pub(crate) disabletls12: Option<Switch>,
    /// Whether clients may send a request before the handshake ends
    #[arg(long, value_name = "ENABLE|DISABLE", value_enum, ignore_case = true, hide_possible_values = true)]
    pub(crate) earlydata: Option<Switch>,
    /// Whether clients may come back by a session ticket, without a full handshake
    #[arg(long, value_name = "ENABLE|DISABLE", value_enum, ignore_case = true, hide_possible_values = true)]
    pub(crate) enablesessionticket: Option<Switch>,
    /// Whether they may not; the opposite of enablesessionticket
    #[arg(
        long,
        value_name = "ENABLE|DISABLE",
        value_enum,
        ignore_case = true,
        hide_possible_values = true,
        conflicts_with = "enablesessionticket"
    )]
    pub(crate) disablesessionid: Option<Switch>,
    /// Whether all connections of the binding are refused
    #[arg(long, value_name = "ENABLE|DISABLE", value_enum, ignore_case = true, hide_possible_values = true)]
    pub(crate) reject: Option<Switch>,
    /// Whose binding it is, for people
    #[arg(long, value_name = "GUID", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) appid: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("which").args(["ipport", "hostnameport", "ccs"]).required(true))]
pub(crate) struct ChangeSslcert {
    #[command(flatten)]
    pub(crate) binding: BindingArgument,
    #[command(flatten)]
    pub(crate) options: Box<BindingOptions>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("which").args(["ipport", "hostnameport", "ccs"]).required(true))]
pub(crate) struct DeleteSslcert {
    #[command(flatten)]
    pub(crate) binding: BindingArgument,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowSslcert {
    #[command(flatten)]
    pub(crate) binding: BindingArgument,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, parsed, usage_error};
    use super::super::{Add, Command, Delete, Show, Update};
    use super::*;

    fn name() -> BindingArgument {
        BindingArgument { hostnameport: Some(BindingKey::hostname_port("localhost:8443").unwrap()), ..BindingArgument::default() }
    }

    #[test]
    fn a_binding_is_typed_as_in_netsh_or_with_options() {
        let options = BindingOptions {
            certfile: Some("a=b.pem".to_owned()),
            keyfile: Some("k".to_owned()),
            disablehttp2: Some(Switch::Enable),
            clientcertnegotiation: Some(Negotiation::Require),
            ..BindingOptions::default()
        };
        let change = || ChangeSslcert { binding: name(), options: options.clone().into(), asking: Asking::default() };
        let parameters = [
            "hostnameport=localhost:8443 certfile=a=b.pem keyfile=k disablehttp2=enable clientcertnegotiation=require",
            "--hostnameport LOCALHOST:8443 --certfile a=b.pem --keyfile k --disablehttp2 YES --clientcertnegotiation=Require",
        ];
        for parameters in parameters {
            all_mean(&[&format!("narthex add sslcert {parameters}")], Command::Add(Add::Sslcert(change())));
            all_mean(&[&format!("narthex update sslcert {parameters}")], Command::Update(Update::Sslcert(change())));
        }
    }

    #[test]
    fn a_switch_without_value_is_one_word() {
        let options = BindingOptions { self_signed: true, ..BindingOptions::default() };
        let meaning = ChangeSslcert { binding: name(), options: options.into(), asking: Asking::default() };
        all_mean(
            &[
                "narthex add sslcert hostnameport=localhost:8443 self-signed",
                "narthex add sslcert self-signed hostnameport=localhost:8443",
                "narthex add sslcert --hostnameport localhost:8443 --self-signed",
            ],
            Command::Add(Add::Sslcert(meaning)),
        );
    }

    #[test]
    fn a_binding_is_of_one_kind_and_show_takes_all() {
        let (binding, asking) = (name(), Asking::default());
        let delete = DeleteSslcert { binding: binding.clone(), asking: asking.clone() };
        all_mean(&["narthex delete sslcert hostnameport=localhost:8443"], Command::Delete(Delete::Sslcert(delete)));
        let show = ShowSslcert { binding, asking: Asking { json: true, ..asking.clone() } };
        all_mean(&["narthex show sslcert --json hostnameport=localhost:8443"], Command::Show(Show::Sslcert(show)));
        let all = ShowSslcert { binding: BindingArgument::default(), asking };
        all_mean(&["narthex show sslcert"], Command::Show(Show::Sslcert(all)));
        assert_eq!(usage_error("narthex delete sslcert"), ErrorKind::MissingRequiredArgument);
        assert_eq!(usage_error("narthex add sslcert certfile=c keyfile=k"), ErrorKind::MissingRequiredArgument);
        assert_eq!(usage_error("narthex show sslcert ccs=443 ipport=0.0.0.0:443"), ErrorKind::ArgumentConflict);
        for line in ["ipport=localhost:443", "hostnameport=127.0.0.1:443", "ccs=0", "ccs=https"] {
            assert_eq!(usage_error(&format!("narthex show sslcert {line}")), ErrorKind::ValueValidation, "{line}");
        }
    }

    #[test]
    fn what_netsh_has_and_this_has_not_is_refused_with_what_to_type() {
        for (key, instead) in super::super::refused::KEYS {
            for line in [format!("narthex add sslcert ipport=0.0.0.0:443 {key}=x"), format!("narthex update sslcert --{key} x")] {
                assert_eq!(usage_error(&line), ErrorKind::UnknownArgument, "{line}");
                let text = parsed(&line).unwrap_err().to_string();
                assert!(text.contains(key) && text.contains(instead), "{text}");
            }
        }
    }
}
