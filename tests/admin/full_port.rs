//! The admin port while clients that read nothing hold its connections.

use futures_util::FutureExt;

use super::*;

/// A request whose answers fill the kernel's buffers, if there are enough of them.
const REQUEST: &[u8] = b"GET /metrics HTTP/1.1\r\nhost: admin\r\n\r\n";

/// Opens connections and sends requests on each until the port reads no more. Never reads an answer.
async fn unread_pipelines(port: &Port, connections: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for _ in 0..connections {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        // A small buffer is full after few answers.
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(port.address).await.unwrap();
        stream.write_all(&REQUEST.repeat(2000)).now_or_never();
        open.push(stream);
    }
    open
}

#[tokio::test]
async fn probes_are_answered_beside_clients_that_do_not_read_and_are_soon_cut_off() {
    let port = Port::open();
    let _unread = unread_pipelines(&port, 64).await;

    for path in ["/livez", "/readyz", "/metrics"] {
        assert_eq!(timeout(DEADLINE, port.get(path)).await.unwrap().0, StatusCode::OK, "{path}");
    }
    let (status, _, body) = timeout(DEADLINE, port.get("/streams")).await.unwrap();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(body.contains("only /livez, /readyz and /metrics are answered"), "{body}");

    let cut_off = async { while port.get("/streams").await.0 != StatusCode::OK {} };
    // They are cut off in groups, ten seconds each.
    timeout(DEADLINE * 6, cut_off).await.expect("clients that do not read are disconnected");
}
