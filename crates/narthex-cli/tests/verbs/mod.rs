//! The verbs as an operator meets them: the built binary against a host that gives canned answers.

mod commands;
mod documents;
mod exits;
mod fake_host;
mod shows;
mod sslcert;
