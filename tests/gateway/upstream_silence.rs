//! The time since an upstream's last byte, as operators see it.

use crate::support::client::Client;
use crate::support::figures::admin;
use crate::support::origin::Origin;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn streams_report_the_silence_of_their_upstream() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).start().await;
    let client = Client::http1(gateway.address()).subscribe("/prices", &[]).await;
    assert_eq!(client.status, 200);
    origin.wait_open(1).await;
    let silence = || async {
        let streams: serde_json::Value = serde_json::from_str(&admin(&gateway, "/streams").await.1).unwrap();
        streams["streams"][0]["silent_seconds"].as_u64().unwrap()
    };

    eventually(DEADLINE, || async { silence().await >= 2 }).await;
    origin.emit(": alive\n\n");

    eventually(DEADLINE, || async { silence().await == 0 }).await;
}
