//! WebSockets over every version of HTTP, with TLS.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use h2::ext::Protocol;
use http::{Method, Request};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
pub use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::h3;
use crate::transport::client_config;

/// A client's WebSocket, whatever it goes over.
pub struct WebSocket(WebSocketStream<Box<dyn Bytestream>>);

/// What one can go over.
trait Bytestream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytestream for T {}

impl WebSocket {
    /// Over a connection of its own that speaks HTTP/1.1.
    ///
    /// # Panics
    /// When the server does not want it.
    pub async fn over_http1(address: SocketAddr, authority: &Path, path: &str) -> Self {
        let stream: Box<dyn Bytestream> = Box::new(connect(address, authority, b"http/1.1").await);
        let url = format!("wss://{address}{path}");
        let (socket, _) = tokio_tungstenite::client_async(url, stream).await.expect("the server wants a WebSocket");
        Self(socket)
    }

    /// Over a stream of an HTTP/3 connection.
    ///
    /// # Panics
    /// When the server does not want it.
    pub async fn over_http3(connection: &h3::Connection, path: &str) -> Self {
        let mut stream = connection.open_web_socket(path).await.expect("the connection is there");
        assert_eq!(stream.response.head().await.map(|answer| answer.status), Ok(200));
        Self::accepted(stream.tunnel()).await
    }

    async fn accepted(tunnel: DuplexStream) -> Self {
        let stream: Box<dyn Bytestream> = Box::new(tunnel);
        Self(WebSocketStream::from_raw_socket(stream, Role::Client, None).await)
    }

    /// Sends a message.
    ///
    /// # Panics
    /// When the server does not take it.
    pub async fn send(&mut self, message: Message) {
        self.0.send(message).await.expect("the server reads");
    }

    /// The next message; `None` if there is none any more.
    pub async fn next(&mut self) -> Option<Message> {
        self.0.next().await?.ok()
    }

    /// Sends a message, and gets it back.
    ///
    /// # Panics
    /// When it does not come back.
    pub async fn exchange(&mut self, message: Message) {
        self.send(message.clone()).await;
        let back = self.next().await;
        assert!(back.as_ref() == Some(&message), "{:?} came back", back.map(|message| message.len()));
    }

    /// Says goodbye, and waits for the server's goodbye and the end.
    ///
    /// # Panics
    /// When something else comes.
    pub async fn close(mut self) {
        self.0.close(None).await.expect("the server reads");
        let back = self.0.next().await;
        assert!(matches!(back, Some(Ok(Message::Close(_)))), "{back:?}");
        assert!(self.0.next().await.is_none());
    }
}

async fn connect(address: SocketAddr, authority: &Path, protocol: &[u8]) -> TlsStream<TcpStream> {
    let tcp = TcpStream::connect(address).await.expect("the server accepts connections");
    let connector = TlsConnector::from(Arc::new(client_config(authority, &[protocol])));
    let stream = connector.connect(ServerName::from(address.ip()), tcp).await.expect("the server shows its certificate");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    stream
}

/// A connection of HTTP/2 that WebSockets go over.
#[derive(Debug)]
pub struct Http2 {
    requests: h2::client::SendRequest<Bytes>,
    address: SocketAddr,
}

impl Http2 {
    /// Connects.
    ///
    /// # Panics
    /// When the server does not speak HTTP/2.
    pub async fn connect(address: SocketAddr, authority: &Path) -> Self {
        let stream = connect(address, authority, b"h2").await;
        let (requests, connection) = h2::client::handshake(stream).await.expect("the server speaks HTTP/2");
        tokio::spawn(connection);
        let requests = requests.ready().await.expect("the server takes requests");
        Self { requests, address }
    }

    /// A WebSocket over one of its streams (RFC 8441).
    ///
    /// # Panics
    /// When the server does not want it.
    pub async fn web_socket(&mut self, path: &str) -> WebSocket {
        // Its settings may come after the first request could be sent.
        while !self.requests.is_extended_connect_protocol_enabled() {
            tokio::task::yield_now().await;
        }
        let request = Request::builder().method(Method::CONNECT).uri(format!("https://{}{path}", self.address));
        let request = request.extension(Protocol::from_static("websocket")).header("sec-websocket-version", "13");
        let request = request.body(()).expect("it is a request");
        let (response, send) = self.requests.send_request(request, false).expect("the server takes requests");
        let response = response.await.expect("the server answers");
        assert_eq!(response.status(), 200);
        WebSocket::accepted(tunnel(send, response.into_body())).await
    }
}

fn tunnel(mut send: h2::SendStream<Bytes>, mut receive: h2::RecvStream) -> DuplexStream {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let (mut from, mut to) = tokio::io::split(far);
    tokio::spawn(async move {
        let mut bytes = [0; 16 * 1024];
        while let Ok(read @ 1..) = from.read(&mut bytes).await {
            let mut rest = &bytes[..read];
            while !rest.is_empty() {
                send.reserve_capacity(rest.len());
                let Some(Ok(room)) = std::future::poll_fn(|cx| send.poll_capacity(cx)).await else { return };
                let (now, later) = rest.split_at(room.min(rest.len()));
                if send.send_data(Bytes::copy_from_slice(now), false).is_err() {
                    return;
                }
                rest = later;
            }
        }
        let _ = send.send_data(Bytes::new(), true);
    });
    tokio::spawn(async move {
        while let Some(Ok(bytes)) = receive.data().await {
            let _ = receive.flow_control().release_capacity(bytes.len());
            if to.write_all(&bytes).await.is_err() {
                return;
            }
        }
        let _ = to.shutdown().await;
    });
    near
}
