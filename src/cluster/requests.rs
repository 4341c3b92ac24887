//! Requests that open streams, such as a `POST`: the gateways agree on the name of the stream that equal ones share.
//!
//! ```text
//!  digest of the request ─▶ log of names: [name 1] ◀── [name 2] ─▶ the log of the stream with this name
//! ```
//!
//! A name is appended after the one that its writer saw last, and only if that one's stream is of no use any more. So equal
//! requests agree on one name, whatever gateway has them. It says nothing about who sends the request: that is whoever claims
//! the log of the stream first. What is lost here costs a second stream, and never sends one request twice.

use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt};
use tokio::time::{sleep, timeout};

use super::context::moment;
use super::engine::{AppendError, EngineError, LogId, Stored};
use super::keys::SignedKind;
use super::message::{STOP_WAIT, StreamMessage};
use super::record::{LogRecord, Owner, RecordHead, ReleaseReason};
use super::service::Cluster;
use crate::stream::{
    AgreedRequest, BinaryDecoder, BinaryEncoder, OpenError, RequestOffer, SharedRequests, StopOutcome, StopRequest,
};

/// A name that was agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct NameRecord {
    name: String,
    body: [u8; 32],
    /// The log of the stream with this name.
    log: LogId,
    /// The Unix time in milliseconds at which it was written.
    written: u64,
}

impl NameRecord {
    fn encode(&self) -> Vec<u8> {
        let mut encoder = BinaryEncoder::default();
        encoder.byte(FORMAT).bytes(self.name.as_bytes()).bytes(&self.body).bytes(&self.log.0).number(self.written);
        encoder.into_bytes()
    }

    fn decode(message: &[u8]) -> Option<Self> {
        let mut decoder = BinaryDecoder::unchecked(message);
        if decoder.byte()? != FORMAT {
            return None;
        }
        let name = decoder.text().filter(|name| name.len() <= MAX_NAME)?.to_owned();
        let (body, log) = (decoder.bytes()?.try_into().ok()?, LogId(decoder.bytes()?.try_into().ok()?));
        let record = Self { name, body, log, written: decoder.number()? };
        decoder.is_at_end().then_some(record)
    }
}

impl Cluster {
    async fn agree_on(&self, offer: &RequestOffer) -> Result<AgreedRequest, EngineError> {
        let context = self.context();
        let names = context.keys.request_id(&offer.key);
        let own = NameRecord {
            name: offer.name.clone(),
            body: offer.body,
            log: context.keys.log_id(&offer.identity),
            written: moment().wall,
        };
        loop {
            let newest = context.engine.newest(&names).await?;
            let known = newest.as_ref().and_then(|newest| self.read_name(&names, newest));
            if let Some(known) = known
                && (known.name == own.name || self.is_shared_by(offer, &known).await?)
            {
                return Ok(AgreedRequest { name: known.name, body: known.body });
            }
            let after = newest.map_or(0, |newest| newest.sequence);
            let payload = context.keys.sign(SignedKind::Request, &names.0, own.encode());
            match context.engine.append(&names, after, payload.into()).await {
                Ok(_) => return Ok(AgreedRequest { name: own.name, body: own.body }),
                // Another name is there by now, or this one: the log knows.
                Err(AppendError::Refused) => sleep(context.jitter(PAUSE)).await,
                Err(AppendError::Unknown(error)) => {
                    context.count_error(&error);
                    sleep(PAUSE).await;
                }
            }
        }
    }

    fn read_name(&self, names: &LogId, stored: &Stored) -> Option<NameRecord> {
        let context = self.context();
        let message = context.keys.verify(SignedKind::Request, &names.0, &stored.payload);
        let read = message.and_then(NameRecord::decode);
        if read.is_none() {
            context.count_unreadable(names, super::record::RecordError::Signature);
        }
        read
    }

    /// Returns true if the stream that was made for an equal request is this request's too.
    async fn is_shared_by(&self, offer: &RequestOffer, known: &NameRecord) -> Result<bool, EngineError> {
        let context = self.context();
        let now = moment();
        if offer.refused.as_ref() == Some(&known.name) {
            return Ok(false);
        }
        let Some(newest) = context.engine.newest(&known.log).await? else {
            // Its gateway has not claimed it yet. Whoever does so first sends the request.
            let age = Duration::from_millis(now.wall.saturating_sub(known.written));
            return Ok(age < UNCLAIMED_FOR);
        };
        let record = LogRecord::decode(&context.keys, &known.log, &newest.payload, now).inspect_err(|error| {
            context.count_unreadable(&known.log, *error);
        });
        let Ok(LogRecord { head, .. }) = record else { return Ok(false) };
        let ago = Duration::from_millis(now.wall.saturating_sub(head.written));
        Ok(match use_of(&head) {
            NameUse::Complete => ago < offer.age,
            NameUse::Incomplete => offer.resumes && ago < offer.age,
            NameUse::None => false,
            NameUse::Owned(owner) => offer.resumes || !context.nodes.is_dead(owner),
        })
    }

    async fn ask_to_stop(&self, request: StopRequest) -> Option<StopOutcome> {
        let context = self.context();
        let log = context.keys.request_id(request.name.as_bytes());
        let question = StreamMessage::Stop(request).encode(&context.keys, &log)?;
        let answer = context.engine.ask(&log, question.into(), STOP_WAIT).await;
        let answer = answer.inspect_err(|error| context.count_error(error)).ok()??;
        let StreamMessage::Stopped(outcome) = StreamMessage::decode(&context.keys, &log, &answer)? else { return None };
        Some(outcome)
    }
}

/// The use of a stream for another equal request.
enum NameUse<'h> {
    /// It is being made by the gateway with this node id.
    Owned(&'h str),
    /// It is whole.
    Complete,
    /// It has a part of the answer.
    Incomplete,
    /// It was refused, or is no event stream.
    None,
}

fn use_of(head: &RecordHead) -> NameUse<'_> {
    match &head.owner {
        Owner::Node(owner) => NameUse::Owned(owner),
        Owner::Released(ReleaseReason::Complete) => NameUse::Complete,
        // An owner that has left sends nothing any more: the next one ends the stream.
        Owner::Released(
            ReleaseReason::Drain | ReleaseReason::Unused | ReleaseReason::Broken | ReleaseReason::Stopped,
        ) => NameUse::Incomplete,
        Owner::Released(ReleaseReason::Refused { .. } | ReleaseReason::Answered) => NameUse::None,
    }
}

impl SharedRequests for Cluster {
    fn agree(&self, offer: RequestOffer) -> BoxFuture<'_, Result<AgreedRequest, OpenError>> {
        async move {
            let away = || OpenError::Cluster("the engine is away".to_owned());
            match timeout(AGREE_WITHIN, self.agree_on(&offer)).await {
                Ok(Ok(agreed)) => Ok(agreed),
                Ok(Err(error)) => {
                    self.context().count_error(&error);
                    Err(away())
                }
                Err(_) => Err(away()),
            }
        }
        .boxed()
    }

    fn stop(&self, request: StopRequest) -> BoxFuture<'_, Option<StopOutcome>> {
        self.ask_to_stop(request).boxed()
    }
}

const FORMAT: u8 = 1;

/// The most bytes of a name.
const MAX_NAME: usize = 64;

/// The time for which a name counts although nobody has claimed its stream.
const UNCLAIMED_FOR: Duration = Duration::from_secs(10);

/// The time within which the gateways agree, or a request is refused.
const AGREE_WITHIN: Duration = Duration::from_secs(5);

/// The pause before another attempt to agree.
const PAUSE: Duration = Duration::from_millis(50);
