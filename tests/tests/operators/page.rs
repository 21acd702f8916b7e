//! `docs/operators.md` says what is: its commands are typed here, and its tables compared with the program.

use std::collections::BTreeSet;

use crate::operators::machine::Machine;

const PAGE: &str = include_str!("../../../docs/operators.md");
/// The tokens are only here: no list of them is public.
const REASONS: &str = include_str!("../../../crates/narthex-http/src/reason.rs");

/// The page's people as numbers, which every machine takes.
fn anonymous(text: &str) -> String {
    [("web", "4242990"), ("devs", "4242991")].iter().fold(text.to_owned(), |text, (name, number)| {
        let number_on_page = &number[4..];
        text.replace(&format!("={name}\n"), &format!("={number}\n"))
            .replace(&format!("={name} "), &format!("={number} "))
            .replace(&format!(": {name}\n"), &format!(": {number}\n"))
            .replace(&format!(": \"{name}\""), &format!(": \"{number}\""))
            .replace(&format!("= \"{name}\""), &format!("= {number}"))
            .replace(&format!("-{number_on_page})"), &format!("-{number})"))
            .replace(&format!(": {number_on_page}\n"), &format!(": {number}\n"))
    })
}

/// The fenced blocks of a language.
fn blocks(language: &str) -> impl Iterator<Item = &'static str> {
    let fence = format!("```{language}");
    PAGE.split("\n```").zip(PAGE.split("\n```").skip(1)).filter_map(move |(_, block)| {
        let (first, rest) = block.split_once('\n')?;
        (format!("```{first}") == fence).then_some(rest)
    })
}

#[test]
fn the_commands_on_the_page_print_what_it_shows() {
    let machine = Machine::new();
    let here = machine.config().parent().expect("it is in a directory").display().to_string();
    let mut typed = 0;
    for block in blocks("console") {
        let block = anonymous(&format!("{block}\n"));
        for step in block.strip_prefix("$ ").expect("a block begins with a command").split("\n$ ") {
            let (command, shown) = step.split_once('\n').unwrap_or((step, ""));
            let said = machine.narthex(command.strip_prefix("narthex ").expect("it is ours"));
            let said = format!("{}{}", said.out, said.err).replace(&here, "/etc/narthex");
            assert_eq!(said.trim_end(), shown.trim_end(), "{command}");
            typed += 1;
        }
    }
    assert!(typed > 20, "{typed} commands were found on the page");
}

#[test]
fn the_file_on_the_page_is_a_configuration() {
    let files: Vec<_> = blocks("toml").collect();
    for file in &files {
        let machine = Machine::with(&anonymous(file), &["--listen", "127.0.0.1"]);
        assert!(machine.narthex("dump").done().lines().count() > 5, "{file}");
    }
    assert!(!files.is_empty());
}

#[test]
fn the_table_of_settings_is_the_programs() {
    let machine = Machine::new();
    let shown: serde_json::Value = serde_json::from_str(&machine.narthex("show setting --json").done()).expect("this is JSON");
    let row = |setting: &serde_json::Value| {
        let text = |name: &str| setting[name].as_str().expect("it is text").to_owned();
        let (name, default, help) = (text("name"), text("value"), text("help"));
        let said = help.strip_suffix(&format!("; default {default}.")).or_else(|| help.strip_suffix('.')).expect("a sentence");
        let (effect, range) = said.rsplit_once(". ").expect("the range follows a sentence");
        format!("| `{name}` | {default} | {range} | {effect}. |")
    };
    let rows: Vec<String> = shown.as_array().expect("settings are a list").iter().map(row).collect();
    let table = PAGE.split("| Setting | Default |").nth(1).expect("the page has the table");
    let table: Vec<String> = table.lines().skip(2).take_while(|line| line.starts_with('|')).map(str::to_owned).collect();
    let only_in = |one: &[String], other: &[String]| one.iter().filter(|row| !other.contains(row)).cloned().collect::<Vec<_>>();
    assert_eq!(only_in(&table, &rows), only_in(&rows, &table), "the page, and what it should be");
    assert_eq!(table, rows, "the order");
}

#[test]
fn every_reason_is_on_the_page_with_its_token() {
    let tokens = REASONS.split("fn token").nth(1).and_then(|rest| rest.split("fn status").next()).expect("the tokens are there");
    let tokens: BTreeSet<&str> = tokens.split('"').skip(1).step_by(2).collect();
    let table = PAGE.split("## What a client gets").nth(1).and_then(|rest| rest.split("\n## ").next()).expect("the page has it");
    let missing: Vec<_> = tokens.iter().filter(|token| !table.contains(&format!("`{token}`"))).collect();
    assert!(tokens.len() > 20 && missing.is_empty(), "{missing:?}");
}

#[test]
fn every_verb_is_on_the_page() {
    let machine = Machine::new();
    let commands = |line: &str| {
        let help = machine.narthex(line).done();
        let listed = help.split("Commands:\n").nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default().to_owned();
        listed.lines().filter_map(|line| line.split_whitespace().next().map(str::to_owned)).collect::<Vec<_>>()
    };
    for verb in commands("--help") {
        let objects = match verb.as_str() {
            "show" | "add" | "update" | "delete" | "flush" => commands(&format!("{verb} --help")),
            _ => Vec::new(),
        };
        let whole =
            if objects.is_empty() { vec![verb] } else { objects.iter().map(|object| format!("{verb} {object}")).collect() };
        for verb in whole {
            assert!(PAGE.contains(&format!("`{verb}`")), "{verb}");
        }
    }
}
