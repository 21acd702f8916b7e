//! Who takes a server's place when an operator restarts its request queue (`narthex restart`).

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::Command;
use std::sync::Arc;

/// What takes the place of a server that an operator restarts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Successor {
    /// The process with this id: once it has registered with the same request queue, this server stops.
    Process(u32),
    /// The server itself, which goes on. What it stands for was restarted.
    Itself,
}

type Starting = Pin<Box<dyn Future<Output = io::Result<Successor>> + Send>>;

/// How the successor comes.
#[derive(Clone)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only hosts restart a queue"))]
pub(crate) struct StartsSuccessor(Arc<dyn Fn() -> Starting + Send + Sync>);

impl StartsSuccessor {
    pub(crate) fn by<F>(start: impl Fn() -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = io::Result<Successor>> + Send + 'static,
    {
        Self(Arc::new(move || Box::pin(start())))
    }

    #[cfg_attr(not(unix), allow(dead_code, reason = "only hosts restart a queue"))]
    pub(crate) async fn start(&self) -> io::Result<Successor> {
        (self.0)().await
    }
}

impl Default for StartsSuccessor {
    fn default() -> Self {
        Self::by(async || this_program())
    }
}

impl fmt::Debug for StartsSuccessor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StartsSuccessor")
    }
}

/// Starts the program again as it was started: the file that is there now, the same arguments, environment and directory.
fn this_program() -> io::Result<Successor> {
    let running = std::env::current_exe()?;
    // What Linux says of a file that was replaced.
    let named = running.to_str().and_then(|path| path.strip_suffix(" (deleted)")).map_or(running.clone(), PathBuf::from);
    let child = Command::new(named).args(std::env::args_os().skip(1)).spawn()?;
    Ok(Successor::Process(child.id()))
}
