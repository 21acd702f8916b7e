//! Threads for work that blocks: started on demand, at most so many, with a bounded queue before them.
//!
//! Not the runtime's own: a runtime waits without limit for the blocking work that it was given, has one pool per worker, and
//! queues without a bound.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Builder;
use std::time::Duration;

use tokio::sync::oneshot;

/// How long a thread without work waits for some before it ends.
const IDLE: Duration = Duration::from_secs(10);

/// Threads on which what blocks runs, so that it holds up no I/O worker. Clones are the same threads.
///
/// ```
/// # use narthex::BlockingPool;
/// # async fn hash(password: String) -> Result<String, narthex::Overloaded> {
/// let pool = BlockingPool::new().max_threads(8).queue_length(100);
/// pool.run(move || slow_hash(&password)).await
/// # }
/// # fn slow_hash(password: &str) -> String { password.to_owned() }
/// ```
///
/// A setting makes a pool of its own. Threads are called `narthex-blocking-…`. They are started when there is work and none is idle,
/// and end after 10 seconds without any, or with the last clone of the pool.
///
/// When a server stops, requests whose handlers are in the pool are waited for as others are, for at most the
/// [`shutdown_timeout`](crate::Server::shutdown_timeout). No thread is waited for after that: one that is stuck keeps neither the server
/// nor the process from ending.
#[derive(Clone, Debug)]
pub struct BlockingPool(Arc<Handle>);

/// The queue of a [`BlockingPool`] is full, or the system refuses a thread: 503.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "all threads for blocking work are busy and {0} jobs wait already: give the pool more threads or a longer queue, or work less"
)]
pub struct Overloaded(usize);

#[derive(Clone, Copy, Debug)]
struct Settings {
    threads_per_core: usize,
    max_threads: usize,
    limit_in_debug: bool,
    queue_length: usize,
    max_body: usize,
}

impl Settings {
    fn threads(&self) -> usize {
        let cores = if self.limit_in_debug && cfg!(debug_assertions) { 1 } else { narthex_http::default_workers() };
        self.threads_per_core.saturating_mul(cores).min(self.max_threads).max(1)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self { threads_per_core: 16, max_threads: 64, limit_in_debug: false, queue_length: 4096, max_body: 2 * 1024 * 1024 }
    }
}

/// What the users of a pool hold. When it goes, so do the threads.
struct Handle {
    settings: Settings,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// There is work, or never will be.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// With the number of each, in order.
    queue: VecDeque<(u64, Job)>,
    /// For their numbers.
    submitted: u64,
    threads: usize,
    idle: usize,
    /// Threads that have not looked into the queue yet.
    starting: usize,
    /// For their names.
    started: u64,
    closed: bool,
}

impl State {
    /// Jobs that no thread is about to take.
    fn waiting(&self) -> usize {
        self.queue.len().saturating_sub(self.idle + self.starting)
    }
}

/// Does the work, and returns what tells its result: whoever hears of that finds the thread free.
type Job = Box<dyn FnOnce() -> Box<dyn FnOnce()> + Send>;

impl Default for BlockingPool {
    fn default() -> Self {
        Self::with(Settings::default())
    }
}

impl BlockingPool {
    /// A pool of its own, with the defaults that each method names.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The pool of the process, with all defaults.
    #[must_use]
    pub fn shared() -> Self {
        static POOL: OnceLock<BlockingPool> = OnceLock::new();
        POOL.get_or_init(Self::new).clone()
    }

    fn with(settings: Settings) -> Self {
        Self(Arc::new(Handle { settings, shared: Arc::default() }))
    }

    fn set(&self, set: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = self.0.settings;
        set(&mut settings);
        Self::with(settings)
    }

    /// Threads for each core, at least 1. Default: 16.
    #[must_use]
    pub fn threads_per_core(self, threads: usize) -> Self {
        self.set(|settings| settings.threads_per_core = threads)
    }

    /// Threads in all, at least 1. Default: 64.
    #[must_use]
    pub fn max_threads(self, threads: usize) -> Self {
        self.set(|settings| settings.max_threads = threads)
    }

    /// Whether a build with debug assertions has the threads of one core only, so that a debugger shows few. Default: `false`.
    #[must_use]
    pub fn limit_thread_count_in_debug(self, limited: bool) -> Self {
        self.set(|settings| settings.limit_in_debug = limited)
    }

    /// Jobs that may wait for a thread. One more is [`Overloaded`]. Default: 4096.
    #[must_use]
    pub fn queue_length(self, jobs: usize) -> Self {
        self.set(|settings| settings.queue_length = jobs)
    }

    /// The longest request body in bytes that [`blocking`](crate::blocking()) handlers get; longer ones are 413. Default: 2 MiB.
    #[must_use]
    pub fn max_body(self, bytes: usize) -> Self {
        self.set(|settings| settings.max_body = bytes)
    }

    /// Threads that there are now, busy or idle.
    #[must_use]
    pub fn threads(&self) -> usize {
        self.0.shared.state().threads
    }

