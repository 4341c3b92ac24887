//! The lines that the gateway itself writes into a stream: the prelude, the outcome of a resume, heartbeats.

use std::fmt::Display;
use std::time::Duration;

use crate::listen::Prelude;
use crate::route::VerdictForm;
use crate::sse::{Encoder, Event, EventId, Frame};
use crate::stream::{Gap, GapNotice, ResumeVerdict};

/// The type of the event that carries a verdict.
pub const EVENT_TYPE: &str = "rillgate.resume";

/// The verdict of a client whose resume is pending.
pub(crate) const PENDING: &str = "pending";

/// Returns the function that encodes a gap for clients that are connected when it opens.
pub(crate) fn gap_notice(form: VerdictForm) -> GapNotice {
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

/// Encodes the prelude, which is sent with the head: a comment, `retry:`, the last event id, and the verdict in the route's
/// form.
pub(crate) fn prelude(form: VerdictForm, verdict: ResumeVerdict, retry: Duration, id: Option<&EventId>) -> Prelude {
    let mut encoder = Encoder::new();
    match form {
        VerdictForm::Off | VerdictForm::Event => encoder.comment("rillgate"),
        VerdictForm::Comment | VerdictForm::Gap => encoder.comment(&text(&verdict)),
    };
    encoder.retry(retry);
    encode_id(&mut encoder, form, verdict, id);
    as_prelude(encoder)
}

/// Encodes the prelude while the resume is pending. It has no blank line, so the client keeps the id that it has.
pub(crate) fn pending_prelude(retry: Duration) -> Prelude {
    let mut encoder = Encoder::new();
    encoder.comment(&text(&PENDING)).retry(retry);
    as_prelude(encoder)
}

/// Encodes the verdict for a client whose head was sent while its resume was pending, in the route's form. With
/// [`VerdictForm::Off`] it is a comment, since the head could not tell it either.
pub(crate) fn late_verdict(form: VerdictForm, verdict: ResumeVerdict, id: Option<&EventId>) -> Frame {
    let mut encoder = Encoder::new();
    match form {
        VerdictForm::Off | VerdictForm::Comment | VerdictForm::Gap => {
            encoder.comment(&text(&verdict));
        }
        VerdictForm::Event => {}
    }
    encode_id(&mut encoder, form, verdict, id);
    encoder.finish()
}

/// Encodes a heartbeat: an empty comment. It has no blank line, since some clients take each block for an event.
pub(crate) fn heartbeat() -> Frame {
    let mut encoder = Encoder::new();
    encoder.comment("");
    encoder.finish()
}

fn as_prelude(encoder: Encoder) -> Prelude {
    Prelude::new(encoder.into_lines()).expect("the encoder ends each line in a bare line feed")
}

/// Encodes the last event id, and the verdict if its form is an event.
fn encode_id(encoder: &mut Encoder, form: VerdictForm, verdict: ResumeVerdict, id: Option<&EventId>) {
    let is_event = match form {
        VerdictForm::Off | VerdictForm::Comment => false,
        VerdictForm::Gap => is_gap_event(verdict),
        VerdictForm::Event => true,
    };
    if is_event {
        encoder.event(&as_event(verdict, id));
    } else if let Some(id) = id {
        // A client commits an id only at a blank line. Without an id there is no blank line, since some clients take
        // each block for an event.
        encoder.id(id).blank_line();
    }
}

/// Whether [`VerdictForm::Gap`] makes an event of this verdict. [`Gap::Upstream`] is most often no loss, so it is an
/// event only in the form [`VerdictForm::Event`].
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

    fn text_of(prelude: &Prelude) -> String {
        String::from_utf8(prelude.lines().to_vec()).expect("text")
    }

    #[test]
    fn the_prelude_has_the_verdict_the_reconnection_time_and_the_id() {
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
    fn a_gap_is_an_event_in_the_forms_gap_and_event() {
        let gap = ResumeVerdict::Gap(Gap::Evicted);
        let is_event = |form| text_of(&prelude(form, gap, Duration::ZERO, None)).contains("event: rillgate.resume");

        assert!(is_event(VerdictForm::Gap) && is_event(VerdictForm::Event));
        assert!(!is_event(VerdictForm::Comment) && !is_event(VerdictForm::Off));
    }
}
