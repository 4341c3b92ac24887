//! Faults of the engine and of its content. Each is told in a clear line, and clients are told nothing untrue.

mod engines;
mod logins;
mod records;

use crate::gateways::{answer, start_unready};
use crate::operation::command;
use crate::support::server::Rillgate;
use crate::support::wait::{DEADLINE, eventually};

/// Starts a gateway that cannot use its engine. Its log, its `/readyz` and `check --connect` all tell `why`, and none of
/// them has the `secret`.
async fn is_refused(config: &str, why: &str, secret: &str) -> Rillgate {
    let gateway = start_unready(config).await;
    eventually(DEADLINE, || async { answer(&gateway, "/readyz").await.1.contains(why) }).await;
    let (status, note) = answer(&gateway, "/readyz").await;
    let line = gateway.wait_line("the cluster's engine cannot be used", DEADLINE).await;
    let (code, checked) = command(&gateway, &["check", "--connect"]).await;

    assert_eq!(status, 503, "it never had the revocations: {note}");
    assert!(line.contains(why), "{line}");
    assert_eq!(code, 1, "{checked}");
    assert!(checked.contains("FAILED") && checked.contains(why), "{checked}");
    let told = [gateway.log().concat(), note, checked].concat();
    assert!(!told.contains(secret), "the secret is shown");
    gateway
}
