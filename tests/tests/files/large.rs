//! What large files cost, and what happens to them on the way.

use std::fs::File;
use std::time::{Duration, Instant};

use narthex_tests::{Ending, Provider};

use crate::files::stage::Stage;

const GIGABYTE: u64 = 1 << 30;
const MEMORY: u64 = 64 << 20;

pub(crate) fn a_gigabyte(provider: Provider) {
    let stage = Stage::start(provider);
    stage.sparse("big", GIGABYTE);
    let end = stage.get("/files/big", "Range: bytes=-100000\r\n");
    assert_eq!((end.status, end.body.len()), (206, 100_000));
    let begun = Instant::now();
    let mut client = stage.subject.connect();
    client.send(b"GET /files/big HTTP/1.1\r\nHost: x\r\n\r\n").expect("can ask");
    let head = client.head().expect("the download starts");
    assert_eq!((head.status, head.header("content-length")), (200, Some(GIGABYTE.to_string().as_str())));
    assert_eq!(client.discard(GIGABYTE).expect("the download continues"), GIGABYTE);
    println!("a gigabyte in {:.1?}", begun.elapsed());
    assert!(begun.elapsed() < Duration::from_secs(30));
    stage.check_memory(MEMORY);
}

pub(crate) fn stalled(provider: Provider) {
    let stage = Stage::start(provider);
    stage.sparse("big", GIGABYTE);
    let mut clients: Vec<_> = (0..40).map(|_| stage.subject.connect()).collect();
    for client in &mut clients {
        client.send(b"GET /files/big HTTP/1.1\r\nHost: x\r\n\r\n").expect("can ask");
        assert_eq!(client.head().expect("the download starts").status, 200);
    }
    let small = stage.get("/files/big", "Range: bytes=0-9\r\n");
    assert_eq!((small.status, small.body.len()), (206, 10), "others are served");
    stage.check_memory(MEMORY);
    for client in &mut clients {
        assert!(client.discard(10_000_000).expect("the download continues") >= 10_000_000);
    }
    stage.check_memory(MEMORY);
}

pub(crate) fn cut_off(provider: Provider) {
    let stage = Stage::start(provider);
    let path = stage.sparse("big", GIGABYTE);
    let mut client = stage.subject.connect();
    client.send(b"GET /files/big HTTP/1.1\r\nHost: x\r\n\r\n").expect("can ask");
    assert_eq!(client.head().expect("the download starts").status, 200);
    File::options().write(true).open(path).and_then(|file| file.set_len(1000)).expect("a file can be cut");
    let got = client.discard(GIGABYTE).unwrap_or_default();
    assert!(got < GIGABYTE, "nothing is made up");
    assert!(matches!(client.ending(Duration::from_secs(10)), Ending::Closed | Ending::Reset), "the client can tell");
    assert_eq!(stage.get("/files/big", "").body.len(), 1000);
}
