//! Clients behind load balancers that speak the PROXY protocol: HAProxy itself, and headers that none would send.

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::support::certificates::Authority;
use crate::support::client::{Client, Protocol};
use crate::support::figures::metric;
use crate::support::origin::{Emission, Origin};
use crate::support::process::{Process, server_path};
use crate::support::raw::{Raw, status};
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

const LISTENER: &str = "client_address = \"proxy-protocol\"\ntrusted_proxies = [\"127.0.0.1/32\"]";

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// A request with a finite response, so that no connection stays open.
const REQUEST: &[u8] = b"GET /prices?follow=false HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// HAProxy in front of a gateway, on a socket that the test has bound.
struct Haproxy {
    process: Process,
    address: SocketAddr,
    _folder: TempDir,
}

impl Haproxy {
    /// Starts HAProxy in front of `gateway`; `send` is the server option that announces the client.
    fn start(gateway: SocketAddr, send: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("haproxy.cfg");
        let config = format!(
            "defaults\n mode tcp\n timeout connect 10s\n timeout client 1m\n timeout server 1m\n\
             frontend public\n bind fd@3\n default_backend gateway\n\
             backend gateway\n source 127.0.0.1\n server gateway {gateway} {send}\n"
        );
        std::fs::write(&path, config).unwrap();
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = socket.local_addr().unwrap();
        let mut shell = Command::new("sh");
        shell.args(["-c", "exec 3<&0 < /dev/null; exec haproxy -db -f \"$0\""]).arg(&path);
        shell.env("PATH", server_path());
        let process = Process::start_with_input(&mut shell, Stdio::from(OwnedFd::from(socket)));
        Self { process, address, _folder: folder }
    }
}

#[tokio::test]
async fn clients_behind_haproxy_are_counted_by_their_own_addresses() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url())
        .listener(LISTENER)
        .limits("connections_per_ip = 2")
        .tls(&authority.server())
        .start()
        .await;

    for (round, (send, protocol)) in
        [("send-proxy", Protocol::Http1), ("send-proxy-v2", Protocol::Http2), ("send-proxy-v2-ssl-cn", Protocol::Http1)]
            .into_iter()
            .enumerate()
    {
        let haproxy = Haproxy::start(gateway.address(), send);
        let from = |last: usize| {
            let source: IpAddr = format!("127.0.{}.{last}", round + 1).parse().unwrap();
            Client::new(protocol, haproxy.address).tls(&authority).coming_from(source)
        };
        let mut first = from(1).subscribe("/prices", &[]).await;
        let _second = from(1).subscribe("/prices", &[]).await;
        let third = from(1).subscribe("/prices", &[]).await;
        let mut other = from(2).subscribe("/prices", &[]).await;

        assert_eq!((first.status.as_u16(), third.status.as_u16(), other.status.as_u16()), (200, 429, 200), "{send}");
        origin.wait_open(1).await;
        origin.emit(Emission::event(send, "", send));
        assert_eq!(first.next_event(DEADLINE).await.data, send);
        assert_eq!(other.next_event(DEADLINE).await.data, send);
        drop(other);
        gateway.wait_line(&format!("subscription ended client=127.0.{}.2", round + 1), DEADLINE).await;
        drop((first, third));
        eventually(DEADLINE, || async { from(1).subscribe("/prices", &[]).await.status == 200 }).await;
        assert_eq!(haproxy.process.exit_status(), None);
    }
}

fn version2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[command, family], &length, rest].concat()
}

async fn plain(limits: &str) -> (Origin, Rillgate) {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).listener(LISTENER).limits(limits).start().await;
    (origin, gateway)
}

/// Sends in parts of this size, each in a segment of its own as far as the kernel allows.
async fn send_by(client: &Client, bytes: &[u8], size: usize) -> Raw {
    let mut raw = Raw::dial(client).await;
    for part in bytes.chunks(size) {
        raw.send(part).await;
        tokio::task::yield_now().await;
    }
    raw
}

#[tokio::test]
async fn a_proxy_header_is_read_exactly_in_every_split() {
    let (_origin, gateway) = plain("").await;
    let client = Client::http1(gateway.address());
    let ipv4 = [192, 0, 2, 4, 192, 0, 2, 200, 0xdc, 0x04, 1, 0xbb];
    let ipv6 = [&[0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 6][..], &[0; 16], &[0, 1, 0, 2]].concat();
    let fields = [&ipv4[..], &[0x05, 0, 200], &[7; 200]].concat();
    for (header, seen) in [
        (b"PROXY TCP4 192.0.2.3 192.0.2.200 56324 443\r\n".to_vec(), "192.0.2.3"),
        (b"PROXY TCP6 2001:db8::5 ::1 56324 443\r\n".to_vec(), "2001:db8::5"),
        (b"PROXY UNKNOWN\r\n".to_vec(), "127.0.0.1"),
        (version2(0x21, 0x11, &ipv4), "192.0.2.4"),
        (version2(0x21, 0x21, &ipv6), "2001:db8::6"),
        (version2(0x21, 0x11, &fields), "192.0.2.4"),
        (version2(0x20, 0x00, &[]), "127.0.0.1"),
        (version2(0x21, 0x31, &[0; 216]), "127.0.0.1"),
    ] {
        for size in [1, 2, 7, 16, header.len(), 1000] {
            let bytes = [&header, REQUEST].concat();
            let mut raw = send_by(&client, &bytes, size).await;

            let text = raw.read_to_end(DEADLINE).await;

            assert_eq!(status(&text), 200, "{header:?} by {size}: {text}");
        }
        let line = format!("client={seen} ");
        let seen = || gateway.log().iter().filter(|entry| entry.contains(&line)).count();
        eventually(DEADLINE, || async { seen() >= 6 }).await;
    }
}

