//! One thread that accepts for all workers, and deals each connection to the worker that has the fewest: even where
//! connections are few and long, for one thread hop per connection. Without it, every worker accepts for itself.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use narthex_proto::prefix::Scheme;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use crate::threads::spawn_worker;

/// Accepted connections that may wait for a worker. When it has so many, others get the next ones; when all have, the
/// clients wait in the kernel's accept queue.
const WAITING: usize = 256;
/// How long accepting rests when the process is out of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Accepts connections on a thread of its own. Dropped, it stops accepting soon; what was dealt goes on.
pub struct Acceptor {
    commands: mpsc::UnboundedSender<Command>,
    broken: mpsc::UnboundedReceiver<(SocketAddr, io::Error)>,
    ended: oneshot::Receiver<()>,
}

impl fmt::Debug for Acceptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Acceptor").finish_non_exhaustive()
    }
}

enum Command {
    Listen { address: SocketAddr, listener: net::TcpListener, scheme: Scheme },
    Close { address: SocketAddr, done: oneshot::Sender<()> },
}

impl Acceptor {
    /// Starts the thread, called `name`, with an [`Inbox`] for each of `workers` (at least one).
    ///
    /// # Errors
    /// If the OS refuses a thread or an event queue.
    pub fn start(name: String, workers: usize) -> io::Result<(Self, Vec<Inbox>)> {
        let (workers, inboxes): (Vec<_>, Vec<_>) = (0..workers.max(1)).map(|_| WorkerLoad::new()).unzip();
        let (commands, to_do) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (breaks, broken) = mpsc::unbounded_channel();
        // The thread ends with the sender of its commands; nobody has to join it.
        drop(spawn_worker(name, move || run(Balancer { workers, last: 0 }, to_do, breaks, end))?);
        Ok((Self { commands, broken, ended }, inboxes))
    }

    /// Accepts from `listener`, which must not block (as [`listen`](crate::listen) makes them), too. `address` is what
    /// [`close`](Self::close) will call it.
    pub fn listen(&self, address: SocketAddr, listener: net::TcpListener, scheme: Scheme) {
        // The thread is there as long as this is, unless it panicked; then the inboxes have ended, which says so.
        let _ = self.commands.send(Command::Listen { address, listener, scheme });
    }

    /// Stops accepting at `address`. When the returned future ends, the address is free, unless it was never listened on.
    /// Connections go on.
    ///
    /// What is asked for happens even if the future is dropped.
    pub fn close(&self, address: SocketAddr) -> impl Future<Output = ()> + Send + 'static {
        let (done, is_done) = oneshot::channel();
        let _ = self.commands.send(Command::Close { address, done });
        async move {
            let _ = is_done.await;
        }
    }

    /// Waits until a listener breaks, and says which and why. Nothing more is accepted there.
    ///
    /// Cancel safe.
    pub async fn listener_broke(&mut self) -> (SocketAddr, io::Error) {
        match self.broken.recv().await {
            Some(broken) => broken,
            None => std::future::pending().await,
        }
    }

    /// Stops accepting everywhere, and waits until all addresses are free. Connections go on.
    pub async fn stop(self) {
        drop(self.commands);
        let _ = self.ended.await;
    }
}

/// What one worker is dealt, for [`Worker::accept_dealt`](crate::Worker::accept_dealt).
#[derive(Debug)]
pub struct Inbox(mpsc::Receiver<Dealt>);

impl Inbox {
    /// The next connection; `None` if no more will come. Cancel safe.
    pub(crate) async fn next(&mut self) -> Option<Dealt> {
        self.0.recv().await
    }
}

/// A connection on its way to its worker.
#[derive(Debug)]
pub(crate) struct Dealt {
    pub(crate) stream: net::TcpStream,
    pub(crate) peer: SocketAddr,
    pub(crate) scheme: Scheme,
    pub(crate) counted: Counted,
}

