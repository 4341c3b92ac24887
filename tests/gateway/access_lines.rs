//! The contents of access lines, and what they never contain.

use crate::support::client::Client;
use crate::support::figures::lines_with;
use crate::support::origin::Origin;
use crate::support::raw::Raw;
use crate::support::setup::Setup;
use crate::support::wait::{DEADLINE, eventually};

#[tokio::test]
async fn access_lines_have_path_and_user_agent_and_never_the_query() {
    let origin = Origin::start().await;
    let gateway = Setup::for_origin(&origin.url()).start().await;
    let client = Client::http1(gateway.address());

    for path in ["/nothing/%68ere?ticket=secret", "/prices?follow=false&token=secret"] {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nuser-agent: probe/1.0 (\"x\")\r\nconnection: close\r\n\r\n"
        );
        Raw::exchange(&client, request.as_bytes()).await;
    }

    for (words, path) in [("answered", "/nothing/here"), ("subscription ended", "/prices")] {
        let path = format!("path=\"{path}\"");
        let texts = [words, &*path, "user_agent=\"probe/1.0 (\\\"x\\\")\""];
        eventually(DEADLINE, || async { lines_with(&gateway, &texts) == 1 }).await;
    }
    assert_eq!(lines_with(&gateway, &["secret"]), 0);
}
