//! The requests that wait for replies.
//!
//! All replies come to one subscription and are told apart by the last part of their subject. The client has the same in
//! `send_request`, but it forgets a request only when its reply comes: while the engine has no quorum, every request
//! that times out would stay in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};

use async_nats::Message;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use super::subjects::last_part;

/// The requests that wait for replies.
#[derive(Debug)]
pub(super) struct Replies {
    /// The subject of all replies, without the last part.
    prefix: String,
    next: AtomicU64,
    /// Locked for one lookup, never across an await.
    waiting: Mutex<HashMap<u64, Waiting>>,
}

#[derive(Debug)]
enum Waiting {
    One(oneshot::Sender<Message>),
    Many(mpsc::Sender<Message>),
}

/// Receives the replies to one request. Dropping it ends the wait.
#[derive(Debug)]
pub(super) struct ReplyTo<'r> {
    replies: &'r Replies,
    token: u64,
}

impl Replies {
    /// Starts without requests. `prefix` must be unique to this process.
    pub(super) fn new(prefix: String) -> Self {
        Self { prefix, next: AtomicU64::new(0), waiting: Mutex::default() }
    }

    /// The subject to subscribe to.
    pub(super) fn subject(&self) -> String {
        format!("{}.*", self.prefix)
    }

    /// Waits for one reply.
    pub(super) fn one(&self) -> (ReplyTo<'_>, oneshot::Receiver<Message>) {
        let (sender, receiver) = oneshot::channel();
        (self.wait(Waiting::One(sender)), receiver)
    }

    /// Waits for at most `count` replies; further ones are dropped while none of them was taken.
    pub(super) fn many(&self, count: usize) -> (ReplyTo<'_>, mpsc::Receiver<Message>) {
        let (sender, receiver) = mpsc::channel(count);
        (self.wait(Waiting::Many(sender)), receiver)
    }

    fn wait(&self, waiting: Waiting) -> ReplyTo<'_> {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiting.lock().insert(token, waiting);
        ReplyTo { replies: self, token }
    }

    /// Gives a reply to the request that waits for it. A late reply is dropped.
    pub(super) fn dispatch(&self, message: Message) {
        let Ok(token) = last_part(&message.subject).parse() else { return };
        let mut waiting = self.waiting.lock();
        match waiting.get(&token) {
            Some(Waiting::Many(sender)) => drop(sender.try_send(message)),
            Some(Waiting::One(_)) => {
                if let Some(Waiting::One(sender)) = waiting.remove(&token) {
                    drop(sender.send(message));
                }
            }
            None => {}
        }
    }
}

impl ReplyTo<'_> {
    /// The subject for the replies.
    pub(super) fn subject(&self) -> String {
        format!("{}.{}", self.replies.prefix, self.token)
    }
}

impl Drop for ReplyTo<'_> {
    fn drop(&mut self) {
        self.replies.waiting.lock().remove(&self.token);
    }
}

#[cfg(test)]
mod tests {
    use async_nats::Subject;
    use bytes::Bytes;

    use super::*;

    fn message(subject: String) -> Message {
        Message {
            subject: Subject::from(subject),
            reply: None,
            payload: Bytes::new(),
            headers: None,
            status: None,
            description: None,
            length: 0,
        }
    }

    #[test]
    fn a_reply_reaches_its_request_only() {
        let replies = Replies::new("c.inbox.1".to_owned());
        let (first, mut first_reply) = replies.one();
        let (_second, mut second_reply) = replies.one();

        replies.dispatch(message(first.subject()));

        assert!(first_reply.try_recv().is_ok());
        assert!(second_reply.try_recv().is_err());
    }

    #[test]
    fn requests_that_ended_are_forgotten() {
        let replies = Replies::new("c.inbox.1".to_owned());
        let late = {
            let (reply_to, _reply) = replies.one();
            reply_to.subject()
        };
        drop(replies.many(2));

        replies.dispatch(message(late));
        replies.dispatch(message("c.inbox.1.x".to_owned()));

        assert!(replies.waiting.lock().is_empty());
    }

    #[test]
    fn one_request_may_have_many_replies() {
        let replies = Replies::new("c.inbox.1".to_owned());
        let (reply_to, mut received) = replies.many(2);

        for _ in 0..3 {
            replies.dispatch(message(reply_to.subject()));
        }

        assert!(received.try_recv().is_ok() && received.try_recv().is_ok());
        assert!(received.try_recv().is_err(), "the third did not fit");
    }
}
