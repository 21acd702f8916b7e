//! Shell completions and man pages, from the definition of the arguments.

use std::io;
use std::path::Path;

use anyhow::Context;
use clap::Command;
use clap_mangen::Man;

use crate::args::{self, CompletionsArguments, ManArguments};
use crate::output::print_exactly;

/// Prints a shell's completions.
pub(crate) fn completions(arguments: &CompletionsArguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut args::documented(), "narthex", &mut script);
    print_exactly(String::from_utf8(script).context("the completions are no text")?.trim_end());
    Ok(())
}

/// Prints the man page, or writes one for each verb: `narthex.1`, `narthex-add-urlacl.1` and so on.
pub(crate) fn man(arguments: &ManArguments) -> anyhow::Result<()> {
    let mut definition = args::documented();
    definition.build();
    if let Some(directory) = &arguments.out {
        return std::fs::create_dir_all(directory)
            .and_then(|()| write_pages(&definition, directory))
            .with_context(|| format!("cannot write man pages to {}", directory.display()));
    }
    let mut text = Vec::new();
    page(&definition).render(&mut text).context("cannot make the man page")?;
    print_exactly(String::from_utf8(text).context("the man page is no text")?.trim_end());
    Ok(())
}

fn write_pages(verb: &Command, directory: &Path) -> io::Result<()> {
    page(verb).generate_to(directory)?;
    verb.get_subcommands().try_for_each(|verb| write_pages(verb, directory))
}

fn page(verb: &Command) -> Man {
    let release = concat!("narthex ", env!("CARGO_PKG_VERSION"));
    Man::new(verb.clone()).source(release).manual("Narthex")
}
