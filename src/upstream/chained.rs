//! Removes the items that an upstream rillgate adds to a stream itself.
//!
//! Its resumption verdicts, sent as comments or events, become comments that the ingest understands. The reconnection
//! time of its prelude is meant for one client and is dropped. All other items come from its producer and pass
//! unchanged.

use http::HeaderMap;

use crate::sse::{Item, Parser};

/// The filter of one response.
#[derive(Debug)]
pub(super) struct Chained {
    /// The response head already reported a gap. The prelude repeats the same one.
    is_gap_known: bool,
    /// The prelude's reconnection time has not arrived yet.
    expects_retry: bool,
}

impl Chained {
    /// Returns a filter if the response comes from a rillgate, and `None` otherwise.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        let verdict = headers.get("rillgate-resume")?;
        Some(Self { is_gap_known: verdict.as_bytes().starts_with(b"gap"), expects_retry: true })
    }

    /// Makes the parser keep verdict comments.
    pub(super) fn parser(parser: Parser) -> Parser {
        parser.with_comment_prefix("rillgate-resume: ")
    }

    /// Removes the gateway's own items and translates its verdicts.
    pub(super) fn translate_items(&mut self, items: &mut Vec<Item>) {
        let is_gateway_item = |item: &Item| match item {
            Item::Event(event) => event.kind == EVENT_TYPE,
            Item::Comment(_) => true,
            Item::Retry(_) => self.expects_retry,
            Item::Id(_) | Item::Skipped(_) => false,
        };
        // Fast path: usually all items are events of the producer.
        if items.iter().any(is_gateway_item) {
            *items = std::mem::take(items).into_iter().flat_map(|item| self.translate_item(item)).flatten().collect();
        }
        self.expects_retry &= !items.iter().any(|item| matches!(item, Item::Event(_)));
    }

    fn translate_item(&mut self, item: Item) -> [Option<Item>; 2] {
        match item {
            Item::Event(event) if event.kind == EVENT_TYPE => {
                let data = serde_json::from_str::<serde_json::Value>(&event.data).unwrap_or_default();
                let verdict = data.get("resume").and_then(serde_json::Value::as_str).unwrap_or_default();
                let (verdict, id) = (self.verdict(verdict.into()), event.id.map(Item::Id));
                // A gap lies before the place at which it is reported.
                [verdict, id]
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

/// The type of the events that carry verdicts.
const EVENT_TYPE: &str = "rillgate.resume";

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
        items
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
    fn other_upstreams_are_not_filtered() {
        assert!(Chained::of(&HeaderMap::new()).is_none());
    }
}
