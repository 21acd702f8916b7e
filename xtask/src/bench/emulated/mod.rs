//! `--emulated`: instructions per request, user and kernel, where the machine has no counters: in an emulated one.
//!
//! QEMU lets one nanosecond of the guest's clock pass with each instruction, so that the CPU time of a process is the number of its
//! instructions. Each subject has a boot of its own, so that no count depends on what else is counted.

pub(super) mod guest;

mod console;
mod initramfs;
mod kernel;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::binaries::Binaries;
use super::interrupt;
use super::options::Options;
use super::process::{ProcessGroup, ended_with_us};
use super::subjects::Subject;
use crate::system;
use console::Counts;
use kernel::Kernel;

pub(super) const QEMU: &str = "qemu-system-x86_64";

/// How long one boot with all of its counts may take; on an idle machine it is less than a minute.
const LIMIT: Duration = Duration::from_secs(900);

/// The clock is the one that QEMU counts by, at exactly 1 GHz. Filling new memory with zeros would be by string instructions. The
/// kernel lies where it lies in every other run.
const KERNEL_COMMAND_LINE: &str =
    "console=ttyS0 quiet tsc=reliable tsc_early_khz=1000000 mitigations=off init_on_alloc=0 nokaslr panic=-1";

/// Installs what is missing.
pub(super) fn install() -> Result<()> {
    if std::env::consts::ARCH != "x86_64" {
        bail!("--emulated needs an x86-64 machine, whose programs the emulated one can run; this is {}", std::env::consts::ARCH);
    }
    for (program, package) in [(QEMU, "qemu-system-x86"), ("busybox", "busybox-static"), ("cpio", "cpio"), ("ldd", "libc-bin")] {
        system::ensure(program, package).map_err(anyhow::Error::msg)?;
    }
    Kernel::ensure().map(drop)
}

/// Which kernel the guest has, for the page.
pub(super) fn kernel_version() -> Option<String> {
    Kernel::downloaded().map(|kernel| kernel.version)
}

/// Boots a machine for each subject that is asked about.
#[derive(Debug)]
pub(super) struct Emulator<'a> {
    binaries: &'a Binaries,
    options: &'a Options,
    kernel: Kernel,
    /// What each subject's guest has told, by workload.
    told: BTreeMap<&'static str, Result<Counts, String>>,
}

impl<'a> Emulator<'a> {
    pub(super) fn new(binaries: &'a Binaries, options: &'a Options) -> Result<Self> {
        Ok(Self { binaries, options, kernel: Kernel::ensure()?, told: BTreeMap::new() })
    }

    /// The instructions of all server processes for one request. The first question about a subject boots its guest, which counts
    /// under every workload.
    pub(super) fn per_request(&mut self, subject: &Subject, workload: &str) -> Result<f64> {
        if !self.told.contains_key(subject.name) {
            let told = self.boot(subject).map_err(|error| format!("{error:#}"));
            interrupt::check()?;
            self.told.insert(subject.name, told);
        }
        let counts = match self.told.get(subject.name) {
            Some(Ok(counts)) => counts,
            Some(Err(reason)) => bail!("{reason}"),
            None => bail!("no guest was booted"),
        };
        match counts.get(workload) {
            Some(Ok(count)) => Ok(*count),
            Some(Err(reason)) => Err(anyhow!("{reason}")),
            None => bail!("the guest has not told"),
        }
    }

    fn boot(&self, subject: &Subject) -> Result<Counts> {
        let directory = tempfile::Builder::new().prefix("narthex-bench-emulated-").tempdir()?;
        let image = directory.path().join("initramfs");
        initramfs::write(&image, &self.binaries.files(subject, self.options.compared), &self.request(subject))?;
        let mut qemu = ProcessGroup::start("QEMU", self.command(&image), &directory.path().join("console"))?;
        let ended = interrupt::poll(LIMIT, Duration::from_millis(50), || qemu.status())?;
        let counts = console::read(&qemu.output()?);
        if counts.is_empty() {
            let how = match ended {
                None => format!("nothing within {} s", LIMIT.as_secs()),
                Some(status) => format!("nothing ({status})"),
            };
            bail!("the guest has counted {how}; its console: {}", qemu.last_words());
        }
        Ok(counts)
    }

    /// What the guest's xtask is asked.
    fn request(&self, subject: &Subject) -> Vec<&'static str> {
        let mut words = vec!["bench", "--in-guest", "--rounds", "0", "--only", subject.name];
        words.extend(self.options.compared.flag());
        words
    }

    fn command(&self, image: &Path) -> Command {
        let mut command = ended_with_us();
        command.arg(QEMU).args(["-accel", "tcg", "-icount", "shift=0,sleep=off", "-smp", "1", "-m", "2048"]);
        // Each iteration of a string instruction counts here, and none on hardware: without these two, nobody copies byte by byte.
        command.args(["-cpu", "max,-erms,-fsrm"]);
        // Random numbers and the time of day are those of every other run, as far as that can be.
        command.args(["-seed", "1", "-rtc", "base=2026-01-01,clock=vm"]);
        command.args(["-nodefaults", "-display", "none", "-serial", "stdio", "-no-reboot", "-kernel"]).arg(&self.kernel.image);
        command.arg("-initrd").arg(image);
        command.args(["-append", KERNEL_COMMAND_LINE]);
        command
    }
}

/// `VARIABLE=value` of those that decide where programs are found.
fn environment() -> Vec<(&'static str, OsString)> {
    let value = |name| std::env::var_os(name).map(|value| (name, value));
    ["PATH", "CARGO_TARGET_DIR"].into_iter().filter_map(value).collect()
}

/// Runs a program to its end; an error with what it said unless it succeeds.
fn succeed(command: &mut Command) -> Result<String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().with_context(|| format!("cannot start {name}"))?;
    if !output.status.success() {
        bail!("{name} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
