//! What the guest tells by its console, between whatever else is printed there.

use std::collections::BTreeMap;

use anyhow::Result;

const WORD: &str = "narthex-counted";

/// By workload; an error is the reason why there is no count.
pub(super) type Counts = BTreeMap<String, Result<f64, String>>;

/// One count, as a line.
pub(super) fn line(workload: &str, counted: &Result<f64>) -> String {
    match counted {
        Ok(count) => format!("{WORD}\t{workload}\tinstructions\t{count:.1}"),
        Err(error) => format!("{WORD}\t{workload}\tfailed\t{}", format!("{error:#}").replace(['\n', '\r', '\t'], " ")),
    }
}

/// All counts that `output` has.
pub(super) fn read(output: &str) -> Counts {
    output.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<(String, Result<f64, String>)> {
    // A message of the kernel may stand in front of it.
    let (_, line) = line.trim_end().split_once(WORD)?;
    let mut fields = line.split('\t').skip(1);
    let (workload, word, value) = (fields.next()?, fields.next()?, fields.next()?);
    let counted = match word {
        "instructions" => Ok(value.parse().ok()?),
        _ => Err(value.to_owned()),
    };
    Some((workload.to_owned(), counted))
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;

    #[test]
    fn counts_are_found_on_a_console_that_says_other_things_too() {
        let told = [
            "[    0.5] a message of the kernel".to_owned(),
            format!("[ 1.5] {}", line("echo of 16 B, 64 connections", &Ok(15_430.25))),
            line("64", &Err(anyhow!("not ready:\n\tno such port"))),
            "narthex-counted\thalf a line".to_owned(),
        ];
        let counts = read(&told.join("\r\n"));
        let expected = [
            ("echo of 16 B, 64 connections".to_owned(), Ok(15_430.2)),
            ("64".to_owned(), Err("not ready:  no such port".to_owned())),
        ];
        assert_eq!(counts, Counts::from(expected));
    }
}
