//! Request queues.

use clap::{Args, ValueEnum};
use narthex_proto::wire::Activity;

use super::Asking;
use super::number::number;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum QueueActivity {
    /// It gives out requests, if its app lets it
    Active,
    /// Clients get 503
    Inactive,
}

impl From<QueueActivity> for Activity {
    fn from(typed: QueueActivity) -> Self {
        match typed {
            QueueActivity::Active => Self::Active,
            QueueActivity::Inactive => Self::Inactive,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct UpdateQueue {
    /// The queue's number, as `show servicestate` has it, decimal or 0x
    #[arg(long, value_name = "NUMBER", value_parser = number::<u64>)]
    pub(crate) id: u64,
    /// What it is to be. Lasts as long as the queue
    #[arg(long, value_enum, ignore_case = true)]
    pub(crate) state: QueueActivity,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub(crate) struct RestartArguments {
    /// The queue's name, as `show servicestate` has it
    #[arg(value_name = "QUEUE")]
    pub(crate) queue: String,
    #[command(flatten)]
    pub(crate) asking: Asking,
}

#[cfg(test)]
mod tests {
    use super::super::tests::all_mean;
    use super::super::{Command, Update};
    use super::*;

    #[test]
    fn a_queue_is_named_by_its_number() {
        let queue = UpdateQueue { id: 3, state: QueueActivity::Inactive, asking: Asking::default() };
        all_mean(
            &["narthex update queue id=3 state=inactive", "narthex update queue --id 0x3 --state Inactive"],
            Command::Update(Update::Queue(queue)),
        );
    }
}
