//! What is counted instead of timed, by whichever means were asked for.

use anyhow::Result;

use super::binaries::Binaries;
use super::emulated::{Emulator, guest};
use super::options::Options;
use super::results::Count;
use super::subjects::{Running, Subject, Watched};
use super::{callgrind, interrupt, syscalls};

#[derive(Debug)]
pub(super) struct Counting<'a> {
    callgrind: bool,
    emulator: Option<Emulator<'a>>,
    /// This is what an emulator has booted.
    in_guest: bool,
}

impl<'a> Counting<'a> {
    pub(super) fn new(binaries: &'a Binaries, options: &'a Options) -> Result<Self> {
        let emulator = options.emulated.then(|| Emulator::new(binaries, options)).transpose()?;
        Ok(Self { callgrind: options.callgrind, emulator, in_guest: options.in_guest })
    }

    /// What one request of `subject` costs under `workload`; whatever is counted repeats from run to run.
    ///
    /// A subject that cannot be counted is a result with its reason, not the end of the run; only an interrupt is.
    pub(super) fn count(
        &mut self,
        subject: &Subject,
        workload: &str,
        connections: usize,
        start: impl Fn(&Watched) -> Result<Running>,
        drive: impl Fn(&Running, usize) -> Result<()>,
    ) -> Result<Count> {
        let mut count = Count::new(subject, connections);
        if self.in_guest {
            count.set_emulated(guest::tell(workload, start, drive));
            return Ok(count);
        }
        if let Some(emulator) = &mut self.emulator {
            count.set_emulated(emulator.per_request(subject, workload));
            interrupt::check()?;
        }
        if self.callgrind {
            count.set_user_instructions(callgrind::per_request(&start, &drive));
            interrupt::check()?;
            count.set_syscalls(syscalls::per_request(&start, &drive));
            interrupt::check()?;
        }
        println!("count    {}", count.line());
        Ok(count)
    }
}

/// Starts and drives twice with different numbers of requests, so that the difference holds nothing of the start-up.
pub(super) fn twice<T>(
    start: impl Fn() -> Result<Running>,
    drive: impl Fn(&Running, usize) -> Result<()>,
    requests: [usize; 2],
    read: impl Fn(&std::path::Path) -> Result<T>,
) -> Result<[T; 2]> {
    let once = |requests| {
        let mut running = start()?;
        drive(&running, requests)?;
        running.stop()?;
        read(running.directory())
    };
    Ok([once(requests[0])?, once(requests[1])?])
}
