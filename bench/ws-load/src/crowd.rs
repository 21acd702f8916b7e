//! Very many connections that come at once and then say little: those of [`idle`](crate::idle) and of [`storm`](crate::storm).

use std::time::Duration;

use anyhow::{Context, Result};

use crate::connection::Connection;
use crate::events::Events;
use crate::frame::Frame;
use crate::opening::{Opening, Refusal};
use crate::target::Target;

pub(crate) struct Crowd {
    target: Target,
    members: Vec<Member>,
    events: Events,
    buffer: Vec<u8>,
}

enum Member {
    Away,
    Opening(Opening),
    /// Has shaken hands, and waits for the echo of its message.
    Asking(Connection),
    /// Says nothing but pongs.
    Still(Connection),
}

/// What has become of a member.
#[derive(Debug)]
pub(crate) enum News {
    Open,
    Echoed,
    /// It was not taken.
    Refused(Refusal),
    /// It was taken, and is gone before its message was echoed.
    Dropped,
    /// It was still, and is gone.
    Lost,
}

impl Crowd {
    pub(crate) fn new(target: Target, size: usize) -> Result<Self> {
        let members = (0..size).map(|_| Member::Away).collect();
        Ok(Self { target, members, events: Events::new()?, buffer: vec![0; 4096] })
    }

    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// Begins a connection in place of the one that `index` has.
    pub(crate) fn start(&mut self, index: usize) -> Result<(), Refusal> {
        let Some(member) = self.members.get_mut(index) else { return Ok(()) };
        *member = Member::Away;
        let opening = Opening::start(&self.target, index)?;
        self.events.add(index, &opening.transport).map_err(|error| Refusal::Kernel(std::io::Error::other(error)))?;
        *member = Member::Opening(opening);
        Ok(())
    }

    /// Sends a message on a connection that is still.
    pub(crate) fn ask(&mut self, index: usize, frame: &Frame) -> Option<News> {
        let member = self.members.get_mut(index)?;
        let Member::Still(connection) = std::mem::replace(member, Member::Away) else { return None };
        *member = Member::Asking(connection);
        self.advance(index, frame)
    }

    /// What happens within `limit`, where the messages in flight are `frame`.
    pub(crate) fn wait(&mut self, limit: Duration, frame: &Frame) -> Result<Vec<(usize, News)>> {
        let ready: Vec<usize> = self.events.wait(limit).context("waiting for connections")?.collect();
        Ok(ready.into_iter().filter_map(|index| Some((index, self.advance(index, frame)?))).collect())
    }

    fn advance(&mut self, index: usize, frame: &Frame) -> Option<News> {
        let member = self.members.get_mut(index)?;
        let (next, news) = match std::mem::replace(member, Member::Away) {
            Member::Away => (Member::Away, None),
            Member::Opening(mut opening) => match opening.advance(&self.target) {
                Ok(false) => (Member::Opening(opening), None),
                Ok(true) => match opening.finish() {
                    Ok(connection) => (Member::Still(connection), Some(News::Open)),
                    Err(_) => (Member::Away, Some(News::Dropped)),
                },
                Err(refusal) => (Member::Away, Some(News::Refused(refusal))),
            },
            Member::Asking(mut connection) => match connection.advance(frame, &mut self.buffer) {
                Ok(false) => (Member::Asking(connection), None),
                Ok(true) => (Member::Still(connection), Some(News::Echoed)),
                Err(_) => (Member::Away, Some(News::Dropped)),
            },
            Member::Still(mut connection) => match connection.receive(&Frame::none(), &mut self.buffer) {
                Ok(_) => (Member::Still(connection), None),
                Err(_) => (Member::Away, Some(News::Lost)),
            },
        };
        *member = next;
        news
    }
}
