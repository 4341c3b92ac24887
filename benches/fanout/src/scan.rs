//! Finds the events in a client's bytes and checks that none is missing, repeated or out of order.
//!
//! Each event's data is `NUMBER STAMP PADDING`: numbers count from anywhere without a hole, stamps are microseconds of
//! the system's clock. Bytes may come cut anywhere. Ids are not looked at, but for a probe: servers have their own.

use std::time::{SystemTime, UNIX_EPOCH};

use memchr::memchr;

use crate::measure::Tally;

/// One client's place in one stream.
#[derive(Default)]
pub struct Scan {
    /// The next number.
    expected: Option<u64>,
    /// The beginning of a line that was cut.
    line: Vec<u8>,
    /// The last `id` line, for a probe.
    pub id: Option<String>,
    /// Whether ids are kept.
    pub is_probe: bool,
}

/// Of a longer line the rest does not matter.
const LINE_BYTES: usize = 64;

impl Scan {
    /// Takes the next bytes of the body.
    pub fn push(&mut self, mut bytes: &[u8], tally: &mut Tally) {
        while let Some(end) = memchr(b'\n', bytes) {
            if self.line.is_empty() {
                self.line(&bytes[..end], tally);
            } else {
                self.keep(&bytes[..end]);
                let line = std::mem::take(&mut self.line);
                self.line(&line, tally);
                // The buffer goes back: a client that is cut once may be cut again, an idle one has none.
            }
            bytes = &bytes[end + 1..];
        }
        self.keep(bytes);
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES.saturating_sub(self.line.len());
        self.line.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn line(&mut self, line: &[u8], tally: &mut Tally) {
        if let Some(data) = line.strip_prefix(b"data: ") {
            let mut parts = data[..data.len().min(LINE_BYTES)].split(|byte| *byte == b' ');
            let (Some(number), Some(stamp)) = (parts.next().and_then(decimal), parts.next().and_then(decimal)) else {
                return;
            };
            tally.event(self.expected, number, stamp);
            self.expected = Some(number + 1);
        } else if self.is_probe
            && let Some(id) = line.strip_prefix(b"id: ")
        {
            self.id = Some(String::from_utf8_lossy(id).into_owned());
        }
    }
}

fn decimal(digits: &[u8]) -> Option<u64> {
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

    #[test]
    fn an_event_cut_anywhere_counts_once() {
        let text = format!("id: 7\ndata: {}\n\nid: 8\ndata: {}\n\n", payload(7, 1, 200), payload(8, 1, 200));
        for cut in 0..text.len() {
            let (mut scan, mut tally) = (Scan::default(), Tally::default());

            scan.push(&text.as_bytes()[..cut], &mut tally);
            scan.push(&text.as_bytes()[cut..], &mut tally);

            assert_eq!((tally.events, tally.gaps, tally.repeats), (2, 0, 0), "cut at {cut}");
        }
    }

    #[test]
    fn a_hole_and_a_repetition_are_seen() {
        let (mut scan, mut tally) = (Scan::default(), Tally::default());

        for number in [1, 2, 4, 4, 5] {
            scan.push(format!("data: {}\n\n", payload(number, 1, 40)).as_bytes(), &mut tally);
        }

        assert_eq!((tally.events, tally.gaps, tally.repeats), (5, 1, 1));
    }
}
