//! The send window of one HTTP/2 connection (RFC 9113, 5.2.1), shared by all its streams.
//!
//! h2 keeps the window private, so it is followed from outside: the client's WINDOW_UPDATE frames add to it as they are
//! read, and bytes passed to h2 subtract from it. It also measures for how long the window has blocked a stream. The
//! windows of single streams are not followed: a stream that its client does not read concerns that stream only.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The window, shared between the reader of frames and the senders.
#[derive(Debug)]
pub(in crate::listen) struct SendWindow {
    /// Bytes that may still be sent.
    size: AtomicI64,
    /// Whether the client has enlarged the window since the last check.
    has_increased: AtomicBool,
    /// Whether a stream has been blocked by the window since it was last enlarged.
    is_blocking: AtomicBool,
    /// Streams that were reset since the window closed. h2 keeps them until it opens.
    kept_resets: AtomicUsize,
    /// Bytes that were passed to h2 and have not been written, or were discarded by a reset.
    queued: AtomicUsize,
    /// Whether settings of the client have shrunk the windows of open streams.
    has_shrunk_streams: AtomicBool,
}

/// The initial window size (RFC 9113, 6.9.2).
const INITIAL_SIZE: i64 = 65_535;

/// The window of a stream without a setting (RFC 9113, 6.5.2).
const INITIAL_STREAM_SIZE: u32 = 65_535;

impl Default for SendWindow {
    fn default() -> Self {
        Self {
            size: AtomicI64::new(INITIAL_SIZE),
            has_increased: AtomicBool::default(),
            is_blocking: AtomicBool::default(),
            kept_resets: AtomicUsize::default(),
            queued: AtomicUsize::default(),
            has_shrunk_streams: AtomicBool::default(),
        }
    }
}

impl SendWindow {
    /// Subtracts bytes that were sent.
    pub(in crate::listen) fn consume(&self, bytes: usize) {
        self.size.fetch_sub(i64::try_from(bytes).unwrap_or(i64::MAX), Ordering::Relaxed);
        // One task owns the connection, so a load and a store suffice.
        self.queued.store(self.queued.load(Ordering::Relaxed).saturating_add(bytes), Ordering::Relaxed);
    }

    /// Returns true if the connection's window has so many bytes, and settings of the client have not shrunk the windows of
    /// open streams, which would make what is known of those untrue.
    pub(in crate::listen) fn has_room(&self, bytes: usize) -> bool {
        i64::try_from(bytes).is_ok_and(|bytes| bytes <= self.size.load(Ordering::Relaxed))
            && !self.has_shrunk_streams.load(Ordering::Relaxed)
    }

    /// Records that h2 has written so many bytes. They include frame headers, so slightly too much is subtracted.
    pub(in crate::listen) fn record_written(&self, bytes: usize) {
        let queued = self.queued.load(Ordering::Relaxed);
        if queued > 0 {
            self.queued.store(queued.saturating_sub(bytes), Ordering::Relaxed);
        }
    }

    /// Records that h2 has nothing more to write. What it discarded when streams were reset no longer counts.
    ///
    /// Data behind a window that the client shrank waits in h2 without anything to write, so this does not apply to a
    /// client that has done so.
    pub(in crate::listen) fn note_all_written(&self) {
        if self.queued() > 0 && !self.has_shrunk_streams.load(Ordering::Relaxed) {
            self.queued.store(0, Ordering::Relaxed);
        }
    }

    /// Returns the bytes that wait in h2 to be written.
    pub(in crate::listen) fn queued(&self) -> usize {
        self.queued.load(Ordering::Relaxed)
    }

