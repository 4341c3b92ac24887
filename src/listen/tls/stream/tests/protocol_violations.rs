//! Tests of clients that send records which the protocol forbids. rustls refuses them; these tests notice if it no longer
//! does.

use rustls::ConnectionTrafficSecrets::Aes256Gcm;
use rustls::ContentType;
use rustls::crypto::cipher::{MessageEncrypter, OutboundChunks, OutboundPlainMessage};
use rustls::{AlertDescription, ProtocolVersion};

use super::*;

/// A TLS 1.3 client that encrypts records of any type, validly.
struct Forger {
    cipher: Box<dyn MessageEncrypter>,
    sequence: u64,
    tcp: TcpStream,
}

impl Forger {
    async fn connect() -> (TlsStream, Self) {
        let Pair { server, client, tcp } = Pair::connect(&TLS13, 4096).await;
        let Some(SupportedCipherSuite::Tls13(suite)) = client.negotiated_cipher_suite() else { panic!("not TLS 1.3") };
        let (sequence, Aes256Gcm { key, iv }) = client.dangerous_extract_secrets().unwrap().tx else {
            panic!("not the default cipher")
        };
        assert_eq!(sequence, 0, "the cipher would have to begin where the client's has ended");
        (server, Self { cipher: suite.aead_alg.encrypter(key, iv), sequence, tcp })
    }

    async fn send(&mut self, typ: ContentType, payload: &[u8]) {
        let payload = OutboundChunks::Single(payload);
        let message = OutboundPlainMessage { typ, version: ProtocolVersion::TLSv1_2, payload };
        let record = self.cipher.encrypt(message, self.sequence).unwrap().encode();
        self.sequence += 1;
        // The server may have closed the connection.
        let _ = self.tcp.write_all(&record).await;
    }
}

/// Records, and the data that the server reads of them, or `None` if they end the connection.
type Case<'a> = (&'a [(ContentType, &'a [u8])], Option<&'a [u8]>);

#[tokio::test]
async fn forbidden_records_end_the_connection() {
    use ContentType as Type;
    let data = (Type::ApplicationData, &b"hello"[..]);
    let update = [24, 0, 0, 1, 0].map(|byte: u8| (Type::Handshake, vec![byte]));
    let update: Vec<_> = update.iter().map(|(typ, byte)| (*typ, &byte[..])).collect();
    let cases: &[Case] = &[
        (&[data, (Type::ApplicationData, b""), data], Some(b"hellohello")),
        (&[data, (Type::Alert, &[1, 0]), data], Some(b"hello")),
        (&[data, (Type::Alert, &[1, 90]), data], Some(b"hellohello")),
        (&update, Some(b"")),
        (&update[..3], Some(b"")),
        (&[update[0], data], None),
        (&[(Type::Handshake, &[24, 0, 0, 1, 2])], None),
        (&[(Type::Handshake, &[1, 0, 0, 0])], None),
        (&[data, (Type::Alert, &[2, 80])], None),
        (&[(Type::Alert, &[1])], None),
        (&[(Type::Heartbeat, &[1])], None),
        (&[(Type::ApplicationData, &b""[..]); 33], None),
        (&[(Type::Alert, &[1, 90][..]); 33], None),
    ];

    for (records, expected) in cases {
        let (mut server, mut client) = Forger::connect().await;
        for (typ, payload) in *records {
            client.send(*typ, payload).await;
        }
        client.tcp.shutdown().await.unwrap();
        let mut received = Vec::new();
        let read = timeout(DEADLINE, server.read_to_end(&mut received)).await.expect("in time");

        assert_eq!(read.is_ok().then_some(&received[..]), *expected, "{records:?}");
    }
}

#[tokio::test]
async fn an_unfinished_handshake_message_is_bounded() {
    let (mut server, mut client) = Forger::connect().await;
    let sending = async {
        client.send(ContentType::Handshake, &[24, 0, 0xf0, 0]).await;
        for _ in 0..3 {
            client.send(ContentType::Handshake, &[0; 16 * 1024]).await;
        }
    };

    let mut part = [0; 16];
    let (read, ()) = timeout(DEADLINE, async { tokio::join!(server.read(&mut part), sending) }).await.expect("in time");

    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData);
    assert_eq!(server.buffer_capacity(), 0);
}

#[tokio::test]
async fn a_client_that_ends_inside_a_handshake_message_can_still_read() {
    let (mut server, mut client) = Forger::connect().await;
    client.send(ContentType::Handshake, &[24, 0]).await;
    client.tcp.shutdown().await.unwrap();
    assert_eq!(timeout(DEADLINE, server.read(&mut [0; 16])).await.expect("in time").unwrap(), 0);

    for _ in 0..3 {
        server.write_all(b"still here").await.unwrap();
    }

    server.shutdown().await.unwrap();
    assert_eq!(server.buffer_capacity(), 0);
}

#[tokio::test]
async fn an_invalid_record_header_is_refused_before_the_payload_arrives() {
    for (version, header) in [
        (&TLS13, &b"GET /"[..]),
        (&TLS13, &[23, 2, 0, 0, 32]),
        (&TLS13, &[23, 3, 3, 0x48, 1]),
        (&TLS12, b"GET /"),
        (&TLS12, &[23, 3, 3, 0xff, 0xff]),
    ] {
        let mut pair = Pair::connect(version, 4096).await;

        pair.tcp.write_all(header).await.unwrap();

        let read = timeout(DEADLINE, pair.server.read(&mut [0; 16])).await.expect("in time");
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::InvalidData, "{header:?}");
        assert_eq!(pair.receive_alert().await, AlertDescription::DecodeError, "{header:?}");
    }
}
