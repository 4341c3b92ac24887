//! Trades in bursts: a long pause, then twenty at once.
//!
//! All bursts have the same size, so that a viewer can see whether one arrived complete. Not related to the prices:
//! sizes and prices are invented.

use serde_json::json;

use super::{Feed, FeedBatch, Message, Random};

/// The bursts.
#[derive(Default)]
pub(in crate::demo) struct Trades {
    /// The number of bursts so far.
    bursts: u64,
}

impl Trades {
    /// The number of trades in a burst.
    pub(in crate::demo) const BURST: usize = 20;

    const VENUES: [&'static str; 4] = ["Frankfurt", "London", "New York", "Tokyo"];
}

impl Feed for Trades {
    fn next(&mut self, random: &mut Random) -> FeedBatch {
        // The first one comes soon, because the page starts with an empty panel.
        let wait = if self.bursts == 0 { random.pause(800, 1_500) } else { random.pause(4_000, 9_000) };
        self.bursts += 1;
        let venue = *random.pick(&Self::VENUES);
        let mut price = 97_240.0 + random.normal() * 120.0;
        let messages = (1..=Self::BURST)
            .map(|number| {
                price += random.normal() * 4.0;
                let data = json!({
                    "venue": venue,
                    "side": if random.uniform() < 0.5 { "buy" } else { "sell" },
                    "size": (random.uniform() * 90.0 + 1.0).round() / 100.0,
                    "price": (price * 100.0).round() / 100.0,
                    "burst": self.bursts,
                    "part": number,
                });
                Message { kind: "", data }
            })
            .collect();
        FeedBatch { wait, messages }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trades_come_in_bursts_of_twenty() {
        let (mut trades, mut random) = (Trades::default(), Random::seeded(1));
        trades.next(&mut random);

        let batch = trades.next(&mut random);

        assert!(batch.wait.as_secs() >= 4);
        assert_eq!(batch.messages.len(), 20);
        assert_eq!(batch.messages[19].data["part"], 20);
        assert_eq!(batch.messages[19].data["burst"], 2);
    }
}
