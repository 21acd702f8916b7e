//! Reservations.

use clap::Args;
use clap::builder::NonEmptyStringValueParser;

use super::Asking;
#[cfg(unix)]
use super::YesNo;

#[cfg(unix)]
#[derive(Clone, Debug, PartialEq, Eq, Args)]
#[command(group = clap::ArgGroup::new("principal").args(["user", "group", "everyone", "sddl"]).required(true).multiple(true))]
pub(crate) struct AddUrlacl {
    /// The UrlPrefix to reserve, such as http://+:80/shop/
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url: String,
    /// A user who gets the rights, by name or number; may be repeated
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) user: Vec<String>,
    /// A group whose members get the rights, by name or number; may be repeated
    #[arg(long, value_name = "NAME", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) group: Vec<String>,
    /// Whether every user of the machine gets the rights
    #[arg(long, value_name = "YES|NO", value_enum, ignore_case = true, hide_possible_values = true)]
    pub(crate) everyone: Option<YesNo>,
    /// Whether they may register URLs below the prefix
    #[arg(long, value_name = "YES|NO", value_enum, ignore_case = true, hide_possible_values = true, default_value = "yes")]
    pub(crate) listen: YesNo,
    /// Whether they may reserve URLs below the prefix for others
    #[arg(long, value_name = "YES|NO", value_enum, ignore_case = true, hide_possible_values = true, default_value = "no")]
    pub(crate) delegate: YesNo,
    /// Users and rights in Windows' notation instead, such as D:(A;;GX;;;WD)
    #[arg(long, conflicts_with_all = ["user", "group", "everyone", "listen", "delegate"])]
    pub(crate) sddl: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DeleteUrlacl {
    /// The reserved UrlPrefix
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowUrlacl {
    /// Only the reservation of this UrlPrefix
    #[arg(long, value_name = "PREFIX", value_parser = NonEmptyStringValueParser::new())]
    pub(crate) url: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(all(test, unix))]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, usage_error};
    use super::super::{Add, Command, Delete, Show};
    use super::*;

    fn added() -> AddUrlacl {
        AddUrlacl {
            url: "http://+:80/shop/".to_owned(),
            user: vec!["web".to_owned()],
            group: Vec::new(),
            everyone: None,
            listen: YesNo::Yes,
            delegate: YesNo::No,
            sddl: None,
            asking: Asking::default(),
        }
    }

    #[test]
    fn a_reservation_gives_the_right_to_listen_unless_told_otherwise() {
        all_mean(
            &[
                "narthex add urlacl url=http://+:80/shop/ user=web",
                "narthex add urlacl URL=http://+:80/shop/ User=web",
                "narthex add urlacl --url http://+:80/shop/ --user web",
                "narthex add urlacl --url=http://+:80/shop/ user=web listen=Yes --delegate NO",
            ],
            Command::Add(Add::Urlacl(added())),
        );
    }

    #[test]
    fn users_and_groups_may_be_repeated() {
        let meaning = AddUrlacl {
            user: vec!["web".to_owned(), "1000".to_owned()],
            group: vec!["staff".to_owned(), "ops".to_owned()],
            everyone: Some(YesNo::Yes),
            listen: YesNo::No,
            delegate: YesNo::Yes,
            ..added()
        };
        all_mean(
            &[
                "narthex add urlacl url=http://+:80/shop/ user=web user=1000 group=staff group=ops everyone=yes listen=no delegate=yes",
                "narthex add urlacl --url http://+:80/shop/ --user web --group staff --everyone YES --user 1000 group=ops \
                 --listen no --delegate=yes",
            ],
            Command::Add(Add::Urlacl(meaning)),
        );
    }

    #[test]
    fn sddl_stands_alone_and_somebody_has_to_be_named() {
        let sddl = "D:(A;;GX;;;WD)".to_owned();
        let meaning = AddUrlacl { user: Vec::new(), sddl: Some(sddl), ..added() };
        all_mean(&["narthex add urlacl url=http://+:80/shop/ sddl=D:(A;;GX;;;WD)"], Command::Add(Add::Urlacl(meaning)));
        let line = "narthex add urlacl url=http://+:80/shop/";
        assert_eq!(usage_error(line), ErrorKind::MissingRequiredArgument);
        assert_eq!(usage_error(&format!("{line} sddl=D: user=web")), ErrorKind::ArgumentConflict);
        assert_eq!(usage_error(&format!("{line} sddl=D: listen=no")), ErrorKind::ArgumentConflict);
        assert_eq!(usage_error(&format!("{line} user=web listen=maybe")), ErrorKind::InvalidValue);
        assert_eq!(usage_error("narthex add urlacl user=web"), ErrorKind::MissingRequiredArgument);
    }

    #[test]
    fn reservations_are_deleted_and_shown_by_url() {
        let (url, asking) = ("http://+:80/a=b/".to_owned(), Asking::default());
        let delete = DeleteUrlacl { url: url.clone(), asking: asking.clone() };
        all_mean(
            &["narthex delete urlacl url=http://+:80/a=b/", "narthex delete urlacl --url http://+:80/a=b/"],
            Command::Delete(Delete::Urlacl(delete)),
        );
        let show = ShowUrlacl { url: Some(url), asking: Asking { json: true, ..asking } };
        all_mean(
            &["narthex show urlacl url=http://+:80/a=b/ --json", "narthex show urlacl --json --url=http://+:80/a=b/"],
            Command::Show(Show::Urlacl(show)),
        );
        let all = ShowUrlacl { url: None, asking: Asking::default() };
        all_mean(&["narthex show urlacl"], Command::Show(Show::Urlacl(all)));
        assert_eq!(usage_error("narthex delete urlacl"), ErrorKind::MissingRequiredArgument);
    }
}
