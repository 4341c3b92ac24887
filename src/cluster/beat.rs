//! The beat of a gateway: that it lives, and what it wrote last.
//!
//! Followers get records at most once. The last record of a quiet stream would be missed for good if the beat did not
//! name it.

use super::engine::LogId;
use super::keys::{ClusterKeys, SignedKind};
use crate::stream::{BinaryDecoder, BinaryEncoder};

/// The numbers of shared streams of a gateway.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// The streams that it owns.
    pub owned: u64,
    /// The streams that it follows.
    pub followed: u64,
    /// Those of them that lack a record of which the gateway has heard.
    pub behind: u64,
}

/// The beat of a gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The name of its host.
    pub host: String,
    /// The number of the beat in this run of the gateway, from 1.
    pub count: u64,
    /// The streams that it has.
    pub streams: StreamCounts,
    /// The logs that it wrote to in the last seconds, with the sequence of its last record.
    pub written: Vec<(LogId, u64)>,
}

impl Beat {
    /// Encodes and signs the beat of this gateway.
    pub(super) fn encode(&self, keys: &ClusterKeys, node: &str) -> Vec<u8> {
        let mut encoder = BinaryEncoder::default();
        encoder.byte(FORMAT).bytes(self.host.as_bytes()).number(self.count);
        let StreamCounts { owned, followed, behind } = self.streams;
        encoder.number(owned).number(followed).number(behind).number(self.written.len() as u64);
        for (log, sequence) in &self.written {
            encoder.bytes(&log.0).number(*sequence);
        }
        keys.sign(SignedKind::Beat, node.as_bytes(), encoder.into_bytes())
    }

    /// Reads the beat of a gateway. Returns `None` if it is foreign, damaged or of a later format.
    pub fn decode(keys: &ClusterKeys, node: &str, bytes: &[u8]) -> Option<Self> {
        let mut decoder = BinaryDecoder::unchecked(keys.verify(SignedKind::Beat, node.as_bytes(), bytes)?);
        if decoder.byte()? != FORMAT {
            return None;
        }
        let (host, count) = (decoder.text()?.to_owned(), decoder.number()?);
        let streams = StreamCounts { owned: decoder.number()?, followed: decoder.number()?, behind: decoder.number()? };
        let mut written = Vec::new();
        for _ in 0..decoder.number()? {
            written.push((LogId(decoder.bytes()?.try_into().ok()?), decoder.number()?));
        }
        decoder.is_at_end().then_some(Self { host, count, streams, written })
    }
}

const FORMAT: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    #[test]
    fn a_beat_is_read_as_it_was_written_and_only_for_its_gateway() {
        let keys = ClusterKeys::new(&[Secret::new([1; 32])]);
        let written = vec![(LogId([1; 16]), 7), (LogId([2; 16]), 9)];
        let beat = Beat {
            host: "a.example".to_owned(),
            count: 3,
            streams: StreamCounts { owned: 1, followed: 2, behind: 1 },
            written,
        };

        let bytes = beat.encode(&keys, "node");

        assert_eq!(Beat::decode(&keys, "node", &bytes), Some(beat));
        assert_eq!(Beat::decode(&keys, "other", &bytes), None);
        assert_eq!(Beat::decode(&keys, "node", &bytes[1..]), None);
    }
}
