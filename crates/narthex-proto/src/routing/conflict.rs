//! Why a prefix cannot be added to a table.

use crate::prefix::{Scheme, UrlPrefix};

/// Why a prefix cannot be registered or reserved.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Conflict {
    /// The same prefix is registered.
    #[error(
        "{prefix} is already registered, as {existing}: stop the app that has it, or register another path \
         (narthex show servicestate tells which app it is)"
    )]
    Registered {
        /// What was to be registered.
        prefix: UrlPrefix,
        /// What is registered; it may differ in case.
        existing: UrlPrefix,
    },
    /// The same prefix is reserved.
    #[error("{prefix} is already reserved, as {existing}: delete that reservation first to change who may register")]
    Reserved {
        /// What was to be reserved.
        prefix: UrlPrefix,
        /// What is reserved; it may differ in case.
        existing: UrlPrefix,
    },
    /// The port is used for the other scheme; a port speaks either http or https.
    #[error(
        "{prefix} cannot share port {} with {existing}: the port already speaks {scheme}; use {scheme} or another port",
        prefix.port()
    )]
    Scheme {
        /// What was to be added.
        prefix: UrlPrefix,
        /// One of the registrations or reservations on the port.
        existing: UrlPrefix,
        /// The scheme the port has.
        scheme: Scheme,
    },
}

impl Conflict {
    /// What was to be added.
    pub fn prefix(&self) -> &UrlPrefix {
        match self {
            Self::Registered { prefix, .. } | Self::Reserved { prefix, .. } | Self::Scheme { prefix, .. } => prefix,
        }
    }

    /// What stands in its way.
    pub fn existing(&self) -> &UrlPrefix {
        match self {
            Self::Registered { existing, .. } | Self::Reserved { existing, .. } | Self::Scheme { existing, .. } => existing,
        }
    }
}
