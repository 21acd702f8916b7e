//! `cargo xtask test`: every check a change has to pass, in the order in which they fail fastest.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::system::{cargo, ensure, find, root, target_directory};

/// Runs every check and stops at the first that fails.
pub(crate) fn run() -> Result<(), String> {
    let started = Instant::now();
    // cargo-deny takes minutes to build: it does so beside the steps that do not need it.
    let deny = Deny::prepare()?;
    let chromium = ensure("chromium", "chromium")?;
    // Programs of other languages, which the tests put behind a host.
    ensure("node", "nodejs")?;
    ensure("python3", "python3")?;
    // For the types of the browser's module.
    ensure("tsc", "node-typescript")?;

    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    let everything = ["--workspace", "--all-targets"];
    step("clippy", cargo().arg("clippy").args(everything).args(["--", "-D", "warnings"]))?;
    step("docs", cargo().args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings"))?;
    step("build", cargo().arg("build").args(everything))?;
    deny.check()?;
    // A certificate authority for the tests of automatic certificates.
    ensure("pebble", "pebble")?;
    // For the tests of unit files; it runs nothing.
    ensure("systemd-analyze", "systemd")?;
    // Last, so that the runner's closing lines are the last thing on the screen.
    step("doc tests", cargo().args(["test", "--workspace", "--doc"]))?;
    step("tests", tests().env("NARTHEX_CHROMIUM", chromium))?;

    println!("\nxtask: all checks passed in {:.1} s", started.elapsed().as_secs_f64());
    Ok(())
}

/// The test run, with nextest where it is installed: it isolates tests and ends those that hang.
fn tests() -> Command {
    let mut command = cargo();
    if find("cargo-nextest").is_some() {
        command.args(["nextest", "run", "--workspace"]);
    } else {
        command.args(["test", "--workspace", "--all-targets"]);
    }
    // The black-box suite would otherwise ask cargo for this binary in each of its processes.
    command.env("NARTHEX_BIN", target_directory().join("debug/narthex"));
    command
}

/// Runs one step, showing its output, its name and its time.
fn step(name: &str, command: &mut Command) -> Result<(), String> {
    println!("\n==> {name}: {}", shown(command));
    let started = Instant::now();
    let status = command.stdin(Stdio::null()).status().map_err(|error| format!("step `{name}` could not start: {error}"))?;
    let seconds = started.elapsed().as_secs_f64();
    if !status.success() {
        return Err(format!("step `{name}` failed after {seconds:.1} s ({status}): {}", shown(command)));
    }
    println!("==> {name}: passed in {seconds:.1} s");
    Ok(())
}

fn shown(command: &Command) -> String {
    let mut line = PathBuf::from(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    for argument in command.get_args() {
        line.push(' ');
        line.push_str(&argument.to_string_lossy());
    }
    line
}

/// cargo-deny, found or still being built.
enum Deny {
    Found(PathBuf),
    Building { build: Build, program: PathBuf },
}

/// The running `cargo install`; stopped if an earlier step fails first.
struct Build(Child);

impl Drop for Build {
    fn drop(&mut self) {
        // Both calls do nothing harmful on a build that has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Deny {
    fn prepare() -> Result<Self, String> {
        let tools = target_directory().join("tools");
        let program = tools.join("bin/cargo-deny");
        if let Some(installed) = find("cargo-deny") {
            return Ok(Self::Found(installed));
        }
        if program.is_file() {
            return Ok(Self::Found(program));
        }
        println!("xtask: cargo-deny is missing; building it in the background");
        let build = cargo()
            .args(["install", "cargo-deny", "--locked", "--quiet", "--root"])
            .arg(&tools)
            .arg("--target-dir")
            .arg(tools.join("build"))
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| format!("cannot start `cargo install cargo-deny`: {error}"))?;
        Ok(Self::Building { build: Build(build), program })
    }

    fn ready(self) -> Result<PathBuf, String> {
        match self {
            Self::Found(program) => Ok(program),
            Self::Building { mut build, program } => {
                println!("\n==> deny: waiting for `cargo install cargo-deny --locked`");
                let status = build.0.wait().map_err(|error| error.to_string())?;
                if status.success() && program.is_file() {
                    return Ok(program);
                }
                Err(format!("step `deny` failed: `cargo install cargo-deny --locked` ended with {status}"))
            }
        }
    }

    fn check(self) -> Result<(), String> {
        let program = self.ready()?;
        let deny = |arguments: &[&str]| {
            let mut command = Command::new(&program);
            command.current_dir(root()).arg("--log-level").arg("error");
            command.args(arguments);
            command
        };
        step("deny", &mut deny(&["check", "bans", "licenses", "sources"]))?;

        // Only the advisories need something from outside: RustSec's database.
        let fetched =
            deny(&["fetch", "db"]).stdin(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
        if fetched {
            return step("advisories", &mut deny(&["check", "--disable-fetch", "advisories"]));
        }
        if std::env::var_os("NARTHEX_REQUIRE_ADVISORIES").is_some() {
            return Err("step `advisories` failed: RustSec's database cannot be fetched".into());
        }
        println!("\n==> advisories: SKIPPED, RustSec's database cannot be fetched from here");
        Ok(())
    }
}
