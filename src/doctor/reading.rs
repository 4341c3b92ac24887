//! One response to a request for the stream: what came of it, and when.
//!
//! ```text
//!  request ──▶ head ──▶ text … heartbeat … heartbeat … event … ──▶ end, cut, or still open
//!             after      first_text        (silence)
//! ```
//!
//! Says what was seen. Whether that is a fault is for the checks.

use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, Version};
use tokio::time::{Instant, timeout_at};

use super::connection::{ClientConnection, Content};
use super::content_decoder::{ContentDecoder, coding};
use super::settings::Settings;
use super::stream_text::StreamText;

/// The observation of one response.
#[derive(Debug)]
pub(super) struct Reading {
    /// The version of HTTP.
    pub(super) version: Version,
    /// The head, if it came.
    pub(super) head: Option<ResponseHead>,
    /// The time from the head to the first text, which is zero if they came together.
    pub(super) first_text: Option<Duration>,
    /// Heartbeats that came.
    pub(super) heartbeats: u64,
    /// Heartbeats among them that came together with the one before. A server sends one only after a silence, so these
    /// were held back.
    pub(super) held_heartbeats: u64,
    /// Events that came.
    pub(super) events: u64,
    /// The longest time between two pieces that came.
    pub(super) longest_silence: Duration,
    /// The time from the last piece, or the head, to the end.
    pub(super) last_silence: Duration,
    /// The time from the request to the end.
    pub(super) elapsed: Duration,
    /// The state at the end.
    pub(super) ending: Ending,
}

/// The head of a response.
#[derive(Debug)]
pub(super) struct ResponseHead {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

/// The state of a response when the reading of it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// The time was up.
    StillOpen,
    /// The response was complete.
    Complete,
    /// The response, or the connection before it, broke off.
    Broken(String),
}

/// The judgement of when the parts of a response came, as far as a client can tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// Something came, and nothing says that it was late.
    Prompt,
    /// Something came late, or not at all; says what.
    Held(String),
    /// Nothing that has to come at once.
    Unknown,
}

impl Reading {
    /// Reads until `deadline`. A response that is no event stream is left after its head.
    pub(super) async fn take(
        connection: &mut ClientConnection,
        settings: &Settings,
        codings: &'static str,
        deadline: Instant,
    ) -> Self {
        let version = connection.version();
        let began = Instant::now();
        let mut reading = Self::new(version);
        let request = settings.request(version, Method::GET, codings);
        match timeout_at(deadline, connection.send(request)).await {
            Err(_) => {}
            Ok(Err(reason)) => reading.ending = Ending::Broken(reason),
            Ok(Ok(response)) => {
                let (head, content) = response.into_parts();
                let head = ResponseHead { status: head.status, headers: head.headers };
                let is_stream = head.refusal().is_none();
                let decoder = ContentDecoder::for_response(&head.headers);
                reading.head = Some(head);
                if is_stream {
                    reading.take_content(content, decoder, deadline).await;
                }
            }
        }
        reading.elapsed = began.elapsed();
        reading
    }

    /// Returns a reading of nothing.
    pub(super) fn new(version: Version) -> Self {
        Self {
            version,
            head: None,
            first_text: None,
            heartbeats: 0,
            held_heartbeats: 0,
            events: 0,
            longest_silence: Duration::ZERO,
            last_silence: Duration::ZERO,
            elapsed: Duration::ZERO,
            ending: Ending::StillOpen,
        }
    }

    async fn take_content(&mut self, mut content: Content, mut decoder: ContentDecoder, deadline: Instant) {
        let began = Instant::now();
        let mut text = StreamText::default();
        let (mut last_piece, mut last_heartbeat) = (began, None);
        loop {
            match timeout_at(deadline, content.next()).await {
                Err(_) => break,
                Ok(None) => {
                    self.ending = match self.ends_with_connection() {
                        true => Ending::Broken("the connection was closed".to_owned()),
                        false => Ending::Complete,
                    };
                    break;
                }
                Ok(Some(Err(reason))) => {
                    self.ending = Ending::Broken(reason);
                    break;
                }
                Ok(Some(Ok(bytes))) => {
                    let now = Instant::now();
                    let (before, mut is_text) = (text.heartbeats, false);
                    let is_decoded = decoder.decode(&bytes, &mut |piece| {
                        is_text |= !piece.is_empty();
                        text.push(piece);
                    });
                    if is_text || !(is_decoded || bytes.is_empty()) {
                        self.first_text.get_or_insert(now - began);
                    }
                    let heartbeats = text.heartbeats - before;
                    if heartbeats > 0 {
                        let is_together = last_heartbeat.is_some_and(|last| now - last < TOGETHER);
                        self.held_heartbeats += if is_together { heartbeats } else { heartbeats - 1 };
                        last_heartbeat = Some(now);
                    }
                    self.longest_silence = self.longest_silence.max(now - last_piece);
                    last_piece = now;
                }
            }
        }
        self.last_silence = last_piece.elapsed();
        (self.heartbeats, self.events) = (text.heartbeats, text.events);
    }

