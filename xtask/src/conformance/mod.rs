//! `cargo xtask conformance`: what Narthex is measured by that others have written.

mod autobahn;
mod list;
mod matrix;
mod results;

const USAGE: &str = "\
usage: cargo xtask conformance [SUITE]   all of them, unless one is named

  ranges                        parts of files, by every provider: the group of that name in docs/conformance.md
  matrix                        Horse's compatibility matrix and hardening list (docs/conformance.md)
  autobahn [--quick] [CASES]    the Autobahn TestSuite (conformance/README.md)";

/// Runs a suite, or all of them.
pub(crate) fn run(args: &[String]) -> Result<(), String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        [] => all(),
        ["matrix"] => matrix::run(None),
        ["ranges"] => matrix::run(Some("Ranges")),
        ["autobahn"] => autobahn::all(),
        ["autobahn", "--quick"] => autobahn::quick(),
        ["autobahn", cases] if !cases.starts_with('-') => autobahn::run(&[cases]),
        _ => Err(USAGE.to_owned()),
    }
}

fn all() -> Result<(), String> {
    let outcomes = [("matrix", matrix::run(None)), ("autobahn", autobahn::all())];
    println!();
    let mut failed = Vec::new();
    for (suite, outcome) in outcomes {
        let told = outcome.as_ref().err().map_or("passed", String::as_str);
        println!("{suite:<10} {told}");
        failed.extend(outcome.is_err().then_some(suite));
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("{} failed", failed.join(" and "))) }
}
