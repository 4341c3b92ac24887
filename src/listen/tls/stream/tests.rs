//! Tests of the server against rustls' buffered client, over a socket and with input in small pieces.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::time::Duration;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::{CipherSuiteCommon, CryptoProvider, aws_lc_rs};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, SupportedCipherSuite, SupportedProtocolVersion, Tls12CipherSuite,
    Tls13CipherSuite,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;

use super::*;

mod early_records;
mod protocol_violations;

const DEADLINE: Duration = Duration::from_secs(20);

/// Both ends of one connection, after the handshake.
struct Pair {
    server: TlsStream,
    client: ClientConnection,
    tcp: TcpStream,
}

/// Reads the ClientHello and performs the handshake.
async fn accept(config: Arc<ServerConfig>, tcp: TcpStream) -> io::Result<TlsStream> {
    TlsStream::accept(config, ReceivedHello::read(tcp).await?).await
}

/// Creates both configurations. The server's key may encrypt `max_records` records.
fn configs(version: &'static SupportedProtocolVersion, max_records: u64) -> (Arc<ServerConfig>, Arc<ClientConfig>) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate.der().clone()).unwrap();
    let provider = Arc::new(aws_lc_rs::default_provider());
    let mut server = ServerConfig::builder_with_provider(Arc::new(with_key_limit(max_records)))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    client.alpn_protocols = vec![b"http/1.1".to_vec()];
    client.enable_secret_extraction = true;
    (Arc::new(server), Arc::new(client))
}

/// Creates the default ciphers with keys that may encrypt `max_records` records.
fn with_key_limit(max_records: u64) -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    for suite in &mut provider.cipher_suites {
        let common = |common: &CipherSuiteCommon| CipherSuiteCommon {
            confidentiality_limit: max_records,
            suite: common.suite,
            ..*common
        };
        *suite = match *suite {
            SupportedCipherSuite::Tls13(suite) => SupportedCipherSuite::Tls13(Box::leak(Box::new(Tls13CipherSuite {
                common: common(&suite.common),
                ..*suite
            }))),
            SupportedCipherSuite::Tls12(suite) => SupportedCipherSuite::Tls12(Box::leak(Box::new(Tls12CipherSuite {
                common: common(&suite.common),
                ..*suite
            }))),
        };
    }
    provider
}

impl Pair {
    /// Connects. The client's bytes are sent in pieces of at most `piece`.
    async fn connect(version: &'static SupportedProtocolVersion, piece: usize) -> Self {
        Self::connect_with(configs(version, u64::MAX), piece).await
    }

    async fn connect_with((config, client): (Arc<ServerConfig>, Arc<ClientConfig>), piece: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let (accepted, _) = listener.accept().await.unwrap();
        let mut client = ClientConnection::new(client, ServerName::try_from("localhost").unwrap()).unwrap();
        let handshaking = async {
            while client.is_handshaking() {
                send(&mut client, &mut tcp, piece).await;
                if client.wants_read() {
                    receive(&mut client, &mut tcp).await;
                }
            }
            send(&mut client, &mut tcp, piece).await;
        };
        let (server, ()) = timeout(DEADLINE, async { tokio::join!(accept(config, accepted), handshaking) })
            .await
            .expect("a handshake in time");
        Self { server: server.unwrap(), client, tcp }
    }

    /// Sends data from the client, and asserts that the server reads it.
    async fn send_data(&mut self, text: &[u8], piece: usize) {
        self.client.writer().write_all(text).unwrap();
        send(&mut self.client, &mut self.tcp, piece).await;
        let mut received = vec![0; text.len()];
        timeout(DEADLINE, self.server.read_exact(&mut received)).await.expect("in time").unwrap();
        assert_eq!(received, text);
    }

    /// Sends data from the server, and asserts that the client reads it.
    async fn respond(&mut self, text: &[u8]) {
        let hearing = async {
            let mut received = Vec::new();
            while received.len() < text.len() {
                let mut part = [0; 4096];
                match self.client.reader().read(&mut part) {
                    Ok(count) => received.extend_from_slice(&part[..count]),
                    Err(_) => receive(&mut self.client, &mut self.tcp).await,
                }
            }
            received
        };
        let saying = async {
            self.server.write_all(text).await.unwrap();
            self.server.flush().await.unwrap();
        };
        let (received, ()) = timeout(DEADLINE, async { tokio::join!(hearing, saying) }).await.expect("in time");
        assert_eq!(received, text);
    }

