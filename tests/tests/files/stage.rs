//! An app with a directory of files.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use narthex_tests::{AppOptions, Provider, Response, Subject};
use tempfile::TempDir;

pub(crate) struct Stage {
    pub(crate) subject: Subject,
    directory: TempDir,
}

impl Stage {
    pub(crate) fn start(provider: Provider) -> Self {
        let directory = TempDir::new().expect("a temporary directory can be made");
        let root = directory.path().join("root");
        fs::create_dir(&root).expect("a directory can be made");
        let arguments = ["--files".to_owned(), root.to_str().expect("it is text").to_owned()];
        let subject = Subject::start_with(provider, &AppOptions::new("app", "http://127.0.0.1:0/").arguments(arguments));
        Self { subject, directory }
    }

    /// Where a file of this name is, seen from the app's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join("root").join(name)
    }

    /// Writes a file that is an hour old.
    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).expect("a file can be written");
        age(&path);
        path
    }

    /// A file without content that takes no room.
    pub(crate) fn sparse(&self, name: &str, length: u64) -> PathBuf {
        let path = self.write(name, b"");
        File::options().write(true).open(&path).and_then(|file| file.set_len(length)).expect("a file can be long");
        age(&path);
        path
    }

    pub(crate) fn get(&self, target: &str, fields: &str) -> Response {
        self.ask("GET", target, fields)
    }

    pub(crate) fn ask(&self, method: &str, target: &str, fields: &str) -> Response {
        let mut client = self.subject.connect();
        let request = format!("{method} {target} HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
        client.send(request.as_bytes()).expect("the server takes a request");
        client.response(method == "HEAD").unwrap_or_else(|error| panic!("{target}: {error}"))
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.subject.authority())
    }

    /// No process has needed more than this.
    pub(crate) fn check_memory(&self, most: u64) {
        let host = self.subject.host.iter().map(|host| ("host", &host.process));
        for (name, process) in host.chain([("app", &self.subject.app.process)]) {
            let peak = process.peak_memory();
            println!("{name}: at most {:.1} MB resident", peak as f64 / 1e6);
            assert!(peak < most, "the {name} needed {peak} bytes");
        }
    }
}

fn age(path: &Path) {
    let old = SystemTime::now() - Duration::from_secs(3600);
    File::options().write(true).open(path).and_then(|file| file.set_modified(old)).expect("a file can be dated");
}

/// Bytes that tell their place.
pub(crate) fn content(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at ^ (at >> 8).wrapping_mul(31) ^ (at >> 16).wrapping_mul(7)) as u8).collect()
}
