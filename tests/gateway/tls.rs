//! TLS at a listener: versions, protocols, names, renewed certificates, client certificates, and stalled handshakes.
//!
//! One plain port that accepts both HTTP/1.1 and HTTP/2 is tested here too.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ProtocolVersion, SupportedProtocolVersion};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::support::certificates::{Authority, Identity};
use crate::support::client::Client;
use crate::support::figures::{lines_with, metric, wait_metric};
use crate::support::origin::{Emission, Origin};
use crate::support::raw::Raw;
use crate::support::server::Rillgate;
use crate::support::setup::{Setup, both_protocols};
use crate::support::wait::{DEADLINE, eventually};

type Versions<'a> = &'a [&'static SupportedProtocolVersion];
const BOTH: Versions<'static> = &[&TLS13, &TLS12];

async fn handshake(
    gateway: &Rillgate,
    authority: &Authority,
    name: &str,
    versions: Versions<'_>,
    alpn: &[&str],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut config: ClientConfig = authority.client_config_of(versions);
    config.alpn_protocols = alpn.iter().map(|protocol| protocol.as_bytes().to_vec()).collect();
    let tcp = TcpStream::connect(gateway.address()).await?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// Returns the certificate that the gateway serves for `localhost`.
async fn served_certificate(gateway: &Rillgate, authority: &Authority) -> Option<Vec<u8>> {
    let tls = handshake(gateway, authority, "localhost", BOTH, &[]).await.ok()?;
    Some(tls.get_ref().1.peer_certificates()?.first()?.to_vec())
}

fn is_served(identity: &Identity, shown: &Option<Vec<u8>>) -> bool {
    shown.as_deref() == Some(identity.chain_der()[0].as_ref())
}

async fn curl(arguments: &[&str], url: String) -> Output {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--max-time", "20"]).args(arguments).arg(url);
        command.output().expect("curl is installed")
    })
    .await
    .unwrap()
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_spoken_and_older_ones_refused() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).tls(&authority.server()).start().await;
    let cases: [(Versions<'_>, ProtocolVersion); 2] =
        [(&[&TLS12], ProtocolVersion::TLSv1_2), (&[&TLS13], ProtocolVersion::TLSv1_3)];

    for (versions, expected) in cases {
        let tls = handshake(&gateway, &authority, "localhost", versions, &["h2"]).await.unwrap();
        assert_eq!(tls.get_ref().1.protocol_version(), Some(expected));
    }

    for version in ["1.0", "1.1"] {
        let oldest = ["-k", "--tlsv1.0", "--tls-max", version, "--ciphers", "DEFAULT:@SECLEVEL=0"];
        let refused = curl(&oldest, format!("https://{}/prices", gateway.address())).await;
        assert_eq!(refused.status.code(), Some(35), "{}", String::from_utf8_lossy(&refused.stderr));
    }
    wait_metric(&gateway, "tls_handshakes_total", &["result=\"refused\""], 2.0).await;
    let told = gateway.wait_line("TLS handshake refused", DEADLINE).await;
    assert!(told.contains("client=127.0.0.1") && told.contains("error="), "{told}");
}

#[tokio::test]
async fn a_listener_may_require_tls_1_3() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let identity = authority.server();
    let tls = format!(
        "tls = {{ certificates = [{{ chain = \"{}\", key = \"{}\" }}], min_version = \"1.3\" }}",
        identity.chain.display(),
        identity.key.display()
    );
    let gateway = Setup::for_origin(&origin.url()).listener(&tls).start().await;

    assert!(handshake(&gateway, &authority, "localhost", &[&TLS12], &[]).await.is_err());
    assert!(handshake(&gateway, &authority, "localhost", &[&TLS13], &[]).await.is_ok());
}

