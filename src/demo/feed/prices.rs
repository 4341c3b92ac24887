//! Price ticks of one instrument: a random walk that reverts to its starting price.
//!
//! Prices stay positive and are rounded to the precision that the market quotes. Not a market model: no volatility
//! clusters, no opening hours.

use serde_json::json;

use super::{Feed, FeedBatch, Message, Random};

/// A quoted instrument.
#[derive(Clone, Copy, Debug)]
pub(in crate::demo) struct Instrument {
    /// The instrument's path segment.
    pub(in crate::demo) symbol: &'static str,
    base: f64,
    /// Half the spread between bid and ask, and the typical step of a tick.
    step: f64,
    /// Digits after the decimal point.
    digits: i32,
}

/// The ticks of one instrument.
pub(in crate::demo) struct Prices {
    instrument: Instrument,
    middle: f64,
}

impl Prices {
    /// All quoted instruments.
    pub(in crate::demo) const INSTRUMENTS: [Instrument; 6] = [
        Instrument { symbol: "EURUSD", base: 1.083_42, step: 0.000_03, digits: 5 },
        Instrument { symbol: "GBPUSD", base: 1.271_18, step: 0.000_04, digits: 5 },
        Instrument { symbol: "USDJPY", base: 151.324, step: 0.004, digits: 3 },
        Instrument { symbol: "BTCUSD", base: 97_240.0, step: 6.0, digits: 2 },
        Instrument { symbol: "ETHUSD", base: 3_412.0, step: 0.4, digits: 2 },
        Instrument { symbol: "XAUUSD", base: 2_668.4, step: 0.15, digits: 2 },
    ];

    pub(in crate::demo) fn of(instrument: Instrument) -> Self {
        Self { instrument, middle: instrument.base }
    }

    fn rounded(&self, price: f64) -> f64 {
        let scale = 10_f64.powi(self.instrument.digits);
        (price * scale).round() / scale
    }
}

impl Feed for Prices {
    fn next(&mut self, random: &mut Random) -> FeedBatch {
        let Instrument { base, step, .. } = self.instrument;
        self.middle += random.normal() * step + (base - self.middle) * 0.002;
        let spread = step * (0.6 + 0.6 * random.uniform());
        let data = json!({ "bid": self.rounded(self.middle - spread), "ask": self.rounded(self.middle + spread) });
        FeedBatch { wait: random.pause(150, 550), messages: vec![Message { kind: "", data }] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_price_stays_near_its_start() {
        let mut random = Random::seeded(1);

        for instrument in Prices::INSTRUMENTS {
            let mut prices = Prices::of(instrument);
            let mut last = 0.0;
            let mut moves = 0;
            for _ in 0..5_000 {
                let batch = prices.next(&mut random);
                let (bid, ask) = (&batch.messages[0].data["bid"], &batch.messages[0].data["ask"]);
                let (bid, ask) = (bid.as_f64().unwrap(), ask.as_f64().unwrap());

                assert!(bid <= ask, "{}: {bid} above {ask}", instrument.symbol);
                assert!((bid / instrument.base - 1.0).abs() < 0.1, "{}: {bid}", instrument.symbol);
                moves += usize::from(bid != last);
                last = bid;
            }
            assert!(moves > 2_500, "{} moved {moves} times", instrument.symbol);
        }
    }
}
