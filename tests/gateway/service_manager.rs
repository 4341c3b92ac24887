//! Notifications to a service manager: ready, alive, reloading and stopping. The test owns a socket like systemd's.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::support::client::Client;
use crate::support::figures::watch_for;
use crate::support::origin::Origin;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

/// A service manager's socket, and the notifications received on it.
struct Manager {
    socket: UnixDatagram,
    received: parking_lot::Mutex<Vec<String>>,
}

impl Manager {
    fn new(socket: UnixDatagram) -> Self {
        socket.set_nonblocking(true).unwrap();
        Self { socket, received: parking_lot::Mutex::default() }
    }

    /// Returns all notifications received so far.
    fn received(&self) -> Vec<String> {
        let mut received = self.received.lock();
        let mut message = [0; 4096];
        while let Ok(size) = self.socket.recv(&mut message) {
            received.push(String::from_utf8(message[..size].to_vec()).unwrap());
        }
        received.clone()
    }

    fn count(&self, line: &str) -> usize {
        self.received().iter().flat_map(|message| message.lines()).filter(|said| *said == line).count()
    }

    async fn wait_for(&self, line: &str, count: usize) {
        eventually(DEADLINE, || async { self.count(line) >= count }).await;
    }
}

async fn managed(setup: &Setup, watchdog: &str) -> (Rillgate, Manager, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = Manager::new(UnixDatagram::bind(&path).unwrap());
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", watchdog)];
    let gateway = Rillgate::start_with(&setup.toml(), &environment).await;
    (gateway, manager, folder)
}

#[tokio::test]
async fn the_service_manager_is_notified_of_start_reload_and_stop() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url())
        .server("watch = false\ndrain = { notice = \"0s\", spread = \"0s\", deadline = \"20s\" }");
    let (gateway, manager, _folder) = managed(&setup, "600000000").await;

    manager.wait_for("READY=1", 1).await;
    let received = manager.received();
    assert!(received.iter().any(|said| said.starts_with("READY=1\nSTATUS=serving: 0 subscribers")), "{received:?}");
    let mut client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    manager.wait_for("STATUS=serving: 1 subscribers on 1 streams", 1).await;

    gateway.signal("HUP");
    manager.wait_for("READY=1", 2).await;
    gateway.rewrite("nonsense = ");
    gateway.signal("HUP");
    // A refused reload must be reported as finished too, or the manager would wait for it.
    manager.wait_for("READY=1", 3).await;
    let received = manager.received();
    let reloads: Vec<_> =
        received.iter().filter(|message| message.starts_with("RELOADING=1\nMONOTONIC_USEC=")).collect();
    assert_eq!(reloads.len(), 2, "{received:?}");
    let time = |message: &str| message.rsplit('=').next().unwrap().trim().parse::<u64>().unwrap();
    assert!(time(reloads[0]) > 0 && time(reloads[0]) < time(reloads[1]), "{reloads:?}");

    gateway.signal("TERM");
    manager.wait_for("STOPPING=1", 1).await;
    client.expect_end(DEADLINE).await;
    assert!(gateway.wait_exit(DEADLINE).await.success());
    let received = manager.received();
    assert!(received.iter().any(|message| message.contains("EXTEND_TIMEOUT_USEC=20000000")), "{received:?}");
    assert_eq!(manager.count("READY=1"), 3);
    assert_eq!(manager.count("WATCHDOG=1"), 0, "the first one is due in five minutes");
}

#[tokio::test]
async fn the_watchdog_is_notified_only_while_the_workers_respond() {
    let origin = Origin::start().await;
    let setup =
        Setup::for_origin(&origin.url()).server("drain = { notice = \"1s\", spread = \"0s\", deadline = \"20s\" }");
    let (gateway, manager, _folder) = managed(&setup, "200000").await;

    manager.wait_for("WATCHDOG=1", 3).await;
    gateway.signal("STOP");
    let is_stopped = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", gateway.id())).unwrap();
        stat.rsplit(')').next().unwrap().trim_start().starts_with('T')
    };
    eventually(DEADLINE, || async { is_stopped() }).await;
    let before = manager.count("WATCHDOG=1");
    watch_for(Duration::from_millis(600)).await;
    assert_eq!(manager.count("WATCHDOG=1"), before);

    gateway.signal("CONT");
    manager.wait_for("WATCHDOG=1", before + 2).await;
    gateway.signal("TERM");
    manager.wait_for("STOPPING=1", 1).await;
    let leaving = manager.count("WATCHDOG=1");
    manager.wait_for("WATCHDOG=1", leaving + 1).await;
    assert!(gateway.wait_exit(DEADLINE).await.success());
}

#[tokio::test]
async fn the_notify_socket_may_be_abstract_or_missing() {
    let origin = Origin::start().await;
    let setup = Setup::for_origin(&origin.url());
    let name = format!("rillgate-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager::new(UnixDatagram::bind_addr(&address).unwrap());

    let _gateway = Rillgate::start_with(&setup.toml(), &[("NOTIFY_SOCKET", &format!("@{name}"))]).await;
    manager.wait_for("READY=1", 1).await;

    let alone = Rillgate::start_with(&setup.toml(), &[("NOTIFY_SOCKET", "/does/not/exist")]).await;
    alone.wait_line("cannot connect to the service manager", DEADLINE).await;
    assert_eq!(Client::http1(alone.address()).subscribe("/prices", &[]).await.status, 200);
}