#[tokio::test]
async fn alpn_chooses_the_protocol_and_its_absence_means_http_1() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).tls(&authority.server()).start().await;

    for (offered, chosen) in [
        (&["h2"][..], Some("h2")),
        (&["http/1.1"], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let tls = handshake(&gateway, &authority, "localhost", BOTH, offered).await.unwrap();
        assert_eq!(tls.get_ref().1.alpn_protocol(), chosen.map(str::as_bytes), "{offered:?}");
    }
    assert!(handshake(&gateway, &authority, "localhost", BOTH, &["spdy/3"]).await.is_err(), "RFC 7301, 3.2");

    let bare = ["-k", "--no-alpn", "-w", "%{http_version} %{http_code}"];
    let answer = curl(&bare, format!("https://{}/prices?follow=false", gateway.address())).await;
    assert!(String::from_utf8_lossy(&answer.stdout).ends_with("1.1 200"), "{answer:?}");
    // A request of a protocol that was not negotiated is never executed.
    let client = Client::http2(gateway.address()).tls(&authority);
    let text = Raw::exchange(&client, b"GET /other HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert!(!text.contains("HTTP/1.1 "), "{text:?}");
    assert!(origin.requests().iter().all(|request| request.target != "/other"));
}

#[tokio::test]
async fn curl_reads_streams_with_every_protocol_and_with_and_without_tls() {
    let authority = Authority::new();
    let origin = Origin::start_with(|_| crate::support::script::Answer::stream().then("id: 1\ndata: one\n\n")).await;
    let setup = Setup::for_origin(&origin.url()).replay("start = \"oldest\"");
    let encrypted = setup.clone().tls(&authority.server()).start().await;
    let plain = setup.start().await;
    let ca = authority.file().display().to_string();
    let secure = format!("https://localhost:{}/prices?limit=1", encrypted.address().port());
    let clear = format!("http://{}/prices?limit=1", plain.address());

    for (arguments, url, version) in [
        (vec!["--http1.1", "--cacert", &ca], &secure, "1.1"),
        (vec!["--http2", "--cacert", &ca], &secure, "2"),
        (vec!["--http1.0", "--cacert", &ca], &secure, "1"),
        (vec!["--http1.1"], &clear, "1.1"),
        (vec!["--http1.0"], &clear, "1"),
        (vec!["--http2-prior-knowledge"], &clear, "2"),
        // An upgrade to h2c is ignored (RFC 9113, 3.1).
        (vec!["--http2"], &clear, "1.1"),
    ] {
        let arguments = [&["-N", "-w", "\n%{http_version} %{http_code}"], arguments.as_slice()].concat();
        let answer = curl(&arguments, url.clone()).await;
        let text = String::from_utf8_lossy(&answer.stdout);
        assert!(answer.status.success() && text.contains("data: one\n"), "{arguments:?} {answer:?}");
        assert!(text.ends_with(&format!("\n{version} 200")), "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn certificates_are_chosen_by_sni() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let identities = [
        authority.server(),
        authority.server_for("one", &["one.example"]),
        authority.server_for("wild", &["*.wild.example"]),
    ];
    let files = identities.iter().map(|identity| {
        format!("{{ chain = \"{}\", key = \"{}\" }}", identity.chain.display(), identity.key.display())
    });
    let tls = format!("tls = {{ certificates = [{}] }}", files.collect::<Vec<_>>().join(", "));
    let gateway = Setup::for_origin(&origin.url()).listener(&tls).start().await;

    for (name, expected) in
        [("localhost", 0), ("127.0.0.1", 0), ("one.example", 1), ("ONE.example", 1), ("a.wild.example", 2)]
    {
        let tls =
            handshake(&gateway, &authority, name, BOTH, &[]).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        let leaf = tls.get_ref().1.peer_certificates().unwrap()[0].to_vec();
        assert_eq!(leaf, identities[expected].chain_der()[0].to_vec(), "{name}");
    }
    for name in ["other.example", "a.b.wild.example", "wild.example"] {
        assert!(
            handshake(&gateway, &authority, name, BOTH, &[]).await.is_err(),
            "{name}: a certificate was served that does not cover the name"
        );
    }
}

fn install(folder: &Path, identity: &Identity) {
    std::fs::create_dir_all(folder).unwrap();
    std::fs::write(folder.join("tls.key"), &identity.key_pem).unwrap();
    std::fs::write(folder.join("tls.crt"), &identity.chain_pem).unwrap();
}

fn swap(folder: &Path, to: &str) {
    let next = folder.join("..next");
    let _ = std::fs::remove_file(&next);
    symlink(to, &next).unwrap();
    std::fs::rename(next, folder.join("current")).unwrap();
}

#[tokio::test]
async fn changed_certificates_are_reloaded_and_invalid_ones_ignored() {
    let authority = Authority::new();
    let [first, second, third, fourth] =
        ["first", "second", "third", "fourth"].map(|name| authority.server_for(name, &["localhost"]));
    let origin = Origin::start().await;
    let folder = tempfile::tempdir().unwrap();
    install(&folder.path().join("1"), &first);
    install(&folder.path().join("2"), &second);
    swap(folder.path(), "1");
    let current = folder.path().join("current");
    let files = format!("chain = \"{0}/tls.crt\", key = \"{0}/tls.key\"", current.display());
    let gateway =
        Setup::for_origin(&origin.url()).listener(&format!("tls = {{ certificates = [{{ {files} }}] }}")).start().await;
    assert!(is_served(&first, &served_certificate(&gateway, &authority).await));
    let mut open = Client::http2(gateway.address()).tls(&authority).subscribe("/prices", &[]).await;
    origin.wait_open(1).await;

    // Kubernetes swaps the symbolic link.
    swap(folder.path(), "2");
    eventually(DEADLINE, || async { is_served(&second, &served_certificate(&gateway, &authority).await) }).await;

    // Other tools write the files in place, one after the other.
    install(&folder.path().join("2"), &third);
    eventually(DEADLINE, || async { is_served(&third, &served_certificate(&gateway, &authority).await) }).await;

    let pem =
        |content: &str| format!("-----BEGIN CERTIFICATE-----\n{content}\n-----END CERTIFICATE-----\n").into_bytes();
    let mut random = fastrand::Rng::with_seed(7);
    let garbage: [(&str, Vec<u8>); 5] = [
        ("no base64", pem("nonsense!")),
        ("base64 of no certificate", pem("bm9uc2Vuc2U=")),
        ("half a file", third.chain_pem.as_bytes()[..third.chain_pem.len() / 2].to_vec()),
        ("random bytes", std::iter::repeat_with(|| random.u8(..)).take(4096).collect()),
        ("nothing", Vec::new()),
    ];
    for (what, content) in garbage {
        let refusals = lines_with(&gateway, &["certificates not reloaded"]);
        std::fs::write(current.join("tls.crt"), content).unwrap();
        eventually(DEADLINE, || async { lines_with(&gateway, &["certificates not reloaded"]) > refusals }).await;
        assert!(is_served(&third, &served_certificate(&gateway, &authority).await), "{what}");
    }

    let refusals = lines_with(&gateway, &["certificates not reloaded"]);
    std::fs::write(current.join("tls.crt"), &fourth.chain_pem).unwrap();
    eventually(DEADLINE, || async { lines_with(&gateway, &["certificates not reloaded"]) > refusals }).await;
    assert!(
        is_served(&third, &served_certificate(&gateway, &authority).await),
        "a key of another certificate was loaded"
    );

    std::fs::write(current.join("tls.key"), &fourth.key_pem).unwrap();
    eventually(DEADLINE, || async { is_served(&fourth, &served_certificate(&gateway, &authority).await) }).await;
    // Existing connections are not affected.
    origin.emit(Emission::event("1", "", "still"));
    assert_eq!(open.next_event(DEADLINE).await.data, "still");
}

#[tokio::test]
async fn client_certificates_are_required_with_client_ca() {
    let (authority, clients, strangers) = (Authority::new(), Authority::new(), Authority::new());
    let origin = Origin::start().await;
    let identity = authority.server();
    let tls = format!(
        "tls = {{ certificates = [{{ chain = \"{}\", key = \"{}\" }}], client_ca = \"{}\" }}",
        identity.chain.display(),
        identity.key.display(),
        clients.file().display()
    );
    let gateway = Setup::for_origin(&origin.url()).listener(&tls).start().await;

    for client in both_protocols(&gateway, None) {
        let known = client.clone().tls_as(&authority, &clients.client("known"));
        assert_eq!(known.subscribe("/prices", &[]).await.status, 200);
        let stranger = client.clone().tls_as(&authority, &strangers.client("stranger"));
        assert!(stranger.try_request("GET", "/prices", &[]).await.is_err());
        let anonymous = client.tls(&authority);
        assert!(anonymous.try_request("GET", "/prices", &[]).await.is_err());
    }
    assert_eq!(origin.requests().len(), 1);
}

#[tokio::test]
async fn stalled_handshakes_time_out_while_others_are_served() {
    let authority = Authority::new();
    let origin = Origin::start().await;
    let gateway =
        Setup::for_origin(&origin.url()).limits("handshake_timeout = \"1s\"").tls(&authority.server()).start().await;
    let bare = Client::http1(gateway.address());
    let hello_of_16_kib = [&[0x16, 3, 1, 0x40, 0][..], &[1, 0, 0x3f, 0xfc], &[0; 100]].concat();
    let garbage: Vec<Vec<u8>> = vec![
        b"GET /prices HTTP/1.1\r\nhost: localhost\r\n\r\n".to_vec(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        vec![0; 1000],
        vec![0xff; 1000],
        vec![0x16, 3, 1, 0, 0],
        vec![0x16, 3, 1, 0, 1, 1],
        vec![0x16, 3, 1, 0xff, 0xff],
        vec![0x15, 3, 3, 0, 2, 2, 40],
        vec![0x17, 3, 3, 0, 1, 0],
        hello_of_16_kib,
        b"SSH-2.0-OpenSSH_9.9\r\n".to_vec(),
    ];
    let mut silent = Vec::new();
    for _ in 0..80 {
        silent.push(Raw::dial(&bare).await);
    }
    for bytes in &garbage {
        let mut raw = Raw::dial(&bare).await;
        raw.send(bytes).await;
        silent.push(raw);
    }
    // This client sends a handshake in single bytes.
    let mut slow = Raw::dial(&bare).await;

    for client in both_protocols(&gateway, Some(&authority)) {
        let began = Instant::now();
        assert_eq!(client.subscribe("/prices", &[]).await.status, 200);
        assert!(began.elapsed() < Duration::from_secs(5), "served after {:?}", began.elapsed());
    }
    slow.send(&[0x16, 3, 1, 0, 200]).await;
    let began = Instant::now();
    while !slow.is_closed_within(Duration::from_millis(50)).await {
        slow.send(&[1]).await;
        assert!(began.elapsed() < DEADLINE, "a handshake in single bytes is still open");
    }
    for raw in &mut silent {
        raw.read_to_end(DEADLINE).await;
        assert!(!raw.text().contains("HTTP/1.1 200"));
    }
    assert!(metric(&gateway, "tls_handshakes_total", &["result=\"timeout\""]).await >= 80.0);
}

#[tokio::test]
async fn one_plain_port_accepts_both_protocols_in_every_split() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).start().await;
    for client in both_protocols(&gateway, None) {
        let mut subscription = client.subscribe("/prices", &[]).await;
        origin.wait_open(1).await;
        origin.emit(Emission::event("1", "", "hello"));
        assert_eq!(subscription.next_event(DEADLINE).await.data, "hello");
    }

    let client = Client::http1(gateway.address());
    for request in [
        "GET /prices?limit=0 HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        // These start like the HTTP/2 preface.
        "PRI /prices HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
        "PRI * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n",
    ] {
        for size in [1, 3, 24, 1000] {
            let mut raw = Raw::dial(&client).await;
            for part in request.as_bytes().chunks(size) {
                raw.send(part).await;
            }
            let text = raw.read_to_end(DEADLINE).await;
            assert!(text.starts_with("HTTP/1.1 4"), "{request:?} by {size}: {text:?}");
        }
    }
}
