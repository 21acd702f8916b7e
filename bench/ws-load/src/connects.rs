//! Connections that come, say one thing and go.

use std::io::{ErrorKind, Read};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::connection::Connection;
use crate::events::Events;
use crate::frame::Frame;
use crate::opening::Opening;
use crate::tally::Tally;
use crate::target::Target;
use crate::{Bound, ECHO, Messages, timed};

/// A server that does nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(10);

/// What comes one after the other on each lane: the handshake, a message, a Close, and the server's end of the connection.
enum Stage {
    Opening(Opening),
    Echoing(Connection),
    Closing(Connection),
    /// The Close was answered: the server closes first (RFC 6455 section 7.1.1).
    Ending(Connection),
}

struct Lane {
    stage: Option<Stage>,
    began: Instant,
    /// Connections that it has still to make.
    left: usize,
}

pub(crate) fn run(messages: &Messages) -> Result<Tally> {
    let target = Target::new(messages.port, ECHO);
    let (message, close) = (Frame::of_size(messages.size), Frame::close());
    let (end, each) = match messages.bound()? {
        Bound::Lasting(time) => (Some(Instant::now() + time), usize::MAX),
        Bound::Each(count) => (None, count),
    };
    let over = || end.is_some_and(|end| Instant::now() >= end);
    let mut events = Events::new()?;
    let mut lanes = Vec::with_capacity(messages.connections);
    for index in 0..messages.connections {
        lanes.push(Lane { stage: Some(begin(&target, index, &events)?), began: Instant::now(), left: each });
    }
    timed(|tally| {
        let mut busy = lanes.len();
        while busy > 0 && !over() {
            let ready: Vec<usize> = events.wait(SILENCE)?.collect();
            if ready.is_empty() {
                bail!("nothing has happened for {} s", SILENCE.as_secs());
            }
            for index in ready {
                let Some(lane) = lanes.get_mut(index) else { continue };
                if !lane.advance(&target, &message, &close)? {
                    continue;
                }
                tally.add(lane.began);
                lane.left -= 1;
                if lane.left == 0 {
                    busy -= 1;
                    continue;
                }
                lane.began = Instant::now();
                lane.stage = Some(begin(&target, index, &events)?);
            }
        }
        Ok(())
    })
}

fn begin(target: &Target, index: usize, events: &Events) -> Result<Stage> {
    let opening = Opening::start(target, 0)?;
    events.add(index, &opening.transport)?;
    Ok(Stage::Opening(opening))
}

impl Lane {
    /// Goes on as far as that goes without waiting; true when its connection is over.
    fn advance(&mut self, target: &Target, message: &Frame, close: &Frame) -> Result<bool> {
        let mut buffer = vec![0; message.expected.len().max(256)];
        loop {
            let Some(stage) = self.stage.take() else { return Ok(false) };
            let (next, goes_on) = match stage {
                Stage::Opening(mut opening) => {
                    if opening.advance(target)? {
                        (Stage::Echoing(opening.finish()?), true)
                    } else {
                        (Stage::Opening(opening), false)
                    }
                }
                Stage::Echoing(mut connection) => {
                    if connection.advance(message, &mut buffer)? {
                        (Stage::Closing(connection), true)
                    } else {
                        (Stage::Echoing(connection), false)
                    }
                }
                Stage::Closing(mut connection) => {
                    if connection.advance(close, &mut buffer).context("the answer to a Close")? {
                        (Stage::Ending(connection), true)
                    } else {
                        (Stage::Closing(connection), false)
                    }
                }
                Stage::Ending(mut connection) => match connection.transport.read(&mut buffer) {
                    Ok(0) => return Ok(true),
                    Ok(_) => bail!("something comes behind a Close"),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => (Stage::Ending(connection), false),
                    Err(error) => return Err(error).context("the end of a connection"),
                },
            };
            self.stage = Some(next);
            if !goes_on {
                return Ok(false);
            }
        }
    }
}
