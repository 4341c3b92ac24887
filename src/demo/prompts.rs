//! The answers to the prompts of the demo's visitors. Each is asked for by a `POST`, made once, word by word, and ends.
//!
//! The events have no ids, like those of language models. An answer ends early only if its connection does. Does not keep
//! prompts or answers, and no model is involved: every prompt gets the same text.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::{Stream, stream};
use serde::Deserialize;
use serde_json::{Value, json};

use super::feed::token_length;
use super::random::Random;

/// The answers that are being made, and the number of prompts so far.
#[derive(Default)]
pub(super) struct Prompts {
    asked: AtomicU64,
    in_progress: AtomicUsize,
}

/// A prompt, as the page sends it.
#[derive(Deserialize)]
struct Prompt {
    prompt: String,
}

/// The progress of one answer.
struct PromptedAnswer {
    prompts: Arc<Prompts>,
    random: Random,
    next: Step,
}

enum Step {
    Question {
        prompt: String,
        request: u64,
    },
    /// The number of sent tokens, and of the bytes that they cover.
    Token {
        tokens: usize,
        given: usize,
    },
    Ended,
}

impl Prompts {
    /// The path of the answers.
    pub(super) const PATH: &str = "/answers";

    /// The most bytes of a request body.
    pub(super) const MAX_BODY_BYTES: usize = 4096;

    /// Returns the number of answers that are being made.
    pub(super) fn in_progress(&self) -> usize {
        self.in_progress.load(Ordering::Relaxed)
    }

    /// Answers a request body. `None` if it holds no prompt.
    pub(super) fn answer(
        self: Arc<Self>,
        body: &[u8],
        random: Random,
    ) -> Option<impl Stream<Item = Bytes> + Send + use<>> {
        let Prompt { prompt } = serde_json::from_slice(body).ok()?;
        let request = self.asked.fetch_add(1, Ordering::Relaxed) + 1;
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        let answer = PromptedAnswer { prompts: self, random, next: Step::Question { prompt, request } };
        Some(stream::unfold(answer, PromptedAnswer::step))
    }
}

impl PromptedAnswer {
    async fn step(mut self) -> Option<(Bytes, Self)> {
        let (kind, data, wait) = match std::mem::replace(&mut self.next, Step::Ended) {
            Step::Question { prompt, request } => {
                self.next = Step::Token { tokens: 0, given: 0 };
                ("question", json!({ "text": prompt, "request": request }), Duration::ZERO)
            }
            Step::Token { tokens, given } if given < ANSWER.len() => {
                let rest = &ANSWER[given..];
                let length = token_length(rest);
                self.next = Step::Token { tokens: tokens + 1, given: given + length };
                ("token", json!({ "text": &rest[..length] }), self.random.pause(60, 180))
            }
            Step::Token { tokens, .. } => ("done", json!({ "tokens": tokens }), Duration::ZERO),
            Step::Ended => return None,
        };
        tokio::time::sleep(wait).await;
        Some((encode(kind, data), self))
    }
}

impl Drop for PromptedAnswer {
    fn drop(&mut self) {
        self.prompts.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

fn encode(kind: &str, mut data: Value) -> Bytes {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    data["at"] = (since.as_millis() as u64).into();
    // serde_json writes no line breaks, so the JSON fits one `data` line.
    Bytes::from(format!("event: {kind}\ndata: {data}\n\n"))
}

const ANSWER: &str = "No model runs in this demo, so every question gets this answer. What matters is how it arrives. The \
    page sent your question once, and the producer is making the answer once, word by word. Reload the page in the \
    middle, or open a second tab: the gateway has kept every word so far, sends them again at once, and goes on live. \
    Ask the same question in another window, and you join the answer that is being made. The producer notices nothing \
    of all this. A model would have been paid once.";

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_made_word_by_word_and_ends() {
        let prompts = Arc::new(Prompts::default());
        let answer = prompts.clone().answer(br#"{"prompt":"Why?"}"#, Random::seeded(1)).unwrap();
        assert_eq!(prompts.in_progress(), 1);

        let events: Vec<String> = answer.map(|event| String::from_utf8(event.to_vec()).unwrap()).collect().await;

        assert!(events[0].contains("event: question\n") && events[0].contains("\"text\":\"Why?\""), "{}", events[0]);
        assert!(events[0].contains("\"request\":1"), "{}", events[0]);
        let data = |event: &String| -> Value { serde_json::from_str(event.split_once("data: ").unwrap().1).unwrap() };
        let text: String =
            events[1..events.len() - 1].iter().map(|event| data(event)["text"].as_str().unwrap().to_owned()).collect();
        assert_eq!(text, ANSWER);
        assert_eq!(data(events.last().unwrap())["tokens"], ANSWER.split(' ').count());
        assert_eq!(prompts.in_progress(), 0);
    }

    #[test]
    fn what_is_no_prompt_is_no_question() {
        let prompts = Arc::new(Prompts::default());

        for body in [&b""[..], b"{}", b"[]", b"{\"prompt\":5}", b"\xff"] {
            assert!(prompts.clone().answer(body, Random::seeded(1)).is_none());
        }
        assert_eq!(prompts.in_progress(), 0);
    }
}