    /// Records a stream that the client reset.
    pub(in crate::listen) fn note_reset(&self) {
        if self.size.load(Ordering::Relaxed) <= 0 {
            self.kept_resets.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns the number of reset streams that h2 may still keep.
    pub(in crate::listen) fn kept_resets(&self) -> usize {
        self.kept_resets.load(Ordering::Relaxed)
    }

    /// Records a blocked stream. It counts only if the connection's window, not the stream's own, is used up.
    pub(in crate::listen) fn note_blocked(&self) {
        if self.size.load(Ordering::Relaxed) <= 0 {
            self.is_blocking.store(true, Ordering::Relaxed);
        }
    }

    fn increase(&self, bytes: u32) {
        self.size.fetch_add(bytes.into(), Ordering::Relaxed);
        self.is_blocking.store(false, Ordering::Relaxed);
        self.kept_resets.store(0, Ordering::Relaxed);
        self.has_increased.store(true, Ordering::Relaxed);
    }
}

/// Measures for how long the window has blocked a stream.
#[derive(Debug, Default)]
pub(in crate::listen) struct WindowStall {
    since: Option<Instant>,
}

impl WindowStall {
    /// Returns true if that has been for at least `limit`. Call it at an interval.
    pub(in crate::listen) fn is_too_long(&mut self, window: &SendWindow, limit: Duration, now: Instant) -> bool {
        if window.has_increased.swap(false, Ordering::Relaxed) {
            self.since = None;
        }
        // A stream that was reset while it waited still counts: h2 keeps it until the window opens.
        if window.is_blocking.load(Ordering::Relaxed) {
            self.since.get_or_insert(now);
        }
        self.since.is_some_and(|since| now.duration_since(since) >= limit)
    }
}

/// Finds the connection's WINDOW_UPDATE frames among the client's bytes, and the windows that its settings give streams.
#[derive(Debug)]
pub(in crate::listen) struct WindowUpdateReader {
    /// The window that new streams have. `None` until the client's first settings were read: no stream is open before.
    initial_size: Option<u32>,
    /// The header of the current frame and the payload of a WINDOW_UPDATE, or a setting.
    buffer: [u8; WINDOW_UPDATE_LEN],
    filled: usize,
    /// Bytes of the current SETTINGS frame that are still to be read.
    settings: usize,
    /// Bytes of the current frame that are still to be skipped.
    skip: usize,
}

/// Length of a frame header (RFC 9113, 4.1).
const FRAME_HEADER_LEN: usize = 9;

/// Length of a WINDOW_UPDATE frame (RFC 9113, 6.9).
const WINDOW_UPDATE_LEN: usize = FRAME_HEADER_LEN + 4;

/// Length of a setting (RFC 9113, 6.5.1).
const SETTING_LEN: usize = 6;

/// Checks length, type and stream of a frame header. A WINDOW_UPDATE has no flags.
fn is_connection_window_update(head: &[u8]) -> bool {
    head[..4] == [0, 0, 4, 8] && u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]) == 0
}

/// Checks type and flags of a frame header. An acknowledgement is no SETTINGS frame of the client's (RFC 9113, 6.5).
fn is_settings(head: &[u8]) -> bool {
    head[3] == 4 && head[4] & 1 == 0
}

/// Identifier of the setting of a stream's initial window, below 256 (RFC 9113, 6.5.2).
const INITIAL_WINDOW_SIZE: u8 = 4;

/// Length of the client's preface (RFC 9113, 3.4).
const PREFACE_LEN: usize = 24;

impl Default for WindowUpdateReader {
    fn default() -> Self {
        Self { initial_size: None, buffer: [0; WINDOW_UPDATE_LEN], filled: 0, settings: 0, skip: PREFACE_LEN }
    }
}

