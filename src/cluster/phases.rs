//! The words of a stream's owner that are not stored: that it owns the stream, and its phase.
//!
//! Followers take the phase over. An owner hears of a later one in this way at once, also when it has nothing to write:
//! it costs one subscription for each stream, and no traffic while the phase stays the same. A word may be lost, so it
//! is said again, and beats name the record of a claim.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{BoxStream, StreamExt};
use tokio::time::sleep;

use super::engine::EngineError;
use super::member::Member;

/// The subscription to the words of one stream's owners, made when it is needed first.
#[derive(Default)]
pub(super) struct OwnersWords {
    words: Option<BoxStream<'static, Bytes>>,
    subscribing: Option<BoxFuture<'static, Result<BoxStream<'static, Bytes>, EngineError>>>,
}

impl OwnersWords {
    /// Returns the next word. Subscribes first, again if the subscription has ended. Cancel-safe.
    pub(super) async fn next(&mut self, member: &Arc<Member>) -> Bytes {
        loop {
            if let Some(words) = &mut self.words {
                if let Some(word) = words.next().await {
                    return word;
                }
                self.words = None;
            }
            let subscribing = self.subscribing.get_or_insert_with(|| subscribe(member.clone()).boxed());
            let subscribed = subscribing.await;
            self.subscribing = None;
            self.words = subscribed.ok();
        }
    }
}

async fn subscribe(member: Arc<Member>) -> Result<BoxStream<'static, Bytes>, EngineError> {
    let context = member.context();
    let subscribed = context.engine.live_phases(member.log_id()).await;
    if let Err(error) = &subscribed {
        context.count_error(error);
        sleep(RETRY_PAUSE).await;
    }
    subscribed
}

/// Tells the others that this gateway owns the stream, and its phase. Says it again twice.
pub(super) fn tell(member: &Arc<Member>) -> BoxFuture<'static, ()> {
    let member = member.clone();
    async move {
        let context = member.context();
        for pause in TELL_AFTER {
            sleep(pause).await;
            // An owner that has lost its lease says nothing.
            let Some(claim) = member.owned_claim().filter(|_| context.nodes.is_valid()) else { continue };
            for word in [Some(claim), member.owned_phase()].into_iter().flatten() {
                if let Err(error) = context.engine.tell_phase(member.log_id(), word.into()).await {
                    context.count_error(&error);
                }
            }
        }
    }
    .boxed()
}

/// The pauses before news are told, and told again.
const TELL_AFTER: [Duration; 3] = [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(4)];

/// The pause before another attempt to subscribe.
const RETRY_PAUSE: Duration = Duration::from_millis(500);
