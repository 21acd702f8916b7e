//! The guides' Rust, as documentation tests: `build.rs` makes them.

include!(concat!(env!("OUT_DIR"), "/guides.rs"));
