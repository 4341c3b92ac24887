//! `rillgate cluster status`: prints the gateways of a cluster and the state of its engine.

use std::time::Duration;

use crate::{ClusterStatus, Gateway, NodeStatus};
use clap::Subcommand;

use super::{ConfigFile, Failure, Outcome, block_on, print};

/// The commands about the cluster.
#[derive(Debug, Subcommand)]
pub(super) enum ClusterCommand {
    /// Ask the engine for the cluster's gateways, what they own, and its own state.
    Status(ConfigFile),
}

impl ClusterCommand {
    pub(super) fn run(&self) -> Outcome {
        let Self::Status(file) = self;
        let config = file.load()?;
        crate::auth::install_provider();
        match block_on(Gateway::cluster_status(&config))? {
            None => Err(Failure::Failed("the configuration has no [cluster]: this gateway is alone".to_owned())),
            Some(Err(reason)) => Err(Failure::Failed(format!("cannot ask the engine: {reason}"))),
            Some(Ok(status)) => print(&describe(&status)),
        }
    }
}

fn describe(status: &ClusterStatus) -> String {
    let mut lines = vec![format!("cluster {}", status.name), format!("engine  {}", status.server)];
    lines.extend(status.engine.iter().map(|line| format!("        {line}")));
    lines.push(String::new());
    if status.nodes.is_empty() {
        lines.push("no gateways".to_owned());
    } else {
        lines.push(format!(
            "{:<18} {:<24} {:>14} {:>7} {:>8} {:>7}",
            "node", "host", "last beat", "owns", "follows", "behind"
        ));
    }
    for (node, NodeStatus { host, heard_ago, owned, followed, behind }) in &status.nodes {
        let beat = heard_ago.map_or_else(|| "silent".to_owned(), |ago| format!("{} ago", rounded(ago)));
        lines.push(format!("{node:<18} {host:<24} {beat:>14} {owned:>7} {followed:>8} {behind:>7}"));
    }
    if status.foreign > 0 {
        let count = status.foreign;
        lines.push(format!("{count} more whose beats are signed with another key: is cluster.key the same on all?"));
    }
    lines.join("\n")
}

fn rounded(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gateways_are_listed_with_what_they_own() {
        let node = |host: &str, heard_ago, owned| NodeStatus {
            host: host.to_owned(),
            heard_ago,
            owned,
            followed: 2,
            behind: 1,
        };
        let status = ClusterStatus {
            name: "rillgate".to_owned(),
            server: "n1 2.15.1".to_owned(),
            nodes: [
                ("a1".to_owned(), node("east", Some(Duration::from_millis(340)), 12)),
                ("b2".to_owned(), node("west", None, 0)),
            ]
            .into(),
            foreign: 1,
            engine: vec!["rillgate-log: 12 subjects".to_owned()],
        };

        let text = describe(&status);

        let lines: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(lines[..4], ["cluster rillgate", "engine n1 2.15.1", "rillgate-log: 12 subjects", ""]);
        assert_eq!(lines[5..7], ["a1 east 0.3 s ago 12 2 1", "b2 west silent 0 2 1"]);
        assert!(lines[7].starts_with("1 more"));
    }
}
