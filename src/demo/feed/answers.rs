//! Answers that arrive word by word, as from a language model: `question`, then `token` after `token`, then `done`.
//!
//! The tokens of an answer, joined, are exactly its text. The texts are fixed: no model is involved.

use serde_json::json;

use super::{Feed, FeedBatch, Message, Random};

/// The answer in progress.
#[derive(Default)]
pub(in crate::demo) struct Answers {
    /// The index of the question and its answer.
    pair: usize,
    state: State,
}

/// The progress of an answer.
#[derive(Default)]
enum State {
    #[default]
    Question,
    /// The number of sent tokens, and of the bytes that they cover.
    Answer { tokens: usize, given: usize },
}

impl Answers {
    /// Questions and their answers.
    const PAIRS: [(&'static str, &'static str); 3] = [
        (
            "What happens to my stream when the train enters a tunnel?",
            "The connection breaks, but the conversation does not. Your browser remembers the id of the last event it \
             saw. When the train comes out, it connects again and says that id in a header called Last-Event-ID. The \
             gateway looks the id up in its log, sends everything that came after it, and goes on live. Nothing is \
             lost and nothing comes twice.",
        ),
        (
            "Why put a gateway between a model and its readers?",
            "Because an answer is generated once and often read by many: a second tab, a phone, a colleague, a \
             reconnect after a lost signal. The gateway holds one connection to the producer, keeps the recent words \
             in memory, and lets every reader start where it left off. The producer sees one patient client, however \
             many people are reading.",
        ),
        (
            "How is this different from a WebSocket?",
            "A WebSocket is a pipe in both directions, and what flows through it is up to you. Server-Sent Events are \
             plain HTTP in one direction: text, with types and ids. Proxies, logs and browser tools understand it, \
             reconnecting is part of the standard, and over HTTP/2 a hundred streams share one connection.",
        ),
    ];
}

impl Feed for Answers {
    fn next(&mut self, random: &mut Random) -> FeedBatch {
        let (question, answer) = Self::PAIRS[self.pair % Self::PAIRS.len()];
        let (wait, kind, data) = match self.state {
            State::Question => {
                self.state = State::Answer { tokens: 0, given: 0 };
                (random.pause(3_000, 4_000), "question", json!({ "text": question }))
            }
            State::Answer { tokens, given } if given < answer.len() => {
                let rest = &answer[given..];
                let length = token_length(rest);
                self.state = State::Answer { tokens: tokens + 1, given: given + length };
                (random.pause(60, 220), "token", json!({ "text": &rest[..length] }))
            }
            State::Answer { tokens, .. } => {
                self.state = State::Question;
                self.pair += 1;
                (random.pause(200, 300), "done", json!({ "tokens": tokens }))
            }
        };
        FeedBatch { wait, messages: vec![Message { kind, data }] }
    }
}

/// Returns the length of the first token of a text: a word with the preceding space.
pub(in crate::demo) fn token_length(text: &str) -> usize {
    text.get(1..).and_then(|tail| tail.find(' ')).map_or(text.len(), |space| space + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joined_tokens_are_the_answer_and_the_next_question_follows() {
        let (mut answers, mut random) = (Answers::default(), Random::seeded(1));

        for (question, answer) in Answers::PAIRS {
            let first = answers.next(&mut random).messages.remove(0);
            let mut text = String::new();
            let last = loop {
                let message = answers.next(&mut random).messages.remove(0);
                if message.kind != "token" {
                    break message;
                }
                text += message.data["text"].as_str().unwrap();
            };

            assert_eq!((first.kind, first.data["text"].as_str()), ("question", Some(question)));
            assert_eq!(text, answer);
            assert_eq!(last.kind, "done");
            assert_eq!(last.data["tokens"], answer.split(' ').count());
        }
    }
}
