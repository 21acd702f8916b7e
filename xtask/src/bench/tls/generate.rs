//! Which load generator makes which load: wrk for HTTP/1.1, h2load for HTTP/2, our own for handshakes and HTTP/3.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::TLS_LOAD;
use super::workload::{HANDSHAKE_LANES, Protocol, Workload};
use crate::bench::binaries::Binaries;
use crate::bench::counters::Attached;
use crate::bench::h2load;
use crate::bench::load::{self, Report};
use crate::bench::wrk;

fn openssl_configuration(directory: &Path) -> PathBuf {
    directory.join("openssl.cnf")
}

/// wrk has no options for TLS; but its OpenSSL can be told to offer nothing else than the other generators do.
pub(super) fn configure_openssl(directory: &Path) -> Result<()> {
    let text = "openssl_conf = all\n[all]\nssl_conf = ssl\n[ssl]\nsystem_default = tls\n[tls]\nMinProtocol = TLSv1.3\n\
                Ciphersuites = TLS_AES_256_GCM_SHA384\nGroups = X25519\n";
    fs::write(openssl_configuration(directory), text).context("cannot write OpenSSL's configuration")
}

/// So many seconds of `workload`. What is reported counts in its units.
pub(super) fn run(
    workload: Workload,
    binaries: &Binaries,
    port: u16,
    directory: &Path,
    seconds: u32,
    perf: Option<&Attached>,
) -> Result<Report> {
    let url = format!("https://127.0.0.1:{port}{}", workload.path());
    let report = match (workload, workload.protocol()) {
        (Workload::Small { connections, .. } | Workload::Megabyte { connections, .. }, Protocol::Http1) => {
            let openssl = openssl_configuration(directory);
            let run = wrk::Run { program: binaries.wrk(), url, connections, fresh: false, seconds, openssl: Some(&openssl) };
            run.measure(perf)?
        }
        (Workload::Small { connections, streams, .. } | Workload::Megabyte { connections, streams, .. }, Protocol::Http2) => {
            let program = binaries.h2load().context("h2load is missing")?;
            h2load::Run { program, url, connections, streams, seconds }.measure(perf)?
        }
        _ => {
            let mut command = load::command(perf);
            command.arg(binaries.path(TLS_LOAD)).args(arguments(workload, port)).args(["--seconds", &seconds.to_string()]);
            load::read_own(&load::complete("tls-load", command, seconds)?)?
        }
    };
    let units = workload.units();
    Ok(Report { requests: report.requests * units, requests_per_second: report.requests_per_second * units, ..report })
}

/// So many requests in all, for counting.
pub(super) fn fixed(workload: Workload, binaries: &Binaries, port: u16, requests: usize) -> Result<()> {
    let each = requests / workload.lanes();
    if each == 0 {
        bail!("{requests} requests are too few for {} lanes", workload.lanes());
    }
    let mut command = load::command(None);
    command.arg(binaries.path(TLS_LOAD)).args(arguments(workload, port)).args(["--each", &each.to_string()]);
    let report = load::read_own(&load::complete("tls-load", command, 300)?)?;
    if report.errors > 0 {
        bail!("{} of {requests} requests failed", report.errors);
    }
    Ok(())
}

fn arguments(workload: Workload, port: u16) -> Vec<String> {
    let words = match workload {
        Workload::Handshakes { resumed, .. } => {
            let resumed = if resumed { " --resumed" } else { "" };
            format!("handshakes --port {port} --lanes {HANDSHAKE_LANES}{resumed}")
        }
        Workload::Small { protocol, connections, streams } | Workload::Megabyte { protocol, connections, streams } => format!(
            "requests --port {port} --protocol {} --connections {connections} --streams {streams} --path {}",
            protocol.word(),
            workload.path()
        ),
    };
    words.split(' ').map(str::to_owned).collect()
}
