//! Makes documentation tests of the Rust in the guides, so that what readers copy compiles.
//!
//! A block that is no whole program is compiled as the comment before it says, which readers do not see: `<!-- compiled as`, the lines
//! before the block, a line `…`, the lines after it, `-->`.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

/// How a block begins.
const RUST: &str = "```rust";

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo names a directory"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut guides = vec![root.join("README.md")];
    pages(&root.join("docs"), &mut guides);
    guides.sort();
    let mut modules = String::new();
    for guide in guides {
        println!("cargo:rerun-if-changed={}", guide.display());
        let text = fs::read_to_string(&guide).unwrap_or_else(|error| panic!("cannot read {}: {error}", guide.display()));
        if !text.lines().any(|line| line == RUST) {
            continue;
        }
        let page = guide.strip_prefix(&root).unwrap_or(&guide).display().to_string();
        let name = page.trim_end_matches(".md").replace(['/', '\\', '-'], "_").to_lowercase();
        fs::write(out.join(format!("{name}.md")), tests(&page, &text)).expect("the tests can be written");
        let doc = format!("#[doc = include_str!(concat!(env!(\"OUT_DIR\"), \"/{name}.md\"))]");
        writeln!(modules, "{doc}\nmod {name} {{}}").expect("a string takes everything");
    }
    fs::write(out.join("guides.rs"), modules).expect("the tests can be written");
}

/// All pages below a directory.
fn pages(directory: &Path, found: &mut Vec<PathBuf>) {
    println!("cargo:rerun-if-changed={}", directory.display());
    for entry in fs::read_dir(directory).unwrap_or_else(|error| panic!("cannot read {}: {error}", directory.display())) {
        let path = entry.expect("an entry can be read").path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "md") {
            found.push(path);
        }
    }
}

/// The page's blocks of Rust, each with what it is compiled with.
fn tests(guide: &str, text: &str) -> String {
    let mut tests = String::new();
    let (mut before, mut after) = (Vec::new(), Vec::new());
    let mut lines = text.lines().enumerate();
    while let Some((number, line)) = lines.next() {
        if line == "<!-- compiled as" {
            let hidden: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "-->").collect();
            let mut parts = hidden.split(|line| *line == "…");
            before = parts.next().unwrap_or_default().to_vec();
            after = parts.next().unwrap_or_default().to_vec();
        } else if line == RUST {
            let block: Vec<&str> = lines.by_ref().map(|(_, line)| line).take_while(|line| *line != "```").collect();
            let hide = |lines: &[&str]| lines.iter().map(|line| format!("# {line}\n")).collect::<String>();
            writeln!(tests, "{guide}, line {}\n\n```no_run", number + 1).expect("a string takes everything");
            tests += &format!("# #![allow(unused)]\n{}{}\n{}```\n\n", hide(&before), block.join("\n"), hide(&after));
            (before, after) = (Vec::new(), Vec::new());
        }
    }
    tests
}
