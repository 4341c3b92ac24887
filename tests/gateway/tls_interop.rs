//! TLS with other implementations: OpenSSL with its options, and clients that send single bytes, renew keys, disconnect
//! in every way, and resume sessions.
//!
//! Other peers are tested elsewhere: curl in `tls.rs`, Chromium in `tests/browser`, and the clients of `clients.rs`.

use std::io::Write;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{AlertDescription, ClientConnection, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::certificates::Authority;
use crate::support::client::Client;
use crate::support::figures::metric;
use crate::support::network::Network;
use crate::support::origin::{Emission, Origin};
use crate::support::process::Process;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually, within};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

/// A running `openssl s_client`. A letter at the start of an input line is a command to it.
pub struct Openssl {
    pub process: Process,
    input: UnixStream,
}

impl Openssl {
    pub fn connect(address: SocketAddr, authority: &Authority, arguments: &[&str]) -> Self {
        let (input, theirs) = UnixStream::pair().unwrap();
        let mut command = Command::new("openssl");
        command.args(["s_client", "-connect", &address.to_string(), "-servername", "localhost"]);
        command.arg("-CAfile").arg(authority.file()).args(["-verify_return_error", "-alpn", "http/1.1"]);
        command.args(arguments);
        let process = Process::start_with_input(&mut command, OwnedFd::from(theirs).into());
        Self { process, input }
    }

    fn send_line(&mut self, text: &str) {
        self.input.write_all(text.as_bytes()).expect("openssl reads");
    }

    pub fn ask(&mut self, path: &str) {
        self.send_line(&format!("GET {path} HTTP/1.1\nHost: localhost\nAccept: text/event-stream\n\n"));
    }

    pub async fn wait_line(&self, line: &str) {
        self.process.wait_line(line, DEADLINE).await;
    }

    /// Returns the data of all events so far.
    fn data(&self) -> Vec<String> {
        self.process.log().iter().filter_map(|line| line.strip_prefix("data: ")).map(str::to_owned).collect()
    }

    /// Closes the connection with a close_notify.
    pub async fn leave(mut self) {
        self.send_line("Q\n");
        self.process.wait_exit(DEADLINE).await;
    }
}

async fn subscribers(gateway: &Rillgate) -> f64 {
    metric(gateway, "subscribers", &[]).await
}

#[tokio::test]
async fn openssl_reads_a_stream_with_each_version_and_cipher() {
    let authority = Authority::new();
    let origin = Origin::start_with(|_| Answer::stream().then("id: 1\ndata: one\n\nid: 2\ndata: two\n\n")).await;
    let gateway = Setup::for_origin(&origin.url()).replay("start = \"oldest\"").tls(&authority.server()).start().await;
    // The path is longer than a fragment and than one read.
    let path = format!("/prices?{}", "x".repeat(3000));

    for arguments in [
        &["-tls1_3"][..],
        &["-tls1_2"],
        &["-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256"],
        &["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-CHACHA20-POLY1305"],
        &["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256", "-no_ticket"],
        // The gateway does not support the first group, so it answers with a HelloRetryRequest (RFC 8446, 4.1.4).
        &["-tls1_3", "-groups", "P-521:P-384"],
        &["-tls1_2", "-groups", "P-384:P-256"],
        &["-tls1_3", "-max_send_frag", "512", "-crlf"],
        &["-tls1_2", "-max_send_frag", "512", "-maxfraglen", "512"],
        &["-tls1_3", "-record_padding", "4096"],
        &["-tls1_3", "-read_buf", "64000"],
    ] {
        let mut openssl = Openssl::connect(gateway.address(), &authority, arguments);
        openssl.ask(&path);
        openssl.wait_line("data: two").await;
        assert_eq!(openssl.data(), ["one", "two"], "{arguments:?}");
        openssl.leave().await;
        eventually(DEADLINE, || async { subscribers(&gateway).await == 0.0 }).await;
    }
    assert_eq!(metric(&gateway, "tls_handshakes_total", &["result=\"refused\""]).await, 0.0);
}

