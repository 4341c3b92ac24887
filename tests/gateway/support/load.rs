//! Many subscriptions at once.

use std::time::Duration;

use tokio::task::JoinSet;

use super::client::{Client, Connection};
use super::subscription::Subscription;
use super::wait::within;

/// A deadline for thousands of clients on a busy machine.
pub const LONG: Duration = Duration::from_secs(90);

/// The number of connections that are opened at a time.
const AT_A_TIME: usize = 50;

/// Opens this many subscriptions to `path` on each connection, and returns them once all have a response.
pub async fn subscribe_all(path: &'static str, connections: Vec<(Client, usize)>) -> Vec<Subscription> {
    let mut clients = Vec::new();
    let mut opening = JoinSet::new();
    for (client, streams) in connections {
        if opening.len() == AT_A_TIME {
            clients.extend(opening.join_next().await.unwrap().unwrap());
        }
        opening.spawn(async move {
            let mut connection = within(LONG, "connection", client.connect()).await.unwrap();
            let mut subscriptions = Vec::new();
            for _ in 0..streams {
                subscriptions.push(request(&mut connection, path).await);
            }
            subscriptions
        });
    }
    clients.extend(opening.join_all().await.into_iter().flatten());
    clients
}

/// Opens a subscription on a connection.
pub async fn request(connection: &mut Connection, target: &str) -> Subscription {
    within(LONG, "response", connection.try_request("GET", target, &[])).await.unwrap()
}

/// Returns `count` clients, half over HTTP/1.1 and half over HTTP/2 with ten streams per connection.
pub fn half_per_protocol(http1: &Client, http2: &Client, count: usize) -> Vec<(Client, usize)> {
    let http1 = std::iter::repeat_n((http1.clone(), 1), count / 2);
    http1.chain(std::iter::repeat_n((http2.clone(), 10), count / 20)).collect()
}