#[tokio::test]
async fn a_connection_without_a_valid_proxy_header_is_closed_silently() {
    let (origin, gateway) = plain("handshake_timeout = \"1s\"").await;
    let client = Client::http1(gateway.address());
    let header = b"PROXY TCP4 192.0.2.3 192.0.2.200 56324 443\r\n";
    let refused: Vec<Vec<u8>> = vec![
        REQUEST.to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0, 0],
        [&b"PROXY TCP4 localhost 192.0.2.200 56324 443\r\n"[..], REQUEST].concat(),
        [&b"PROXY TCP4 192.0.2.3 192.0.2.200 56324 443\n"[..], REQUEST].concat(),
        [&b"PROXY UNKNOWN "[..], &[b'x'; 5000], b"\r\n", REQUEST].concat(),
        [version2(0x21, 0x11, &[0; 11]), REQUEST.to_vec()].concat(),
        [version2(0x21, 0x11, &[0; 5000]), REQUEST.to_vec()].concat(),
        [version2(0x21, 0x41, &[0; 12]), REQUEST.to_vec()].concat(),
        [version2(0x31, 0x11, &[0; 12]), REQUEST.to_vec()].concat(),
        // Incomplete headers.
        header[..20].to_vec(),
        version2(0x21, 0x11, &[0; 12])[..20].to_vec(),
        Vec::new(),
    ];

    let mut open = Vec::new();
    for bytes in &refused {
        open.push(send_by(&client, bytes, 1000).await);
    }
    for (raw, bytes) in open.iter_mut().zip(&refused) {
        assert_eq!(raw.read_to_end(DEADLINE).await, "", "{:?}", String::from_utf8_lossy(bytes));
    }
    // A header that arrives too slowly.
    let mut slow = Raw::dial(&client).await;
    let mut sent = header.iter();
    while !slow.is_closed_within(Duration::from_millis(100)).await {
        slow.send(&[*sent.next().expect("closed before the end of the header")]).await;
    }

    let mut twice = send_by(&client, &[&header[..], header, REQUEST].concat(), 1000).await;
    assert_eq!(status(&twice.read_to_end(DEADLINE).await), 400, "a second header is not a request");
    assert!(metric(&gateway, "rejections_total", &["reason=\"proxy_header\""]).await >= 10.0);
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn only_trusted_proxies_may_send_a_proxy_header() {
    let (origin, gateway) = plain("").await;
    let stranger = Client::http1(gateway.address()).coming_from("127.0.0.9".parse().unwrap());

    let bytes = [&b"PROXY TCP4 192.0.2.3 192.0.2.200 56324 443\r\n"[..], REQUEST].concat();
    let mut raw = send_by(&stranger, &bytes, 1000).await;

    assert_eq!(raw.read_to_end(DEADLINE).await, "");
    assert_eq!(metric(&gateway, "rejections_total", &["reason=\"proxy_untrusted\""]).await, 1.0);
    assert_eq!(origin.requests().len(), 0);
}

#[tokio::test]
async fn forwarded_headers_of_a_client_behind_a_proxy_are_ignored() {
    let (_origin, gateway) = plain("").await;
    let client = Client::http1(gateway.address());
    let request = b"GET /prices?follow=false HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                    forwarded: for=198.51.100.1\r\nx-forwarded-for: 198.51.100.1\r\n\r\n";

    let mut forged =
        send_by(&client, &[&b"PROXY TCP4 192.0.2.3 192.0.2.200 56324 443\r\n"[..], request].concat(), 1000).await;
    assert_eq!(status(&forged.read_to_end(DEADLINE).await), 200);
    gateway.wait_line("client=192.0.2.3 ", DEADLINE).await;
    // The PROXY header is the one source, also if it names no client.
    let mut told = send_by(&client, &[&b"PROXY UNKNOWN\r\n"[..], request].concat(), 1000).await;
    assert_eq!(status(&told.read_to_end(DEADLINE).await), 200);
    gateway.wait_line("client=127.0.0.1 ", DEADLINE).await;
}
