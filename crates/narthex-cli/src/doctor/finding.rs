//! What was found, and what to do about it.

use serde::Serialize;

use crate::listing::Listing;

/// How bad it is, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// As it should be.
    Good,
    /// It could not be looked at, or does not matter here.
    Skipped,
    /// It works, and will not under load, or for everybody, or some day.
    Warning,
    /// It does not work.
    Failure,
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// What was looked at, the same at each run.
    pub(super) check: &'static str,
    pub(super) state: State,
    /// What was seen.
    pub(super) found: String,
    /// What to do: a command where one does it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remedy: Option<String>,
}

impl Finding {
    pub(super) fn good(check: &'static str, found: impl Into<String>) -> Self {
        Self { check, state: State::Good, found: found.into(), remedy: None }
    }

    pub(super) fn skipped(check: &'static str, why: impl Into<String>) -> Self {
        Self { check, state: State::Skipped, found: why.into(), remedy: None }
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Warning, found: found.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn failure(check: &'static str, found: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { check, state: State::Failure, found: found.into(), remedy: Some(remedy.into()) }
    }
}

/// All of them for people, with a sentence on the whole.
pub(super) fn table(findings: &[Finding]) -> String {
    let mut listing = Listing::titled("What this machine is like for a host:");
    let width = findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
    listing.below(|listing| {
        for finding in findings {
            let mark = match finding.state {
                State::Good => "ok",
                State::Skipped => "-",
                State::Warning => "warn",
                State::Failure => "FAIL",
            };
            let check = finding.check;
            listing.line(format_args!("{mark:4}  {check:width$} : {}", finding.found));
            if let Some(remedy) = &finding.remedy {
                listing.line(format_args!("      {:width$} > {remedy}", ""));
            }
        }
    });
    listing.blank();
    let count = |state| findings.iter().filter(|finding| finding.state == state).count();
    listing.line(match (count(State::Failure), count(State::Warning)) {
        (0, 0) => "All is well.".to_owned(),
        (0, warnings) => format!("It works; {warnings} to look at."),
        (failures, warnings) => format!("{failures} to mend, and {warnings} to look at."),
    });
    listing.into_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_finding_is_a_line_and_what_to_do_is_below_it() {
        let findings = [
            Finding::good("clock", "set"),
            Finding::warning("open files", "1024", "ulimit -n 65536"),
            Finding::skipped("x", "y"),
        ];
        let expected = "\
What this machine is like for a host:
-------------------------------------

    ok    clock      : set
    warn  open files : 1024
                     > ulimit -n 65536
    -     x          : y

It works; 1 to look at.";
        assert_eq!(table(&findings), expected);
    }

    #[test]
    fn programs_get_states_as_words_and_no_remedy_where_there_is_none() {
        let json = serde_json::to_value([Finding::good("clock", "set"), Finding::failure("a", "b", "c")]).unwrap();
        assert_eq!(json[0], serde_json::json!({ "check": "clock", "state": "good", "found": "set" }));
        assert_eq!(json[1]["state"], "failure");
        assert_eq!(json[1]["remedy"], "c");
    }
}
