//! h2 keeps streams that wait for connection capacity after they were reset.
//!
//! One client, one server, one connection in memory. A first response takes the whole connection window (65,535 bytes),
//! and the client never opens it again. Each further request gets its head and one byte of body, which waits for the
//! window; then the client resets it and the server drops every handle. At most one such stream is open at a time.
//! With `open` as argument the first response is left out: the control.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};

const REQUESTS: usize = 40_000;
const WINDOW: usize = 65_535;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let is_open = std::env::args().any(|argument| argument == "open");
    let kept = Arc::new(AtomicUsize::new(0));
    let (client, server) = tokio::io::duplex(1 << 20);
    tokio::spawn(serve(server, kept.clone()));
    let (requests, connection) = h2::client::Builder::new()
        .initial_window_size(1 << 20)
        .handshake::<_, Bytes>(client)
        .await
        .expect("a connection");
    tokio::spawn(async move { connection.await.expect("the connection goes on") });
    let mut requests = requests.ready().await.expect("room for a request");

    // Takes the connection's window, and does not give it back.
    let mut first = None;
    if !is_open {
        let mut body = get(&mut requests, WINDOW).await;
        let mut taken = 0;
        while taken < WINDOW {
            taken += body.data().await.expect("more data").expect("data").len();
        }
        first = Some(body);
    }
    println!("requests  streams kept by the server  resident MiB");
    println!("{:>8}  {:>26}  {:>12.1}", 0, settled(&kept).await, resident());
    for number in 1..=REQUESTS {
        // Dropping the body resets the stream with CANCEL.
        drop(get(&mut requests, 1).await);
        if number % (REQUESTS / 4) == 0 {
            println!("{number:>8}  {:>26}  {:>12.1}", settled(&kept).await, resident());
        }
    }
    if let Some(mut body) = first {
        body.flow_control().release_capacity(WINDOW).expect("it was taken");
        println!("window opened: {} streams kept, {:.1} MiB", settled(&kept).await, resident());
        // The body of one more request comes, so the window is open, and everyone in the queue has been looked at.
        let mut body = get(&mut requests, 1).await;
        assert_eq!(body.data().await.expect("data").expect("a byte").len(), 1);
        drop(body);
        println!("one more request: {} streams kept, {:.1} MiB", settled(&kept).await, resident());
    }
}

/// Requests a body of this size and returns it when the head is there.
async fn get(requests: &mut h2::client::SendRequest<Bytes>, size: usize) -> h2::RecvStream {
    let request = Request::get(format!("http://x/{size}")).body(()).expect("a request");
    let (response, _) = requests.send_request(request, true).expect("the request is sent");
    response.await.expect("a head").into_body()
}

/// Answers each request with a head and as many bytes as its path says, and drops its handles when it is reset.
async fn serve(io: tokio::io::DuplexStream, kept: Arc<AtomicUsize>) {
    let mut connection = h2::server::handshake(io).await.expect("a connection");
    let mut look = tokio::time::interval(Duration::from_millis(5));
    loop {
        let accepted = tokio::select! {
            accepted = connection.accept() => accepted,
            _ = look.tick() => {
                kept.store(connection.num_wired_streams(), Ordering::Relaxed);
                continue;
            }
        };
        let Some(Ok((request, mut respond))) = accepted else { return };
        let size: usize = request.uri().path()[1..].parse().expect("a number");
        tokio::spawn(async move {
            let mut body = respond.send_response(Response::new(()), false).expect("the head is sent");
            body.send_data(vec![0; size].into(), false).expect("the body is queued");
            let _ = std::future::poll_fn(|cx| body.poll_reset(cx)).await;
        });
    }
}

/// Waits until both sides have done what they have to do, and returns the number of streams that the server keeps.
async fn settled(kept: &AtomicUsize) -> usize {
    tokio::time::sleep(Duration::from_millis(100)).await;
    kept.load(Ordering::Relaxed)
}

fn resident() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim().trim_end_matches(" kB").trim().parse::<f64>().expect("a number") / 1024.0
}
