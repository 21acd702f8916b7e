//! Horse's matrix and hardening list: runs the tests that `docs/conformance.md` names, and counts its rows.

use std::fs;

use super::list::{self, Group, Row};
use super::results::{self, Outcome, WAYS};
use crate::system::{cargo, find, root, target_directory};

/// Runs it, or only one of its groups, and prints the table.
pub(super) fn run(only: Option<&str>) -> Result<(), String> {
    if find("cargo-nextest").is_none() {
        return Err("the matrix is run by nextest: cargo install cargo-nextest --locked".to_owned());
    }
    let page = root().join("docs/conformance.md");
    let page = fs::read_to_string(&page).map_err(|error| format!("cannot read {}: {error}", page.display()))?;
    let mut groups = list::read(&page)?;
    groups.retain(|group| only.is_none_or(|only| group.name == only));
    if groups.is_empty() {
        return Err(format!("docs/conformance.md has no group {}", only.unwrap_or_default()));
    }
    let report = target_directory().join("nextest/conformance/junit.xml");
    // What an earlier run has left would be taken for this one's.
    let _ = fs::remove_file(&report);
    build()?;
    let mut command = cargo();
    command.args(["nextest", "run", "--profile", "conformance", "--status-level", "fail"]);
    for package in list::packages(&groups) {
        command.args(["-p", package]);
    }
    command.args(["-E", &list::filter(&groups)]).env("NARTHEX_BIN", target_directory().join("debug/narthex"));
    // Which tests fail is in the report.
    command.status().map_err(|error| format!("cannot start nextest: {error}"))?;
    let outcomes = results::read(&report)?;
    let failed = print(&groups, &outcomes);
    if failed.is_empty() { Ok(()) } else { Err(format!("rows fail: {}", failed.join(", "))) }
}

fn build() -> Result<(), String> {
    let status = cargo().args(["build", "-p", "narthex-cli", "-p", "narthex-tests", "--bins"]).status();
    let status = status.map_err(|error| format!("cannot start cargo: {error}"))?;
    if status.success() { Ok(()) } else { Err("the programs under test do not build".to_owned()) }
}

/// Prints rows that pass of those that there are, and says which fail.
fn print(groups: &[Group], outcomes: &[Outcome]) -> Vec<String> {
    let mut failed = Vec::new();
    let mut totals = [Count::default(); WAYS.len()];
    println!();
    for words in 0..3 {
        print!("{:<10}", "");
        WAYS.iter().for_each(|way| print!(" {:>9}", way.split('_').nth(words).unwrap_or_default()));
        println!();
    }
    for group in groups {
        let mut counts = [Count::default(); WAYS.len()];
        for row in &group.rows {
            count(row, outcomes, &mut counts, &mut failed);
        }
        line(&group.name, &counts);
        for (total, count) in totals.iter_mut().zip(counts) {
            total.passed += count.passed;
            total.rows += count.rows;
        }
    }
    line("all", &totals);
    let rows: usize = groups.iter().map(|group| group.rows.len()).sum();
    println!("\n{rows} rows, {} tests; {} rows fail", outcomes.len(), failed.len());
    failed
}

#[derive(Clone, Copy, Default)]
struct Count {
    passed: usize,
    rows: usize,
}

fn count(row: &Row, outcomes: &[Outcome], counts: &mut [Count], failed: &mut Vec<String>) {
    let of_row: Vec<&Outcome> = outcomes.iter().filter(|outcome| row.tests.contains(&outcome.test)).collect();
    let mut bad = Vec::new();
    for (way, count) in counts.iter_mut().enumerate() {
        let mut here = of_row.iter().filter(|outcome| outcome.way == way).peekable();
        if here.peek().is_none() {
            continue;
        }
        let passes = !here.any(|outcome| outcome.fails(row));
        count.rows += 1;
        count.passed += usize::from(passes);
        bad.extend((!passes).then_some(WAYS[way]));
    }
    let missing = row.tests.iter().filter(|test| !of_row.iter().any(|outcome| outcome.test == **test));
    let missing: Vec<String> = missing.map(|test| format!("{}::{} was not run", test.binary, test.path)).collect();
    if !bad.is_empty() || !missing.is_empty() {
        let why = bad.iter().map(|way| (*way).to_owned()).chain(missing).collect::<Vec<_>>();
        failed.push(format!("{} ({})", row.id, why.join(", ")));
    }
}

fn line(name: &str, counts: &[Count]) {
    print!("{name:<10}");
    for count in counts {
        let shown = if count.rows == 0 { "-".to_owned() } else { format!("{}/{}", count.passed, count.rows) };
        print!(" {shown:>9}");
    }
    println!();
}
