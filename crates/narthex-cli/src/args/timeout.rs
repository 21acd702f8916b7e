//! Machine-wide timers.

use clap::{Args, ValueEnum};

use super::Asking;
use super::number::number;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TimeoutType {
    /// Between two requests of a connection
    #[value(name = "idleconnectiontimeout")]
    IdleConnection,
    /// For the whole head of a request
    #[value(name = "headerwaittimeout")]
    HeaderWait,
}

#[cfg(unix)]
impl From<TimeoutType> for narthex_host::config::MachineTimer {
    fn from(typed: TimeoutType) -> Self {
        match typed {
            TimeoutType::IdleConnection => Self::IdleConnectionTimeout,
            TimeoutType::HeaderWait => Self::HeaderWaitTimeout,
        }
    }
}

#[cfg(windows)]
impl From<TimeoutType> for narthex_httpsys::configuration::Timer {
    fn from(typed: TimeoutType) -> Self {
        match typed {
            TimeoutType::IdleConnection => Self::IdleConnection,
            TimeoutType::HeaderWait => Self::HeaderWait,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct AddTimeout {
    /// The timer
    #[arg(long, value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) timeouttype: TimeoutType,
    /// Its limit in seconds, decimal or 0x; 65535 switches it off
    #[arg(long, value_name = "SECONDS", value_parser = number::<u16>)]
    pub(crate) value: u16,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct DeleteTimeout {
    /// The timer
    #[arg(long, value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) timeouttype: TimeoutType,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct ShowTimeout {
    /// Only this timer
    #[arg(long, value_name = "TYPE", value_enum, ignore_case = true)]
    pub(crate) timeouttype: Option<TimeoutType>,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(all(test, unix))]
mod tests {
    use clap::error::ErrorKind;

    use super::super::tests::{all_mean, usage_error};
    use super::super::{Add, Command, Delete, Show};
    use super::*;

    #[test]
    fn timers_are_set_and_set_back() {
        let asking = Asking::default();
        let add = AddTimeout { timeouttype: TimeoutType::HeaderWait, value: 30, asking: asking.clone() };
        all_mean(
            &[
                "narthex add timeout timeouttype=headerwaittimeout value=30",
                "narthex add timeout TimeoutType=HeaderWaitTimeout Value=0x1E",
                "narthex add timeout --value 30 --timeouttype headerwaittimeout",
            ],
            Command::Add(Add::Timeout(add)),
        );
        let delete = DeleteTimeout { timeouttype: TimeoutType::IdleConnection, asking: asking.clone() };
        all_mean(
            &[
                "narthex delete timeout timeouttype=idleconnectiontimeout",
                "narthex delete timeout --timeouttype idleconnectiontimeout",
            ],
            Command::Delete(Delete::Timeout(delete)),
        );
        all_mean(&["narthex show timeout"], Command::Show(Show::Timeout(ShowTimeout { timeouttype: None, asking })));
    }

    #[test]
    fn a_timer_takes_whole_seconds_up_to_65535() {
        for value in ["65536", "-1", "1.5", "0x", ""] {
            let line = format!("narthex add timeout timeouttype=headerwaittimeout value={value}");
            assert_eq!(usage_error(&line), ErrorKind::ValueValidation, "{line}");
        }
        assert_eq!(usage_error("narthex add timeout timeouttype=sendtimeout value=1"), ErrorKind::InvalidValue);
    }
}
