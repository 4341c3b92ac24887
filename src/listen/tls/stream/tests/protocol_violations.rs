//! Tests of clients that send validly encrypted records which the protocol forbids.

use rustls::{AlertDescription, ContentType};

use super::*;

type Case<'a> = (&'static SupportedProtocolVersion, &'a [(ContentType, &'a [u8])], Result<&'a [u8], AlertDescription>);

/// Sends the records and closes. Returns the data that the server read, or its error.
async fn send_crafted(
    version: &'static SupportedProtocolVersion,
    records: &[(ContentType, &[u8])],
) -> Result<Vec<u8>, RecordError> {
    let Pair { mut server, client, mut tcp } = Pair::connect(version, 4096).await;
    let suite = client.negotiated_cipher_suite().unwrap();
    let (first, secrets) = client.dangerous_extract_secrets().unwrap().tx;
    let mut cipher = records::encrypter(suite, secrets, first).unwrap();
    let mut bytes = Vec::new();
    for (number, (typ, payload)) in (first..).zip(records) {
        bytes.extend(cipher.encrypt(records::plaintext(*typ, payload), number).unwrap().encode());
    }
    tcp.write_all(&bytes).await.unwrap();
    tcp.shutdown().await.unwrap();

    let mut received = Vec::new();
    match timeout(DEADLINE, server.read_to_end(&mut received)).await.expect("in time") {
        Ok(_) => Ok(received),
        Err(error) => Err(*error.into_inner().unwrap().downcast::<RecordError>().unwrap()),
    }
}

#[tokio::test]
async fn each_protocol_violation_ends_the_connection_with_its_alert() {
    use {AlertDescription as Why, ContentType as Type};
    let data = (Type::ApplicationData, &b"hello"[..]);
    let update: [(Type, &[u8]); 5] =
        [24, 0, 0, 1, 0].map(|byte: u8| (Type::Handshake, &*Box::leak(Box::new([byte])) as &[u8]));
    let warnings = [(Type::Alert, &[1_u8, 90][..]); 33];
    let empty = [(Type::ApplicationData, &b""[..]); 33];
    let cases: &[Case] = &[
        (&TLS13, &[data, (Type::ApplicationData, b""), data], Ok(b"hellohello")),
        (&TLS13, &[data, (Type::Alert, &[1, 0]), data], Ok(b"hello")),
        (&TLS13, &update, Ok(b"")),
        (&TLS13, &update[..3], Ok(b"")),
        (&TLS13, &[update[0], data], Err(Why::UnexpectedMessage)),
        (&TLS13, &[(Type::Handshake, &[24, 0, 0, 1, 0, 24])], Err(Why::UnexpectedMessage)),
        (&TLS13, &[(Type::Handshake, &[24, 0, 0, 1, 2])], Err(Why::IllegalParameter)),
        (&TLS13, &[(Type::Handshake, &[1, 0, 0, 0])], Err(Why::UnexpectedMessage)),
        (&TLS13, &[(Type::Handshake, b"")], Err(Why::UnexpectedMessage)),
        (&TLS13, &[(Type::Alert, &[1])], Err(Why::DecodeError)),
        (&TLS13, &[(Type::Heartbeat, &[1])], Err(Why::UnexpectedMessage)),
        (&TLS13, &[&warnings[..32], &[data]].concat(), Ok(b"hello")),
        (&TLS13, &warnings, Err(Why::UnexpectedMessage)),
        (&TLS13, &empty, Err(Why::UnexpectedMessage)),
        (&TLS12, &[data, (Type::ApplicationData, b""), data], Ok(b"hellohello")),
        (&TLS12, &[(Type::Alert, &[1, 100]), data], Ok(b"hello")),
        (&TLS12, &[(Type::Handshake, &[1, 0, 0, 0]), data], Ok(b"hello")),
        (&TLS12, &[(Type::Handshake, &[1_u8, 0, 0, 0][..]); 33], Err(Why::UnexpectedMessage)),
        (&TLS12, &[(Type::Handshake, &[0, 0, 0, 0])], Err(Why::UnexpectedMessage)),
        (&TLS12, &empty, Err(Why::UnexpectedMessage)),
    ];

    for (version, records, outcome) in cases {
        let outcome = outcome.map(<[u8]>::to_vec).map_err(RecordError::Client);

        assert_eq!(send_crafted(version, records).await, outcome, "{:?}: {records:?}", version.version);
    }
    for (version, told) in [(&TLS13, [2, 80]), (&TLS13, [1, 80]), (&TLS12, [2, 80])] {
        let outcome = send_crafted(version, &[data, (Type::Alert, &told)]).await;

        assert_eq!(outcome, Err(RecordError::PeerAlert(Why::InternalError)));
    }
}

#[tokio::test]
async fn an_invalid_record_header_is_refused_before_the_payload_arrives() {
    use AlertDescription as Why;
    for (version, header, why) in [
        (&TLS13, &b"GET /"[..], Why::UnexpectedMessage),
        (&TLS13, &[21, 3, 3, 0, 2], Why::UnexpectedMessage),
        (&TLS13, &[23, 2, 0, 0, 32], Why::UnexpectedMessage),
        (&TLS13, &[23, 3, 3, 0x48, 1], Why::RecordOverflow),
        (&TLS12, b"GET /", Why::UnexpectedMessage),
        (&TLS12, &[23, 3, 3, 0xff, 0xff], Why::RecordOverflow),
    ] {
        let mut pair = Pair::connect(version, 4096).await;

        pair.tcp.write_all(header).await.unwrap();

        let read = timeout(DEADLINE, pair.server.read(&mut [0; 16])).await.expect("in time");
        let fault = *read.unwrap_err().into_inner().unwrap().downcast::<RecordError>().unwrap();
        assert_eq!(fault, RecordError::Client(why));
    }
}
