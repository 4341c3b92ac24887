//! The text of an event stream, as far as an examination reads it: heartbeats, events, and the verdict on a resume.
//!
//! Keeps the beginning of one line, and nothing else of the text.

/// Counts what stands in a text that arrives in pieces.
#[derive(Debug, Default)]
pub(super) struct StreamText {
    /// The beginning of the current line, at most `KEPT_LINE`.
    line: Vec<u8>,
    /// The last line ended in CR. A following LF belongs to the same line end.
    after_carriage_return: bool,
    block: TextBlock,
    /// Heartbeats so far: empty comments, and blocks that have nothing but comments.
    pub(super) heartbeats: u64,
    /// Blocks with data so far.
    pub(super) events: u64,
    /// The first verdict in a comment of a rillgate that is not `pending`.
    pub(super) verdict: Option<String>,
}

/// The block that the next blank line ends.
#[derive(Clone, Copy, Debug, Default)]
struct TextBlock {
    has_comment: bool,
    has_field: bool,
    has_data: bool,
}

impl StreamText {
    /// Reads the next piece.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            let is_second_half = std::mem::take(&mut self.after_carriage_return) && byte == b'\n';
            match byte {
                _ if is_second_half => {}
                b'\n' | b'\r' => {
                    self.after_carriage_return = byte == b'\r';
                    self.end_line();
                }
                _ if self.line.len() < KEPT_LINE => self.line.push(byte),
                _ => {}
            }
        }
    }

    fn end_line(&mut self) {
        match self.line.as_slice() {
            [] => {
                let block = std::mem::take(&mut self.block);
                self.heartbeats += u64::from(block.has_comment && !block.has_field);
                self.events += u64::from(block.has_data);
            }
            // A rillgate's heartbeat has no blank line behind it.
            b":" => self.heartbeats += 1,
            [b':', comment @ ..] => {
                self.block.has_comment = true;
                let verdict = comment.trim_ascii().strip_prefix(b"rillgate-resume: ");
                if let Some(verdict) = verdict.filter(|verdict| *verdict != b"pending") {
                    self.verdict.get_or_insert_with(|| String::from_utf8_lossy(verdict).into_owned());
                }
            }
            line => {
                self.block.has_field = true;
                self.block.has_data |= line.starts_with(b"data");
            }
        }
        self.line.clear();
    }
}

/// The beginning of a line that is kept. A verdict is shorter.
const KEPT_LINE: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> StreamText {
        let mut whole = StreamText::default();
        whole.push(text.as_bytes());
        let mut split = StreamText::default();
        text.as_bytes().iter().for_each(|byte| split.push(&[*byte]));
        assert_eq!(format!("{whole:?}"), format!("{split:?}"));
        whole
    }

    #[test]
    fn heartbeats_of_all_forms_are_counted_and_preludes_are_not() {
        let of_rillgate =
            read(": rillgate-resume: pending\nretry: 2000\n:\n:\n: rillgate-resume: gap;reason=unknown\n:\n");
        let of_others = read(": ping\r\n\r\n:\n\n: padding\n: padding\n\ndata: 1\n: inside\n\n");

        assert_eq!((of_rillgate.heartbeats, of_rillgate.events), (3, 0));
        assert_eq!(of_rillgate.verdict.as_deref(), Some("gap;reason=unknown"));
        assert_eq!((of_others.heartbeats, of_others.events, of_others.verdict), (3, 1, None));
    }

    #[test]
    fn a_long_line_is_not_kept() {
        let text = read(&format!("data: {}\n\n", "x".repeat(100_000)));

        assert_eq!(text.events, 1);
        assert!(text.line.capacity() <= 2 * KEPT_LINE);
    }
}
