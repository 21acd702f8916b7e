//! The project's own commands: `cargo xtask <command>`.
//!
//! Written with few dependencies, so that it compiles in a moment.
#![allow(clippy::disallowed_methods, reason = "measuring how long a step takes is the point here")]

mod bench;
mod checks;
mod conformance;
mod package;
mod system;
mod windows;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  test     everything a change has to pass: format, clippy, docs, tests, cargo-deny
  bench    what a request costs, beside its peers (`cargo xtask bench --help`)
  package  a Debian package of the host: binary, units, man pages, completions (`cargo xtask package help`)
  conformance   the suites that others have written, and their table (`cargo xtask conformance help`)
  windows  clippy for Windows, tests under Wine, a check for macOS (`cargo xtask windows help`)
";

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    let command = args.next();
    let rest: Vec<String> = args.collect();
    let outcome = match command.as_deref() {
        Some("test") if rest.is_empty() => checks::run(),
        Some("bench") => bench::run(rest).map_err(|error| format!("{error:#}")),
        Some("package") => package::run(&rest),
        Some("windows") => windows::run(&rest),
        Some("conformance") => conformance::run(&rest),
        Some("help" | "--help" | "-h") => {
            print!("{USAGE}");
            Ok(())
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("xtask: {message}");
            ExitCode::FAILURE
        }
    }
}
