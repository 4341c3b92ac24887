//! Deployments of invented services: slow, typed events.
//!
//! Each deployment passes its stages in order, `started` first, and ends `live` or `rolled-back`. One deployment at a
//! time, which makes a readable log.

use serde_json::json;

use super::{Feed, FeedBatch, Message, Random};

/// The deployment in progress.
pub(in crate::demo) struct Deploys {
    service: &'static str,
    build: u32,
    stage: usize,
}

impl Deploys {
    const SERVICES: [(&'static str, &'static str); 5] = [
        ("checkout", "retry card authorisations once"),
        ("search", "rank recent items higher"),
        ("accounts", "sign sessions with the new key"),
        ("catalogue", "cache product images for a day"),
        ("notifications", "send digests in the reader's time zone"),
    ];

    const STAGES: [(&'static str, &'static str); 3] =
        [("started", ""), ("built", "image pushed, 412 tests passed"), ("canary", "serving 5 % of requests")];
}

impl Default for Deploys {
    fn default() -> Self {
        Self { service: "", build: 1_840, stage: 0 }
    }
}

impl Feed for Deploys {
    fn next(&mut self, random: &mut Random) -> FeedBatch {
        // The first one comes soon, because the page starts with an empty panel.
        let wait = if self.service.is_empty() { random.pause(300, 900) } else { random.pause(7_000, 9_000) };
        let (kind, text) = match Self::STAGES.get(self.stage) {
            Some(&("started", _)) => {
                let (service, change) = *random.pick(&Self::SERVICES);
                self.service = service;
                self.build += 1;
                ("started", change)
            }
            Some(&stage) => stage,
            None if random.uniform() < 0.15 => ("rolled-back", "error rate above 0.5 %"),
            None => ("live", "serving all requests"),
        };
        self.stage = (self.stage + 1) % (Self::STAGES.len() + 1);
        let data = json!({ "service": self.service, "build": self.build, "text": text });
        FeedBatch { wait, messages: vec![Message { kind, data }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deployment_passes_its_stages_in_order() {
        let (mut deploys, mut random) = (Deploys::default(), Random::seeded(1));

        let kinds: Vec<_> = (0..5).map(|_| deploys.next(&mut random).messages[0].kind).collect();

        assert_eq!(kinds[..3], ["started", "built", "canary"]);
        assert!(["live", "rolled-back"].contains(&kinds[3]));
        assert_eq!(kinds[4], "started");
    }
}
