//! How the outcome of a resume is told in the stream itself, in each of the route's forms.

use std::fmt::Display;
use std::time::Duration;

use crate::route::VerdictForm;
use crate::sse::{Encoder, Event, EventId, Frame};
use crate::stream::{Gap, GapNotice, ResumeVerdict};

/// The type of the event that tells a verdict.
pub const EVENT_TYPE: &str = "rillgate.resume";

/// The verdict of who has none yet.
pub const PENDING: &str = "pending";

/// How a gap is told to clients that are connected when it opens.
pub fn teller(form: VerdictForm) -> GapNotice {
    match form {
        VerdictForm::Off => |_, _| None,
        VerdictForm::Comment => |verdict, _| Some(comment(verdict)),
        VerdictForm::Gap => |verdict, id| match is_gap_event(verdict) {
            false => Some(comment(verdict)),
            true => Some(event(verdict, Some(id))),
        },
        VerdictForm::Event => |verdict, id| Some(event(verdict, Some(id))),
    }
}

/// What goes out with the head: a comment, the reconnection time, the id in force, and the verdict in the route's form.
pub fn prelude(form: VerdictForm, verdict: ResumeVerdict, retry: Duration, id: Option<&EventId>) -> Frame {
    let mut encoder = Encoder::new();
    match form {
        VerdictForm::Off | VerdictForm::Event => encoder.comment("rillgate"),
        VerdictForm::Comment | VerdictForm::Gap => encoder.comment(&text(&verdict)),
    };
    encoder.retry(retry);
    place(&mut encoder, form, verdict, id);
    encoder.finish()
}

/// What goes out with the head while there is no verdict yet. No blank line: a client keeps the id that it has.
pub fn pending_prelude(retry: Duration) -> Frame {
    let mut encoder = Encoder::new();
    encoder.comment(&text(&PENDING)).retry(retry);
    encoder.finish()
}

/// What a client is told for whom there was no verdict when its head went out, in the route's form. The head of a route
/// that says nothing in-band has not said it either.
pub fn late(form: VerdictForm, verdict: ResumeVerdict, id: Option<&EventId>) -> Frame {
    let mut encoder = Encoder::new();
    match form {
        VerdictForm::Off | VerdictForm::Comment | VerdictForm::Gap => {
            encoder.comment(&text(&verdict));
        }
        VerdictForm::Event => {}
    }
    place(&mut encoder, form, verdict, id);
    encoder.finish()
}

/// A comment that shows life. Without a blank line: to some clients each block is an event.
pub fn heartbeat() -> Frame {
    let mut encoder = Encoder::new();
    encoder.comment("");
    encoder.finish()
}

/// The id in force, and the verdict where it is an event.
fn place(encoder: &mut Encoder, form: VerdictForm, verdict: ResumeVerdict, id: Option<&EventId>) {
    let is_event = match form {
        VerdictForm::Off | VerdictForm::Comment => false,
        VerdictForm::Gap => is_gap_event(verdict),
        VerdictForm::Event => true,
    };
    if is_event {
        encoder.event(&as_event(verdict, id));
    } else if let Some(id) = id {
        // Only a blank line makes the id count. Without an id none is written: it would be an empty event to clients
        // that take every block for one.
        encoder.id(id).blank();
    }
}

/// The upstream coming back is a gap that most often is none: an event only where each verdict is one.
fn is_gap_event(verdict: ResumeVerdict) -> bool {
    matches!(verdict, ResumeVerdict::Gap(gap) if gap != Gap::Upstream)
}

fn comment(verdict: ResumeVerdict) -> Frame {
    let mut encoder = Encoder::new();
    encoder.comment(&text(&verdict));
    encoder.finish()
}

fn event(verdict: ResumeVerdict, id: Option<&EventId>) -> Frame {
    Frame::from(&as_event(verdict, id.filter(|id| !id.is_empty())))
}

fn as_event(verdict: ResumeVerdict, id: Option<&EventId>) -> Event {
    Event { kind: EVENT_TYPE.to_owned(), data: verdict.json(), id: id.cloned() }
}

fn text(verdict: &dyn Display) -> String {
    format!("rillgate-resume: {verdict}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text_of(frame: &Frame) -> String {
        String::from_utf8(frame.body().to_vec()).expect("text")
    }

    #[test]
    fn the_prelude_tells_verdict_time_and_id() {
        let id = EventId::new("41").expect("an id");
        let resumed = ResumeVerdict::Resumed { missed: 2 };
        let two_seconds = Duration::from_secs(2);

        let comment = prelude(VerdictForm::Comment, resumed, two_seconds, Some(&id));
        let event = prelude(VerdictForm::Event, resumed, two_seconds, Some(&id));
        let off = prelude(VerdictForm::Off, resumed, two_seconds, None);

        assert_eq!(text_of(&comment), ": rillgate-resume: resumed;missed=2\nretry: 2000\nid: 41\n\n");
        assert_eq!(
            text_of(&event),
            ": rillgate\nretry: 2000\nid: 41\nevent: rillgate.resume\ndata: {\"resume\":\"resumed\",\"missed\":2}\n\n"
        );
        assert_eq!(text_of(&off), ": rillgate\nretry: 2000\n");
    }

    #[test]
    fn a_gap_is_an_event_where_the_route_says_so() {
        let gap = ResumeVerdict::Gap(Gap::Evicted);
        let told = |form| text_of(&prelude(form, gap, Duration::ZERO, None)).contains("event: rillgate.resume");

        assert!(told(VerdictForm::Gap) && told(VerdictForm::Event));
        assert!(!told(VerdictForm::Comment) && !told(VerdictForm::Off));
    }
}
