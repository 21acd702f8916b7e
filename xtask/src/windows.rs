//! `cargo xtask windows`: what Windows and macOS make of the workspace, from Linux.
//!
//! Windows is linted, and its tests run under Wine, on Wine's HTTP.sys. macOS is checked only: there is neither a linker nor anything
//! to run it on.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::system::{cargo, root, target_directory};

const USAGE: &str = "\
usage: cargo xtask windows [setup|lint|test|macos]

Without a word all of it, in this order:
  setup   Rust's std for Windows and macOS from its sources, mingw's linker, and Wine, into target/windows
  lint    clippy for x86_64-pc-windows-gnu, warnings as errors
  test    the tests for Windows under Wine, one after the other, a package within five minutes
  macos   cargo check for x86_64-apple-darwin and aarch64-apple-darwin

It needs Debian 12 and root (or gcc-mingw-w64-x86-64 and wine64 installed), and Debian's mirror once: 370 MB. It takes 3 GB of disk. The
first setup was seen to take 7 minutes on two cores that were busy with other builds; after it, dependencies are compiled once for each
of the three targets, and then only what has changed. `cargo xtask test` leaves it out. What Wine does not have, and what follows, is in
docs/windows.md.
";

const WINDOWS: &str = "x86_64-pc-windows-gnu";
const MACOS: [&str; 2] = ["x86_64-apple-darwin", "aarch64-apple-darwin"];
/// What is for Unix, as the host is: the host itself, the black-box suites, which start it, and the project's own commands.
const UNIX_ONLY: [&str; 6] =
    ["narthex-host", "narthex-tests", "narthex-bench-app", "narthex-bench-ws-load", "any-program", "xtask"];
/// What is for Linux: the benchmark's clients, which sleep in epoll.
const LINUX_ONLY: &str = "narthex-bench-ws-load";
/// Whose tests run under Wine.
const UNDER_WINE: [&str; 6] = ["narthex-proto", "narthex-ws", "narthex-httpsys", "narthex-cli", "neighbours", "service"];
/// std's macro says `const` already, in the form that it has on this target.
const MISTAKEN: &str = "clippy::missing_const_for_thread_local";
/// For all tests of a package. nextest would limit each, but takes each for leaking: Wine's own processes outlive it.
const LIMIT: Duration = Duration::from_secs(300);

/// Does what the words say.
pub(crate) fn run(arguments: &[String]) -> Result<(), String> {
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let parts: &[Part] = match words.as_slice() {
        [] => &[Part::Setup, Part::Lint, Part::Test, Part::Macos],
        ["setup"] => &[Part::Setup],
        ["lint"] => &[Part::Setup, Part::Lint],
        ["test"] => &[Part::Setup, Part::Test],
        ["macos"] => &[Part::Setup, Part::Macos],
        ["help" | "--help" | "-h"] => {
            print!("{USAGE}");
            return Ok(());
        }
        _ => return Err(format!("cannot understand {arguments:?}\n{USAGE}")),
    };
    let mut results = Results::default();
    let place = Place(target_directory().join("windows"));
    for part in parts {
        match part {
            Part::Setup => results.take("setup", &mut place.setup(), None)?,
            Part::Lint => results.take("clippy for Windows", &mut place.lint(), None)?,
            Part::Test => place.test(&mut results)?,
            Part::Macos => {
                for target in MACOS {
                    results.take(&format!("check for {target}"), &mut place.check(target), None)?;
                }
            }
        }
    }
    results.told()
}

#[derive(Clone, Copy)]
enum Part {
    Setup,
    Lint,
    Test,
    Macos,
}

/// Where everything is that the machine does not have.
struct Place(PathBuf);

impl Place {
    fn setup(&self) -> Command {
        let mut command = Command::new("bash");
        command.arg(root().join("xtask/windows/setup.sh")).arg(&self.0);
        command
    }

    fn lint(&self) -> Command {
        let mut command = self.cargo_for_windows("clippy");
        command.arg("--workspace");
        for package in UNIX_ONLY {
            command.args(["--exclude", package]);
        }
        // Tests of the examples use the black-box suites, which are for Unix.
        command.args(["--lib", "--bins", "--all-features", "--", "-D", "warnings", "-A", MISTAKEN]);
        command
    }

    fn lint_tests(&self) -> Command {
        let mut command = self.cargo_for_windows("clippy");
        for package in UNDER_WINE.into_iter().chain(["narthex-http", "narthex"]) {
            command.args(["--package", package]);
        }
        command.args(["--all-targets", "--all-features", "--", "-D", "warnings", "-A", MISTAKEN]);
        command
    }

