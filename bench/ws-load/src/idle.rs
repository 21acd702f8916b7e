//! Connections that are there.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::crowd::{Crowd, News};
use crate::frame::Frame;
use crate::target::Target;

/// So many handshakes, and so many messages, are under way at a time.
const LANES: usize = 64;

/// A server that does nothing for so long has failed.
const SILENCE: Duration = Duration::from_secs(20);

/// By itself it ends after so long.
const LONGEST: Duration = Duration::from_secs(900);

/// Says `open` when all have shaken hands, and `used` when, after the file `then` has appeared, each has echoed 1 KiB.
pub(crate) fn run(target: Target, connections: usize, then: Option<&Path>) -> Result<()> {
    let began = Instant::now();
    let frame = Frame::of_size(1024);
    let mut crowd = Crowd::new(target, connections)?;
    each(&mut crowd, &frame, |crowd, index| Ok(crowd.start(index).map(|()| None)?))?;
    println!("open");
    still_until(&mut crowd, || then.is_none_or(Path::exists) || began.elapsed() > LONGEST)?;
    each(&mut crowd, &frame, |crowd, index| Ok(crowd.ask(index, &frame)))?;
    println!("used");
    still_until(&mut crowd, || began.elapsed() > LONGEST)
}

/// Lets `begin` begin something on each connection, and waits until all of it is done. It may be done at once.
fn each(crowd: &mut Crowd, frame: &Frame, begin: impl Fn(&mut Crowd, usize) -> Result<Option<News>>) -> Result<()> {
    let (mut begun, mut done) = (0, 0);
    let mut last = Instant::now();
    while done < crowd.len() {
        while begun < crowd.len() && begun - done < LANES {
            if let Some(news) = begin(crowd, begun)? {
                succeeded(news)?;
                done += 1;
            }
            begun += 1;
        }
        for (_, news) in crowd.wait(Duration::from_secs(1), frame)? {
            succeeded(news)?;
            done += 1;
            last = Instant::now();
        }
        if last.elapsed() > SILENCE {
            bail!("{done} of {} connections, then nothing for {} s", crowd.len(), SILENCE.as_secs());
        }
    }
    Ok(())
}

/// Answers pings: whoever does not is cut off.
fn still_until(crowd: &mut Crowd, over: impl Fn() -> bool) -> Result<()> {
    while !over() {
        for (_, news) in crowd.wait(Duration::from_millis(50), &Frame::none())? {
            succeeded(news)?;
        }
    }
    Ok(())
}

fn succeeded(news: News) -> Result<()> {
    match news {
        News::Open | News::Echoed => Ok(()),
        News::Refused(refusal) => Err(refusal.into()),
        News::Dropped | News::Lost => bail!("the server has closed a connection"),
    }
}
