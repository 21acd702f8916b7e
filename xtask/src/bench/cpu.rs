//! CPU time of processes: the total exactly from the scheduler, its user/system split from the kernel's own estimate.

use std::fs;

use anyhow::{Context, Result};

/// CPU time since the processes started.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct CpuTime {
    nanoseconds: f64,
    user_ticks: f64,
    system_ticks: f64,
}

/// Nanoseconds of CPU time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spent {
    pub(super) user: f64,
    pub(super) system: f64,
}

impl CpuTime {
    /// What was spent after `before`.
    pub(super) fn since(self, before: Self) -> Spent {
        let total = self.nanoseconds - before.nanoseconds;
        let user = self.user_ticks - before.user_ticks;
        let system = self.system_ticks - before.system_ticks;
        let ticks = user + system;
        // Less than one tick (10 ms) in all: too little to split.
        let share = if ticks > 0.0 { user / ticks } else { 0.0 };
        Spent { user: total * share, system: total * (1.0 - share) }
    }
}

/// The CPU time of all threads of `processes`.
pub(super) fn read(processes: &[u32]) -> Result<CpuTime> {
    let mut sum = CpuTime::default();
    for process in processes {
        let stat =
            fs::read_to_string(format!("/proc/{process}/stat")).with_context(|| format!("server process {process} is gone"))?;
        let (user, system) = ticks(&stat).context("cannot read /proc/PID/stat")?;
        sum.user_ticks += user;
        sum.system_ticks += system;
        for thread in fs::read_dir(format!("/proc/{process}/task"))? {
            let text = fs::read_to_string(thread?.path().join("schedstat"))
                .context("the kernel has no schedstat (CONFIG_SCHED_INFO)")?;
            let run: f64 =
                text.split_whitespace().next().and_then(|field| field.parse().ok()).context("cannot read schedstat")?;
            sum.nanoseconds += run;
        }
    }
    Ok(sum)
}

/// How long a core has been busy with anything at all, since the machine started.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct CoreTime {
    busy_ticks: f64,
    all_ticks: f64,
}

impl CoreTime {
    /// The share of the time after `before` in which the core was busy.
    pub(super) fn busy_since(self, before: Self) -> f64 {
        let all = self.all_ticks - before.all_ticks;
        if all <= 0.0 {
            return 0.0;
        }
        (self.busy_ticks - before.busy_ticks) / all
    }
}

/// The time account of one core.
pub(super) fn read_core(core: usize) -> Result<CoreTime> {
    let stat = fs::read_to_string("/proc/stat")?;
    core_time(&stat, core).context("cannot read /proc/stat")
}

/// Columns: user, nice, system, idle, iowait, irq, softirq, steal; the two behind them are part of the first two.
fn core_time(stat: &str, core: usize) -> Option<CoreTime> {
    let name = format!("cpu{core} ");
    let line = stat.lines().find_map(|line| line.strip_prefix(&name))?;
    let ticks = line.split_whitespace().take(8).map(|field| field.parse().ok()).collect::<Option<Vec<f64>>>()?;
    let all_ticks = ticks.iter().sum();
    let idle_ticks = ticks.get(3)? + ticks.get(4)?;
    Some(CoreTime { busy_ticks: all_ticks - idle_ticks, all_ticks })
}

/// utime and stime, fields 14 and 15 of proc(5)'s table.
fn ticks(stat: &str) -> Option<(f64, f64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_and_system_ticks_are_found_behind_a_name_with_parentheses() {
        let stat = "17 (a) b) S 1 17 17 0 -1 4194560 120 0 0 0 41 7 0 0 20 0 1 0 100 1 1";
        assert_eq!(ticks(stat), Some((41.0, 7.0)));
    }

    #[test]
    fn a_core_is_busy_with_everything_but_idling_and_waiting_for_disks() {
        let stat = "cpu  9 9 9 9 9 9 9 9 0 0\ncpu0 10 0 20 60 5 0 3 2 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\n";
        let core = core_time(stat, 0).unwrap();
        assert_eq!((core.busy_ticks, core.all_ticks), (35.0, 100.0));
        assert_eq!(core_time(stat, 7), None);
    }

    #[test]
    fn the_exact_total_is_split_in_the_ratio_of_the_ticks() {
        let before = CpuTime::default();
        let after = CpuTime { nanoseconds: 1000.0, user_ticks: 1.0, system_ticks: 3.0 };
        let spent = after.since(before);
        assert_eq!((spent.user, spent.system), (250.0, 750.0));
    }
}
