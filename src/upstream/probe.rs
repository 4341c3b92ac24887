//! An attempt to connect to each origin of an upstream, for an operator. Sends no request.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::timeout;

use super::connector::connect;
use super::settings::UpstreamSettings;
use crate::runtime::connect_budget::ConnectBudget;
use crate::runtime::human_duration::format_duration;

impl UpstreamSettings {
    /// Connects to each origin as a stream would, and closes the connection. Returns each URL without its path, and the
    /// reason if it was not reached within `patience`.
    pub async fn probe(&self, budget: &ConnectBudget, patience: Duration) -> Vec<(String, Result<(), String>)> {
        let probes = self.origins.iter().map(async |origin| {
            let connected = timeout(patience, connect(budget, self, origin)).await;
            let outcome = connected.unwrap_or_else(|_| Err(format!("timed out after {}", format_duration(patience))));
            (format!("{}://{}", origin.scheme, origin.authority), outcome.map(drop))
        });
        join_all(probes).await
    }
}
