//! A server and its clients in one runtime whose clock stands still while they have something to do: what takes time takes
//! exactly as long as it should, however busy the machine is.

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use narthex_http::{Admission, ConnectionCaps, Journal, Reason, Settings, Worker};
use narthex_proto::prefix::Scheme;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, timeout_at};

use crate::engine::server::{App, Handling};

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) worker: Rc<Worker>,
    /// What the journal was told of: reasons, and the times that noted exchanges took.
    pub(crate) refused: Rc<RefCell<Vec<Reason>>>,
    pub(crate) taken: Rc<RefCell<Vec<Duration>>>,
}

/// Runs a test in such a runtime.
pub(crate) fn run<F: Future>(test: impl FnOnce() -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    LocalSet::new().block_on(&runtime, async { test().await });
}

/// To be called inside of [`run`].
pub(crate) fn serve(change: impl FnOnce(&mut Settings), app: App) -> Server {
    let listener = narthex_http::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
    let address = listener.local_addr().unwrap();
    let mut settings = Settings::default();
    change(&mut settings);
    let worker = Worker::new(settings, Admission::new(ConnectionCaps::default()));
    let (refused, taken) = <(Rc<RefCell<Vec<_>>>, Rc<RefCell<Vec<_>>>)>::default();
    let (tell_refused, tell_taken) = (Rc::clone(&refused), Rc::clone(&taken));
    worker.set_journal(Journal {
        ended: Box::new(move |end| tell_taken.borrow_mut().push(end.taken)),
        refused: Box::new(move |refusal| tell_refused.borrow_mut().push(refusal.reason)),
    });
    let serving = Rc::clone(&worker);
    spawn_local(async move {
        let listener = TcpListener::from_std(listener).unwrap();
        serving.accept(listener, Scheme::Http, Rc::new(Handling(app))).await
    });
    Server { address, worker, refused, taken }
}

impl Server {
    pub(crate) async fn send(&self, request: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream
    }

    pub(crate) async fn get(&self, target: &str) -> TcpStream {
        self.send(&format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n")).await
    }
}

/// How much comes until `end`.
pub(crate) async fn received_until(stream: &mut TcpStream, end: Instant) -> usize {
    let mut total = 0;
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(Ok(read)) = timeout_at(end, stream.read(&mut buffer)).await {
        if read == 0 {
            break;
        }
        total += read;
    }
    total
}

/// Everything until the server closes.
pub(crate) async fn until_end(stream: &mut TcpStream) -> Vec<u8> {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    answer
}

/// Reads one response, whose head must come in one piece: its head and its body.
pub(crate) async fn response(stream: &mut TcpStream) -> (String, Vec<u8>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
    (head, body)
}
