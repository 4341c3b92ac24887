//! Messages about a stream that are not stored: questions, answers and changes of phase.
//!
//! They are signed for their log. A message that is lost costs time and nothing else: the records decide.

use std::sync::Arc;
use std::time::Duration;

use super::engine::LogId;
use super::keys::{ClusterKeys, SignedKind};
use crate::runtime::moment::milliseconds;
use crate::stream::{BinaryDecoder, BinaryEncoder, MAX_RETRY_AFTER, OpenError, Phase, StopOutcome, StopRequest};

/// A message about a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum StreamMessage {
    /// The node asks for any other gateway with readers of the stream.
    WhoReads(String),
    /// This gateway has readers of the stream.
    Reads,
    /// A follower asks for the owner's phase.
    WhichPhase {
        /// The node id of the owner, by the newest record that the follower has.
        owner: String,
        /// The owner's term.
        term: u64,
        /// The epoch of the owner's claim.
        epoch: String,
        /// The sequence of that record.
        sequence: u64,
    },
    /// The phase of the stream at its owner.
    PhaseIs {
        /// The owner's term.
        term: u64,
        /// The epoch of the owner's claim. It names the claim: an engine that has forgotten one lets another gateway have the
        /// same term.
        epoch: String,
        /// The phase.
        phase: Phase,
    },
    /// A gateway owns the stream. Its phase is not known yet.
    Owns {
        /// The gateway's node id.
        owner: String,
        /// The life of the log.
        life: u64,
        /// The owner's term.
        term: u64,
    },
    /// A client wants a stream stopped. Asked about the name of the stream, not about its log.
    Stop(StopRequest),
    /// The answer to that of the gateway that reads the upstream.
    Stopped(StopOutcome),
}

impl StreamMessage {
    /// Encodes and signs the message. Returns `None` for a phase that is not told.
    pub(super) fn encode(&self, keys: &ClusterKeys, log: &LogId) -> Option<Vec<u8>> {
        let mut encoder = BinaryEncoder::default();
        encoder.byte(FORMAT);
        match self {
            Self::WhoReads(node) => encoder.byte(WHO_READS).bytes(node.as_bytes()),
            Self::Reads => encoder.byte(READS),
            Self::WhichPhase { owner, term, epoch, sequence } => {
                encoder.byte(WHICH_PHASE).bytes(owner.as_bytes()).number(*term);
                encoder.bytes(epoch.as_bytes()).number(*sequence)
            }
            Self::PhaseIs { term, epoch, phase } => {
                encoder.byte(PHASE_IS).number(*term).bytes(epoch.as_bytes());
                match phase {
                    Phase::Live => encoder.byte(LIVE),
                    Phase::Retrying(None) => encoder.byte(BROKEN),
                    Phase::Retrying(Some(error)) => encoder.byte(FAILING).bytes(&encode_error(error)?),
                    // Records tell the end of a stream, and a phase that is not known yet is not told.
                    Phase::Opening | Phase::Refused(_) | Phase::Complete | Phase::Incomplete(_) => return None,
                }
            }
            Self::Owns { owner, life, term } => encoder.byte(OWNS).bytes(owner.as_bytes()).number(*life).number(*term),
            Self::Stop(StopRequest { name, route, path, subject }) => {
                encoder.byte(STOP).bytes(name.as_bytes()).bytes(route.as_bytes()).bytes(path.as_bytes());
                encoder.bytes(subject.as_ref().map_or(&[], |subject| &subject[..]))
            }
            Self::Stopped(outcome) => encoder.byte(STOPPED).byte(u8::from(*outcome == StopOutcome::Stopped)),
        };
        Some(keys.sign(SignedKind::Message, &log.0, encoder.into_bytes()))
    }

    /// Reads a message. Returns `None` if it is foreign, damaged or of a later format.
    pub(super) fn decode(keys: &ClusterKeys, log: &LogId, bytes: &[u8]) -> Option<Self> {
        let mut decoder = BinaryDecoder::unchecked(keys.verify(SignedKind::Message, &log.0, bytes)?);
        if decoder.byte()? != FORMAT {
            return None;
        }
        let message = match decoder.byte()? {
            WHO_READS => Self::WhoReads(decoder.text()?.to_owned()),
            READS => Self::Reads,
            WHICH_PHASE => {
                let (owner, term) = (decoder.text()?.to_owned(), decoder.number()?);
                Self::WhichPhase { owner, term, epoch: decoder.text()?.to_owned(), sequence: decoder.number()? }
            }
            PHASE_IS => {
                let (term, epoch) = (decoder.number()?, decoder.text()?.to_owned());
                let phase = match decoder.byte()? {
                    LIVE => Phase::Live,
                    BROKEN => Phase::Retrying(None),
                    FAILING => Phase::Retrying(Some(Arc::new(decode_error(decoder.bytes()?)?))),
                    _ => return None,
                };
                Self::PhaseIs { term, epoch, phase }
            }
            OWNS => {
                let owner = decoder.text()?.to_owned();
                Self::Owns { owner, life: decoder.number()?, term: decoder.number()? }
            }
            STOP => {
                let mut text = || decoder.text().map(str::to_owned);
                let (name, route, path) = (text()?, text()?, text()?);
                let subject = Some(decoder.bytes()?).filter(|subject| !subject.is_empty());
                let subject = subject.map(TryInto::try_into).transpose().ok()?;
                Self::Stop(StopRequest { name, route, path, subject })
            }
            STOPPED => Self::Stopped(match decoder.byte()? {
                0 => StopOutcome::NotOpener,
                1 => StopOutcome::Stopped,
                _ => return None,
            }),
            _ => return None,
        };
        decoder.is_at_end().then_some(message)
    }
}

