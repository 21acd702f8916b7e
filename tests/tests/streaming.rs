//! Bodies of any size pass in bounded memory. 300 MB each way, or 10 GB with `NARTHEX_BIG=1`.

use std::time::Duration;

use narthex_tests::{AppOptions, Ending, Provider, Subject};

const MEMORY: u64 = 64 * 1024 * 1024;

fn size() -> u64 {
    if std::env::var_os("NARTHEX_BIG").is_some() { 10_000_000_000 } else { 300_000_000 }
}

fn start(provider: Provider) -> Subject {
    Subject::start_with(provider, &AppOptions::new("app", "http://127.0.0.1:0/").arguments(["--unlimited-body"]))
}

fn check_memory(subject: &Subject) {
    let processes = subject.host.iter().map(|host| ("host", &host.process));
    for (name, process) in processes.chain([("app", &subject.app.process)]) {
        let peak = process.peak_memory();
        println!("{name}: at most {:.1} MB resident", peak as f64 / 1e6);
        assert!(peak < MEMORY, "the {name} needed {peak} bytes");
    }
}

fn uploads(provider: Provider) {
    let subject = start(provider);
    let block = vec![b'u'; 1_000_000];
    for chunked in [false, true] {
        let mut client = subject.connect();
        let framing = if chunked { "Transfer-Encoding: chunked".to_owned() } else { format!("Content-Length: {}", size()) };
        let head = format!("POST /len HTTP/1.1\r\nHost: x\r\n{framing}\r\n\r\n");
        client.send(head.as_bytes()).expect("the head can be sent");
        for _ in 0..size() / block.len() as u64 {
            if chunked {
                client.send(format!("{:x}\r\n", block.len()).as_bytes()).expect("a chunk can be sent");
            }
            client.send(&block).expect("the body can be sent");
            if chunked {
                client.send(b"\r\n").expect("a chunk can be sent");
            }
        }
        if chunked {
            client.send(b"0\r\n\r\n").expect("the last chunk can be sent");
        }
        let response = client.response(false).expect("the upload is answered");
        assert_eq!((response.status, response.text()), (200, size().to_string()));
    }
    check_memory(&subject);
}

fn downloads(provider: Provider) {
    let subject = start(provider);
    let mut client = subject.connect();
    client.send(format!("GET /bytes?n={} HTTP/1.1\r\nHost: x\r\n\r\n", size()).as_bytes()).expect("can ask");
    let head = client.head().expect("the download starts");
    assert_eq!((head.status, head.header("content-length")), (200, Some(size().to_string().as_str())));
    assert_eq!(client.discard(size()).expect("the download continues"), size());
    assert_eq!(client.ending(Duration::from_millis(50)), Ending::Open);

    let mut client = subject.connect();
    let request = format!("GET /stream?chunks={}&size=50000 HTTP/1.0\r\n\r\n", size() / 50_000);
    client.send(request.as_bytes()).expect("can ask");
    assert_eq!(client.head().expect("the stream starts").status, 200);
    assert_eq!(client.discard(u64::MAX).expect("the stream continues"), size());
    check_memory(&subject);
}

/// Nobody reads what the other side sends: buffers have to fill up and stay as they are.
fn stalls(provider: Provider) {
    let subject = start(provider);
    let mut downloads: Vec<_> = (0..20).map(|_| subject.connect()).collect();
    for client in &mut downloads {
        client.send(b"GET /bytes?n=50000000 HTTP/1.1\r\nHost: x\r\n\r\n").expect("can ask");
    }
    let uploads: Vec<_> = (0..20)
        .map(|_| {
            let mut client = subject.connect();
            // The handler sleeps and never reads; so this gets as far as buffers allow.
            std::thread::spawn(move || {
                let _ = client.send(b"POST /slow?ms=2000 HTTP/1.1\r\nHost: x\r\nContent-Length: 20000000\r\n\r\n");
                let _ = client.send(&vec![b'u'; 20_000_000]);
                client.response(false).map(|response| response.status)
            })
        })
        .collect();
    for upload in uploads {
        let status = upload.join().expect("no client panics");
        assert_eq!(status.expect("an upload that nobody read is answered"), 200);
    }
    check_memory(&subject);
    for client in &mut downloads {
        assert_eq!(client.head().expect("the download starts").status, 200);
        assert_eq!(client.discard(50_000_000).expect("the download continues"), 50_000_000);
    }
    check_memory(&subject);
}

providers! {
    an_upload_of_any_size_needs_bounded_memory: super::uploads;
    a_download_of_any_size_needs_bounded_memory: super::downloads;
    peers_that_do_not_read_need_bounded_memory: super::stalls;
}
