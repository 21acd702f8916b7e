//! Responses made with layers of tower-http and extractors of axum-extra, in every way to reach an app: what they do by themselves
//! they do here. `docs/responses.md` says which to take.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod compression;
mod cookies;
mod cors;
mod streams;

/// Each test once per way to reach an app; the ways are the modules' names.
macro_rules! variants {
    ($($test:ident: $run:path;)*) => {
        variants! { embedded_plain_http1(Embedded, false, with_http1): $($test: $run;)* }
        variants! { embedded_plain_http2(Embedded, false, with_http2): $($test: $run;)* }
        variants! { embedded_tls_http1(Embedded, true, with_http1): $($test: $run;)* }
        variants! { embedded_tls_http2(Embedded, true, with_http2): $($test: $run;)* }
        variants! { shared_plain_http1(Shared, false, with_http1): $($test: $run;)* }
        variants! { shared_plain_http2(Shared, false, with_http2): $($test: $run;)* }
        variants! { shared_tls_http1(Shared, true, with_http1): $($test: $run;)* }
        variants! { shared_tls_http2(Shared, true, with_http2): $($test: $run;)* }
    };
    ($module:ident($provider:ident, $tls:literal, $variant:ident): $($test:ident: $run:path;)*) => {
        mod $module {
            $(#[test] fn $test() {
                let variant = narthex_tests::matrix::$variant(narthex_tests::Provider::$provider, $tls);
                $run(&narthex_tests::matrix::Scene::start(variant, &["--routes", "responses"]));
            })*
        }
    };
}

variants! {
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
