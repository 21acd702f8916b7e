//! Responses made with layers of tower-http and extractors of axum-extra, in every way to reach an app: what they do by themselves
//! they do here. `docs/responses.md` says which to take.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod compression;
mod cookies;
mod cors;
mod streams;

use narthex_tests::matrix::{Scene, Variant};

fn in_a_scene(variant: Variant, run: fn(&Scene)) {
    run(&Scene::start(variant, &["--routes", "responses"]));
}

variants! {
    super::in_a_scene;
    a_response_is_compressed_as_the_client_likes_best: super::compression::chosen;
    what_is_compressed_is_what_was_said: super::compression::whole;
    what_would_not_gain_is_not_compressed: super::compression::left_alone;
    only_pages_of_known_origins_read_with_credentials: super::cors::friends;
    a_preflight_says_what_is_allowed: super::cors::preflight;
    each_cookie_has_a_line_of_its_own: super::cookies::lines;
    a_cookie_that_was_tampered_with_is_none: super::cookies::sealed;
    trailers_come_after_the_body: super::streams::trailers;
    early_hints_come_before_the_response: super::streams::hints;
    pieces_come_as_they_are_made: super::streams::piecewise;
    fields_come_as_they_were_set: super::streams::fields;
}
