//! Files as responses: [`SendFile`] for one, [`StaticDir`] for all below a directory. Ranges, conditions, entity tags, names in any
//! script, compressed siblings.
//!
//! Behind a host, a file on a local disk is passed as a descriptor: the host sends it, in the app no byte of it is read, and the
//! client gets it whole even if the app ends meanwhile. Needs the feature `files`.

mod body;
mod conditions;
mod directory;
mod disposition;
mod encoding;
mod error;
mod path;
mod ranges;
mod root;
mod send;
mod tag;

pub use body::FileBody;
pub use directory::{NoFallback, StaticDir};
pub use error::FileError;
pub use root::Symlinks;
pub use send::SendFile;
pub use tag::EntityTag;