    /// Threads that work now, or are about to.
    #[must_use]
    pub fn running(&self) -> usize {
        let state = self.0.shared.state();
        state.threads - state.idle
    }

    /// Jobs that wait for a thread now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.0.shared.state().waiting()
    }

    pub(super) fn longest_body(&self) -> usize {
        self.0.settings.max_body
    }

    /// Runs `work` on a thread of the pool. A panic in it goes on in the one who waits.
    ///
    /// If the future is dropped before `work` has begun, it is not done, and another job has its place in the queue; what has begun
    /// goes on to its end.
    ///
    /// # Errors
    /// [`Overloaded`], at once.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Overloaded> {
        let (done, is_done) = oneshot::channel();
        let number = self.submit(Box::new(move || {
            let output = catch_unwind(AssertUnwindSafe(work));
            Box::new(move || drop(done.send(output)))
        }))?;
        let queued = Queued { shared: &self.0.shared, number };
        let output = is_done.await;
        // It is not in the queue any more, and need not be looked for.
        std::mem::forget(queued);
        match output {
            Ok(Ok(output)) => Ok(output),
            Ok(Err(panic)) => resume_unwind(panic),
            // The thread for it could not be started.
            Err(_) => Err(self.overloaded()),
        }
    }

    fn overloaded(&self) -> Overloaded {
        Overloaded(self.0.settings.queue_length)
    }

    /// Gives the job a number, by which it can be taken out of the queue.
    fn submit(&self, job: Job) -> Result<u64, Overloaded> {
        let (settings, shared) = (&self.0.settings, &self.0.shared);
        let mut state = shared.state();
        let free = state.idle + state.starting > state.queue.len();
        let starts = !free && state.threads < settings.threads();
        if !free && !starts && state.waiting() >= settings.queue_length {
            return Err(self.overloaded());
        }
        state.submitted += 1;
        let submitted = state.submitted;
        state.queue.push_back((submitted, job));
        if !starts {
            shared.changed.notify_one();
            return Ok(submitted);
        }
        state.threads += 1;
        state.starting += 1;
        state.started += 1;
        let number = state.started;
        drop(state);
        if let Err(error) = start(Arc::clone(shared), number) {
            tracing::error!("cannot start a thread for blocking work: {error}");
            let mut state = shared.state();
            state.threads -= 1;
            state.starting -= 1;
            if state.threads == 0 {
                // Nobody else would do them.
                let jobs = std::mem::take(&mut state.queue);
                drop(state);
                drop(jobs);
            }
        }
        Ok(submitted)
    }
}

/// A job that may still be in the queue. Dropped, it is not: nobody waits for its result any more, and what it holds, such as the
/// body of a request, goes with it.
struct Queued<'a> {
    shared: &'a Shared,
    number: u64,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.state();
        let place = state.queue.binary_search_by_key(&self.number, |(number, _)| *number);
        let job = place.ok().and_then(|place| state.queue.remove(place));
        // Dropping what is not ours needs the lock no longer.
        drop(state);
        drop(job);
    }
}

