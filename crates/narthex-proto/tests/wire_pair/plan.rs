//! What shall happen to each request, by chance.

use fastrand::Rng;
use narthex_proto::wire::{BodyLength, INITIAL_WINDOW};

/// What shall happen to a request.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) has_body: bool,
    pub(crate) declared: bool,
    pub(crate) expect: bool,
    pub(crate) upgrade: bool,
    pub(crate) accept: bool,
    /// The app ends its response without waiting for the body.
    pub(crate) early: bool,
    pub(crate) request_bytes: usize,
    pub(crate) response_bytes: usize,
    pub(crate) request_trailers: bool,
    pub(crate) response_trailers: bool,
    pub(crate) host_cancels: bool,
    pub(crate) app_cancels: bool,
    /// Parts of the response are fragments, which the host may have or not.
    pub(crate) fragments: bool,
}

impl Plan {
    pub(crate) fn random(rng: &mut Rng) -> Self {
        let upgrade = rng.u8(..5) == 0;
        let accept = upgrade && rng.bool();
        let has_body = !upgrade && rng.bool();
        let size = |rng: &mut Rng| match rng.u8(..24) {
            0 => rng.usize(..3 * INITIAL_WINDOW as usize),
            1..6 => rng.usize(..20_000),
            6..10 => 0,
            _ => rng.usize(..300),
        };
        let request_bytes = size(rng);
        Self {
            has_body,
            declared: rng.bool(),
            expect: rng.u8(..4) == 0,
            upgrade,
            accept,
            early: rng.u8(..4) == 0,
            request_bytes: if has_body || accept { request_bytes } else { 0 },
            response_bytes: size(rng),
            request_trailers: has_body && rng.u8(..4) == 0,
            response_trailers: !accept && rng.u8(..4) == 0,
            host_cancels: rng.u8(..8) == 0,
            app_cancels: rng.u8(..8) == 0,
            fragments: !accept && rng.bool(),
        }
    }

    pub(crate) fn length(&self) -> BodyLength {
        match (self.has_body, self.declared) {
            (false, _) => BodyLength::None,
            (true, true) => BodyLength::Exact(self.request_bytes as u64),
            (true, false) => BodyLength::Unknown,
        }
    }
}
