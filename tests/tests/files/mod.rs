//! Files as an app's answers, against both providers: what of them is sent, what is not, and what it costs.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod answers;
mod large;
mod passed;
mod stage;

#[test]
fn the_host_sends_what_the_app_never_reads() {
    passed::not_read();
}

#[test]
fn a_file_arrives_whole_although_its_app_has_died() {
    passed::outlives_the_app();
}

#[test]
fn a_file_that_the_cache_wants_is_kept_by_the_host() {
    passed::cached();
}

#[test]
fn hundreds_of_files_at_a_time_all_arrive() {
    passed::many();
}

providers! {
    ranges_and_conditions_are_those_of_rfc_9110: super::answers::ranges_and_conditions;
    http_2_has_the_same_ranges: super::answers::http2;
    no_path_leads_out_of_the_directory: super::answers::traversal;
    the_connection_goes_on_after_a_file: super::answers::kept_alive;
    curl_resumes_what_was_broken_off: super::answers::curl_resumes;
    a_file_of_a_gigabyte_needs_bounded_memory: super::large::a_gigabyte;
    clients_that_do_not_read_need_bounded_memory: super::large::stalled;
    a_file_that_is_cut_off_while_it_is_sent_breaks_the_connection: super::large::cut_off;
}
