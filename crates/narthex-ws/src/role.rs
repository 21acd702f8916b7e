//! Which end of a connection this is.

/// The end of a connection. Clients mask what they send and servers do not, RFC 6455 section 5.1; in all else they are equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// The end that was connected to.
    Server,
    /// The end that connected.
    Client,
}

impl Role {
    /// The other end.
    pub const fn peer(self) -> Self {
        match self {
            Self::Server => Self::Client,
            Self::Client => Self::Server,
        }
    }
}
