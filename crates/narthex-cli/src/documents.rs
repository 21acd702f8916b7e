//! Shell completions and man pages, from the definition of the arguments.

use std::path::Path;

use anyhow::Context;

use crate::args::{self, CompletionsArguments, ManArguments};
use crate::output::print_exactly;

/// Prints a shell's completions.
pub(crate) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut args::documented(), "narthex", &mut script);
    print_exactly(String::from_utf8(script).context("the completions are no text")?.trim_end());
    Ok(())
}

/// Prints the man page, or writes one for each verb.
pub(crate) fn man(arguments: &ManArguments) -> anyhow::Result<()> {
    if let Some(directory) = &arguments.out {
        return pages(directory).with_context(|| format!("cannot write man pages to {}", directory.display()));
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(args::documented()).render(&mut page).context("cannot make the man page")?;
    print_exactly(String::from_utf8(page).context("the man page is no text")?.trim_end());
    Ok(())
}

fn pages(directory: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    clap_mangen::generate_to(args::documented(), directory)
}
