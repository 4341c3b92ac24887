//! Finds the events in a client's bytes and checks that none is missing, repeated or out of order.
//!
//! Each event's data is `NUMBER STAMP PADDING`: numbers count without a hole, stamps are microseconds of the system's
//! clock. Its `id` has to be the next one as well, by the rule of whoever gives ids. Bytes may come cut anywhere.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memchr;

use crate::http1::Body;
use crate::measure::Tally;

/// The rule that a server's ids follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ids {
    /// The producer's own: the number that is in the data.
    #[default]
    Producers,
    /// nchan's: seconds and, within a second, a count from 0.
    Seconds,
}

/// A client's position in one stream.
pub struct Scan {
    ids: Ids,
    /// The next number.
    expected: u64,
    /// The id of the event before, for ids that are not the number.
    before: Option<(u64, u64)>,
    /// The beginning of a line that was cut.
    line: Vec<u8>,
    /// Id, number and stamp of the event that is being read.
    id: Option<(u64, u64)>,
    data: Option<(u64, u64)>,
    /// The last event's `id` as it was written, kept for a probe alone.
    pub last_id: Option<String>,
    /// Whether the line is kept.
    pub is_probe: bool,
}

/// The bytes that are kept of a line; the rest is ignored.
const LINE_BYTES: usize = 64;

impl Scan {
    /// Returns the start of a stream whose first event has the number `first`.
    pub fn new(ids: Ids, first: u64) -> Self {
        Self {
            ids,
            expected: first,
            before: None,
            line: Vec::new(),
            id: None,
            data: None,
            last_id: None,
            is_probe: false,
        }
    }

    /// The number that is to come next.
    pub fn expected(&self) -> u64 {
        self.expected
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line(&mut self, line: &[u8], tally: &mut Tally) {
        if line.is_empty() {
            let id = self.id.take();
            if let Some((number, stamp)) = self.data.take() {
                tally.event(self.expected, number, stamp, self.is_next(id, number));
                self.expected = number + 1;
                self.before = id;
            }
        } else if let Some(data) = line.strip_prefix(b"data: ") {
            let mut parts = data[..data.len().min(LINE_BYTES)].split(|byte| *byte == b' ');
            self.data = parts.next().and_then(decimal).zip(parts.next().and_then(decimal));
        } else if let Some(id) = line.strip_prefix(b"id: ") {
            if self.is_probe {
                self.last_id = Some(String::from_utf8_lossy(id).into_owned());
            }
            self.id = match self.ids {
                Ids::Producers => decimal(id).map(|number| (number, 0)),
                Ids::Seconds => {
                    let mut parts = id.split(|byte| *byte == b':');
                    parts.next().and_then(decimal).zip(parts.next().and_then(decimal))
                }
            };
        }
    }

    fn is_next(&self, id: Option<(u64, u64)>, number: u64) -> bool {
        let Some(id) = id else { return false };
        match self.ids {
            Ids::Producers => id.0 == number,
            Ids::Seconds => self.before.is_none_or(|before| match id.0 == before.0 {
                true => id.1 == before.1 + 1,
                false => id.0 > before.0 && id.1 == 0,
            }),
        }
    }
}

impl Body for Scan {
    fn push(&mut self, mut bytes: &[u8], tally: &mut Tally) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.line.is_empty() {
                self.line(&bytes[..end], tally);
            } else {
                self.keep(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                // The buffer goes: a client that is cut once may be cut again, an idle one has none.
                self.line(&line, tally);
            }
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0')))
    })
}

/// Microseconds of the system's clock: the only one that all processes share.
pub fn now_micros() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros() as u64)
}

/// The data of an event: number, stamp, and padding up to `size` bytes.
pub fn payload(number: u64, stamp: u64, size: usize) -> String {
    let mut data = format!("{number} {stamp} ");
    while data.len() < size {
        data.push('x');
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Faults;

    fn event(id: &str, number: u64) -> String {
        format!("id: {id}\ndata: {}\n\n", payload(number, 1, 200))
    }

    fn faults(ids: Ids, events: &[(&str, u64)]) -> Faults {
        let (mut scan, mut tally) = (Scan::new(ids, 1), Tally::default());
        for (id, number) in events {
            scan.push(event(id, *number).as_bytes(), &mut tally);
        }
        tally.faults
    }

    #[test]
    fn an_event_cut_anywhere_counts_once() {
        let text = event("7", 7) + &event("8", 8);
        for cut in 0..text.len() {
            let (mut scan, mut tally) = (Scan::new(Ids::Producers, 7), Tally::default());

            scan.push(&text.as_bytes()[..cut], &mut tally);
            scan.push(&text.as_bytes()[cut..], &mut tally);

            assert_eq!((tally.events, tally.faults, scan.expected()), (2, Faults::default(), 9), "cut at {cut}");
        }
    }

    #[test]
    fn what_is_missing_repeated_or_late_is_seen() {
        let seen = faults(Ids::Producers, &[("1", 1), ("4", 4), ("4", 4), ("2", 2), ("3", 3)]);

        assert_eq!(seen, Faults { missing: 2, repeated: 1, disordered: 1, ..Faults::default() });
    }

    #[test]
    fn the_first_event_may_not_be_missing() {
        assert_eq!(faults(Ids::Producers, &[("2", 2)]), Faults { missing: 1, ..Faults::default() });
    }

    #[test]
    fn an_id_that_is_not_the_next_is_seen() {
        let two = Faults { wrong_ids: 2, ..Faults::default() };

        assert_eq!(faults(Ids::Producers, &[("1", 1), ("3", 2), ("x", 3)]), two);
        assert_eq!(faults(Ids::Seconds, &[("5:0", 1), ("5:2", 2), ("4:0", 3), ("4:1", 4), ("9:0", 5)]), two);
    }

    #[test]
    fn faults_are_named_with_their_count() {
        let faults = Faults { missing: 3, short: 1, ..Faults::default() };

        assert_eq!(faults.to_string(), "3 events missing, 1 streams without the first or the last events");
    }
}
