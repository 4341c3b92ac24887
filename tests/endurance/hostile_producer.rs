//! A producer that sends what no honest one would, at a pace of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The producer; closes its port when dropped.
pub struct HostileProducer {
    url: String,
    sent: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl HostileProducer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sent = Arc::new(AtomicU64::new(0));
        let counted = sent.clone();
        let accepting = tokio::spawn(async move {
            for number in 0_usize.. {
                let Ok((socket, _)) = listener.accept().await else { return };
                let counted = counted.clone();
                // A connection that ends is the gateway's choice.
                tokio::spawn(async move { serve(socket, number, &counted).await.ok() });
            }
        });
        Self { url, sent, accepting }
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the number of body bytes sent so far.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for HostileProducer {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Answers one request. A path with `noise` gets 256 KiB of noise ten times a second, whose kind depends on the number of
/// the connection, and is cut after 100 pieces. One with `large` gets an event of 256 KiB ten times a second. Any other is
/// greeted with a megabyte of events.
async fn serve(mut socket: TcpStream, number: usize, sent: &AtomicU64) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(socket.read_u8().await?);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    socket
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n: hi\n\n")
        .await?;
    let path = head.split(' ').nth(1).unwrap_or_default();
    let event = format!("data: {}\n\n", "x".repeat(256 * 1024));
    if path.contains("noise") {
        let line = [":\n", "x\n", "retry: 1\n", "id: 1\n", "data\n\n"][number % 5];
        let noise = line.repeat(256 * 1024 / line.len());
        for _ in 0..100 {
            send(&mut socket, &noise, sent).await?;
        }
        return Ok(());
    }
    if path.contains("large") {
        loop {
            send(&mut socket, &event, sent).await?;
        }
    }
    for _ in 0..4 {
        send(&mut socket, &event, sent).await?;
    }
    let _ = socket.read_u8().await;
    Ok(())
}

async fn send(socket: &mut TcpStream, text: &str, sent: &AtomicU64) -> std::io::Result<()> {
    socket.write_all(text.as_bytes()).await?;
    sent.fetch_add(text.len() as u64, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(100)).await;
    Ok(())
}