fn start(shared: Arc<Shared>, number: u64) -> io::Result<()> {
    // Not joined: what it runs may be stuck.
    Builder::new().name(format!("narthex-blocking-{number}")).spawn(move || shared.work()).map(drop)
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a thread does.
    fn work(&self) {
        let mut state = self.state();
        state.starting -= 1;
        loop {
            while let Some((_, job)) = state.queue.pop_front() {
                drop(state);
                // The job catches its own panics; what is left are those of values that are dropped.
                let tell = catch_unwind(AssertUnwindSafe(job));
                self.state().idle += 1;
                let _ = catch_unwind(AssertUnwindSafe(|| tell.map(|tell| tell())));
                state = self.state();
                state.idle -= 1;
            }
            if state.closed {
                break;
            }
            state.idle += 1;
            let waited = self.changed.wait_timeout(state, IDLE).unwrap_or_else(PoisonError::into_inner);
            let timed_out = waited.1.timed_out();
            state = waited.0;
            state.idle -= 1;
            if timed_out && state.queue.is_empty() {
                break;
            }
        }
        state.threads -= 1;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.state().closed = true;
        self.shared.changed.notify_all();
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BlockingPool").field("settings", &self.settings).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::thread;

    use tokio::time::timeout;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A job that holds its thread until the sender is dropped.
    fn held(pool: &BlockingPool) -> (mpsc::Sender<()>, tokio::task::JoinHandle<Result<(), Overloaded>>) {
        let (release, released) = mpsc::channel::<()>();
        let pool = pool.clone();
        let job = tokio::spawn(async move {
            pool.run(move || {
                let _ = released.recv();
            })
            .await
        });
        (release, job)
    }

    async fn until(pool: &BlockingPool, condition: impl Fn(&State) -> bool) {
        let met = async {
            while !condition(&pool.0.shared.state()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, met).await.expect("the pool comes to that");
    }

    #[test]
    fn jobs_for_threads_that_are_still_starting_do_not_fill_the_queue() {
        for _ in 0..20 {
            let pool = BlockingPool::new().max_threads(2).queue_length(1);
            let (release, released) = mpsc::channel::<()>();
            let released = Arc::new(Mutex::new(released));
            let submit = || {
                let released = Arc::clone(&released);
                let job = Box::new(move || {
                    released.lock().unwrap().recv().unwrap_or_default();
                    Box::new(|| ()) as Box<dyn FnOnce()>
                });
                pool.submit(job).map(drop)
            };
            assert_eq!([submit(), submit(), submit(), submit()], [Ok(()), Ok(()), Ok(()), Err(Overloaded(1))]);
            drop(release);
        }
    }

    #[tokio::test]
    async fn work_runs_on_a_named_thread_and_gives_its_result() {
        let name = BlockingPool::new().run(|| thread::current().name().map(str::to_owned)).await;
        assert_eq!(name, Ok(Some("narthex-blocking-1".to_owned())));
    }

    #[tokio::test]
    async fn one_more_than_threads_and_queue_take_is_refused_at_once() {
        let pool = BlockingPool::new().threads_per_core(1).max_threads(1).queue_length(1);
        let (release, running) = held(&pool);
        until(&pool, |state| state.threads == 1 && state.queue.is_empty() && state.idle == 0).await;
        let (_, waiting) = held(&pool);
        until(&pool, |state| state.queue.len() == 1).await;
        assert_eq!(pool.run(|| ()).await, Err(Overloaded(1)));
        drop(release);
        assert_eq!((running.await.unwrap(), waiting.await.unwrap()), (Ok(()), Ok(())));
        assert_eq!(pool.run(|| 7).await, Ok(7));
    }

    #[tokio::test]
    async fn who_hears_of_a_result_finds_the_thread_free() {
        let pool = BlockingPool::new().max_threads(1).queue_length(0);
        for round in 0..1000 {
            assert_eq!(pool.run(move || round).await, Ok(round));
        }
    }

    #[tokio::test]
    async fn a_panic_goes_on_where_it_is_waited_for_and_the_thread_works_on() {
        let pool = BlockingPool::new().max_threads(1);
        let panicking = pool.clone();
        let panicked = tokio::spawn(async move { panicking.run(|| panic!("as the test wants")).await });
        assert!(panicked.await.unwrap_err().is_panic());
        assert_eq!(pool.run(|| 1).await, Ok(1));
        assert_eq!(pool.0.shared.state().started, 1);
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_is_not_begun() {
        let pool = BlockingPool::new().max_threads(1);
        let (release, running) = held(&pool);
        until(&pool, |state| state.threads == 1 && state.queue.is_empty()).await;
        let (begun, has_begun) = mpsc::channel();
        let waiting = pool.run(move || begun.send(()));
        assert!(timeout(Duration::ZERO, waiting).await.is_err());
        drop(release);
        running.await.unwrap().unwrap();
        pool.run(|| ()).await.unwrap();
        assert!(has_begun.try_recv().is_err());
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_any_more_has_no_place_in_the_queue_and_holds_nothing() {
        let pool = BlockingPool::new().max_threads(1).queue_length(2);
        let (release, running) = held(&pool);
        until(&pool, |state| state.threads == 1 && state.queue.is_empty()).await;
        let body = Arc::new(());
        let waiting = |body: &Arc<()>| {
            let (pool, body) = (pool.clone(), Arc::clone(body));
            tokio::spawn(async move { pool.run(move || drop(body)).await })
        };
        let (left, stays) = (waiting(&body), waiting(&Arc::default()));
        until(&pool, |state| state.queue.len() == 2).await;
        assert_eq!(pool.run(|| ()).await, Err(Overloaded(2)));
        left.abort();
        until(&pool, |state| state.queue.len() == 1).await;
        assert_eq!(Arc::strong_count(&body), 1);
        let last = waiting(&body);
        until(&pool, |state| state.queue.len() == 2).await;
        drop(release);
        running.await.unwrap().unwrap();
        assert_eq!((stays.await.unwrap(), last.await.unwrap()), (Ok(()), Ok(())));
    }

    #[tokio::test]
    async fn threads_are_started_on_demand_up_to_the_limit_and_end_with_the_pool() {
        let pool = BlockingPool::new().threads_per_core(100).max_threads(3);
        assert_eq!(pool.0.shared.state().threads, 0);
        let jobs: Vec<_> = (0..5).map(|_| held(&pool)).collect();
        until(&pool, |state| state.threads == 3 && state.queue.len() == 2).await;
        for (release, job) in jobs {
            drop(release);
            job.await.unwrap().unwrap();
        }
        let shared = Arc::clone(&pool.0.shared);
        drop(pool);
        let ended = async {
            while shared.state().threads > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ended).await.expect("the threads end");
    }

    #[test]
    fn a_debug_build_can_have_the_threads_of_one_core() {
        let settings = Settings { threads_per_core: 5, max_threads: 64, limit_in_debug: true, ..Settings::default() };
        assert_eq!(settings.threads(), 5);
        assert_eq!(Settings { threads_per_core: 0, ..Settings::default() }.threads(), 1);
        assert_eq!(Settings { threads_per_core: 1000, ..Settings::default() }.threads(), 64);
    }
}
