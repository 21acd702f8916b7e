//! What can be typed on Windows, where HTTP.sys is the host: netsh's verbs on its configuration.

mod documents;
mod new;
mod number;
mod timeout;
mod urlacl;
mod words;
mod yes_no;

use std::ffi::OsString;
use std::net::IpAddr;

use clap::builder::NonEmptyStringValueParser;
use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use narthex_httpsys::configuration::{AppId, CacheParam, CertificateHash, SslKey};

pub(crate) use documents::{CompletionsArguments, ManArguments};
pub(crate) use new::{NewArguments, Template};
use number::number;
pub(crate) use timeout::{AddTimeout, DeleteTimeout, ShowTimeout};
pub(crate) use urlacl::{DeleteUrlacl, ShowUrlacl};
pub(crate) use yes_no::YesNo;

use crate::exit;

/// Many programs, one port: Windows' HTTP.sys gives each exactly the requests below its own URL prefix.
#[derive(Debug, Parser)]
#[command(name = "narthex", version, arg_required_else_help = true, disable_help_subcommand = true, after_help = after_help())]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Command {
    /// Start a project: an app that builds, runs and has tests
    New(NewArguments),
    /// Show how HTTP.sys is configured, and what it serves
    #[command(subcommand)]
    Show(Show),
    /// Reserve a URL, or set what HTTP.sys goes by
    #[command(subcommand)]
    Add(Add),
    /// Change a TLS binding, where what is not named stays as it is
    #[command(subcommand)]
    Update(Update),
    /// End a reservation, or set something back to its default
    #[command(subcommand)]
    Delete(Delete),
    /// Print a shell's completions of this command
    Completions(CompletionsArguments),
    /// Print this command's man page, or write those of all verbs into a directory
    Man(ManArguments),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Show {
    /// Sessions, URL groups and request queues, as netsh has them
    Servicestate(ShowServicestate),
    /// The reservations: which URLs are kept for whom
    Urlacl(ShowUrlacl),
    /// The addresses that HTTP.sys listens on
    Iplisten(Asking),
    /// The timers of connections whose app is not known yet
    Timeout(ShowTimeout),
    /// The parameters of the response cache
    Cacheparam(ShowCacheparam),
    /// The TLS bindings: which certificate answers where
    Sslcert(ShowSslcert),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Add {
    /// Reserve a URL: those named may register it and what is below it
    Urlacl(AddUrlacl),
    /// Listen on this address, and only on those that were added
    Iplisten(Address),
    /// Set a timer
    Timeout(AddTimeout),
    /// Set a parameter of the response cache
    Cacheparam(AddCacheparam),
    /// Bind a certificate of the machine's store to a name, an address or a port
    Sslcert(ChangeSslcert),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Update {
    /// Change the certificate or the options of a TLS binding
    Sslcert(ChangeSslcert),
}

#[derive(Debug, PartialEq, Eq, Subcommand)]
#[command(disable_help_subcommand = true)]
pub(crate) enum Delete {
    /// End a reservation
    Urlacl(DeleteUrlacl),
    /// Take an address off the list; with none left HTTP.sys listens on every address
    Iplisten(Address),
    /// Set a timer back to its default
    Timeout(DeleteTimeout),
    /// Set a parameter of the response cache back to its default
    Cacheparam(DeleteCacheparam),
    /// End a TLS binding
    Sslcert(DeleteSslcert),
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct Asking {
    /// Print the answer as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// By server session
    Session,
    /// By request queue
    #[value(name = "requestq")]
    RequestQueue,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowServicestate {
    /// What the list begins with
    #[arg(long, value_name = "VIEW", value_enum, ignore_case = true, default_value = "session")]
    pub(crate) view: View,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(group = ArgGroup::new("principal").args(["user", "sddl"]).required(true))]
pub(crate) struct AddUrlacl {
    /// The UrlPrefix to reserve, such as http://+:80/shop/
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url: String,
    /// A user or group who gets the rights, such as DOMAIN\user or Everyone; may be repeated
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) user: Vec<String>,
    /// Whether they may register URLs below the prefix
    #[arg(long, value_name = "YES|NO", value_enum, ignore_case = true, hide_possible_values = true, default_value = "yes")]
    pub(crate) listen: YesNo,
    /// Whether they may reserve URLs below the prefix for others
    #[arg(long, value_name = "YES|NO", value_enum, ignore_case = true, hide_possible_values = true, default_value = "no")]
    pub(crate) delegate: YesNo,
    /// Users and rights in Windows' notation instead, such as D:(A;;GX;;;WD)
    #[arg(long, conflicts_with_all = ["user", "listen", "delegate"])]
    pub(crate) sddl: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct Address {
    /// An IPv4 or IPv6 address without a port, such as 192.0.2.1 or ::1
    #[arg(long, value_name = "IP")]
    pub(crate) ipaddress: IpAddr,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CacheparamType {
    /// The longest response that is cached, in bytes
    #[value(name = "maxcacheresponsesize")]
    MaxCacheResponseSize,
    /// The longest part of a cached response that answers one range request, in bytes
    #[value(name = "cacherangechunksize")]
    CacheRangeChunkSize,
}

impl From<CacheparamType> for CacheParam {
    fn from(typed: CacheparamType) -> Self {
        match typed {
            CacheparamType::MaxCacheResponseSize => Self::MaxCacheResponseSize,
            CacheparamType::CacheRangeChunkSize => Self::CacheRangeChunkSize,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct AddCacheparam {
    /// The parameter
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) kind: CacheparamType,
    /// Its value in bytes, decimal or 0x
    #[arg(long, value_name = "NUMBER", value_parser = number::<u32>)]
    pub(crate) value: u32,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DeleteCacheparam {
    /// The parameter
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) kind: CacheparamType,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowCacheparam {
    /// Only this parameter
    #[arg(long = "type", value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) kind: Option<CacheparamType>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// For which handshakes a binding is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
#[group(multiple = false)]
pub(crate) struct BindingArgument {
    /// An IP address and port: for all handshakes there that no other binding is for, such as 0.0.0.0:443
    #[arg(long, value_name = "IP:PORT", value_parser = SslKey::ip_port)]
    pub(crate) ipport: Option<SslKey>,
    /// A name and port: for handshakes with this server name, such as shop.example.com:443
    #[arg(long, value_name = "NAME:PORT", value_parser = SslKey::hostname_port)]
    pub(crate) hostnameport: Option<SslKey>,
    /// A port: for handshakes for whose server name the central certificate store has a certificate
    #[arg(long, value_name = "PORT", value_parser = SslKey::ccs)]
    pub(crate) ccs: Option<SslKey>,
}

impl BindingArgument {
    /// The one that was typed.
    pub(crate) fn key(self) -> Option<SslKey> {
        self.ipport.or(self.hostnameport).or(self.ccs)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Switch {
    #[value(alias = "yes")]
    Enable,
    #[value(alias = "no")]
    Disable,
}

impl Switch {
    pub(crate) fn is_on(self) -> bool {
        self == Self::Enable
    }
}

/// Which certificate answers, and how TLS is spoken. As netsh has it; what is not said stays as it is, or Windows' default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct BindingOptions {
    /// The certificate's thumbprint, as the machine's store shows it
    #[arg(long, value_name = "HASH", value_parser = str::parse::<CertificateHash>)]
    pub(crate) certhash: Option<CertificateHash>,
    /// Whose binding it is: any GUID that you keep for your app
    #[arg(long, value_name = "GUID", value_parser = str::parse::<AppId>)]
    pub(crate) appid: Option<AppId>,
    /// The machine's store that has the certificate [Windows' default: MY]
    #[arg(long, value_name = "STORE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) certstorename: Option<String>,
    /// Whether revocation of client certificates is checked
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) verifyclientcertrevocation: Option<Switch>,
    /// Whether it is checked with what Windows has at hand only
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) verifyrevocationwithcachedclientcertonly: Option<Switch>,
    /// Whether the usage of client certificates is checked
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) usagecheck: Option<Switch>,
    /// After how many seconds a list of revoked certificates is fetched anew
    #[arg(long, value_name = "SECONDS", value_parser = number::<u32>)]
    pub(crate) revocationfreshnesstime: Option<u32>,
    /// How long fetching it may take, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", value_parser = number::<u32>)]
    pub(crate) urlretrievaltimeout: Option<u32>,
    /// The list of trusted authorities of client certificates
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) sslctlidentifier: Option<String>,
    /// The store that has the list
    #[arg(long, value_name = "STORE", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) sslctlstorename: Option<String>,
    #[command(flatten)]
    pub(crate) switches: BindingSwitches,
}

/// What is either on or off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Args)]
pub(crate) struct BindingSwitches {
    /// Whether client certificates are mapped to users of Active Directory
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) dsmapperusage: Option<Switch>,
    /// Whether clients are asked for a certificate in the handshake
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) clientcertnegotiation: Option<Switch>,
    /// Whether all connections of the binding are refused
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) reject: Option<Switch>,
    /// Whether HTTP/2 is not spoken
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) disablehttp2: Option<Switch>,
    /// Whether HTTP/3 is not spoken
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) disablequic: Option<Switch>,
    /// Whether TLS 1.3 is not spoken
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) disabletls13: Option<Switch>,
    /// Whether no OCSP answers are stapled
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) disableocspstapling: Option<Switch>,
    /// Whether token binding is offered
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) enabletokenbinding: Option<Switch>,
    /// Whether more about handshakes is logged
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) logextendedevents: Option<Switch>,
    /// Whether TLS 1.0 and 1.1 are not spoken
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) disablelegacytls: Option<Switch>,
    /// Whether clients may come back by a session ticket
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) enablesessionticket: Option<Switch>,
    /// Whether TLS 1.2 is not spoken
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) disabletls12: Option<Switch>,
    /// Whether clients may not come back by a session id
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) disablesessionid: Option<Switch>,
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

