//! An upstream that is a rillgate itself: what it says of its own is no part of the stream.
//!
//! Its verdicts, comments or events, become words for the intake; the reconnection time of its prelude is meant for one
//! client, so it is left out. All else is its producer's and passes.

use http::HeaderMap;

use crate::sse::{Item, Parser};

/// What is known of one response.
#[derive(Debug)]
pub(super) struct Chained {
    /// The head told of a gap already: the prelude tells of the same one.
    is_gap_told: bool,
    /// The prelude's reconnection time has not come yet.
    expects_retry: bool,
}

impl Chained {
    /// `None` when the upstream is none.
    pub(super) fn of(answer: &HeaderMap) -> Option<Self> {
        let verdict = answer.get("rillgate-resume")?;
        Some(Self { is_gap_told: verdict.as_bytes().starts_with(b"gap"), expects_retry: true })
    }

    /// A parser that tells verdicts.
    pub(super) fn parser(parser: Parser) -> Parser {
        parser.with_comment_prefix("rillgate-resume: ")
    }

    /// Leaves of items what the stream is.
    pub(super) fn translate(&mut self, items: &mut Vec<Item>) {
        let is_its_own = |item: &Item| match item {
            Item::Event(event) => event.kind == EVENT_TYPE,
            Item::Comment(_) => true,
            Item::Retry(_) => self.expects_retry,
            Item::Id(_) | Item::Skipped(_) => false,
        };
        // The usual case: nothing but events.
        if items.iter().any(is_its_own) {
            *items = std::mem::take(items).into_iter().flat_map(|item| self.item(item)).flatten().collect();
        }
        self.expects_retry &= !items.iter().any(|item| matches!(item, Item::Event(_)));
    }

    fn item(&mut self, item: Item) -> [Option<Item>; 2] {
        match item {
            Item::Event(event) if event.kind == EVENT_TYPE => {
                let told = serde_json::from_str::<serde_json::Value>(&event.data).unwrap_or_default();
                let verdict = told.get("resume").and_then(serde_json::Value::as_str).unwrap_or_default();
                let (verdict, id) = (self.verdict(verdict.into()), event.id.map(Item::Id));
                // A gap lies before the place that it is told at.
                [verdict, id]
            }
            Item::Comment(verdict) => [self.verdict(verdict), None],
            Item::Retry(_) if std::mem::take(&mut self.expects_retry) => [None, None],
            Item::Event(_) | Item::Id(_) | Item::Retry(_) | Item::Skipped(_) => [Some(item), None],
        }
    }

    fn verdict(&mut self, verdict: Box<str>) -> Option<Item> {
        let is_known = verdict.starts_with("gap") && std::mem::take(&mut self.is_gap_told);
        (!is_known).then_some(Item::Comment(verdict))
    }
}

/// The type of the events that tell verdicts.
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
        chained.translate(&mut items);
        items
    }

    fn plain(body: &str) -> Vec<Item> {
        let mut items = Vec::new();
        Parser::new(1024).push(body.as_bytes(), &mut items);
        items
    }

    #[test]
    fn what_a_rillgate_says_of_its_own_is_told_apart_from_its_producers_words() {
        let said = chained("live", ": rillgate-resume: live\nretry: 2852\nid: 1\n\nretry: 9\nid: 2\ndata\n\n");

        let live = Item::Comment("live".into());
        assert_eq!(said, [vec![live], plain("id: 1\n\nretry: 9\nid: 2\ndata\n\n")].concat());
    }

    #[test]
    fn a_gap_is_told_once_whether_in_the_head_or_in_band() {
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
    fn any_other_upstream_may_say_what_it_likes() {
        assert!(Chained::of(&HeaderMap::new()).is_none());
    }
}
