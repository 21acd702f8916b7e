//! The compatibility matrix and the hardening list: one body of tests, run by every provider, with and without TLS, over HTTP/1.1 and
//! HTTP/2. `docs/conformance.md` says what each row is, and `cargo xtask conformance matrix` prints a table of them.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod answers;
mod beyond;
mod drain;
mod general;
mod letters;
mod list;
mod memory;
mod ranges;
mod requests;
mod servers;

use narthex_tests::matrix::Variant;

/// Each test starts its own scenes.
fn alone(variant: Variant, run: fn(Variant)) {
    run(variant);
}

variants! {
    super::alone;
    the_lettered_rows_are_answered: super::letters::rows;
    a_thousand_requests_leave_nothing_behind: super::memory::rows;
    the_numbered_rows_are_answered: super::general::rows;
    what_the_matrices_do_not_have_is_answered_too: super::beyond::rows;
    parts_of_files_are_those_of_rfc_9110: super::ranges::rows;
    sec_06_a_stop_waits_for_what_runs: super::drain::what_runs_is_finished;
    a_stop_does_not_wait_for_ever: super::drain::what_takes_too_long_is_not;
    sec_07_nothing_of_a_request_is_seen_by_the_next: super::requests::sec_07;
    sec_08_every_request_ends_once: super::requests::sec_08;
    sec_13_more_header_fields_than_the_limit_are_refused: super::requests::sec_13;
    sec_14_a_longer_url_than_the_limit_is_refused: super::requests::sec_14;
    sec_15_the_router_says_which_verbs_there_are: super::requests::sec_15;
    sec_16_a_longer_body_than_the_limit_is_refused: super::requests::sec_16;
    sec_18_long_query_values_are_the_apps_to_judge: super::requests::sec_18;
    sec_19_no_line_break_gets_into_a_response: super::answers::sec_19;
    sec_20_an_app_has_no_word_in_the_connections_fields: super::answers::sec_20;
    sec_21_the_content_type_is_what_the_app_says: super::answers::sec_21;
    sec_22_23_security_fields_are_there_once: super::answers::sec_22_23;
    sec_25_an_error_of_the_app_is_told: super::servers::sec_25;
    sec_26_more_work_than_the_pool_takes_is_refused: super::servers::sec_26_pool;
    sec_27_a_stop_waits_for_the_pool_and_for_nobody_who_is_stuck: super::servers::sec_27;
    sec_31_a_panic_is_answered_without_its_text: super::answers::sec_31;
    sec_32_a_second_start_is_an_error_and_the_first_goes_on: super::servers::sec_32;
}

providers! {
    sec_01_heads_and_bodies_have_a_limit: super::requests::sec_01;
    sec_02_28_workers_are_as_many_as_asked_for_and_have_names: super::servers::sec_02_28;
    sec_03_a_certificate_that_is_not_there_keeps_an_app_from_starting: super::servers::sec_03;
    sec_05_nothing_says_what_the_server_is: super::answers::sec_05;
    sec_09_a_body_that_was_answered_is_let_go: super::servers::sec_09;
    sec_10_30_what_is_counted_comes_back_to_nothing: super::servers::sec_10_30;
    sec_11_the_first_requests_are_served_like_later_ones: super::servers::sec_11;
    sec_12_ambiguous_framing_is_refused: super::requests::sec_12;
    sec_17_a_host_has_to_be_there_and_sound: super::requests::sec_17;
    sec_26_more_requests_than_there_is_room_for_are_refused: super::servers::sec_26;
    sec_29_what_is_refused_never_reaches_the_app: super::requests::sec_29;
    sec_32_a_server_runs_once_and_restarts_when_asked_to: super::servers::sec_32_handle;
    a_forged_port_in_host_changes_nothing: super::servers::forged_port;
    a_client_that_is_too_slow_is_told_408: super::servers::slow;
    a_client_over_ipv6_is_seen_by_its_address: super::servers::ipv6;
    a_server_that_stops_can_be_started_again: super::servers::started_again;
}
