//! Devices that all come at once, and all come back at once when the server is gone: each at the moment it notices, and again at once
//! when it is refused.

use std::collections::{BTreeMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use crate::crowd::{Crowd, News};
use crate::frame::Frame;
use crate::opening::Refusal;
use crate::target::Target;

/// Nothing more is waited for after this time.
const LONGEST: Duration = Duration::from_secs(60);

/// When all are served and nobody has left for so long, the storm is over.
const CALM: Duration = Duration::from_millis(500);

/// Served is who got a 101 and the echo of a message.
struct Storm {
    began: Instant,
    /// Those who wait to be served, by when they began to.
    waiting: BTreeMap<usize, Instant>,
    /// How long each waited that was served.
    waited: Vec<Duration>,
    last_served: Instant,
    refusals: BTreeMap<String, u64>,
    refused: HashSet<usize>,
}

/// Says `open` and what the first storm was like, then waits for the server to go, and says what the second was like.
pub(crate) fn run(target: Target, devices: usize) -> Result<()> {
    let mut crowd = Crowd::new(target, devices)?;
    let mut again: Vec<usize> = (0..devices).collect();
    let mut first = Storm::new();
    first.waiting = again.iter().map(|&index| (index, first.began)).collect();
    first.rage(&mut crowd, &mut again)?;
    println!("open {}", first.report());
    if !first.waiting.is_empty() {
        bail!("{} devices were not served within {} s", first.waiting.len(), LONGEST.as_secs());
    }

    let waiting_since = Instant::now();
    let mut second = Storm::new();
    while second.waiting.is_empty() {
        if waiting_since.elapsed() > LONGEST {
            bail!("the server did not go within {} s", LONGEST.as_secs());
        }
        let happened = crowd.wait(Duration::from_millis(100), &Frame::none())?;
        second.began = Instant::now();
        for (index, news) in happened {
            second.hear(index, news, &mut crowd, &mut again);
        }
    }
    second.rage(&mut crowd, &mut again)?;
    println!("back {}", second.report());
    Ok(())
}

impl Storm {
    fn new() -> Self {
        let began = Instant::now();
        Self {
            began,
            waiting: BTreeMap::new(),
            waited: Vec::new(),
            last_served: began,
            refusals: BTreeMap::new(),
            refused: HashSet::new(),
        }
    }

    /// Until it is over. `again` are those who are to connect.
    fn rage(&mut self, crowd: &mut Crowd, again: &mut Vec<usize>) -> Result<()> {
        let frame = message();
        while self.began.elapsed() < LONGEST && (!self.waiting.is_empty() || self.last_served.elapsed() < CALM) {
            for index in std::mem::take(again) {
                if let Err(refusal) = crowd.start(index) {
                    self.hear(index, News::Refused(refusal), crowd, again);
                }
            }
            let limit = if again.is_empty() { Duration::from_millis(50) } else { Duration::ZERO };
            for (index, news) in crowd.wait(limit, &frame)? {
                self.hear(index, news, crowd, again);
            }
        }
        Ok(())
    }

    fn hear(&mut self, index: usize, news: News, crowd: &mut Crowd, again: &mut Vec<usize>) {
        let refusal = match news {
            News::Open => {
                if let Some(news) = crowd.ask(index, &message()) {
                    self.hear(index, news, crowd, again);
                }
                return;
            }
            News::Echoed => {
                self.last_served = Instant::now();
                if let Some(since) = self.waiting.remove(&index) {
                    self.waited.push(since.elapsed());
                }
                return;
            }
            News::Lost => {
                self.waiting.entry(index).or_insert_with(Instant::now);
                again.push(index);
                return;
            }
            News::Dropped => "dropped".to_owned(),
            News::Refused(Refusal::Kernel(_)) => "kernel".to_owned(),
            News::Refused(Refusal::Closed) => "closed".to_owned(),
            News::Refused(Refusal::Answered(head)) => status(&head),
        };
        *self.refusals.entry(refusal).or_default() += 1;
        self.refused.insert(index);
        again.push(index);
    }

    /// A line of names and values; the refusals are by kind, with the number of attempts.
    fn report(&mut self) -> String {
        self.waited.sort_unstable();
        let at = |share: f64| {
            let index = (self.waited.len() as f64 * share) as usize;
            self.waited.get(index).or(self.waited.last()).copied().unwrap_or_default().as_secs_f64()
        };
        let kinds: Vec<String> = self.refusals.iter().map(|(kind, count)| format!("{kind}={count}")).collect();
        format!(
            "served {} unserved {} seconds {:.3} p50 {:.3} p99 {:.3} devices_refused {} refusals {} kinds {}",
            self.waited.len(),
            self.waiting.len(),
            (self.last_served - self.began).as_secs_f64(),
            at(0.5),
            at(0.99),
            self.refused.len(),
            self.refusals.values().sum::<u64>(),
            if kinds.is_empty() { "none".to_owned() } else { kinds.join(",") }
        )
    }
}

fn message() -> Frame {
    Frame::of_size(16)
}

/// `503` of `HTTP/1.1 503 Service Unavailable`.
fn status(head: &str) -> String {
    head.split_whitespace().nth(1).unwrap_or("nonsense").to_owned()
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;

    use super::*;

    /// Answers one handshake with `head`, then reads until the client has gone.
    fn answer_one(listener: &TcpListener, head: &str) {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 1024];
        let _ = stream.read(&mut request).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        if head.contains(" 101 ") {
            let mut message = [0; 22];
            stream.read_exact(&mut message).unwrap();
            stream.write_all(&Frame::of_size(16).expected).unwrap();
            let _ = stream.read(&mut request);
        }
    }

    #[test]
    fn who_is_refused_comes_again_and_the_refusal_is_counted_by_its_status() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let target = Target::new(listener.local_addr().unwrap().port(), "/");
        let server = std::thread::spawn(move || {
            answer_one(&listener, "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n");
            answer_one(&listener, "HTTP/1.1 101 X\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
        });
        let mut crowd = Crowd::new(target, 1).unwrap();
        let mut storm = Storm::new();
        storm.waiting = BTreeMap::from([(0, storm.began)]);
        storm.rage(&mut crowd, &mut vec![0]).unwrap();
        let report = storm.report();
        assert!(report.contains("served 1 unserved 0 "), "{report}");
        assert!(report.contains(" devices_refused 1 refusals 1 kinds 503=1"), "{report}");
        drop(crowd);
        server.join().unwrap();
    }
}