/// One open connection of a worker, as the acceptor counts them.
#[derive(Debug)]
pub(crate) struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn one(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(open))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A worker, as the acceptor sees it.
#[derive(Clone)]
struct WorkerLoad {
    inbox: mpsc::Sender<Dealt>,
    /// Its connections, those in the inbox too.
    open: Arc<AtomicUsize>,
}

impl WorkerLoad {
    fn new() -> (Self, Inbox) {
        let (inbox, connections) = mpsc::channel(WAITING);
        (Self { inbox, open: Arc::default() }, Inbox(connections))
    }
}

/// Chooses who gets the next connection: by least connections, among equals in turn.
#[derive(Clone)]
struct Balancer {
    workers: Vec<WorkerLoad>,
    /// Who got the last one.
    last: usize,
}

impl Balancer {
    /// Deals a connection. Waits while every worker is behind. `false` if no worker is left.
    async fn deal(&mut self, stream: net::TcpStream, peer: SocketAddr, scheme: Scheme) -> bool {
        loop {
            let Some(worker) = self.choose() else { return false };
            // A worker that has gone meanwhile is not chosen again.
            let Ok(place) = worker.inbox.reserve().await else { continue };
            place.send(Dealt { stream, peer, scheme, counted: Counted::one(&worker.open) });
            return true;
        }
    }

    /// The worker with the fewest connections: of those with room in their inbox, else of all.
    fn choose(&mut self) -> Option<&WorkerLoad> {
        let count = self.workers.len();
        let others = (1..=count).map(|step| (self.last + step) % count);
        let fewest = others
            .filter_map(|index| Some((index, self.workers.get(index)?)))
            .filter(|(_, worker)| !worker.inbox.is_closed())
            .min_by_key(|(_, worker)| (worker.inbox.capacity() == 0, worker.open.load(Ordering::Relaxed)));
        let (index, _) = fewest?;
        self.last = index;
        self.workers.get(index)
    }
}

/// Ends with the sender of `commands`, and then drops `_ended`.
async fn run(
    balancer: Balancer,
    mut commands: mpsc::UnboundedReceiver<Command>,
    breaks: mpsc::UnboundedSender<(SocketAddr, io::Error)>,
    _ended: oneshot::Sender<()>,
) {
    let mut listeners: HashMap<SocketAddr, JoinHandle<()>> = HashMap::new();
    while let Some(command) = commands.recv().await {
        match command {
            Command::Listen { address, listener, scheme } => match TcpListener::from_std(listener) {
                Ok(listener) => {
                    let (balancer, breaks) = (balancer.clone(), breaks.clone());
                    let accepting = async move {
                        if let Err(error) = accept(listener, scheme, balancer).await {
                            tracing::error!(%address, %error, "accepting has ended");
                            let _ = breaks.send((address, error));
                        }
                    };
                    listeners.insert(address, spawn_local(accepting));
                }
                Err(error) => tracing::error!(%address, %error, "cannot accept connections"),
            },
            Command::Close { address, done } => {
                if let Some(accepting) = listeners.remove(&address) {
                    end(accepting).await;
                }
                let _ = done.send(());
            }
        }
    }
    for (_, accepting) in listeners {
        end(accepting).await;
    }
}

/// Ends a task, and its socket with it, at the task's next turn.
async fn end(accepting: JoinHandle<()>) {
    accepting.abort();
    let _ = accepting.await;
}

/// Deals connections until nobody is left to take them, or the listener breaks.
async fn accept(listener: TcpListener, scheme: Scheme, mut balancer: Balancer) -> io::Result<()> {
    loop {
        let (stream, peer) = next_connection(&listener).await?;
        // Each worker has an event queue of its own, so the connection must not stay in this one's.
        let Ok(stream) = stream.into_std() else { continue };
        if !balancer.deal(stream, peer, scheme).await {
            return Ok(());
        }
    }
}

