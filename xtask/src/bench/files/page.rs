//! The dated page of `--files`: a table for each direction, and the data.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::{Direction, Transfer, name};
use crate::bench::machine::Machine;
use crate::bench::options::Options;
use crate::bench::page;

/// Writes the page and the data, and returns the directory.
pub(super) fn write(machine: &Machine, transfers: &[Transfer], options: &Options) -> Result<PathBuf> {
    let directory = page::directory(machine, options)?;
    let others = transfers.iter().map(|transfer| transfer.others).collect();
    let text = format!("{}\n{}", page::preface("Files: benchmark", machine, others), tables(transfers));
    for (name, text) in [("README.md", text), ("results.csv", csv(transfers))] {
        let path = directory.join(name);
        fs::write(&path, text).with_context(|| path.display().to_string())?;
    }
    Ok(directory)
}

/// For the terminal, while it runs.
pub(super) fn line(transfer: &Transfer) -> String {
    let cpu = (transfer.spent.user + transfer.spent.system) / 1e6;
    let way = if transfer.direction == Direction::Upload { "upload" } else { "download" };
    format!(
        "{way:<9} {:<40} {cpu:7.0} ms of CPU time, {:5.2} s, {:4.0} MB",
        transfer.subject,
        transfer.seconds,
        transfer.peak / 1e6
    )
}

/// Medians over the rounds.
pub(super) fn tables(transfers: &[Transfer]) -> String {
    let mut text = String::new();
    for direction in [Direction::Download, Direction::Upload] {
        let here: Vec<&Transfer> = transfers.iter().filter(|transfer| transfer.direction == direction).collect();
        let mut subjects: Vec<&str> = here.iter().map(|transfer| transfer.subject).collect();
        subjects.dedup();
        subjects = subjects.into_iter().fold(Vec::new(), |mut known, name| {
            if !known.contains(&name) {
                known.push(name);
            }
            known
        });
        if subjects.is_empty() {
            continue;
        }
        let of = |subject: &str, value: &dyn Fn(&Transfer) -> f64| {
            median(here.iter().filter(|transfer| transfer.subject == subject).map(|transfer| value(transfer)).collect())
        };
        let cpu = |transfer: &Transfer| (transfer.spent.user + transfer.spent.system) / 1e6;
        let nginx = subjects.contains(&name::NGINX).then(|| of(name::NGINX, &cpu));
        let _ = writeln!(text, "## {}\n", direction.title());
        text.push_str("| Subject | CPU ms per GiB | user | system | beside nginx | M instructions per GiB, user + kernel | s per GiB | peak MB |\n");
        text.push_str("|---|---:|---:|---:|---:|---:|---:|---:|\n");
        for subject in subjects {
            let total = of(subject, &cpu);
            let ratio = nginx.map_or_else(|| "-".to_owned(), |nginx| format!("{:.2}", total / nginx));
            let counted = here.iter().any(|transfer| transfer.subject == subject && transfer.instructions.is_some());
            let instructions =
                |transfer: &Transfer| transfer.instructions.map_or(0.0, |counted| (counted.user + counted.kernel) / 1e6);
            let counted = if counted { format!("{:.0}", of(subject, &instructions)) } else { "n/a".to_owned() };
            // How a file is passed is a matter of sending it.
            let shown = if direction == Direction::Upload && subject == name::PASSED { "narthex shared" } else { subject };
            let _ = writeln!(
                text,
                "| {shown} | {total:.0} | {:.0} | {:.0} | {ratio} | {counted} | {:.2} | {:.0} |",
                of(subject, &|transfer| transfer.spent.user / 1e6),
                of(subject, &|transfer| transfer.spent.system / 1e6),
                of(subject, &|transfer| transfer.seconds),
                of(subject, &|transfer| transfer.peak / 1e6),
            );
        }
        text.push('\n');
    }
    text
}

fn csv(transfers: &[Transfer]) -> String {
    let mut text =
        String::from("direction,subject,seconds,user_ms,system_ms,user_instructions,kernel_instructions,peak_bytes,others\n");
    for transfer in transfers {
        let way = if transfer.direction == Direction::Upload { "upload" } else { "download" };
        let counted = transfer.instructions.map_or_else(|| ",".to_owned(), |all| format!("{:.0},{:.0}", all.user, all.kernel));
        let _ = writeln!(
            text,
            "{way},\"{}\",{:.3},{:.1},{:.1},{counted},{:.0},{:.3}",
            transfer.subject,
            transfer.seconds,
            transfer.spent.user / 1e6,
            transfer.spent.system / 1e6,
            transfer.peak,
            transfer.others
        );
    }
    text
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::cpu::Spent;

    #[test]
    fn a_row_has_the_median_of_its_rounds_beside_nginx() {
        let transfer = |subject, system| Transfer {
            subject,
            direction: Direction::Download,
            seconds: 1.0,
            spent: Spent { user: 0.0, system },
            instructions: None,
            peak: 5e6,
            others: 0.0,
        };
        let rounds = [100e6, 900e6, 200e6].map(|system| [transfer(name::NGINX, system), transfer(name::EMBEDDED, system / 2.0)]);
        let text = tables(&rounds.concat());
        assert!(text.contains("| nginx, sendfile on | 200 | 0 | 200 | 1.00 | n/a | 1.00 | 5 |"), "{text}");
        assert!(text.contains("| narthex embedded | 100 | 0 | 100 | 0.50 | n/a | 1.00 | 5 |"), "{text}");
        assert!(!text.contains("received"), "{text}");
    }
}
