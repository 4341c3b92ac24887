//! The answers of a gateway to the questions of others.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};

use super::{Cluster, RESUBSCRIBE_PAUSE};
use crate::cluster::context::ClusterContext;
use crate::cluster::engine::Question;
use crate::cluster::message::{STOP_WAIT, StreamMessage};
use crate::cluster::release::release_later;
use crate::stream::StopRequest;

impl Cluster {
    /// Answers the questions of other gateways.
    pub(super) fn answer(self: Arc<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            loop {
                match self.context.engine.questions().await {
                    Ok(mut questions) => {
                        while let Some(question) = questions.next().await {
                            self.answer_one(&question).await;
                        }
                    }
                    Err(error) => self.context.count_error(&error),
                }
                sleep(RESUBSCRIBE_PAUSE).await;
            }
        })
    }

    async fn answer_one(&self, question: &Question) {
        let (context, log) = (&self.context, &question.log);
        let member = self.member(log);
        let answer = match StreamMessage::decode(&context.keys, log, &question.payload) {
            Some(StreamMessage::WhoReads(node)) if node != self.node() => {
                let has_readers = member.is_some_and(|member| member.has_readers());
                StreamMessage::Reads.encode(&context.keys, log).filter(|_| has_readers)
            }
            Some(StreamMessage::WhichPhase { owner, term, epoch, sequence }) if owner == self.node() => match member {
                Some(member) => member.answer_phase(term, &epoch, sequence),
                // The engine has forgotten the release.
                None => {
                    release_later(context, *log, term);
                    None
                }
            },
            Some(StreamMessage::Stop(request)) => return self.stop_and_answer(question, request),
            Some(
                StreamMessage::WhoReads(_)
                | StreamMessage::WhichPhase { .. }
                | StreamMessage::Reads
                | StreamMessage::PhaseIs { .. }
                | StreamMessage::Owns { .. }
                | StreamMessage::Stopped(_),
            )
            | None => None,
        };
        if let Some(answer) = answer {
            send(context, question, answer).await;
        }
    }

    /// Stops a stream if this gateway reads its upstream. In a task, since other questions must not wait for it.
    fn stop_and_answer(&self, question: &Question, request: StopRequest) {
        let Some(handler) = self.stops.get().cloned() else { return };
        let context = self.context.clone();
        let (log, reply_to) = (question.log, question.reply_to.clone());
        let question = Question { log, payload: Bytes::new(), reply_to };
        self.context.tasks.spawn("stop", async move {
            // Nobody waits for a later answer. The stream ends all the same.
            let outcome = timeout(STOP_WAIT, handler.stop(request)).await;
            let Ok(Some(outcome)) = outcome else { return };
            if let Some(answer) = StreamMessage::Stopped(outcome).encode(&context.keys, &log) {
                send(&context, &question, answer).await;
            }
        });
    }
}

async fn send(context: &ClusterContext, question: &Question, answer: Vec<u8>) {
    if let Err(error) = context.engine.answer(question, answer.into()).await {
        context.count_error(&error);
    }
}
