//! Which host a question goes to.

use narthex_host::admin::{AdminError, Answer, Client, Question};
use narthex_http::rendezvous;

use crate::args::SocketArgument;

/// Connects to the host at `socket`, else to the one that an app of this user would find.
pub(crate) fn connect(socket: &SocketArgument) -> Result<Client, AdminError> {
    let places = socket.socket.as_ref().map_or_else(rendezvous::candidates, |socket| vec![socket.clone()]);
    let mut first_failure = None;
    for place in &places {
        match Client::connect(place) {
            Ok(client) => return Ok(client),
            Err(failure @ AdminError::NoHost(_)) => _ = first_failure.get_or_insert(failure),
            Err(failure) => return Err(failure),
        }
    }
    Err(first_failure.unwrap_or_else(|| AdminError::NoHost(rendezvous::own_socket())))
}

/// Asks one of netsh's verbs.
pub(crate) fn ask(socket: &SocketArgument, question: &Question) -> Result<Answer, AdminError> {
    connect(socket)?.question(question)
}