/// What there is on other systems only.
mod refused {
    use std::ffi::OsString;

    use anyhow::bail;

    /// HTTP.sys has everything that netsh can say.
    pub(super) const KEYS: [(&str, &str); 0] = [];

    /// The verbs of Narthex's own host.
    const OF_THE_HOST: [&str; 11] =
        ["demo", "doctor", "dump", "explain", "flush", "forward", "host", "reload", "restart", "run", "top"];

    pub(super) fn refuse(words: &[OsString]) -> anyhow::Result<()> {
        match words.get(1).and_then(|word| word.to_str()) {
            Some(verb) if OF_THE_HOST.contains(&verb) => {
                bail!("`narthex {verb}` is about Narthex's own host; on Windows HTTP.sys is the host, and is always there")
            }
            _ => Ok(()),
        }
    }
}

fn after_help() -> String {
    format!(
        "The verbs are netsh's, on the same HTTP.sys. Parameters may be typed as it takes them, url=http://+:80/shop/, or as \
         --url http://+:80/shop/.\n\n{}",
        exit::CODES
    )
}

/// What the words of a command line mean.
///
/// # Errors
/// A [`clap::Error`] if they cannot be understood, and also where help or the version is asked for.
pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> anyhow::Result<Command> {
    Ok(words::understood::<Arguments>(words)?.command)
}

