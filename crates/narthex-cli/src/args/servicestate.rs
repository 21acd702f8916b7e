//! The host's state.

use clap::{Args, ValueEnum};

use super::{Asking, YesNo};

/// What the listing starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum View {
    /// Sessions, with their URL groups; then the queues
    Session,
    /// Queues, with their processes and the URL groups that they serve
    Requestq,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowServicestate {
    /// What the listing starts from
    #[arg(long, value_enum, ignore_case = true, default_value = "session")]
    pub(crate) view: View,
    /// Whether properties are listed as well
    #[arg(long, value_name = "YES|NO", value_enum, ignore_case = true, hide_possible_values = true, default_value = "yes")]
    pub(crate) verbose: YesNo,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, usage_error};
    use super::super::{Command, Show};
    use super::*;

    #[test]
    fn the_state_starts_from_sessions_with_their_properties() {
        let meaning = ShowServicestate { view: View::Session, verbose: YesNo::Yes, asking: Asking::default() };
        all_mean(&["narthex show servicestate"], Command::Show(Show::Servicestate(meaning)));
    }

    #[test]
    fn the_state_takes_flags_and_the_spelling_of_netsh() {
        let meaning = ShowServicestate { view: View::Requestq, verbose: YesNo::No, asking: Asking::default() };
        all_mean(
            &[
                "narthex show servicestate --view requestq --verbose no",
                "narthex show servicestate view=requestq verbose=no",
                "narthex show servicestate VIEW=RequestQ Verbose=NO",
                "narthex show servicestate --view=requestq verbose=no",
            ],
            Command::Show(Show::Servicestate(meaning)),
        );
    }

    #[test]
    fn a_key_or_a_value_that_netsh_does_not_have_is_a_usage_error() {
        for (line, kind) in [
            ("narthex show servicestate veiw=requestq", ErrorKind::UnknownArgument),
            ("narthex show servicestate view=queue", ErrorKind::InvalidValue),
            ("narthex show servicestate x", ErrorKind::UnknownArgument),
            ("narthex show servicestate view=session view=requestq", ErrorKind::ArgumentConflict),
        ] {
            assert_eq!(usage_error(line), kind, "{line}");
        }
    }
}
