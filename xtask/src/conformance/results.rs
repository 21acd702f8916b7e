//! What nextest tells of the tests that it has run, in its JUnit report.

use std::collections::BTreeMap;
use std::path::Path;

use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::list::{Row, Test};

/// The ways to reach an app, as modules of tests are called by them, and a last one for tests that are about none.
pub(super) const WAYS: [&str; 9] = [
    "embedded_plain_http1",
    "embedded_plain_http2",
    "embedded_tls_http1",
    "embedded_tls_http2",
    "shared_plain_http1",
    "shared_plain_http2",
    "shared_tls_http1",
    "shared_tls_http2",
    "once",
];

/// One test in one way.
pub(super) struct Outcome {
    pub(super) test: Test,
    pub(super) way: usize,
    failure: Option<String>,
}

impl Outcome {
    /// Whether it speaks for this row, and says that it fails: one that names rows that fail does not say so of others.
    pub(super) fn fails(&self, row: &Row) -> bool {
        let Some(failure) = &self.failure else { return false };
        let named = |id: &str| failure.lines().any(|line| line.trim_start().starts_with(&format!("row {id}: ")));
        let names_any = failure.lines().any(|line| line.trim_start().starts_with("row "));
        !names_any || named(&row.id)
    }
}

/// Reads a report.
pub(super) fn read(report: &Path) -> Result<Vec<Outcome>, String> {
    let problem = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", report.display());
    let mut reader = Reader::from_file(report).map_err(|error| problem(&error))?;
    let (mut buffer, mut outcomes) = (Vec::new(), BTreeMap::<(Test, usize), Outcome>::new());
    // What the report is in the middle of: the binary, the test's place in `outcomes`, a failure's text.
    let (mut binary, mut current, mut in_failure) = (String::new(), None, false);
    loop {
        match reader.read_event_into(&mut buffer).map_err(|error| problem(&error))? {
            Event::Start(start) | Event::Empty(start) => match start.name().as_ref() {
                b"testsuite" => binary = attribute(&start, "name"),
                b"testcase" => {
                    let (test, way) = place(&binary, &attribute(&start, "name"));
                    let outcome = Outcome { test: test.clone(), way, failure: None };
                    let key = (test, way);
                    outcomes.entry(key.clone()).or_insert(outcome);
                    current = Some(key);
                }
                b"failure" | b"error" => {
                    in_failure = true;
                    if let Some(outcome) = current.as_ref().and_then(|key| outcomes.get_mut(key)) {
                        outcome.failure.get_or_insert_default().push_str(&attribute(&start, "message"));
                    }
                }
                _ => {}
            },
            Event::Text(text) if in_failure => {
                let text = text.decode().map_err(|error| problem(&error))?;
                if let Some(outcome) = current.as_ref().and_then(|key| outcomes.get_mut(key)) {
                    outcome.failure.get_or_insert_default().push_str(&format!("\n{text}"));
                }
            }
            Event::End(end) if matches!(end.name().as_ref(), b"failure" | b"error") => in_failure = false,
            Event::Eof => return Ok(outcomes.into_values().collect()),
            _ => {}
        }
        buffer.clear();
    }
}

fn attribute(start: &BytesStart<'_>, name: &str) -> String {
    let value = start.try_get_attribute(name).ok().flatten();
    value.map(|attribute| String::from_utf8_lossy(&attribute.value).into_owned()).unwrap_or_default()
}

/// Which test of the list this is, and in which way.
fn place(binary: &str, name: &str) -> (Test, usize) {
    let mut way = None;
    let is_way = |part: &&str| {
        let found = way_of(part, name);
        way = way.or(found);
        found.is_none()
    };
    let path: Vec<&str> = name.split("::").filter(is_way).collect();
    let once = WAYS.len() - 1;
    (Test { binary: binary.to_owned(), path: path.join("::") }, way.unwrap_or(once))
}

/// The way that a module's name says, with what its suite does not say for itself.
fn way_of(module: &str, name: &str) -> Option<usize> {
    if let Some(way) = WAYS.iter().position(|way| *way == module) {
        return Some(way);
    }
    let (provider, tls) = match module {
        "embedded" | "shared" => (module, name.starts_with("tls::")),
        "embedded_tls" => ("embedded", true),
        "shared_tls" => ("shared", true),
        _ => return None,
    };
    let http2 = name.starts_with("http2::") || name.ends_with("over_http2");
    let way = format!("{provider}_{}_{}", if tls { "tls" } else { "plain" }, if http2 { "http2" } else { "http1" });
    WAYS.iter().position(|known| *known == way)
}