/// The definition, for documents.
pub(crate) fn documented() -> clap::Command {
    words::definition::<Arguments>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> anyhow::Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    #[test]
    fn the_definition_of_the_arguments_is_consistent() {
        documented().debug_assert();
    }

    #[test]
    fn both_spellings_mean_the_same() {
        for (netsh, options) in [
            ("narthex add urlacl url=http://+:80/ user=Everyone", "narthex add urlacl --url http://+:80/ --user Everyone"),
            ("narthex delete iplisten IPAddress=::1", "narthex delete iplisten --ipaddress ::1"),
            (
                "narthex add timeout timeouttype=HeaderWaitTimeout value=0x1e",
                "narthex add timeout --timeouttype headerwaittimeout --value 30",
            ),
            ("narthex update sslcert ccs=443 disablehttp2=enable", "narthex update sslcert --ccs 443 --disablehttp2 yes"),
            ("narthex show cacheparam type=maxcacheresponsesize", "narthex show cacheparam --type maxcacheresponsesize"),
        ] {
            assert_eq!(parsed(netsh).unwrap(), parsed(options).unwrap(), "{netsh}");
        }
    }

    #[test]
    fn what_is_of_the_host_only_says_so() {
        let said = parsed("narthex host --shared").unwrap_err().to_string();
        assert!(said.contains("HTTP.sys is the host"), "{said}");
    }

    #[test]
    fn a_reservation_is_for_somebody() {
        for line in ["narthex add urlacl url=http://+:80/", "narthex add urlacl url=http://+:80/ user=a sddl=D:", "narthex add"] {
            assert!(parsed(line).is_err(), "{line}");
        }
    }
}