impl WindowUpdateReader {
    /// Takes the next bytes, split anywhere.
    pub(in crate::listen) fn feed(&mut self, mut bytes: &[u8], window: &SendWindow) {
        while !bytes.is_empty() {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = &bytes[skipped..];

            let wanted = match self.settings {
                0 if self.filled < FRAME_HEADER_LEN => FRAME_HEADER_LEN,
                0 => WINDOW_UPDATE_LEN,
                left => left.min(SETTING_LEN),
            };
            let taken = if self.skip == 0 { (wanted - self.filled).min(bytes.len()) } else { 0 };
            self.buffer[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
            self.filled += taken;
            bytes = &bytes[taken..];

            if self.settings > 0 {
                if self.filled == wanted {
                    self.accept_setting(wanted, window);
                }
                continue;
            }
            match (self.filled, &self.buffer) {
                (WINDOW_UPDATE_LEN, [.., a, b, c, d]) => {
                    window.increase(u32::from_be_bytes([a & 0x7f, *b, *c, *d]));
                    self.filled = 0;
                }
                (FRAME_HEADER_LEN, head) if !is_connection_window_update(head) => {
                    let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
                    (self.settings, self.skip) = if is_settings(head) { (length, 0) } else { (0, length) };
                    if is_settings(head) && length == 0 {
                        self.initial_size.get_or_insert(INITIAL_STREAM_SIZE);
                    }
                    self.filled = 0;
                }
                _ => {}
            }
        }
    }

    /// Accepts a whole setting, or the rest of a frame whose length is invalid.
    fn accept_setting(&mut self, length: usize, window: &SendWindow) {
        if let [0, INITIAL_WINDOW_SIZE, a, b, c, d] = self.buffer[..length] {
            let size = u32::from_be_bytes([a, b, c, d]);
            if self.initial_size.replace(size).is_some_and(|earlier| size < earlier) {
                window.has_shrunk_streams.store(true, Ordering::Relaxed);
            }
        }
        (self.settings, self.filled) = (self.settings - length, 0);
        if self.settings == 0 {
            self.initial_size.get_or_insert(INITIAL_STREAM_SIZE);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn frame(kind: u8, stream: u32, content: &[u8]) -> Vec<u8> {
        let mut frame = (content.len() as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0]);
        frame.extend(stream.to_be_bytes());
        frame.extend(content);
        frame
    }

    proptest! {
        #[test]
        fn only_window_updates_of_the_connection_count_in_any_split(
            frames in proptest::collection::vec((0..12_u8, 0..3_u32, 0..40_usize, 0..1_000_000_u32), 0..30),
            pieces in proptest::collection::vec(1..50_usize, 1..200),
        ) {
            let (window, mut reader) = (SendWindow::default(), WindowUpdateReader::default());
            let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
            let mut size = INITIAL_SIZE;
            for (kind, stream, filled, increment) in frames {
                let is_update = kind == 8;
                let content = if is_update { increment.to_be_bytes().to_vec() } else { vec![8; filled] };
                size += if is_update && stream == 0 { i64::from(increment) } else { 0 };
                bytes.extend(frame(kind, stream, &content));
            }

            let mut rest = &bytes[..];
            for piece in pieces.into_iter().chain(std::iter::repeat(1000)) {
                if rest.is_empty() {
                    break;
                }
                let (piece, after) = rest.split_at(piece.min(rest.len()));
                reader.feed(piece, &window);
                rest = after;
            }

            prop_assert_eq!(window.size.load(Ordering::Relaxed), size);
        }
    }

    #[test]
    fn discarded_bytes_no_longer_count_once_all_is_written_unless_the_windows_of_streams_shrank() {
        let (window, mut reader) = (SendWindow::default(), WindowUpdateReader::default());
        let streams = |size: u32| [&[0, 3, 0, 0, 0, 1, 0, 4][..], &size.to_be_bytes()].concat();
        let acknowledgement = [0, 0, 0, 4, 1, 0, 0, 0, 0];
        let first = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &frame(4, 0, &streams(1000))[..], &acknowledgement].concat();
        reader.feed(&first, &window);

        // Later settings say nothing of windows, repeat their size, or enlarge them.
        for settings in [vec![0, 1, 0, 0, 4, 0], Vec::new(), streams(1000), streams(2000)] {
            reader.feed(&frame(4, 0, &settings), &window);
            window.consume(1000);
            window.record_written(400);
            window.note_all_written();
            assert_eq!(window.queued(), 0, "{settings:?}");
        }

        for byte in frame(4, 0, &streams(1999)) {
            reader.feed(&[byte], &window);
        }
        window.consume(1000);
        window.note_all_written();
        assert_eq!(window.queued(), 1000, "it may wait behind a window that shrank");
    }

    #[tokio::test(start_paused = true)]
    async fn only_a_closed_window_that_blocks_a_stream_is_a_stall() {
        const LIMIT: Duration = Duration::from_secs(30);
        let (window, mut stall, begun) = (SendWindow::default(), WindowStall::default(), Instant::now());
        let after = |seconds| begun + Duration::from_secs(seconds);
        // The stream's own window blocks it, not the connection's.
        window.note_blocked();
        assert!(!stall.is_too_long(&window, LIMIT, after(0)) && !stall.is_too_long(&window, LIMIT, after(60)));

        window.consume(65_535);
        assert!(!stall.is_too_long(&window, LIMIT, after(61)), "nobody waits");
        window.note_blocked();
        assert!(!stall.is_too_long(&window, LIMIT, after(70)) && !stall.is_too_long(&window, LIMIT, after(99)));
        // The window opened, was used up and blocked again between two checks.
        window.increase(10);
        window.consume(10);
        window.note_blocked();

        assert!(!stall.is_too_long(&window, LIMIT, after(100)) && !stall.is_too_long(&window, LIMIT, after(129)));
        assert!(stall.is_too_long(&window, LIMIT, after(130)));
    }
}
