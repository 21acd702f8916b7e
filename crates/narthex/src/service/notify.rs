//! What the process's servers come to, all together, as the service manager is told of it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::lifecycle::{Event, ServerId};

/// Beside the requests' own time: closing what is left, and the process's end.
const CLOSING: Duration = Duration::from_secs(5);

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Ready,
    Reloading,
    /// Everything ends within this time.
    Stopping(Duration),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Starting,
    Ready,
    Stopping(Duration),
}

/// The process's servers, and what was told of them.
#[derive(Debug, Default)]
struct Servers {
    alive: HashMap<ServerId, Phase>,
    told: Option<State>,
}

impl Servers {
    fn take(&mut self, server: ServerId, event: Event) -> Option<State> {
        match event {
            Event::Starting | Event::Restarting => _ = self.alive.insert(server, Phase::Starting),
            Event::Ready => _ = self.alive.insert(server, Phase::Ready),
            Event::Stopping(within) => _ = self.alive.insert(server, Phase::Stopping(within)),
            // What is left says nothing new: an app whose last server has ended does something else, or ends.
            Event::Ended => _ = self.alive.remove(&server),
        }
        let state = self.state(event)?;
        self.told = Some(state);
        Some(state)
    }

    /// What the event makes of all servers together, if that is to be told.
    fn state(&self, event: Event) -> Option<State> {
        let phases = || self.alive.values().copied();
        let longest = phases().map(|phase| if let Phase::Stopping(within) = phase { Some(within) } else { None });
        // A process that has said that it stops says nothing else.
        let longest = longest.collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        match (self.told, event) {
            (Some(State::Stopping(_)), _) => None,
            (_, Event::Stopping(_)) => longest.map(|longest| State::Stopping(longest + CLOSING)),
            (Some(State::Ready), Event::Restarting) => Some(State::Reloading),
            (Some(State::Ready), _) => None,
            (_, Event::Ready) => phases().all(|phase| phase != Phase::Starting).then_some(State::Ready),
            _ => None,
        }
    }
}

/// What tells `to` whenever the process's servers together come to something else.
pub(super) fn told(to: impl Fn(State) + Send + Sync + 'static) -> impl Fn(ServerId, Event) + Send + Sync + 'static {
    let servers = Mutex::new(Servers::default());
    move |server, event| {
        // Told under the lock, so that it is told in order.
        let mut servers = servers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(state) = servers.take(server, event) {
            to(state);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told_of(events: &[(usize, Event)]) -> Vec<State> {
        let (ids, mut servers) = ([ServerId::new(), ServerId::new()], Servers::default());
        events.iter().filter_map(|(which, event)| servers.take(ids[*which], *event)).collect()
    }

    const TEN: Duration = Duration::from_secs(10);
    const TWENTY: Duration = Duration::from_secs(20);
    use Event::{Ended, Ready, Restarting, Starting, Stopping};

    #[test]
    fn a_server_is_ready_and_stops() {
        let all = [(0, Starting), (0, Ready), (0, Stopping(TEN)), (0, Ended)];
        assert_eq!(told_of(&all), [State::Ready, State::Stopping(TEN + CLOSING)]);
    }

    const TWO: [(usize, Event); 4] = [(0, Starting), (1, Starting), (1, Ready), (0, Ready)];

    #[test]
    fn an_app_with_several_servers_is_ready_with_the_last_of_them() {
        assert_eq!(told_of(&TWO[..3]), []);
        assert_eq!(told_of(&TWO), [State::Ready]);
    }

    #[test]
    fn an_app_stops_when_all_its_servers_do() {
        let of_two = |rest: &[(usize, Event)]| told_of(&[&TWO[..], rest].concat())[1..].to_vec();
        assert_eq!(of_two(&[(0, Stopping(TEN))]), []);
        assert_eq!(of_two(&[(0, Stopping(TWENTY)), (1, Stopping(TEN))]), [State::Stopping(TWENTY + CLOSING)]);
        assert_eq!(of_two(&[(0, Stopping(TEN)), (0, Ended)]), [], "one of two has ended, and the other goes on");
        assert_eq!(of_two(&[(0, Stopping(TEN)), (0, Ended), (1, Stopping(TEN))]), [State::Stopping(TEN + CLOSING)]);
    }

    #[test]
    fn a_restart_is_a_reload() {
        let once = [(0, Starting), (0, Ready), (0, Restarting), (0, Ready)];
        assert_eq!(told_of(&once), [State::Ready, State::Reloading, State::Ready]);
        let both = [&TWO[..], &[(0, Restarting), (1, Restarting), (0, Ready), (1, Ready)]].concat();
        assert_eq!(told_of(&both), [State::Ready, State::Reloading, State::Ready]);
    }

    #[test]
    fn a_server_that_is_refused_is_never_ready() {
        assert_eq!(told_of(&[(0, Starting), (0, Ended)]), []);
    }
}
