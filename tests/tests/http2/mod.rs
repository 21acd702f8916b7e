//! HTTP/2 as raw frames: one body of cases, run unchanged against every provider. What the cases are follows RFC 9113 section by
//! section, and RFC 7541 where it concerns a server; h2spec has most of them too.
//!
//! `NARTHEX_CASE=word` runs only the cases whose name contains the word.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod behaviour;
mod compression;
mod fields;
mod floods;
mod frame_types;
mod frames;
mod known;
mod messages;
mod priorities;
mod settings;
mod stage;
mod streams;
mod timers;
mod windows;

macro_rules! suites {
    ($run:ident, $embedded:ident, $shared:ident: $($test:ident: $cases:path;)*) => {
        mod $embedded {
            $(#[test] fn $test() {
                narthex_tests::h2::conformance::$run(narthex_tests::Provider::Embedded, &$cases(), &super::known::KNOWN);
            })*
        }
        mod $shared {
            $(#[test] fn $test() {
                narthex_tests::h2::conformance::$run(narthex_tests::Provider::Shared, &$cases(), &super::known::KNOWN);
            })*
        }
    };
}

suites! { run, embedded, shared:
    connections_begin_and_frames_are_read_as_rfc_9113_says: super::frames::cases;
    streams_have_the_states_of_rfc_9113: super::streams::cases;
    frames_of_each_type_are_checked: super::frame_types::cases;
    settings_are_checked_and_obeyed: super::settings::cases;
    windows_are_kept: super::windows::cases;
    messages_are_framed_by_streams: super::messages::cases;
    fields_are_checked_as_strictly_as_in_http_1: super::fields::cases;
    field_blocks_are_decoded_as_rfc_7541_says: super::compression::cases;
    priorities_are_taken_and_change_nothing: super::priorities::cases;
}

// What TLS could change: how bytes arrive, and how a connection ends.
suites! { run_over_tls, embedded_tls, shared_tls:
    connections_begin_and_frames_are_read_as_rfc_9113_says: super::frames::cases;
    streams_have_the_states_of_rfc_9113: super::streams::cases;
    frames_of_each_type_are_checked: super::frame_types::cases;
    settings_are_checked_and_obeyed: super::settings::cases;
    windows_are_kept: super::windows::cases;
    priorities_are_taken_and_change_nothing: super::priorities::cases;
}
