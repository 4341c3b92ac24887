//! Requests to the admin port of a gateway of the demo.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Returns the JSON under this path, whatever its status.
///
/// # Errors
/// No answer within a second, or no JSON of at most a mebibyte.
pub(super) async fn get_json(admin: SocketAddr, path: &str) -> io::Result<Value> {
    timeout(Duration::from_secs(1), request(admin, path)).await.map_err(|_| io::ErrorKind::TimedOut)?
}

async fn request(admin: SocketAddr, path: &str) -> io::Result<Value> {
    let socket = TcpStream::connect(admin).await?;
    let (mut sender, connection) =
        http1::handshake::<_, Empty<Bytes>>(TokioIo::new(socket)).await.map_err(io::Error::other)?;
    let request = Request::get(path).header(header::HOST, admin.to_string()).body(Empty::new());
    let request = request.map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(io::Error::other)?;
        let body = Limited::new(response.into_body(), 1 << 20).collect().await.map_err(io::Error::other)?;
        serde_json::from_slice(&body.to_bytes()).map_err(io::Error::other)
    };
    tokio::pin!(connection, answer);
    tokio::select! {
        answer = &mut answer => answer,
        // It ends when the response is complete; then the answer is there too.
        _ = &mut connection => answer.await,
    }
}
