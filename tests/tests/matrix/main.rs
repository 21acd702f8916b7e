//! The compatibility matrix and the hardening list: one body of tests, run by every provider, with and without TLS, over HTTP/1.1 and
//! HTTP/2. `docs/conformance.md` says what each row is, and `cargo xtask conformance matrix` prints a table of them.
#![allow(clippy::disallowed_methods, reason = "black-box tests wait for real processes, in real time")]

mod beyond;
mod drain;
mod general;
mod letters;
mod memory;

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
                $run(narthex_tests::matrix::$variant(narthex_tests::Provider::$provider, $tls));
            })*
        }
    };
}

/// Each test once per provider: what it does fits one version of HTTP only, or none.
macro_rules! both {
    ($($test:ident: $run:path;)*) => {
        mod embedded {
            $(#[test] fn $test() { $run(narthex_tests::Provider::Embedded); })*
        }
        mod shared {
            $(#[test] fn $test() { $run(narthex_tests::Provider::Shared); })*
        }
    };
}

variants! {
    the_lettered_rows_are_answered: super::letters::rows;
    a_thousand_requests_leave_nothing_behind: super::memory::rows;
    the_numbered_rows_are_answered: super::general::rows;
    what_the_matrices_do_not_have_is_answered_too: super::beyond::rows;
    sec_06_a_stop_waits_for_what_runs: super::drain::what_runs_is_finished;
    a_stop_does_not_wait_for_ever: super::drain::what_takes_too_long_is_not;
}

both! {}