#[tokio::test]
async fn a_stream_survives_tls_key_updates() {
    const ROUNDS: usize = 6;
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).tls(&authority.server()).start().await;
    let messages = gateway.folder().join("messages");
    let arguments = ["-tls1_3", "-msg", "-msgfile", messages.to_str().unwrap()];
    let mut openssl = Openssl::connect(gateway.address(), &authority, &arguments);
    openssl.ask("/prices");
    origin.wait_open(1).await;
    eventually(DEADLINE, || async { subscribers(&gateway).await == 1.0 }).await;

    let mut expected = Vec::new();
    for round in 0..ROUNDS {
        // `k` updates the client's keys, and `K` also requests an update of the gateway's.
        for command in ["k\n", "K\n"] {
            openssl.send_line(command);
            emit_large(&origin, &openssl, &mut expected).await;
        }
        // The gateway sends its update before the first event that it writes after the request.
        let answered = async {
            while updates(&messages, "<<<") == round {
                emit_large(&origin, &openssl, &mut expected).await;
            }
        };
        within(DEADLINE, "the gateway's key update", answered).await;
        assert_eq!(updates(&messages, "<<<"), round + 1);
    }

    eventually(DEADLINE, || async { openssl.data().len() == expected.len() }).await;
    assert_eq!(openssl.data(), expected);
    assert_eq!(updates(&messages, ">>>"), 2 * ROUNDS);
    openssl.leave().await;
    eventually(DEADLINE, || async { subscribers(&gateway).await == 0.0 }).await;
}

/// Emits an event that exceeds a record, and waits until openssl has received its id.
async fn emit_large(origin: &Origin, openssl: &Openssl, expected: &mut Vec<String>) {
    let number = expected.len();
    expected.push(format!("{number} {}", "x".repeat(20_000)));
    origin.emit(Emission::event(&format!("{number}."), "", &expected[number]));
    openssl.wait_line(&format!("id: {number}.")).await;
}

/// Counts the key updates that openssl has sent (`>>>`) or received (`<<<`), from its message log.
fn updates(messages: &Path, direction: &str) -> usize {
    let log = std::fs::read_to_string(messages).unwrap();
    log.lines().filter(|line| line.contains(direction) && line.contains("KeyUpdate")).count()
}

/// A client whose TLS records the test controls.
struct RawTlsClient {
    tcp: TcpStream,
    tls: ClientConnection,
    received: Vec<u8>,
    /// The alert with which the server closed, or `Some(None)` for an end without one.
    end: Option<Option<AlertDescription>>,
}

impl RawTlsClient {
    /// Completes the handshake and sends a request in records of `piece` bytes.
    async fn request(
        address: SocketAddr,
        authority: &Authority,
        version: &'static SupportedProtocolVersion,
        piece: usize,
    ) -> Self {
        let mut config = authority.client_config_of(&[version]);
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        let tcp = TcpStream::connect(address).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let tls = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost").unwrap()).unwrap();
        let mut client = Self { tcp, tls, received: Vec::new(), end: None };
        while client.tls.is_handshaking() {
            client.send().await;
            if client.tls.wants_read() {
                client.receive().await;
            }
        }
        let request = b"GET /prices HTTP/1.1\r\nhost: localhost\r\naccept: text/event-stream\r\n\r\n";
        for part in request.chunks(piece) {
            client.tls.writer().write_all(part).unwrap();
        }
        client.send().await;
        client.wait_line("\r\n\r\n").await;
        client
    }

    async fn send(&mut self) {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        self.tcp.write_all(&bytes).await.unwrap();
    }

    async fn receive(&mut self) {
        let mut part = [0; 4096];
        let count = within(DEADLINE, "bytes from the gateway", self.tcp.read(&mut part)).await.unwrap_or(0);
        let mut received = &part[..count];
        if received.is_empty() {
            self.end.get_or_insert(None);
        }
        while !received.is_empty() && self.end.is_none() {
            self.tls.read_tls(&mut received).unwrap();
            match self.tls.process_new_packets() {
                Ok(state) if state.peer_has_closed() => self.end = Some(Some(AlertDescription::CloseNotify)),
                Ok(_) => {}
                Err(rustls::Error::AlertReceived(alert)) => self.end = Some(Some(alert)),
                Err(error) => panic!("{error}"),
            }
        }
        let _ = std::io::Read::read_to_end(&mut self.tls.reader(), &mut self.received);
    }

    async fn wait_line(&mut self, text: &str) {
        while !String::from_utf8_lossy(&self.received).contains(text) {
            assert_eq!(self.end, None, "no {text:?}");
            self.receive().await;
        }
    }
}

