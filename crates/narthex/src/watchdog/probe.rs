//! The probe: a client of the server's own ports.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use narthex_http::addresses;
use narthex_proto::prefix::UrlPrefix;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::error::Error;
use crate::lifetime::ServerHandle;

/// Between two tries of one probe.
const PAUSE: Duration = Duration::from_millis(100);

/// Probes the server after each `interval` until it does not answer within `limit`, and says so. Sets `answered` when it has
/// answered.
pub(crate) async fn probing(server: ServerHandle, interval: Duration, limit: Duration, answered: Arc<AtomicBool>) -> Error {
    // A host may listen elsewhere than one would think: only a port of its that has answered before is to answer.
    let mut known = BTreeSet::new();
    loop {
        sleep(interval).await;
        if !server.is_reachable() {
            continue;
        }
        for (port, ips) in ports(&server.prefixes()) {
            if timeout(limit, until_answered(port, &ips)).await.is_ok() {
                known.insert(port);
                answered.store(true, Ordering::Relaxed);
                continue;
            }
            // It may have gone while it was asked: a host that is away is waited for, and a port that is not the server's any more
            // need not answer.
            let is_served = server.is_reachable() && ports(&server.prefixes()).contains_key(&port);
            if is_served && (!server.is_behind_host() || known.contains(&port)) {
                let ip = ips.first().copied().unwrap_or(Ipv4Addr::LOCALHOST.into());
                return Error::Unresponsive { address: SocketAddr::new(ip, port), within: limit };
            }
        }
    }
}

/// The ports, and where on this machine each is to be reached.
fn ports(prefixes: &[UrlPrefix]) -> BTreeMap<u16, Vec<IpAddr>> {
    let mut ports: BTreeMap<u16, Vec<IpAddr>> = BTreeMap::new();
    for prefix in prefixes {
        let ips = ports.entry(prefix.port().get()).or_default();
        for ip in addresses(prefix.host()) {
            let ip = match ip {
                IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
                ip => ip,
            };
            if !ips.contains(&ip) {
                ips.push(ip);
            }
        }
    }
    ports
}

/// Asks at one address after the other until one answers.
async fn until_answered(port: u16, ips: &[IpAddr]) {
    loop {
        for ip in ips {
            if ask(SocketAddr::new(*ip, port)).await.is_ok() {
                return;
            }
        }
        sleep(PAUSE).await;
    }
}

/// One small request. Whatever comes back is an answer, an end of the connection too: somebody has accepted it.
async fn ask(address: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("OPTIONS * HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    let answer = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read(&mut [0; 64]).await
    };
    match answer.await {
        Ok(_) => Ok(()),
        Err(error) if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_asked_where_this_machine_reaches_it() {
        let prefixes: Vec<UrlPrefix> = ["http://+:80/a/", "http://127.0.0.1:80/b/", "http://[::1]:81/", "https://10.0.0.1:82/"]
            .map(|prefix| prefix.parse().unwrap())
            .into();
        let at = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let expected = [(80, at(&["127.0.0.1", "::1"])), (81, at(&["::1"])), (82, at(&["10.0.0.1"]))];
        assert_eq!(ports(&prefixes), BTreeMap::from(expected));
    }
}