    /// Returns whether the end of the connection is the only end that the response has (RFC 9112, 6.3).
    fn ends_with_connection(&self) -> bool {
        let has = |name| self.head.as_ref().is_some_and(|head| head.headers.contains_key(name));
        self.version != Version::HTTP_2 && !has(http::header::TRANSFER_ENCODING) && !has(http::header::CONTENT_LENGTH)
    }

    /// Returns the content coding of the response.
    pub(super) fn coding(&self) -> Option<String> {
        coding(&self.head.as_ref()?.headers)
    }

    /// Returns whether the response broke off.
    pub(super) fn is_cut(&self) -> bool {
        self.head.is_some() && matches!(self.ending, Ending::Broken(_))
    }

    /// Returns whether the silence before the end was about as long as any before it, and longer than a network's delays.
    pub(super) fn ends_in_silence(&self) -> bool {
        self.last_silence >= MIN_SILENCE && self.last_silence * 10 >= self.longest_silence * 9
    }

    /// Judges whether it came promptly.
    pub(super) fn flow(&self) -> Flow {
        let Some(head) = &self.head else {
            return match self.ending {
                Ending::StillOpen => Flow::Held(format!("no response within {}", seconds(self.elapsed))),
                Ending::Complete | Ending::Broken(_) => Flow::Unknown,
            };
        };
        if self.held_heartbeats >= MIN_HELD && self.held_heartbeats * 2 >= self.heartbeats {
            let (held, all) = (self.held_heartbeats, self.heartbeats);
            return Flow::Held(format!("{held} of {all} heartbeats came together with the one before"));
        }
        match (self.first_text, &self.ending) {
            (Some(_), _) => Flow::Prompt,
            // A rillgate sends the first text with the head.
            (None, Ending::StillOpen) if head.headers.contains_key(VERDICT_FIELD) => {
                Flow::Held("the head of the response came without the text that was sent with it".to_owned())
            }
            (None, _) => Flow::Unknown,
        }
    }
}

impl ResponseHead {
    /// Says why the response is no event stream, if it is none.
    pub(super) fn refusal(&self) -> Option<String> {
        if self.status.is_redirection() {
            let location = self.headers.get(http::header::LOCATION).and_then(|value| value.to_str().ok());
            return Some(format!("redirected to {}: examine that URL", location.unwrap_or("nowhere")));
        }
        if self.status == StatusCode::NO_CONTENT {
            return Some("the stream is complete (204): there is nothing to read".to_owned());
        }
        if self.status != StatusCode::OK {
            return Some(format!("the answer is {}", self.status));
        }
        let content_type = self.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        let essence = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        match essence.eq_ignore_ascii_case("text/event-stream") {
            true => None,
            false => {
                Some(format!("the content type is {:?} and not text/event-stream", content_type.unwrap_or("none")))
            }
        }
    }
}

/// Formats a time with a tenth of a second.
pub(super) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The field in which a rillgate tells the outcome of a resume.
pub(super) const VERDICT_FIELD: &str = "rillgate-resume";

/// Two heartbeats that come within this time were not sent with a silence between them.
const TOGETHER: Duration = Duration::from_millis(10);

/// The shortest silence that counts as one.
const MIN_SILENCE: Duration = Duration::from_millis(250);

/// Heartbeats that have to come together with the one before. One may be due to the network.
const MIN_HELD: u64 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&'static str, &'static str)]) -> ResponseHead {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.insert(*name, value.parse().expect("a value"));
        }
        ResponseHead { status: StatusCode::OK, headers }
    }

    #[test]
    fn a_single_late_heartbeat_is_no_buffering() {
        let (head, first_text) = (Some(head(&[])), Some(Duration::ZERO));
        let mut reading = Reading { head, first_text, ..Reading::new(Version::HTTP_2) };

        for (heartbeats, held, is_held) in [(3, 1, false), (9, 3, false), (4, 2, true), (10, 9, true)] {
            (reading.heartbeats, reading.held_heartbeats) = (heartbeats, held);
            assert_eq!(matches!(reading.flow(), Flow::Held(_)), is_held, "{held} of {heartbeats}");
        }
    }

    #[test]
    fn silence_is_late_only_where_a_text_was_due() {
        let flow = |fields: &[(&'static str, &'static str)]| {
            Reading { head: Some(head(fields)), ..Reading::new(Version::HTTP_11) }.flow()
        };

        assert_eq!(flow(&[]), Flow::Unknown);
        assert!(matches!(flow(&[(VERDICT_FIELD, "live")]), Flow::Held(_)));
    }

    #[test]
    fn an_answer_that_is_no_event_stream_says_why() {
        assert_eq!(head(&[("content-type", "Text/Event-Stream; charset=utf-8")]).refusal(), None);
        assert!(head(&[("content-type", "text/html")]).refusal().expect("a reason").contains("text/html"));
        assert!(head(&[]).refusal().is_some());
        let refused = ResponseHead { status: StatusCode::UNAUTHORIZED, headers: HeaderMap::new() };
        assert_eq!(refused.refusal().as_deref(), Some("the answer is 401 Unauthorized"));
    }
}
