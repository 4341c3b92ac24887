//! The shares of one upstream in what all upstreams use: name lookups and connection attempts.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::support::client::Client;
use crate::support::figures::{metric, wait_metric};
use crate::support::flood::BlackHole;
use crate::support::origin::Origin;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually, within};

const EVENT: &str = "id: 1\ndata: one\n\n";

/// Threads that may come while 400 streams wait.
const FEW: usize = 10;

/// A name server that receives queries and never answers.
struct SilentNameServer {
    address: Ipv4Addr,
    queries: Arc<AtomicUsize>,
}

impl SilentNameServer {
    /// Binds an address of its own, since the port is fixed. Returns `None` if the system does not let this user.
    fn start() -> Option<Self> {
        let [.., third, fourth] = std::process::id().to_be_bytes();
        let address = Ipv4Addr::new(127, 53, third, fourth);
        let socket = match UdpSocket::bind((address, 53)) {
            Ok(socket) => socket,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => return None,
            Err(error) => panic!("cannot bind {address}:53: {error}"),
        };
        let queries = Arc::new(AtomicUsize::new(0));
        let counted = queries.clone();
        // The thread ends with the process.
        std::thread::spawn(move || {
            let mut query = [0; 1500];
            while socket.recv(&mut query).is_ok() {
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Some(Self { address, queries })
    }
}

fn threads(gateway: &Rillgate) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", gateway.id())).unwrap().count()
}

#[tokio::test]
async fn a_name_server_that_hangs_for_one_upstream_leaves_the_others_alone() {
    let Some(server) = SilentNameServer::start() else {
        eprintln!("skipped: binding port 53 needs root");
        return;
    };
    let origin = Origin::start_with(|_| Answer::stream().then(EVENT)).await;
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path.display().to_string()
    };
    let resolv = file("resolv.conf", format!("nameserver {}\noptions timeout:20 attempts:1\n", server.address));
    let hosts = file("hosts", format!("{} healthy.test\n", origin.address().ip()));
    // In a mount namespace of the gateway's own.
    let mounts = format!("mount --bind {resolv} /etc/resolv.conf && mount --bind {hosts} /etc/hosts && exec \"$@\"");
    let by = ["unshare", "--map-root-user", "--mount", "sh", "-c", &mounts, "sh"];
    let healthy = format!("http://healthy.test:{}", origin.address().port());
    let config = Setup::for_origin("http://hanging.test:9000")
        .limits("h2_streams = 1000\nstream_opens_per_second = { ip = 1000, route = 1000 }")
        .delivery("answer_within = \"1ms\"")
        .after(&format!(
            "[upstreams.healthy]\nurls = [\"{healthy}\"]\n[[routes]]\nname = \"healthy\"\npath = \"/healthy/{{key}}\"\n\
             upstream = \"healthy\"\nauth = \"public\"\n[routes.replay]\nstart = \"oldest\"\n\
             [routes.delivery]\nwhen_down = \"refuse\""
        ));
    let gateway = Rillgate::start_by(&by, &config.toml()).await;
    let before = threads(&gateway);

    let mut held = Client::http2(gateway.address()).connect().await.unwrap();
    let mut waiting = Vec::new();
    for key in 0..400 {
        waiting.push(held.subscribe(&format!("/{key}"), &[]).await);
    }
    eventually(DEADLINE, || async { server.queries.load(Ordering::Relaxed) > 0 }).await;
    wait_metric(&gateway, "upstream_connects_total", &["route=\"all\"", "result=\"unreachable\""], 400.0).await;

    // One for the lookup that hangs, now and then one for the other name, and a few for other blocking work.
    assert!(threads(&gateway) <= before + FEW, "{} threads, {before} before", threads(&gateway));
    for key in 0..10 {
        let begun = Instant::now();
        let mut reader = Client::http1(gateway.address()).subscribe(&format!("/healthy/{key}"), &[]).await;
        assert_eq!(reader.status.as_u16(), 200, "after {:?}", begun.elapsed());
        assert_eq!(reader.next_event(DEADLINE).await.data, "one");
        assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    }
    assert!(threads(&gateway) <= before + FEW, "{} threads, {before} before", threads(&gateway));
    // A query for each address family and lookup, and one lookup in 20 s.
    let queries = server.queries.load(Ordering::Relaxed);
    assert!(queries <= 8, "{queries} queries");
}

/// Returns the local address and inode of each connection to this address that waits for an answer to its SYN.
fn attempts(to: SocketAddr) -> HashSet<(String, String)> {
    let SocketAddr::V4(to) = to else { panic!("an IPv4 address") };
    let wanted = format!("{:08X}:{:04X}", u32::from_le_bytes(to.ip().octets()), to.port());
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let attempt = |line: &str| match line.split_whitespace().collect::<Vec<_>>()[..] {
        [_, local, remote, "02", _, _, _, _, _, inode, ..] if remote == wanted => {
            Some((local.to_owned(), inode.to_owned()))
        }
        _ => None,
    };
    table.lines().filter_map(attempt).collect()
}

#[tokio::test]
async fn connection_attempts_to_an_address_are_bounded_and_the_next_address_is_reached() {
    let origin = Origin::start_with(|_| Answer::stream().then(EVENT)).await;
    let hole = BlackHole::new();
    let address: SocketAddr = hole.url().strip_prefix("http://").unwrap().parse().unwrap();
    // Attempts that fill the queue of the hole wait as well.
    let own = attempts(address);
    let gateway = Setup::for_origin(&hole.url())
        .limits("h2_streams = 1000")
        .replay("start = \"oldest\"")
        .delivery("answer_within = \"1ms\"");
    let urls = format!("urls = [\"{}\", \"{}\"]", hole.url(), origin.url());
    let toml = gateway.toml().replace(&format!("urls = [\"{}\"]", hole.url()), &urls);
    let gateway =
        Rillgate::start(&toml.replace("[upstreams.origin]", "[upstreams.origin]\nconnect_timeout = \"2s\"")).await;
    let mut connection = Client::http2(gateway.address()).connect().await.unwrap();

    let mut readers = Vec::new();
    for key in 0..200 {
        readers.push(connection.subscribe(&format!("/{key}"), &[]).await);
    }
    let mut most = 0;
    let all = join_all(readers.iter_mut().map(|reader| reader.next_event(DEADLINE)));
    let watched = async {
        loop {
            // The kernel's table changes while it is read, so an attempt may be listed beside its successor. Those in two
            // readings were all there between the two.
            let (earlier, later) = (attempts(address), attempts(address));
            most = most.max(earlier.intersection(&later).filter(|attempt| !own.contains(*attempt)).count());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let events = tokio::select! {
        events = within(DEADLINE, "events of all streams", all) => events,
        () = watched => unreachable!("it watches forever"),
    };

    assert!(events.iter().all(|event| event.data == "one"));
    assert!((1..=64).contains(&most), "{most} attempts at a time");
    assert!(metric(&gateway, "shares_refused_total", &["room=\"upstream_connects\""]).await >= 1.0);
}
