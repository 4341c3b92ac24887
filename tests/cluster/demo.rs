//! `rillgate demo --cluster`: three gateways, and a button that kills the owner.

use std::path::Path;

use serde_json::Value;

use crate::support::nats::binary;
use crate::support::process::Process;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn another_gateway_takes_over_when_the_button_kills_the_owner() {
    let (process, page) = demo().await;
    let trades = || async { owner(&state(&page).await, "/trades") };
    eventually(DEADLINE, || async { trades().await.is_some() }).await;
    eventually(DEADLINE, || async { running(&state(&page).await) == 3 }).await;

    let refused = curl(&["-X", "POST", "-H", "origin: https://elsewhere.example"], &format!("{page}kill")).await;
    let killed: Value = serde_json::from_str(&curl(&["-X", "POST"], &format!("{page}kill")).await).unwrap();

    assert_eq!(refused, "only this page may kill a gateway\n");
    let killed = killed["killed"].as_str().expect("the name of a gateway").to_owned();
    eventually(DEADLINE, || async { trades().await.is_some_and(|owner| owner != killed) }).await;
    eventually(DEADLINE, || async { running(&state(&page).await) == 3 }).await;
    process.signal("INT");
    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(0));
}

#[tokio::test]
async fn without_nats_server_the_demo_says_what_it_needs() {
    let empty = tempfile::tempdir().unwrap();
    let process =
        Process::start(Rillgate::command().args(["demo", "--cluster", "--port", "0"]).env("PATH", empty.path()));

    process.wait_line("cannot find nats-server on the PATH", DEADLINE).await;

    assert_eq!(process.wait_exit(DEADLINE).await.code(), Some(1));
}

/// Starts the demo. Returns it, and the address of the page that shows the gateways.
async fn demo() -> (Process, String) {
    let program = binary();
    let folder = program.parent().map(Path::to_owned).unwrap();
    let path = std::env::join_paths(
        std::iter::once(folder).chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    );
    let process =
        Process::start(Rillgate::command().args(["demo", "--cluster", "--port", "0"]).env("PATH", path.unwrap()));
    let line = process.wait_line("a button that kills the owner: ", DEADLINE).await;
    let page = line.rsplit(' ').next().unwrap().trim().to_owned();
    (process, page)
}

async fn state(page: &str) -> Value {
    serde_json::from_str(&curl(&[], &format!("{page}cluster.json")).await).unwrap()
}

fn running(state: &Value) -> usize {
    state["gateways"].as_array().unwrap().iter().filter(|gateway| gateway["runs"] == true).count()
}

/// Returns the name of the gateway that owns a stream.
fn owner(state: &Value, key: &str) -> Option<String> {
    let owns = |gateway: &&Value| {
        gateway["streams"].as_array().unwrap().iter().any(|stream| stream["key"] == key && stream["role"] == "own")
    };
    let gateway = state["gateways"].as_array().unwrap().iter().find(owns)?;
    Some(gateway["name"].as_str().unwrap().to_owned())
}

async fn curl(arguments: &[&str], url: &str) -> String {
    let mut command = tokio::process::Command::new("curl");
    let output = command.args(["-sS", "--max-time", "20"]).args(arguments).arg(url).output().await.unwrap();
    String::from_utf8(output.stdout).unwrap()
}
