//! The example saves what curl sends, and tells its hash.

use std::process::{Command, Stdio};

use narthex_tests::process::Process;

#[test]
fn a_file_is_saved_and_its_hash_is_shown() {
    let directory = tempfile::tempdir().expect("a directory");
    let (sent, saved) = (directory.path().join("my file.txt"), directory.path().join("saved"));
    std::fs::write(&sent, "abc").expect("the file can be written");
    let mut command = Command::new(env!("CARGO_BIN_EXE_upload"));
    // A socket that nobody listens at: the example opens a port of its own.
    let command = command.arg("http://127.0.0.1:0/upload/").arg(&saved).env("NARTHEX_HOST", "/nowhere/host.sock");
    let mut upload = Process::start("upload", command);
    let url = upload.line("the form is at ");
    let curl = |form: &str| {
        let arguments = ["-sS", "-m", "10", "--form-string", "comment=<b>", "-F", form, &url];
        let output = Command::new("curl").args(arguments).stdin(Stdio::null()).output().expect("curl is installed");
        String::from_utf8(output.stdout).expect("text")
    };
    let page = curl(&format!("files=@{}", sent.display()));
    assert!(page.contains("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"), "{page}");
    assert!(page.contains("my file.txt") && page.contains("&lt;b&gt;"), "{page}");
    assert_eq!(std::fs::read_to_string(saved.join("my file.txt")).expect("it is saved"), "abc");
    let refused = curl(&format!("files=@{};filename=x.exe", sent.display()));
    assert_eq!(refused, "{\"error\":\"no programs, please\"}");
    assert_eq!(std::fs::read_dir(&saved).expect("a directory").count(), 1);
}
