//! Workers and connections: each worker gets an equal share, and a session ticket is valid on all of them, across a
//! reload too.

use std::collections::{BTreeSet, HashSet};
use std::path::Path;

use futures_util::future::join_all;

use crate::support::certificates::{Authority, Identity};
use crate::support::client::Client;
use crate::support::figures::{lines_with, metric};
use crate::support::origin::Origin;
use crate::support::reserved_addr::reserve;
use crate::support::script::Answer;
use crate::support::server::Rillgate;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};
use crate::tls_interop::Openssl;

/// Returns the descriptors of each event queue (epoll) of a process. Each worker has one queue, and its sockets are
/// registered only there.
fn watched(gateway: &Rillgate) -> HashSet<BTreeSet<u32>> {
    let folder = format!("/proc/{}/fdinfo", gateway.id());
    let queues = std::fs::read_dir(folder).unwrap().filter_map(|file| {
        // A descriptor may have been closed meanwhile.
        let text = std::fs::read_to_string(file.ok()?.path()).ok()?;
        let targets =
            text.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_whitespace().next()?.parse().ok());
        let targets: BTreeSet<u32> = targets.collect();
        (!targets.is_empty()).then_some(targets)
    });
    // Each queue has two descriptors, so duplicates are removed.
    queues.collect()
}

/// Counts the descriptors of each queue that are not in `before`; queues without new ones are omitted.
fn grown(gateway: &Rillgate, before: &HashSet<BTreeSet<u32>>) -> Vec<usize> {
    let old: BTreeSet<u32> = before.iter().flatten().copied().collect();
    let now = watched(gateway);
    let mut grown: Vec<_> = now.iter().map(|queue| queue.difference(&old).count()).filter(|&more| more > 0).collect();
    grown.sort_unstable();
    grown
}

#[tokio::test]
async fn connections_and_their_streams_are_spread_evenly_over_workers() {
    const CLIENTS: usize = 40;
    let authority = Authority::new();
    let origin = Origin::start().await;
    for workers in [2, 4] {
        let setup = Setup::for_origin(&origin.url()).server(&format!("workers = {workers}"));
        let gateway = setup.tls(&authority.server()).start().await;
        let client = Client::http1(gateway.address()).tls(&authority);
        let before = watched(&gateway);

        let quiet = join_all((0..CLIENTS).map(|_| client.dial())).await;
        assert!(quiet.iter().all(Result::is_ok));
        eventually(DEADLINE, || async { grown(&gateway, &before) == vec![CLIENTS / workers; workers] }).await;

        let before = watched(&gateway);
        let paths: Vec<_> = (0..CLIENTS).map(|number| format!("/own-{number}")).collect();
        let readers = join_all(paths.iter().map(|path| client.subscribe(path, &[]))).await;
        assert!(readers.iter().all(|reader| reader.status == 200));
        // Each client has opened a stream, so there are as many upstream connections.
        eventually(DEADLINE, || async { grown(&gateway, &before) == vec![2 * CLIENTS / workers; workers] }).await;
    }
}

fn install(folder: &Path, identity: &Identity) {
    std::fs::write(folder.join("tls.key"), &identity.key_pem).unwrap();
    std::fs::write(folder.join("tls.crt"), &identity.chain_pem).unwrap();
}