/// Encodes the reason why an upstream is not open. Returns `None` for what is not the upstream's.
pub(super) fn encode_error(error: &OpenError) -> Option<Vec<u8>> {
    let (kind, text, time) = match error {
        OpenError::NotFound(text) => (1, text.as_str(), None),
        OpenError::RateLimited { reason, retry_after } => (2, reason.as_str(), *retry_after),
        OpenError::Invalid(text) => (3, text.as_str(), None),
        OpenError::Unavailable { reason, retry_after } => (4, reason.as_str(), *retry_after),
        OpenError::Unreachable(text) => (5, text.as_str(), None),
        OpenError::ClosedEarly(text) => (6, text.as_str(), None),
        OpenError::TimedOut(time) => (7, "", Some(*time)),
        OpenError::Complete | OpenError::Answered(_) | OpenError::Cluster(_) => return None,
    };
    let mut encoder = BinaryEncoder::default();
    let end = (0..=text.len().min(MAX_TEXT)).rev().find(|end| text.is_char_boundary(*end)).unwrap_or_default();
    encoder.byte(kind).bytes(&text.as_bytes()[..end]).optional(time.map(milliseconds));
    Some(encoder.into_bytes())
}

/// Reads what [`encode_error`] wrote.
pub(super) fn decode_error(bytes: &[u8]) -> Option<OpenError> {
    let mut decoder = BinaryDecoder::unchecked(bytes);
    let (kind, text) = (decoder.byte()?, decoder.text()?.to_owned());
    let time = decoder.optional()?.map(Duration::from_millis);
    let retry_after = time.map(|time| time.min(MAX_RETRY_AFTER));
    Some(match kind {
        1 => OpenError::NotFound(text),
        2 => OpenError::RateLimited { reason: text, retry_after },
        3 => OpenError::Invalid(text),
        4 => OpenError::Unavailable { reason: text, retry_after },
        5 => OpenError::Unreachable(text),
        6 => OpenError::ClosedEarly(text),
        7 => OpenError::TimedOut(time?),
        _ => return None,
    })
}

const FORMAT: u8 = 1;
// A kind whose content changes gets another number, since gateways of two versions ignore what they do not know: 3 and 4 were
// the two about phases before they named a claim.
const WHO_READS: u8 = 1;
const READS: u8 = 2;
const OWNS: u8 = 5;
const STOP: u8 = 6;
const STOPPED: u8 = 7;
const WHICH_PHASE: u8 = 8;
const PHASE_IS: u8 = 9;
const LIVE: u8 = 1;
const BROKEN: u8 = 2;
const FAILING: u8 = 3;

/// The most bytes of an error's text.
const MAX_TEXT: usize = 256;

/// The time for which answers of other gateways are awaited.
pub(super) const ANSWER_WAIT: Duration = Duration::from_millis(500);

/// The time for which the answer to [`StreamMessage::Stop`] is awaited, by the gateway that asks for a stop as by the one
/// that stops. A stop that takes longer still takes place, and its client is told 404.
pub(super) const STOP_WAIT: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Secret;

    const LOG: LogId = LogId([5; 16]);

    fn stop(subject: Option<[u8; 32]>) -> StopRequest {
        StopRequest { name: "n".to_owned(), route: "chat".to_owned(), path: "/chat".to_owned(), subject }
    }

    fn phase_is(phase: Phase) -> StreamMessage {
        StreamMessage::PhaseIs { term: 7, epoch: "e".to_owned(), phase }
    }

    #[test]
    fn messages_are_read_as_they_were_written() {
        let keys = ClusterKeys::new(&[Secret::new([1; 32])]);
        let second = Some(Duration::from_secs(1));
        let errors = [
            OpenError::NotFound("no".to_owned()),
            OpenError::RateLimited { reason: "slow".to_owned(), retry_after: second },
            OpenError::Invalid("odd".to_owned()),
            OpenError::Unavailable { reason: "busy".to_owned(), retry_after: None },
            OpenError::Unreachable("gone".to_owned()),
            OpenError::ClosedEarly("cut".to_owned()),
            OpenError::TimedOut(Duration::from_secs(3)),
        ];
        let mut messages = vec![
            StreamMessage::WhoReads("a".to_owned()),
            StreamMessage::Reads,
            StreamMessage::WhichPhase { owner: "b".to_owned(), term: 7, epoch: "e".to_owned(), sequence: 9 },
            phase_is(Phase::Live),
            phase_is(Phase::Retrying(None)),
            StreamMessage::Owns { owner: "c".to_owned(), life: 3, term: 7 },
            StreamMessage::Stop(stop(None)),
            StreamMessage::Stop(stop(Some([9; 32]))),
            StreamMessage::Stopped(StopOutcome::Stopped),
            StreamMessage::Stopped(StopOutcome::NotOpener),
        ];
        messages.extend(errors.map(|error| phase_is(Phase::Retrying(Some(Arc::new(error))))));

        for message in messages {
            let bytes = message.encode(&keys, &LOG).expect("it is told");
            assert_eq!(StreamMessage::decode(&keys, &LOG, &bytes), Some(message));
            assert_eq!(StreamMessage::decode(&keys, &LogId([6; 16]), &bytes), None);
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let bytes = encode_error(&OpenError::Invalid("ä".repeat(300))).expect("an error");

        assert_eq!(decode_error(&bytes), Some(OpenError::Invalid("ä".repeat(MAX_TEXT / 2))));
    }
}
