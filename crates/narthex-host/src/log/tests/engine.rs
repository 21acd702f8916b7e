//! Requests as the engine gives them.

use std::future::Ready;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::rc::Rc;

use narthex_http::{Admission, ConnectionCaps, Exchange, Handler, Piece, Request, Settings, Worker};

use super::*;

/// Logs every request and answers it.
struct Logging {
    logs: WorkerLogs,
    log: Arc<Log>,
}

impl Handler for Logging {
    type Future = Ready<()>;

    fn handle(&self, request: Request<'_>, exchange: Exchange) -> Option<Ready<()>> {
        let (asked, mut record) = (Asked::default(), Vec::new());
        self.logs.begin(&self.log, &request, &mut record);
        self.logs.end(&asked.ended(&record));
        self.logs.hand_over();
        exchange.send(200, std::iter::empty(), Piece::Slice(b"")).unwrap();
        None
    }
}

fn serve(logs: Logs, log: Arc<Log>) -> SocketAddr {
    let listener = narthex_http::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let _detached = narthex_http::spawn_worker("worker".to_owned(), move || async move {
        let worker = Worker::new(Settings::default(), Admission::new(ConnectionCaps::default()));
        let listener = tokio::net::TcpListener::from_std(listener).unwrap();
        let handler = Rc::new(Logging { logs: WorkerLogs::new(&logs), log });
        worker.accept(listener, Scheme::Http, handler).await
    })
    .unwrap();
    address
}

fn logged(fields: &str, requests: &str) -> Vec<String> {
    let mut stage = Stage::new();
    let log = stage.open(&with_fields(LogFormat::W3c, fields));
    let mut stream = TcpStream::connect(serve(stage.logs.clone(), Arc::clone(&log))).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream.write_all(requests.as_bytes()).unwrap();
    let mut answers = String::new();
    stream.read_to_string(&mut answers).unwrap();
    stage.write();
    assert_eq!(stage.logs.report().iter().map(|report| report.lines).sum::<u64>(), log.report().lines);
    stage.lines("shop/ex261122.log")
}

#[test]
fn every_form_of_a_target_has_its_stem_its_query_and_its_host() {
    let lines = logged(
        "cs-method cs-uri-stem cs-uri-query cs-version cs-host",
        "GET /a%20b/./c?d=%20 HTTP/1.1\r\nHost: One.example\r\n\r\n\
         GET http://two.example:81/x?y HTTP/1.1\r\nHost: one.example\r\n\r\n\
         OPTIONS * HTTP/1.1\r\nHost: one.example\r\n\r\n\
         GET / HTTP/1.0\r\n\r\n",
    );
    assert_eq!(
        lines,
        [
            "GET /a%20b/./c d=%20 HTTP/1.1 One.example",
            "GET /x y HTTP/1.1 two.example:81",
            "OPTIONS * - HTTP/1.1 one.example",
            "GET / - HTTP/1.0 -",
        ]
    );
}

#[test]
fn header_fields_are_logged_as_they_came() {
    let lines = logged(
        "cs(User-Agent) cs(Cookie) cs(Referer)",
        "GET / HTTP/1.1\r\nHost: a\r\nuser-AGENT: a \"b\"\tc\r\nReferer: é\r\nCookie: 1\r\nConnection: close\r\n\r\n",
    );
    assert_eq!(lines, ["a+\"b\"+c 1 %C3%A9"]);
}