#[tokio::test]
async fn a_session_ticket_is_valid_on_every_worker_and_across_reloads() {
    let authority = Authority::new();
    let origin = Origin::start_with(|_| Answer::stream().then("data: one\n\n")).await;
    for version in ["TLSv1.2", "TLSv1.3"] {
        let flag = if version == "TLSv1.2" { "-tls1_2" } else { "-tls1_3" };
        let (new, reused) = (format!("New, {version}"), format!("Reused, {version}"));
        let folder = tempfile::tempdir().unwrap();
        install(folder.path(), &authority.server());
        let (chain, key) = (folder.path().join("tls.crt"), folder.path().join("tls.key"));
        let tls =
            format!("tls = {{ certificates = [{{ chain = \"{}\", key = \"{}\" }}] }}", chain.display(), key.display());
        let setup = Setup::for_origin(&origin.url()).server("workers = 2").replay("start = \"oldest\"").listener(&tls);
        // The address must stay the same after a restart.
        let public = "name = \"public\"\naddress = ";
        let toml = setup.toml().replace(&format!("{public}\"127.0.0.1:0\""), &format!("{public}\"{}\"", reserve()));
        let mut gateway = Rillgate::start(&toml).await;
        let ticket = folder.path().join("ticket").display().to_string();
        let come_back = || Openssl::connect(gateway.address(), &authority, &[flag, "-sess_in", &ticket]);

        let before = watched(&gateway);
        let first = Openssl::connect(gateway.address(), &authority, &[flag, "-sess_out", &ticket]);
        first.wait_line(&new).await;
        let is_whole = |text: String| text.contains("END SSL SESSION");
        eventually(DEADLINE, || async { std::fs::read_to_string(&ticket).is_ok_and(is_whole) }).await;
        let second = come_back();
        second.wait_line(&reused).await;
        assert_eq!(grown(&gateway, &before), [1, 1], "one on each worker");
        first.leave().await;
        second.leave().await;

        gateway.signal("HUP");
        eventually(DEADLINE, || async { lines_with(&gateway, &["configuration reloaded"]) == 1 }).await;
        install(folder.path(), &authority.server_for("next", &["localhost"]));
        eventually(DEADLINE, || async { lines_with(&gateway, &["certificates reloaded"]) > 0 }).await;
        for _ in 0..2 {
            let mut third = come_back();
            third.wait_line(&reused).await;
            third.ask("/prices");
            third.wait_line("data: one").await;
            third.leave().await;
        }

        gateway.restart().await;
        let mut later = Openssl::connect(gateway.address(), &authority, &[flag, "-sess_in", &ticket]);
        later.wait_line(&new).await;
        later.ask("/prices");
        later.wait_line("data: one").await;
        later.leave().await;
        assert_eq!(metric(&gateway, "tls_handshakes_total", &["result=\"ok\""]).await, 1.0);
        assert_eq!(metric(&gateway, "tls_handshakes_total", &["result=\"refused\""]).await, 0.0);
    }
}

#[tokio::test]
async fn a_session_ticket_is_invalid_after_client_ca_changes() {
    let (authority, before, after) = (Authority::new(), Authority::new(), Authority::new());
    let origin = Origin::start().await;
    for version in ["-tls1_2", "-tls1_3"] {
        let folder = tempfile::tempdir().unwrap();
        install(folder.path(), &authority.server());
        let [chain, key, clients, ticket] =
            ["tls.crt", "tls.key", "clients.pem", "ticket"].map(|name| folder.path().join(name).display().to_string());
        std::fs::copy(before.file(), &clients).unwrap();
        let tls = format!(
            "tls = {{ certificates = [{{ chain = \"{chain}\", key = \"{key}\" }}], client_ca = \"{clients}\" }}"
        );
        let gateway = Setup::for_origin(&origin.url()).listener(&tls).start().await;
        let identity = before.client("known");
        let [cert, cert_key] = [&identity.chain, &identity.key].map(|path| path.display().to_string());
        let come = |session: &str| {
            let arguments = [version, "-cert", &cert, "-key", &cert_key, session, &ticket];
            Openssl::connect(gateway.address(), &authority, &arguments)
        };
        let refused = || metric(&gateway, "tls_handshakes_total", &["result=\"refused\""]);

        let first = come("-sess_out");
        let is_whole = |text: String| text.contains("END SSL SESSION");
        eventually(DEADLINE, || async { std::fs::read_to_string(&ticket).is_ok_and(is_whole) }).await;
        first.leave().await;
        let second = come("-sess_in");
        second.process.wait_line("Reused, ", DEADLINE).await;
        second.leave().await;
        assert_eq!(refused().await, 0.0);

        std::fs::copy(after.file(), &clients).unwrap();
        eventually(DEADLINE, || async { lines_with(&gateway, &["certificates reloaded"]) > 0 }).await;

        let third = come("-sess_in");
        third.process.wait_exit(DEADLINE).await;
        assert_eq!(refused().await, 1.0);
    }
}
