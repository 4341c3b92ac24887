//! Removes the items that an upstream rillgate adds to a stream itself.
//!
//! Its resumption verdicts, sent as comments or events, become comments that the ingest understands. A refusal after its
//! head becomes an error. The reconnection times of its prelude and of its end are meant for one client and are dropped.
//! All other items come from its producer and pass unchanged.

use http::HeaderMap;

use crate::runtime::excerpt::truncate;
use crate::sse::{Item, Parser};
use crate::stream::{Continuity, OpenError};

/// The filter of one response.
#[derive(Debug)]
pub(super) struct Chained {
    /// The response head already reported a gap. The prelude repeats the same one.
    is_gap_known: bool,
    /// The prelude's reconnection time has not arrived yet.
    expects_retry: bool,
    /// The verdict of the response has not arrived yet.
    is_pending: bool,
    /// The reconnection time that came last. It is the producer's if something follows, and the gateway's own if the
    /// response ends.
    last_retry: Option<Item>,
    refusal: Option<OpenError>,
}

impl Chained {
    /// Returns a filter if the response comes from a rillgate, and `None` otherwise.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let verdict = headers.get("rillgate-resume")?;
        Some(Self {
            is_gap_known: verdict.as_bytes().starts_with(b"gap"),
            expects_retry: true,
            is_pending: verdict.as_bytes() == b"pending",
            last_retry: None,
            refusal: None,
        })
    }

    /// Makes the parser keep verdict comments.
    pub(super) fn parser(parser: Parser) -> Parser {
        parser.with_comment_prefix("rillgate-resume: ")
    }

    /// Returns true while the upstream has not told the verdict of the response.
    pub(super) fn is_pending(&self) -> bool {
        self.is_pending
    }

    /// Takes the upstream's refusal, which it told in the stream. Nothing follows it.
    pub(super) fn take_refusal(&mut self) -> Option<OpenError> {
        self.refusal.take()
    }

    /// Takes the verdict of a response that was pending from the items, if it is there.
    pub(super) fn take_verdict(&mut self, items: &mut Vec<Item>) -> Option<Continuity> {
        items.retain(|item| !matches!(item, Item::Comment(verdict) if &**verdict == "pending"));
        let at = items.iter().position(|item| matches!(item, Item::Comment(_)))?;
        let Item::Comment(verdict) = items.remove(at) else { return None };
        self.is_pending = false;
        Some(match &*verdict {
            verdict if verdict.starts_with("resumed") => Continuity::Continued,
            verdict if verdict.starts_with("gap") => Continuity::Gap,
            _ => Continuity::Unknown,
        })
    }

    /// Removes the gateway's own items and translates its verdicts. `items` come from one read of at least one byte.
    pub(super) fn translate_items(&mut self, items: &mut Vec<Item>) {
        let is_gateway_item = |item: &Item| match item {
            Item::Event(event) => matches!(event.kind.as_str(), EVENT_TYPE | ERROR_TYPE),
            Item::Comment(_) => true,
            Item::Retry(_) => self.expects_retry,
            Item::Id(_) | Item::Skipped(_) => false,
        };
        // Fast path: usually all items are events of the producer.
        if items.iter().any(is_gateway_item) {
            *items = std::mem::take(items).into_iter().flat_map(|item| self.translate_item(item)).flatten().collect();
        }
        self.expects_retry &= !items.iter().any(|item| matches!(item, Item::Event(_)));
        let last_retry = items.pop_if(|last| matches!(last, Item::Retry(_)));
        if let Some(earlier) = std::mem::replace(&mut self.last_retry, last_retry) {
            items.insert(0, earlier);
        }
    }

    fn translate_item(&mut self, item: Item) -> [Option<Item>; 2] {
        match item {
            Item::Event(event) if event.kind == EVENT_TYPE => {
                let data = serde_json::from_str::<serde_json::Value>(&event.data).unwrap_or_default();
                let text = |name: &str| data.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
                let verdict = match text("reason") {
                    "" => text("resume").to_owned(),
                    reason => format!("{};reason={reason}", text("resume")),
                };
                let (verdict, id) = (self.verdict(verdict.into()), event.id.map(Item::Id));
                // A gap lies before the place at which it is reported.
                [verdict, id]
            }
            Item::Event(event) if event.kind == ERROR_TYPE => {
                self.refusal.get_or_insert_with(|| refusal(&event.data));
                [None, None]
            }
            Item::Comment(verdict) => [self.verdict(verdict), None],
            Item::Retry(_) if std::mem::take(&mut self.expects_retry) => [None, None],
            Item::Event(_) | Item::Id(_) | Item::Retry(_) | Item::Skipped(_) => [Some(item), None],
        }
    }

    fn verdict(&mut self, verdict: Box<str>) -> Option<Item> {
        let is_known = verdict.starts_with("gap") && std::mem::take(&mut self.is_gap_known);
        (!is_known).then_some(Item::Comment(verdict))
    }
}

