//! One stream of the demo's producer: its recent messages and its readers.
//!
//! Ids are `<run>-<number>`. Numbers increase by one and the run differs from start to start, so an id that a browser
//! kept from an earlier run is unknown and never matches wrongly. At most [`Topic::MEMORY`] messages are kept. A reader
//! is a position, so a slow one holds no memory; one that falls behind the memory continues at the oldest message. Does
//! not know HTTP.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::feed::Message;

/// The messages of one stream.
pub(super) struct Topic {
    run: Arc<str>,
    /// Never held across `.await`.
    memory: Mutex<Memory>,
    /// The number after the newest message.
    end: watch::Sender<u64>,
    readers: AtomicUsize,
}

#[derive(Default)]
struct Memory {
    /// The encoded messages, oldest first.
    messages: VecDeque<Bytes>,
    /// The number of the next message.
    next: u64,
}

impl Topic {
    /// The number of messages that are kept.
    pub(super) const MEMORY: usize = 512;

    pub(super) fn new(run: Arc<str>) -> Self {
        Self { run, memory: Mutex::default(), end: watch::Sender::new(0), readers: AtomicUsize::new(0) }
    }

    /// Numbers, dates, stores and announces a message. `at` is in milliseconds since the Unix epoch.
    pub(super) fn publish(&self, mut message: Message, at: u64) {
        message.data["at"] = at.into();
        let mut memory = self.memory.lock();
        let number = memory.next;
        let kind = if message.kind.is_empty() { String::new() } else { format!("event: {}\n", message.kind) };
        // serde_json writes no line breaks, so the JSON fits one `data` line.
        let text = format!("id: {}-{number}\n{kind}data: {}\n\n", self.run, message.data);
        if memory.messages.len() == Self::MEMORY {
            memory.messages.pop_front();
        }
        memory.messages.push_back(Bytes::from(text));
        memory.next += 1;
        let end = memory.next;
        drop(memory);
        self.end.send_replace(end);
    }

    /// Returns the number of readers.
    pub(super) fn readers(&self) -> usize {
        self.readers.load(Ordering::Relaxed)
    }

    /// Starts a reader after the given id: live without an id, at the oldest message with an unknown one.
    pub(super) fn read(self: Arc<Self>, last_event_id: Option<&str>) -> TopicReader {
        let end = self.memory.lock().next;
        let next = match last_event_id {
            None => end,
            Some(id) => self.number(id).filter(|number| *number < end).map_or(0, |number| number + 1),
        };
        self.readers.fetch_add(1, Ordering::Relaxed);
        TopicReader { progress: self.end.subscribe(), topic: self, next }
    }

    fn number(&self, id: &str) -> Option<u64> {
        id.strip_prefix(&*self.run)?.strip_prefix('-')?.parse().ok()
    }
}

/// The position of one reader.
pub(super) struct TopicReader {
    topic: Arc<Topic>,
    progress: watch::Receiver<u64>,
    /// The number of the next message to read.
    next: u64,
}

impl TopicReader {
    /// Maximum number of messages in one read.
    const BATCH: usize = 64;

    /// Waits for messages and returns the available ones, encoded. Cancel-safe.
    pub(super) async fn next(&mut self) -> Bytes {
        loop {
            // Mark the signal as seen before reading, so that a message in between wakes this reader.
            self.progress.borrow_and_update();
            let bytes = self.take();
            if !bytes.is_empty() {
                return bytes;
            }
            self.progress.changed().await.expect("the reader holds the topic");
        }
    }

    fn take(&mut self) -> Bytes {
        let memory = self.topic.memory.lock();
        let oldest = memory.next - memory.messages.len() as u64;
        self.next = self.next.max(oldest);
        let skip = (self.next - oldest) as usize;
        let taken: Vec<Bytes> = memory.messages.iter().skip(skip).take(Self::BATCH).cloned().collect();
        drop(memory);
        self.next += taken.len() as u64;
        taken.concat().into()
    }
}

impl Drop for TopicReader {
    fn drop(&mut self) {
        self.topic.readers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn topic(messages: u64) -> Arc<Topic> {
        let topic = Arc::new(Topic::new("run".into()));
        for number in 0..messages {
            topic.publish(Message { kind: "", data: json!({ "n": number }) }, 5);
        }
        topic
    }

    fn ids(bytes: &Bytes) -> Vec<String> {
        let text = String::from_utf8_lossy(bytes);
        text.lines().filter_map(|line| line.strip_prefix("id: ")).map(str::to_owned).collect()
    }

    #[tokio::test]
    async fn a_message_is_written_with_id_type_and_data() {
        let topic = topic(0);
        let mut reader = topic.clone().read(None);

        topic.publish(Message { kind: "built", data: json!({ "n": 1 }) }, 5);

        let bytes = reader.next().await;
        assert_eq!(bytes, "id: run-0\nevent: built\ndata: {\"at\":5,\"n\":1}\n\n");
    }

    #[tokio::test]
    async fn a_reader_resumes_after_its_id() {
        let bytes = topic(5).read(Some("run-2")).next().await;

        assert_eq!(ids(&bytes), ["run-3", "run-4"]);
    }

    #[tokio::test]
    async fn an_unknown_id_starts_at_the_oldest_message() {
        for id in ["other-2", "run-99", "run-", "", "2", "run-18446744073709551615"] {
            let bytes = topic(3).read(Some(id)).next().await;

            assert_eq!(ids(&bytes).len(), 3, "{id:?}");
        }
    }

    #[tokio::test]
    async fn the_memory_is_bounded_and_a_slow_reader_continues_at_the_oldest_message() {
        let topic = topic(1);
        let mut reader = topic.clone().read(Some("run-0"));
        for _ in 0..Topic::MEMORY + 10 {
            topic.publish(Message { kind: "", data: json!({}) }, 5);
        }

        let bytes = reader.next().await;

        assert_eq!(topic.memory.lock().messages.len(), Topic::MEMORY);
        assert_eq!(ids(&bytes)[0], "run-11");
    }

    #[test]
    fn readers_are_counted_until_dropped() {
        let topic = topic(0);
        let one = topic.clone().read(None);
        let two = topic.clone().read(None);
        assert_eq!(topic.readers(), 2);

        drop((one, two));

        assert_eq!(topic.readers(), 0);
    }
}
