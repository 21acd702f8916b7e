//! Files that the app passes to the host instead of sending them.

use std::fs;

use narthex_tests::{Process, Provider};

use crate::files::stage::{Stage, content};

/// The bytes that a process has asked the kernel for.
fn read_by(process: &Process) -> u64 {
    let io = fs::read_to_string(format!("/proc/{}/io", process.id())).expect("the process runs");
    let line = io.lines().find_map(|line| line.strip_prefix("rchar: ")).expect("the kernel counts");
    line.parse().expect("it is a number")
}

pub(crate) fn not_read() {
    let stage = Stage::start(Provider::Shared);
    let bytes = content(20_000_000);
    stage.write("a.bin", &bytes);
    let before = read_by(&stage.subject.app.process);
    assert!(stage.get("/files/a.bin", "").body == bytes);
    assert!(stage.get("/download/a.bin", "Range: bytes=1-\r\n").body == bytes[1..]);
    let read = read_by(&stage.subject.app.process) - before;
    assert!(read < 1_000_000, "the app has read {read} bytes");
}

pub(crate) fn outlives_the_app() {
    let mut stage = Stage::start(Provider::Shared);
    stage.sparse("big", 100_000_000);
    let mut client = stage.subject.connect();
    client.send(b"GET /files/big HTTP/1.1\r\nHost: x\r\n\r\n").expect("can ask");
    assert_eq!(client.head().expect("the download starts").status, 200);
    // More than what sockets hold: the host is sending it.
    let begun = client.bytes(20_000_000).expect("the download continues").len() as u64;
    stage.subject.app.process.crash();
    assert_eq!(begun + client.discard(100_000_000 - begun).expect("the download continues"), 100_000_000);
}

pub(crate) fn cached() {
    let stage = Stage::start(Provider::Shared);
    let bytes = content(100_000);
    stage.write("a.bin", &bytes);
    for is_hit in [false, true, true] {
        let answer = stage.get("/download/a.bin?cache=60", "");
        assert!(answer.status == 200 && answer.body == bytes);
        assert_eq!(answer.has("age"), is_hit);
    }
}

pub(crate) fn many() {
    let stage = Stage::start(Provider::Shared);
    let bytes = content(400_000);
    for index in 0..10 {
        stage.write(&index.to_string(), &bytes[index..]);
    }
    // More than a session may have open, none of which ends before all have begun.
    let mut clients: Vec<_> = (0..600).map(|_| stage.subject.connect()).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let request = format!("GET /files/{} HTTP/1.1\r\nHost: x\r\n\r\n", index % 10);
        client.send(request.as_bytes()).expect("can ask");
    }
    for (index, client) in clients.iter_mut().enumerate() {
        let answer = client.response(false).unwrap_or_else(|error| panic!("{index}: {error}"));
        assert!(answer.status == 200 && answer.body == bytes[index % 10..], "{index}");
    }
}
