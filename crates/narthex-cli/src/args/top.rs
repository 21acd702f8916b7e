//! The live table.

use clap::Args;

use super::SocketArgument;
use crate::top::Order;

#[derive(Clone, Debug, PartialEq, Args)]
pub(crate) struct TopArguments {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    pub(crate) interval: f64,
    /// What the table is sorted by
    #[arg(long, value_enum, ignore_case = true, default_value = "requests")]
    pub(crate) order: Order,
    /// Print one interval as text and end [default where standard output is no terminal]
    #[arg(long)]
    pub(crate) once: bool,
    #[command(flatten)]
    pub(crate) socket: SocketArgument,
}

// Intervals are parsed: none is NaN.
impl Eq for TopArguments {}

fn interval(typed: &str) -> Result<f64, String> {
    match typed.parse() {
        Ok(seconds) if (0.1..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("write seconds, 0.1 to 3600".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::super::tests::{all_mean, usage_error};
    use super::*;

    #[test]
    fn an_interval_is_seconds_within_reason() {
        let meaning = TopArguments {
            interval: 0.5,
            order: Order::Latency,
            once: true,
            socket: SocketArgument { socket: Some("/s".into()) },
        };
        let lines = [
            "narthex top --interval 0.5 --order latency --once --socket /s",
            "narthex top interval=.5 order=Latency --once --socket=/s",
        ];
        all_mean(&lines, Command::Top(meaning));
        for wrong in ["0", "nan", "-1", "soon", "1e9"] {
            usage_error(&format!("narthex top --interval={wrong}"));
        }
    }
}