/// Waits for the next connection, past errors that are about one connection, or about a shortage that may pass.
///
/// # Errors
/// If the socket does not listen any more, which never passes.
pub(crate) async fn next_connection(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    loop {
        match listener.accept().await {
            Ok(accepted) => return Ok(accepted),
            Err(error) if is_about_one_connection(&error) => {}
            // EINVAL: accept(2) has it for a socket that does not listen.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Err(error),
            Err(error) => {
                tracing::warn!(%error, "cannot accept connections; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    async fn start(workers: usize) -> (Acceptor, Vec<Inbox>, SocketAddr) {
        let (acceptor, inboxes) = Acceptor::start("test-acceptor".into(), workers).unwrap();
        let listener = crate::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
        let address = listener.local_addr().unwrap();
        acceptor.listen(address, listener, Scheme::Http);
        (acceptor, inboxes, address)
    }

    #[tokio::test]
    async fn connections_go_to_whoever_has_the_fewest() {
        let (_acceptor, mut inboxes, address) = start(3).await;
        let mut clients = Vec::new();
        let mut open: Vec<Vec<Dealt>> = vec![Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..6 {
            clients.push(TcpStream::connect(address).await.unwrap());
            let [one, two, three] = inboxes.as_mut_slice() else { unreachable!() };
            let (index, dealt) = tokio::select! {
                dealt = one.next() => (0, dealt),
                dealt = two.next() => (1, dealt),
                dealt = three.next() => (2, dealt),
            };
            open[index].push(dealt.unwrap());
        }
        assert_eq!(open.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2]);
        open[1].clear();
        for _ in 0..2 {
            clients.push(TcpStream::connect(address).await.unwrap());
            open[1].push(inboxes[1].next().await.unwrap());
        }
    }

    #[tokio::test]
    async fn a_worker_that_has_gone_gets_nothing_more() {
        let (_acceptor, mut inboxes, address) = start(2).await;
        drop(inboxes.remove(0));
        let _clients = [TcpStream::connect(address).await.unwrap(), TcpStream::connect(address).await.unwrap()];
        let first = inboxes[0].next().await.unwrap();
        let second = inboxes[0].next().await.unwrap();
        assert_ne!(first.peer, second.peer);
    }

    #[tokio::test]
    async fn a_closed_address_is_free_at_once_and_the_others_go_on() {
        let (acceptor, mut inboxes, address) = start(1).await;
        let other = crate::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
        let still = other.local_addr().unwrap();
        acceptor.listen(still, other, Scheme::Https);
        acceptor.close(address).await;
        crate::listen(address.ip(), address.port(), 1).unwrap();
        let _client = TcpStream::connect(still).await.unwrap();
        assert_eq!(inboxes[0].next().await.unwrap().scheme, Scheme::Https);
        acceptor.stop().await;
        crate::listen(still.ip(), still.port(), 1).unwrap();
        assert!(inboxes[0].next().await.is_none());
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_listener_that_breaks_is_told_and_the_others_go_on() {
        let (mut acceptor, mut inboxes, address) = start(1).await;
        let breaks = crate::listen(Ipv4Addr::LOCALHOST.into(), 0, 1).unwrap().remove(0);
        let (broken, own) = (breaks.local_addr().unwrap(), breaks.try_clone().unwrap());
        acceptor.listen(broken, breaks, Scheme::Http);
        crate::refuse_connections(&own);
        assert_eq!(acceptor.listener_broke().await.0, broken);
        let _client = TcpStream::connect(address).await.unwrap();
        assert!(inboxes[0].next().await.is_some());
    }

    #[tokio::test]
    async fn a_worker_that_is_behind_is_passed_over() {
        let (busy, mut slow) = WorkerLoad::new();
        let (idle, mut quick) = WorkerLoad::new();
        for _ in 0..WAITING {
            std::mem::forget(busy.inbox.try_reserve().unwrap());
        }
        idle.open.store(WAITING, Ordering::Relaxed);
        let mut balancer = Balancer { workers: vec![busy, idle], last: 1 };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let peer = stream.local_addr().unwrap();
        assert!(balancer.deal(stream.into_std().unwrap(), peer, Scheme::Http).await);
        assert_eq!(quick.next().await.unwrap().peer, peer);
        assert!(slow.0.try_recv().is_err());
    }
}
