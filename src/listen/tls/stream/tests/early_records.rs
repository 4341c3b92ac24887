//! Tests of clients that send records right after the handshake.

use super::*;

/// Performs a handshake with a client that sends data together with its last message. Holds back the last bytes of the
/// data.
async fn connect_eager(speak: impl FnOnce(&mut ClientConnection), held_back: usize) -> (Pair, Vec<u8>) {
    let (config, client) = configs(&TLS13, u64::MAX);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut tcp = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (accepted, _) = listener.accept().await.unwrap();
    let mut client = ClientConnection::new(client, ServerName::try_from("localhost").unwrap()).unwrap();
    let mut bytes = Vec::new();
    let handshaking = async {
        while client.is_handshaking() {
            send(&mut client, &mut tcp, 4096).await;
            receive(&mut client, &mut tcp).await;
        }
        // Part of the same write as the end of the handshake.
        speak(&mut client);
        while client.wants_write() {
            client.write_tls(&mut bytes).unwrap();
        }
        tcp.write_all(&bytes[..bytes.len() - held_back]).await.unwrap();
    };
    let (server, ()) = timeout(DEADLINE, async { tokio::join!(accept(config, accepted), handshaking) })
        .await
        .expect("a handshake in time");
    let rest = bytes.split_off(bytes.len() - held_back);
    (Pair { server: server.unwrap(), client, tcp }, rest)
}

#[tokio::test]
async fn data_right_after_the_handshake_is_read_and_answered() {
    let speak = |client: &mut ClientConnection| {
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"early").unwrap();
    };
    let (mut pair, _) = connect_eager(speak, 0).await;

    let mut received = [0; 5];
    timeout(DEADLINE, pair.server.read_exact(&mut received)).await.expect("in time").unwrap();

    assert_eq!(&received, b"early");
    pair.respond(b"with new keys").await;
    pair.send_data(b"and on", 4096).await;
}

#[tokio::test]
async fn an_incomplete_record_after_the_handshake_does_not_delay_it() {
    let said = vec![7; 50_000];
    let (mut pair, rest) = connect_eager(|client| client.writer().write_all(&said).unwrap(), 3).await;
    assert!(pair.server.buffer_capacity() < 2 * said.len());

    pair.tcp.write_all(&rest).await.unwrap();

    let mut received = vec![0; said.len()];
    timeout(DEADLINE, pair.server.read_exact(&mut received)).await.expect("in time").unwrap();
    assert_eq!(received, said);
    assert_eq!(pair.server.buffer_capacity(), 0);
}
