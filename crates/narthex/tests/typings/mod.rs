//! The types of `narthex.js`: TypeScript takes a program that uses all of them, and they know every name that the module has.
// The compiler is that of the machine that one develops on.
#![cfg(unix)]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

const USES: &str = include_str!("uses.ts");
/// Prints the names that the module exports, and those of their instances, each as a type that must be there.
const NAMES: &str = r#"
import * as module from "./narthex.js";
for (const [name, exported] of Object.entries(module)) {
  console.log(`export type Of${name} = typeof module.${name};`);
  for (const member of Object.getOwnPropertyNames(exported.prototype)) {
    if (member !== "constructor" && !member.startsWith("_")) {
      console.log(`export type ${name}_${member} = module.${name}["${member}"];`);
    }
  }
}
"#;

/// A directory with the module and its types.
fn with_module() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory can be made");
    let assets = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    for name in ["narthex.js", "narthex.d.ts"] {
        fs::copy(assets.join(name), directory.path().join(name)).expect("the module is there");
    }
    fs::write(directory.path().join("package.json"), r#"{"type": "module"}"#).expect("a file can be written");
    directory
}

fn run(directory: &Path, program: &str, package: &str, arguments: &[&str]) -> Output {
    Command::new(program).args(arguments).current_dir(directory).output().unwrap_or_else(|error| {
        panic!("this test needs {program}: run `cargo xtask test`, which installs it, or `apt-get install {package}` ({error})")
    })
}

/// Lets the compiler check this program.
fn check(directory: &Path, program: &str) {
    fs::write(directory.join("program.ts"), program).expect("a file can be written");
    let strict = ["--noEmit", "--strict", "--target", "es2022", "--module", "es2022", "--moduleResolution", "node", "program.ts"];
    let checked = run(directory, "tsc", "node-typescript", &strict);
    assert!(checked.status.success(), "{}\n{program}", String::from_utf8_lossy(&checked.stdout));
}

#[test]
fn a_program_can_use_all_of_them_and_nothing_else() {
    check(with_module().path(), USES);
}

#[test]
fn whatever_the_module_has_is_in_its_types() {
    let directory = with_module();
    fs::write(directory.path().join("names.mjs"), NAMES).expect("a file can be written");
    let listed = run(directory.path(), "node", "nodejs", &["names.mjs"]);
    let names = String::from_utf8(listed.stdout).expect("names are text");
    assert!(listed.status.success() && names.lines().count() > 10, "{names}\n{}", String::from_utf8_lossy(&listed.stderr));
    check(directory.path(), &format!("import * as module from \"./narthex.js\";\n{names}"));
}