/// Parses the data of an event that refuses a request after the head of its response.
fn refusal(data: &str) -> OpenError {
    let data = serde_json::from_str::<serde_json::Value>(data).unwrap_or_default();
    let status = data.get("status").and_then(serde_json::Value::as_u64).unwrap_or_default();
    let reason = truncate(data.get("reason").and_then(serde_json::Value::as_str).unwrap_or_default());
    let reason = format!("the upstream refused the request after its head: {status} {reason}");
    match status {
        404 | 410 => OpenError::NotFound(reason),
        429 => OpenError::RateLimited { reason, retry_after: None },
        500..=599 => OpenError::Unavailable { reason, retry_after: None },
        _ => OpenError::Invalid(reason),
    }
}

/// The type of the events that carry verdicts.
const EVENT_TYPE: &str = "rillgate.resume";

/// The type of the event that carries a refusal.
const ERROR_TYPE: &str = "rillgate.error";

#[cfg(test)]
mod tests {
    use super::*;

    fn chained(verdict: &str, body: &str) -> Vec<Item> {
        let mut head = HeaderMap::new();
        head.insert("rillgate-resume", verdict.parse().expect("a value"));
        let mut chained = Chained::of(&head).expect("a rillgate");
        let mut items = Vec::new();
        Chained::parser(Parser::new(1024)).push(body.as_bytes(), &mut items);
        chained.translate_items(&mut items);
        // What follows later shows that the last reconnection time is the producer's.
        let mut later = Vec::new();
        chained.translate_items(&mut later);
        [items, later].concat()
    }

    fn plain(body: &str) -> Vec<Item> {
        let mut items = Vec::new();
        Parser::new(1024).push(body.as_bytes(), &mut items);
        items
    }

    #[test]
    fn items_of_the_upstream_gateway_are_told_apart_from_its_producers() {
        let said = chained("live", ": rillgate-resume: live\nretry: 2852\nid: 1\n\nretry: 9\nid: 2\ndata\n\n");

        let live = Item::Comment("live".into());
        assert_eq!(said, [vec![live], plain("id: 1\n\nretry: 9\nid: 2\ndata\n\n")].concat());
    }

    #[test]
    fn a_gap_is_reported_once_whether_in_the_head_or_in_band() {
        let gap = Item::Comment("gap;reason=evicted".into());
        for form in [
            ": rillgate-resume: gap;reason=evicted\nretry: 1\n",
            ": rillgate\nretry: 1\nevent: rillgate.resume\ndata: {\"resume\":\"gap\",\"reason\":\"evicted\"}\n\n",
        ] {
            assert_eq!(chained("gap;reason=evicted", form), []);
            assert_eq!(chained("resumed;missed=1", form).len(), 1);
        }
        let twice = ": rillgate-resume: gap;reason=evicted\n: rillgate-resume: gap;reason=evicted\n";
        assert_eq!(chained("gap;reason=upstream", twice), [gap]);
    }

    #[test]
    fn the_reconnection_time_at_the_end_is_the_gateways_own() {
        let mut head = HeaderMap::new();
        head.insert("rillgate-resume", "live".parse().expect("a value"));
        let mut chained = Chained::of(&head).expect("a rillgate");
        let mut parser = Chained::parser(Parser::new(1024));
        let mut read = |body: &str| {
            let mut items = Vec::new();
            parser.push(body.as_bytes(), &mut items);
            chained.translate_items(&mut items);
            items
        };

        assert_eq!(read("retry: 2852\ndata: a\n\n"), plain("data: a\n\n"));
        assert_eq!(read("retry: 9\n"), []);
        assert_eq!(read(":\n"), plain("retry: 9\n"));
        assert_eq!(read("data: b\n\nretry: 2713\n"), plain("data: b\n\n"));
    }

    #[test]
    fn a_verdict_keeps_its_reason_and_a_refusal_is_an_error() {
        let told = chained("live", "event: rillgate.resume\ndata: {\"resume\":\"gap\",\"reason\":\"lagged\"}\n\n");
        assert_eq!(told, [Item::Comment("gap;reason=lagged".into())]);

        for (status, reason) in [(404, "upstream_not_found"), (502, "upstream_wrong"), (401, "no_token"), (429, "x")] {
            let error = refusal(&format!(r#"{{"status":{status},"reason":"{reason}"}}"#));
            assert_eq!(error.is_down(), status == 502, "{error:?}");
            assert!(error.to_string().ends_with(&format!("{status} {reason}")));
        }
        assert!(matches!(refusal("no JSON"), OpenError::Invalid(_)));
    }

    #[test]
    fn other_upstreams_are_not_filtered() {
        assert!(Chained::of(&HeaderMap::new()).is_none());
    }
}
