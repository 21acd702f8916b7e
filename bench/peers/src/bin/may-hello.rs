//! may_minihttp with one worker thread; it speaks TCP only.

use std::net::Ipv4Addr;

use anyhow::Result;
use bench_peers::{BODY, Listen};
use may_minihttp::{HttpServer, HttpService, Request, Response};

#[derive(Clone)]
struct Hello;

impl HttpService for Hello {
    fn call(&mut self, _request: Request<'_, '_, '_>, response: &mut Response<'_>) -> std::io::Result<()> {
        response.header("content-type: text/plain").body(BODY);
        Ok(())
    }
}

fn main() -> Result<()> {
    may::config().set_workers(1);
    let port = Listen::from_command_line()?.port()?;
    let server = HttpServer(Hello).start((Ipv4Addr::LOCALHOST, port))?;
    bench_peers::ready();
    server.wait();
    Ok(())
}
