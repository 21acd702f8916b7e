//! The list of rows in `docs/conformance.md`: groups, and the tests that each row names.

use std::collections::{BTreeMap, BTreeSet};

/// A group of rows.
pub(super) struct Group {
    pub(super) name: String,
    pub(super) rows: Vec<Row>,
}

/// A row, which passes where all its tests do.
pub(super) struct Row {
    pub(super) id: String,
    pub(super) tests: Vec<Test>,
}

/// A test as the list names it: in all ways to reach an app.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Test {
    /// As nextest calls the binary: the package, and `::all` for its suites.
    pub(super) binary: String,
    /// The rest, without the names of ways.
    pub(super) path: String,
}

/// The groups, in order.
pub(super) fn read(page: &str) -> Result<Vec<Group>, String> {
    let mut groups: Vec<Group> = Vec::new();
    for line in page.lines().skip_while(|line| *line != "## The rows") {
        if let Some(name) = line.strip_prefix("### ") {
            groups.push(Group { name: name.to_owned(), rows: Vec::new() });
        }
        let columns: Vec<&str> = line.trim_matches(['|', ' ']).split(" | ").collect();
        let (Some(group), [id, _, tests]) = (groups.last_mut(), &*columns) else { continue };
        if line.starts_with("| ") && *id != "Row" {
            let tests = tests.split(", ").map(parse).collect::<Option<_>>();
            group.rows.push(Row { id: (*id).to_owned(), tests: tests.ok_or_else(|| format!("{line:?} names no test"))? });
        }
    }
    if groups.is_empty() { Err("docs/conformance.md lists nothing".to_owned()) } else { Ok(groups) }
}

/// `` `matrix::a_test` `` or `` `narthex-ws::reader::tests::a_test` ``.
fn parse(text: &str) -> Option<Test> {
    let name = text.trim_matches('`');
    let (first, rest) = name.split_once("::")?;
    let (binary, path) = match (first, rest.split("::").next()) {
        // Of its suites; all else are unit tests.
        ("narthex-http", Some("timers" | "engine")) => (format!("{first}::all"), rest),
        _ if first.starts_with("narthex-") => (first.to_owned(), rest),
        _ => ("narthex-tests::all".to_owned(), name),
    };
    Some(Test { binary, path: path.to_owned() })
}

/// The packages that the tests are of.
pub(super) fn packages(groups: &[Group]) -> BTreeSet<&str> {
    tests(groups).map(|test| test.binary.split("::").next().unwrap_or_default()).collect()
}

fn tests(groups: &[Group]) -> impl Iterator<Item = &Test> {
    groups.iter().flat_map(|group| &group.rows).flat_map(|row| &row.tests)
}

/// The filter by which nextest finds the tests.
pub(super) fn filter(groups: &[Group]) -> String {
    let mut functions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for test in tests(groups) {
        let function = test.path.rsplit("::").next().unwrap_or_default();
        let of_binary = functions.entry(&test.binary).or_default();
        if !of_binary.contains(&function) {
            of_binary.push(function);
        }
    }
    let of_binary =
        |(binary, functions): (&&str, &Vec<&str>)| format!("(binary_id(={binary}) & test(/(^|::)({})$/))", functions.join("|"));
    functions.iter().map(of_binary).collect::<Vec<_>>().join(" | ")
}
