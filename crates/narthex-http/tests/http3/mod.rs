//! HTTP/3 by a client of another make: the `h3` crate.

mod side;
mod streams;
mod whole;