#[tokio::test]
async fn one_byte_records_and_segments_are_reassembled() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).tls(&authority.server()).start().await;
    let network = Network::to(gateway.address()).await;
    let mut readers = Vec::new();

    for (slice, piece) in [(0, 1), (1, 1), (1, 10_000)] {
        network.slice(slice);
        for version in VERSIONS {
            readers.push(RawTlsClient::request(network.address(), &authority, version, piece).await);
        }
    }
    network.slice(1);
    let mut openssl = Openssl::connect(network.address(), &authority, &["-tls1_3"]);
    openssl.ask("/prices");
    let mut http2 = Client::http2(network.address()).tls(&authority).subscribe("/prices", &[]).await;
    eventually(DEADLINE, || async { subscribers(&gateway).await == readers.len() as f64 + 2.0 }).await;
    origin.emit(Emission::event("1", "", "whole"));

    for reader in &mut readers {
        reader.wait_line("data: whole\n").await;
    }
    openssl.wait_line("data: whole").await;
    assert_eq!(http2.next_event(DEADLINE).await.data, "whole");
}

/// A way in which a client disconnects.
#[derive(Clone, Copy, Debug)]
enum Disconnect {
    /// A close_notify on a connection that stays open.
    CloseNotify,
    /// A fatal alert, caused by a forged record.
    FatalAlert,
    /// Bytes that are not TLS. The gateway must answer with an alert.
    Garbage,
    /// A record that was not encrypted for this connection.
    Forgery,
    /// A FIN without a close_notify.
    Cut,
    Reset,
}

impl Disconnect {
    async fn with(self, reader: &mut RawTlsClient) {
        match self {
            Self::CloseNotify => {
                reader.tls.send_close_notify();
                reader.send().await;
            }
            Self::FatalAlert => {
                let forged = [&[23, 3, 3, 0, 32][..], &[0; 32]].concat();
                reader.tls.read_tls(&mut &forged[..]).unwrap();
                reader.tls.process_new_packets().unwrap_err();
                reader.send().await;
            }
            Self::Garbage => reader.tcp.write_all(b"GET /again HTTP/1.1\r\n\r\n").await.unwrap(),
            Self::Forgery => {
                let forged = [&[23, 3, 3, 0, 32][..], &[7; 32]].concat();
                reader.tcp.write_all(&forged).await.unwrap();
            }
            Self::Cut => reader.tcp.shutdown().await.unwrap(),
            Self::Reset => socket2::SockRef::from(&reader.tcp).set_linger(Some(Duration::ZERO)).unwrap(),
        }
    }
}

#[tokio::test]
async fn every_kind_of_disconnect_is_noticed_at_once() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).tls(&authority.server()).start().await;
    let mut bystander = Client::http1(gateway.address()).tls(&authority).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;

    let ways = [
        Disconnect::CloseNotify,
        Disconnect::FatalAlert,
        Disconnect::Garbage,
        Disconnect::Forgery,
        Disconnect::Cut,
        Disconnect::Reset,
    ];
    for version in VERSIONS {
        for disconnect in ways {
            let mut reader = RawTlsClient::request(gateway.address(), &authority, version, 1000).await;
            eventually(DEADLINE, || async { subscribers(&gateway).await == 2.0 }).await;

            disconnect.with(&mut reader).await;
            if matches!(disconnect, Disconnect::Reset) {
                drop(reader);
            } else {
                while reader.end.is_none() {
                    reader.receive().await;
                }
                match disconnect {
                    Disconnect::Garbage => assert!(matches!(
                        reader.end,
                        Some(Some(
                            AlertDescription::DecodeError
                                | AlertDescription::ProtocolVersion
                                | AlertDescription::RecordOverflow
                                | AlertDescription::UnexpectedMessage
                        ))
                    )),
                    Disconnect::Forgery => assert_eq!(reader.end, Some(Some(AlertDescription::BadRecordMac))),
                    Disconnect::CloseNotify | Disconnect::FatalAlert | Disconnect::Cut | Disconnect::Reset => {}
                }
            }
            eventually(DEADLINE, || async { subscribers(&gateway).await == 1.0 }).await;
        }
    }

    origin.emit(Emission::event("1", "", "still"));
    assert_eq!(bystander.next_event(DEADLINE).await.data, "still");
    let left = metric(&gateway, "subscriptions_ended_total", &["reason=\"client\""]).await;
    assert_eq!(left, (VERSIONS.len() * ways.len()) as f64);
    drop(bystander);
    eventually(DEADLINE, || async { metric(&gateway, "connections", &["protocol"]).await == 0.0 }).await;
}
