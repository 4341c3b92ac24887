//! The frames of evicted entries that slow readers still hold.
//!
//! Eviction frees a frame only when nobody else refers to it. One that is still referred to is kept here, so that its
//! bytes are counted once, however many readers hold it. Healthy readers cost nothing.

use super::entry::frame_memory;
use crate::sse::Frame;

/// Evicted frames that are still referred to.
#[derive(Debug, Default)]
pub(super) struct PinnedFrames {
    frames: Vec<Frame>,
    bytes: usize,
    /// The number of frames at which the next recorded one starts a sweep.
    sweep_at: usize,
    /// The number of frames at the front that [`Self::sweep_recorded`] has looked at.
    looked_at: usize,
}

impl PinnedFrames {
    /// Takes an evicted frame, and keeps it if anybody else refers to it.
    pub(super) fn record(&mut self, frame: Frame) {
        if frame.is_unique() {
            return;
        }
        if self.frames.len() >= self.sweep_at {
            self.sweep();
        }
        self.bytes += weight(&frame);
        self.frames.push(frame);
    }

    /// Drops the frames that nobody else refers to.
    pub(super) fn sweep(&mut self) {
        self.frames.retain(|frame| !frame.is_unique());
        self.bytes = self.frames.iter().map(weight).sum();
        // Twice the survivors, so that a frame is looked at a constant number of times on average.
        self.sweep_at = (2 * self.frames.len()).max(MIN_SWEEP);
        self.looked_at = 0;
        if self.frames.is_empty() {
            self.frames = Vec::new();
        }
    }

    /// Drops those of the frames recorded since the last call that nobody else refers to.
    pub(super) fn sweep_recorded(&mut self) {
        let mut index = self.looked_at;
        while index < self.frames.len() {
            if self.frames[index].is_unique() {
                self.bytes -= weight(&self.frames.swap_remove(index));
            } else {
                index += 1;
            }
        }
        self.looked_at = index;
    }

    /// Returns the bytes that were pinned at the last sweep or since.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

/// Returns the memory of a frame in bytes, with that of its allocation and its place here.
fn weight(frame: &Frame) -> usize {
    frame_memory(frame) + FRAME_OVERHEAD
}

/// Bytes of a frame besides its content.
const FRAME_OVERHEAD: usize = 128;

/// The least number of frames that is swept while recording.
const MIN_SWEEP: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sse::Event;

    fn frame(bytes: usize) -> Frame {
        Frame::from(&Event { data: "x".repeat(bytes), ..Event::default() })
    }

    #[test]
    fn a_frame_is_counted_once_until_its_last_reader_drops_it() {
        let (mut pinned, held) = (PinnedFrames::default(), frame(10_000));
        let readers = vec![held.clone(); 5];

        pinned.record(held);
        pinned.record(frame(10_000));
        assert!((10_000..11_000).contains(&pinned.bytes()), "{}", pinned.bytes());
        pinned.sweep();
        assert!(pinned.bytes() > 0);
        drop(readers);
        pinned.sweep();

        assert_eq!((pinned.bytes(), pinned.frames.capacity()), (0, 0));
    }

    #[test]
    fn frames_that_are_released_right_after_they_were_recorded_are_dropped_alone() {
        let mut pinned = PinnedFrames::default();
        let frames: Vec<_> = (0..10).map(|_| frame(1000)).collect();
        frames[..5].iter().cloned().for_each(|frame| pinned.record(frame));
        pinned.sweep_recorded();
        let held = pinned.bytes();
        frames[5..].iter().cloned().for_each(|frame| pinned.record(frame));

        drop(frames);
        pinned.sweep_recorded();

        assert_eq!((pinned.frames.len(), pinned.bytes()), (5, held));
    }

    #[test]
    fn frames_that_were_released_are_not_kept_without_a_bound() {
        let mut pinned = PinnedFrames::default();

        for _ in 0..10_000 {
            let reader = frame(1);
            pinned.record(reader.clone());
        }

        assert!(pinned.frames.len() <= MIN_SWEEP, "{}", pinned.frames.len());
    }
}