    /// Waits for the alert with which the server ends the connection.
    async fn receive_alert(&mut self) -> rustls::AlertDescription {
        loop {
            let mut part = [0; 4096];
            let count = timeout(DEADLINE, self.tcp.read(&mut part)).await.expect("in time").unwrap();
            assert!(count > 0, "closed without an alert");
            self.client.read_tls(&mut &part[..count]).unwrap();
            match self.client.process_new_packets() {
                Ok(_) => {}
                Err(rustls::Error::AlertReceived(alert)) => return alert,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

async fn send(client: &mut ClientConnection, tcp: &mut TcpStream, piece: usize) {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    for part in bytes.chunks(piece) {
        tcp.write_all(part).await.unwrap();
        tokio::task::yield_now().await;
    }
}

async fn receive(client: &mut ClientConnection, tcp: &mut TcpStream) {
    let mut part = [0; 4096];
    let count = tcp.read(&mut part).await.unwrap();
    let mut received = &part[..count];
    while !received.is_empty() {
        client.read_tls(&mut received).unwrap();
        client.process_new_packets().unwrap();
    }
}

#[tokio::test]
async fn both_versions_work_with_input_in_any_split() {
    for version in [&TLS12, &TLS13] {
        for piece in [1, 7, 4096] {
            let mut pair = Pair::connect(version, piece).await;

            pair.send_data(b"GET / HTTP/1.1\r\n\r\n", piece).await;
            pair.respond(b"HTTP/1.1 200 OK\r\n\r\n").await;

            assert_eq!(pair.server.alpn_protocol(), Some(&b"http/1.1"[..]));
            assert_eq!(pair.server.server_name().map(|name| &**name), Some("localhost"));
        }
    }
}

#[tokio::test]
async fn an_idle_connection_holds_no_buffer() {
    let mut pair = Pair::connect(&TLS13, 4096).await;

    pair.send_data(b"hello", 3).await;
    pair.respond(&[7; 100_000]).await;

    assert_eq!(pair.server.buffer_capacity(), 0);
}

#[tokio::test]
async fn a_client_can_update_its_keys() {
    let mut pair = Pair::connect(&TLS13, 4096).await;

    for round in 0..5_u8 {
        pair.client.refresh_traffic_keys().unwrap();
        pair.send_data(&[round; 100], 11).await;
        pair.respond(&[round; 20_000]).await;
    }
}

#[tokio::test]
async fn a_vectored_write_is_one_record() {
    let mut pair = Pair::connect(&TLS13, 4096).await;
    let parts = [IoSlice::new(b"one "), IoSlice::new(b"two "), IoSlice::new(b"three")];

    let written = poll_fn(|cx| Pin::new(&mut pair.server).poll_write_vectored(cx, &parts)).await.unwrap();

    assert_eq!(written, 13);
    receive(&mut pair.client, &mut pair.tcp).await;
    let mut received = [0; 13];
    while pair.client.reader().read_exact(&mut received).is_err() {
        receive(&mut pair.client, &mut pair.tcp).await;
    }
    assert_eq!(&received, b"one two three");
}

#[tokio::test]
async fn both_sides_close_with_an_alert() {
    let mut pair = Pair::connect(&TLS13, 4096).await;

    pair.server.shutdown().await.unwrap();
    let told = loop {
        let mut part = [0; 4096];
        let count = pair.tcp.read(&mut part).await.unwrap();
        pair.client.read_tls(&mut &part[..count]).unwrap();
        if pair.client.process_new_packets().unwrap().peer_has_closed() || count == 0 {
            break count > 0;
        }
    };
    assert!(told);

    pair.client.send_close_notify();
    send(&mut pair.client, &mut pair.tcp, 4096).await;
    pair.tcp.shutdown().await.unwrap();
    assert_eq!(pair.server.read(&mut [0; 16]).await.unwrap(), 0);
}

#[tokio::test]
async fn a_close_notify_of_the_client_alone_ends_reading() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::connect(version, 4096).await;

        pair.client.send_close_notify();
        send(&mut pair.client, &mut pair.tcp, 4096).await;

        // The TCP connection stays open, as when the client waits for our alert.
        let read = timeout(DEADLINE, pair.server.read(&mut [0; 16])).await.expect("in time");
        assert_eq!(read.unwrap(), 0);
    }
}

#[tokio::test]
async fn input_after_our_closing_alert_is_discarded() {
    for version in [&TLS12, &TLS13] {
        let mut pair = Pair::connect(version, 4096).await;
        pair.server.shutdown().await.unwrap();

        pair.client.writer().write_all(&[7; 10_000]).unwrap();
        send(&mut pair.client, &mut pair.tcp, 4096).await;
        pair.tcp.write_all(&[0xfa; 100]).await.unwrap();
        pair.tcp.shutdown().await.unwrap();

        let read = timeout(DEADLINE, pair.server.read(&mut [0; 16])).await.expect("in time");
        assert_eq!(read.unwrap(), 0);
        assert_eq!(pair.server.buffer_capacity(), 0);
    }
}

#[tokio::test]
async fn a_forged_record_ends_the_connection_with_an_alert() {
    let mut pair = Pair::connect(&TLS13, 4096).await;
    let mut forged = vec![23, 3, 3, 0, 32];
    forged.resize(5 + 32, 0);

    pair.tcp.write_all(&forged).await.unwrap();

    assert!(pair.server.read(&mut [0; 16]).await.is_err());
    assert_eq!(pair.receive_alert().await, rustls::AlertDescription::BadRecordMac);
}

#[tokio::test]
async fn replies_to_a_client_that_does_not_read_are_bounded() {
    let mut pair = Pair::connect(&TLS13, 4096).await;

    for _ in 0..500 {
        pair.client.refresh_traffic_keys().unwrap();
        let mut bytes = Vec::new();
        while pair.client.wants_write() {
            pair.client.write_tls(&mut bytes).unwrap();
        }
        // The server may have closed the connection after too many updates.
        let _ = pair.tcp.write_all(&bytes).await;
        let _ = timeout(Duration::ZERO, pair.server.read(&mut [0; 16])).await;
    }

    assert!(pair.server.buffer_capacity() < 2 * OUTGOING_BYTES, "{}", pair.server.buffer_capacity());
}

#[tokio::test]
async fn our_key_is_updated_before_its_limit() {
    let mut pair = Pair::connect_with(configs(&TLS13, 3), 4096).await;

    for round in 0..20_u8 {
        pair.respond(&[round; 100]).await;
        pair.send_data(&[round; 10], 4096).await;
    }
}

#[tokio::test]
async fn a_key_that_cannot_be_updated_ends_the_connection_with_an_alert() {
    let mut pair = Pair::connect_with(configs(&TLS12, 4), 4096).await;
    // The handshake used one of the four records.
    for _ in 0..3 {
        pair.respond(b"still good").await;
    }

    let refused = pair.server.write_all(b"one too many").await.unwrap_err();

    assert_eq!(refused.kind(), io::ErrorKind::BrokenPipe);
    let mut part = [0; 4096];
    let count = pair.tcp.read(&mut part).await.unwrap();
    pair.client.read_tls(&mut &part[..count]).unwrap();
    assert!(pair.client.process_new_packets().unwrap().peer_has_closed());
}

#[derive(Clone, Debug)]
enum Step {
    Send(usize, usize),
    Respond(usize),
    UpdateKeys,
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 16, max_shrink_iters: 20, ..ProptestConfig::default() })]

    #[test]
    fn data_and_key_updates_in_any_order_arrive(
        steps in prop::collection::vec(
            prop_oneof![
                (1_usize..40_000, 1_usize..5000).prop_map(|(length, piece)| Step::Send(length, piece)),
                (1_usize..100_000).prop_map(Step::Respond),
                Just(Step::UpdateKeys),
            ],
            1..12,
        ),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut pair = Pair::connect(&TLS13, 1000).await;
            for (number, step) in (0_u8..).zip(steps) {
                match step {
                    // The kernel's buffers bound the pieces that can be sent before the server reads.
                    Step::Send(length, piece) => pair.send_data(&vec![number; length], piece.max(length / 50)).await,
                    Step::Respond(length) => pair.respond(&vec![number; length]).await,
                    Step::UpdateKeys => pair.client.refresh_traffic_keys().unwrap(),
                }
            }
            assert_eq!(pair.server.buffer_capacity(), 0);
        });
    }
}