    /// One test at a time: Wine closes the listeners of all programs when one of them ends.
    fn test(&self, results: &mut Results) -> Result<(), String> {
        results.take("clippy for Windows, tests", &mut self.lint_tests(), None)?;
        let _wine = Wine(self);
        for package in UNDER_WINE {
            let tests = || {
                let mut command = self.cargo_for_windows("test");
                command.args(["--package", package]);
                command
            };
            results.take(&format!("tests of {package}: build"), tests().arg("--no-run"), None)?;
            results.take(&format!("tests of {package}: under Wine"), tests().args(["--", "--test-threads", "1"]), Some(LIMIT))?;
        }
        Ok(())
    }

    fn check(&self, target: &str) -> Command {
        let mut command = cargo();
        command.args(["check", "--workspace", "--exclude", LINUX_ONLY, "--keep-going", "--target", target]);
        let no_compiler = self.0.join("no-compiler");
        for tool in ["CC", "CXX", "AR", "RANLIB"] {
            command.env(format!("{tool}_{}", target.replace('-', "_")), &no_compiler);
        }
        // Otherwise Xcode is asked where it is.
        command.env("SDKROOT", "/");
        self.with_std(&mut command, target);
        command
    }

    fn cargo_for_windows(&self, verb: &str) -> Command {
        let mut command = cargo();
        command.args([verb, "--target", WINDOWS]);
        self.with_std(&mut command, WINDOWS);
        command.env(of_target(WINDOWS, "LINKER"), "x86_64-w64-mingw32-gcc");
        command.env(of_target(WINDOWS, "RUNNER"), self.wine("wine64"));
        self.with_wine(&mut command);
        command
    }

    fn with_std(&self, command: &mut Command, target: &str) {
        let sysroot = format!("--sysroot={}", self.0.join("sysroot").display());
        command.env(of_target(target, "RUSTFLAGS"), &sysroot).env(of_target(target, "RUSTDOCFLAGS"), sysroot);
    }

    fn with_wine(&self, command: &mut Command) {
        command.env("WINELOADER", self.wine("wine64")).env("WINESERVER", self.wine("wineserver64"));
        command.env("WINEPREFIX", self.0.join("prefix")).env("WINEDEBUG", "-all").env("DISPLAY", "");
    }

    fn wine(&self, program: &str) -> PathBuf {
        self.0.join("wine/usr/lib/wine").join(program)
    }
}

fn of_target(target: &str, what: &str) -> String {
    format!("CARGO_TARGET_{}_{what}", target.replace('-', "_").to_uppercase())
}

/// Programs may run in this directory's Wine until this is dropped.
struct Wine<'p>(&'p Place);

impl Drop for Wine<'_> {
    fn drop(&mut self) {
        let mut end = Command::new(self.0.wine("wineserver64"));
        self.0.with_wine(&mut end);
        // It fails if none runs.
        let _ = end.arg("-k").stdin(Stdio::null()).status();
    }
}

/// What was done, and how long it took.
#[derive(Default)]
struct Results(Vec<(String, Duration)>);

impl Results {
    fn take(&mut self, name: &str, command: &mut Command, limit: Option<Duration>) -> Result<(), String> {
        println!("\n==> {name}");
        let started = Instant::now();
        let child = command.stdin(Stdio::null()).spawn().map_err(|error| format!("`{name}` cannot start: {error}"))?;
        ended(child, limit).map_err(|why| format!("`{name}` {why}"))?;
        self.0.push((name.to_owned(), started.elapsed()));
        Ok(())
    }

    fn told(&self) -> Result<(), String> {
        let width = self.0.iter().map(|(name, _)| name.len()).max().unwrap_or_default();
        println!();
        for (name, took) in &self.0 {
            println!("{name:width$}  passed  {:6.1} s", took.as_secs_f64());
        }
        Ok(())
    }
}

/// Waits for a child, and ends it when it takes too long.
fn ended(mut child: Child, limit: Option<Duration>) -> Result<(), String> {
    let until = limit.map(|limit| Instant::now() + limit);
    loop {
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => return Ok(()),
            Some(status) => return Err(format!("failed ({status})")),
            None if until.is_some_and(|until| Instant::now() > until) => {
                let _ = child.kill();
                let _ = child.wait();
                return Err("took too long".to_owned());
            }
            None => std::thread::sleep(Duration::from_millis(100)),
        }
    }
}
