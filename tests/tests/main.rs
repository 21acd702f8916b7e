//! Black-box suites. One program: each more links everything again.

/// Each test once per provider; the providers are the modules' names.
macro_rules! providers {
    ($($test:ident;)*) => { providers! { $($test: super::$test;)* } };
    ($($test:ident: $run:path;)*) => {
        mod embedded {
            $(#[test] fn $test() { $run(narthex_tests::Provider::Embedded); })*
        }
        mod shared {
            $(#[test] fn $test() { $run(narthex_tests::Provider::Shared); })*
        }
    };
}

/// Each test once per way to reach an app, by the function `$with`; the ways are the modules' names.
macro_rules! variants {
    (@$module:ident($provider:ident, $tls:literal, $variant:ident): $with:path; $($test:ident: $run:path;)*) => {
        mod $module {
            $(#[test] fn $test() {
                $with(narthex_tests::matrix::$variant(narthex_tests::Provider::$provider, $tls), $run);
            })*
        }
    };
    ($with:path; $($test:ident: $run:path;)*) => {
        variants! { @embedded_plain_http1(Embedded, false, with_http1): $with; $($test: $run;)* }
        variants! { @embedded_plain_http2(Embedded, false, with_http2): $with; $($test: $run;)* }
        variants! { @embedded_tls_http1(Embedded, true, with_http1): $with; $($test: $run;)* }
        variants! { @embedded_tls_http2(Embedded, true, with_http2): $with; $($test: $run;)* }
        variants! { @shared_plain_http1(Shared, false, with_http1): $with; $($test: $run;)* }
        variants! { @shared_plain_http2(Shared, false, with_http2): $with; $($test: $run;)* }
        variants! { @shared_tls_http1(Shared, true, with_http1): $with; $($test: $run;)* }
        variants! { @shared_tls_http2(Shared, true, with_http2): $with; $($test: $run;)* }
    };
}

mod any_program;
mod app_page;
mod browser;
mod caching;
mod crash;
mod dashboard;
mod failures;
mod files;
mod grpc;
mod http1;
mod http2;
mod http3;
mod isolation;
mod logging;
mod matrix;
mod operators;
mod projects;
mod provider;
mod proxies;
mod regressions;
mod responses;
mod restarts;
mod sharing;
mod streaming;
mod telemetry;
mod tls;
mod web_sockets;
