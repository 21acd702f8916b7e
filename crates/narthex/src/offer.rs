//! How a body tells the provider that a part of it need not be sent as bytes, however deep in other bodies it is, and without harm if
//! one of those changes what passes through it.
//!
//! While the provider asks a response's body for a frame, a [`Composed`](crate::Composed) or a file that is asked in turn answers with
//! an empty frame that is an offer: the memory it points to is known. If the provider gets that very frame, all bodies in
//! between hand frames on as they are, and it takes the offer: the host is asked for the fragment, or the file is sent. If it gets anything else,
//! because a body in between has compressed or collected what it got, nothing is lost, since the frame was empty: the body is
//! asked again and gives its bytes. A body that is not asked by the provider at all gives its bytes at once.

use std::cell::RefCell;
use std::fs::File;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::{Buf, Bytes};

/// A part of a fragment.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// A path below the app's prefix, or a URL.
    #[cfg_attr(not(unix), allow(dead_code, reason = "only hosts have fragments"))]
    pub(crate) name: Arc<str>,
    pub(crate) offset: u64,
    /// `None` is to the end.
    pub(crate) length: Option<u64>,
}

/// What a body offers instead of bytes.
#[derive(Clone, Debug)]
pub(crate) enum Offering {
    /// What the host may have.
    Fragment(Part),
    /// The whole body.
    #[cfg_attr(not(feature = "files"), expect(dead_code, reason = "only files are files"))]
    File(FilePart),
}

/// A part of a file.
#[derive(Clone, Debug)]
pub(crate) struct FilePart {
    pub(crate) file: Arc<File>,
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

thread_local! {
    static SLOT: RefCell<Slot> = const { RefCell::new(Slot::Closed) };
}

enum Slot {
    /// Nobody looks.
    Closed,
    /// The provider asks a body.
    Open,
    Made(Offer),
}

const OPEN: u8 = 0;
const TAKEN: u8 = 1;
const SENT: u8 = 2;
const MISSING: u8 = 3;
const WITHDRAWN: u8 = 4;

#[derive(Debug)]
struct Deal {
    what: Offering,
    state: AtomicU8,
}

/// What a body has offered and the provider has not looked at.
pub(crate) struct Offer {
    deal: Arc<Deal>,
    /// Keeps the frame's address from being used again.
    memory: Bytes,
}

/// Runs `poll`, and returns what a body in it has offered.
pub(crate) fn watch<R>(poll: impl FnOnce() -> R) -> (R, Option<Offer>) {
    SLOT.replace(Slot::Open);
    let polled = poll();
    match SLOT.replace(Slot::Closed) {
        Slot::Made(offer) => (polled, Some(offer)),
        Slot::Closed | Slot::Open => (polled, None),
    }
}

impl Offer {
    /// Takes the offer, if `data` is the frame that it was made with and it has not been withdrawn.
    pub(crate) fn take(self, data: &impl Buf) -> Option<Claim> {
        let same = data.remaining() == 0 && std::ptr::eq(data.chunk().as_ptr(), self.memory.as_ptr());
        let taken = same && self.deal.state.compare_exchange(OPEN, TAKEN, Ordering::AcqRel, Ordering::Acquire).is_ok();
        taken.then_some(Claim(self.deal))
    }
}

/// An offer that the provider has taken.
#[derive(Debug)]
pub(crate) struct Claim(Arc<Deal>);

impl Claim {
    pub(crate) fn what(&self) -> &Offering {
        &self.0.what
    }

    /// Says whether it was sent. The body is to be asked again.
    pub(crate) fn settle(self, sent: bool) {
        self.0.state.store(if sent { SENT } else { MISSING }, Ordering::Release);
    }
}

/// The body's end of an offer.
#[derive(Debug)]
pub(crate) struct Offered(Arc<Deal>);

/// What has become of an offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The client has the part.
    Sent,
    /// The body has to give the bytes.
    Refused,
    /// It has been taken, and that is not known yet.
    Open,
}

impl Offered {
    /// Looks what has become of the offer. One that nobody has taken by now nobody can take any more.
    pub(crate) fn outcome(&self) -> Outcome {
        let state = &self.0.state;
        match state.compare_exchange(OPEN, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire) {
            Err(SENT) => Outcome::Sent,
            Err(TAKEN) => Outcome::Open,
            _ => Outcome::Refused,
        }
    }
}

/// Offers a part to the provider, if it is the one who asks. What is returned is the empty frame, and how the body learns
/// what became of it.
pub(crate) fn make(what: impl FnOnce() -> Offering) -> Option<(Bytes, Offered)> {
    SLOT.with_borrow_mut(|slot| {
        if !matches!(slot, Slot::Open) {
            return None;
        }
        let deal = Arc::new(Deal { what: what(), state: AtomicU8::new(OPEN) });
        let memory = Bytes::from(vec![0]);
        let frame = memory.slice(..0);
        *slot = Slot::Made(Offer { deal: Arc::clone(&deal), memory });
        Some((frame, Offered(deal)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part() -> Offering {
        Offering::Fragment(Part { name: "/x".into(), offset: 0, length: None })
    }

    #[test]
    fn only_the_very_frame_takes_an_offer() {
        let (made, offer) = watch(|| make(part));
        let (frame, offered) = made.unwrap();
        let claim = offer.unwrap().take(&frame).unwrap();
        assert_eq!(offered.outcome(), Outcome::Open);
        claim.settle(true);
        assert_eq!(offered.outcome(), Outcome::Sent);
        for other in [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![0]).slice(..0)] {
            let (made, offer) = watch(|| make(part));
            assert!(offer.unwrap().take(&other).is_none());
            assert_eq!(made.unwrap().1.outcome(), Outcome::Refused);
        }
    }

    #[test]
    fn an_offer_is_withdrawn_by_asking_what_became_of_it() {
        let (made, offer) = watch(|| make(part));
        let (frame, offered) = made.unwrap();
        assert_eq!(offered.outcome(), Outcome::Refused);
        assert!(offer.unwrap().take(&frame).is_none());
    }

    #[test]
    fn nothing_is_offered_where_nobody_looks_nor_twice() {
        assert!(make(part).is_none());
        let (second, _) = watch(|| {
            make(part).unwrap();
            make(part)
        });
        assert!(second.is_none());
        assert!(make(part).is_none());
    }
}
