//! That the list in `docs/conformance.md` names tests that there are.

use std::fs;
use std::path::Path;

use narthex_tests::matrix::LIST;

#[test]
fn every_row_has_a_name_of_its_own_and_names_tests_that_there_are() {
    let workspace = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."));
    let mut sources = String::new();
    for directory in ["tests/tests", "crates"] {
        read(&workspace.join(directory), &mut sources);
    }
    let words: std::collections::HashSet<&str> =
        sources.split(|character: char| !character.is_ascii_alphanumeric() && character != '_').collect();
    let rows = LIST.lines().skip_while(|line| *line != "## The rows").filter(|line| line.starts_with("| "));
    let rows: Vec<Vec<&str>> = rows.map(|line| line.trim_matches(['|', ' ']).split(" | ").collect()).collect();
    let mut names: Vec<&str> = Vec::new();
    for row in rows.iter().filter(|row| row[0] != "Row") {
        let [name, _, tests] = **row else { panic!("{row:?} has not three columns") };
        assert!(!names.contains(&name), "there are two rows {name}");
        names.push(name);
        for test in tests.split(", ") {
            let function = test.trim_matches('`').rsplit("::").next().unwrap_or_default();
            assert!(words.contains(function), "{name}: there is no test {test}");
        }
    }
    assert!(names.len() > 150, "there are {} rows", names.len());
}

fn read(directory: &Path, sources: &mut String) {
    for entry in fs::read_dir(directory).expect("the directory is there") {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            read(&path, sources);
        } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("matrix/list.rs") {
            *sources += &fs::read_to_string(&path).expect("it is text");
        }
    }
}
