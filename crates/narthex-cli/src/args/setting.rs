//! The host's settings. Which there are, the host says.

use std::ffi::OsStr;

use clap::Args;
use clap::builder::{NonEmptyStringValueParser, PossibleValue, TypedValueParser};
use narthex_host::config::SETTINGS;

use super::Asking;

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct AddSetting {
    /// The setting's name
    #[arg(long, value_name = "NAME", value_parser = Name)]
    pub(crate) settingtype: String,
    /// Its new value
    #[arg(long)]
    pub(crate) value: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DeleteSetting {
    /// The setting's name
    #[arg(long, value_name = "NAME", value_parser = Name)]
    pub(crate) settingtype: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowSetting {
    /// Only this setting
    #[arg(long, value_name = "NAME", value_parser = Name)]
    pub(crate) settingtype: Option<String>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

/// A name. Help and completions list those that this release has; the host, which may be of another, judges.
#[derive(Clone)]
struct Name;

impl TypedValueParser for Name {
    type Value = String;

    fn parse_ref(&self, verb: &clap::Command, arg: Option<&clap::Arg>, typed: &OsStr) -> Result<String, clap::Error> {
        NonEmptyStringValueParser::new().parse_ref(verb, arg, typed)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        // Without this, help would announce an empty list.
        if SETTINGS.is_empty() {
            return None;
        }
        Some(Box::new(SETTINGS.iter().map(|setting| PossibleValue::new(setting.name).help(setting.help))))
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, parsed, usage_error};
    use super::super::{Add, Command, Delete, Show};
    use super::*;

    #[test]
    fn a_setting_has_a_name_and_a_value_that_may_have_equals_signs() {
        let asking = Asking::default();
        let (settingtype, value) = ("log_directory".to_owned(), "/var/log/a=b".to_owned());
        let add = AddSetting { settingtype: settingtype.clone(), value, asking: asking.clone() };
        all_mean(
            &[
                "narthex add setting settingtype=log_directory value=/var/log/a=b",
                "narthex add setting --settingtype log_directory --value /var/log/a=b",
                "narthex add setting SettingType=log_directory --value=/var/log/a=b",
            ],
            Command::Add(Add::Setting(add)),
        );
        let delete = DeleteSetting { settingtype: settingtype.clone(), asking: asking.clone() };
        all_mean(
            &["narthex delete setting settingtype=log_directory", "narthex delete setting --settingtype log_directory"],
            Command::Delete(Delete::Setting(delete)),
        );
        let show = ShowSetting { settingtype: Some(settingtype), asking: asking.clone() };
        all_mean(&["narthex show setting settingtype=log_directory"], Command::Show(Show::Setting(show)));
        all_mean(&["narthex show setting"], Command::Show(Show::Setting(ShowSetting { settingtype: None, asking })));
        assert_eq!(usage_error("narthex add setting settingtype=queue_length"), ErrorKind::MissingRequiredArgument);
        assert_eq!(usage_error("narthex delete setting settingtype="), ErrorKind::InvalidValue);
    }

    #[test]
    fn help_lists_the_settings() {
        let help = parsed("narthex add setting --help").unwrap_err().to_string();
        assert!(SETTINGS.iter().all(|setting| help.contains(setting.name)), "{help}");
    }
}
