//! The part of counting that runs in the guest, by the same program and with the same subjects and clients as outside.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use super::console;
use crate::bench::cpu;
use crate::bench::subjects::{Running, Watched};

/// Multiples of every counted number of connections. What connections cost varies with what memory is at hand: so many that it is little
/// beside what is counted.
const REQUESTS: [usize; 2] = [1024, 21_504];

/// Counts, and tells it to whoever reads the console.
pub(in crate::bench) fn tell(
    workload: &str,
    start: impl Fn(&Watched) -> Result<Running>,
    drive: impl Fn(&Running, usize) -> Result<()>,
) -> Result<f64> {
    let counted = per_request(start, drive);
    println!("{}", console::line(workload, &counted));
    counted
}

fn per_request(start: impl Fn(&Watched) -> Result<Running>, drive: impl Fn(&Running, usize) -> Result<()>) -> Result<f64> {
    check_clock()?;
    let mut running = start(&Watched::No)?;
    // What is done for the first time only.
    drive(&running, REQUESTS[0])?;
    let spent = |requests| -> Result<f64> {
        let processes = running.processes()?;
        settle();
        let before = cpu::read(&processes)?;
        drive(&running, requests)?;
        settle();
        let spent = cpu::read(&processes)?.since(before);
        Ok(spent.user + spent.system)
    };
    // Opening and closing connections is in both.
    let difference = spent(REQUESTS[1])? - spent(REQUESTS[0])?;
    running.stop()?;
    if difference <= 0.0 {
        bail!("more requests took fewer instructions");
    }
    Ok(difference / (REQUESTS[1] - REQUESTS[0]) as f64)
}

/// Lets the servers do what they have yet to do. Where nobody has anything to do, the guest's time costs nothing.
fn settle() {
    std::thread::sleep(Duration::from_millis(200));
}

/// By any other clock, CPU time is not instructions.
fn check_clock() -> Result<()> {
    let path = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let clock = fs::read_to_string(path).context(path)?;
    // In its first second it is called tsc-early.
    if !clock.starts_with("tsc") {
        bail!("the guest's clock is {}, not tsc", clock.trim());
    }
    Ok(())
}
