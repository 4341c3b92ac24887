//! The state that a connection shares with its writer, which h2 owns.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};

use super::send_window::SendWindow;
use crate::runtime::side_waker::WakeFlag;

/// Controls the writer that h2 owns, and observes what it reads.
#[derive(Debug)]
pub(in crate::listen) struct Cork {
    /// The flags of the connection's side wakers.
    wake_flags: [AtomicU8; FLAGS],
    pub(super) has_read: AtomicBool,
    pub(super) is_corked: AtomicBool,
    /// Bytes that may still be read in this turn.
    pub(super) readable: AtomicUsize,
    /// Bytes that may still be read in this pass of the turn.
    pub(super) readable_now: AtomicUsize,
    /// Whether everything that was written has been flushed.
    pub(super) is_flushed: AtomicBool,
    /// The memory of the buffer that the socket has not taken, in bytes.
    pub(super) buffered: AtomicUsize,
    /// The connection's send window.
    pub(in crate::listen) window: SendWindow,
}

impl Default for Cork {
    fn default() -> Self {
        let (has_read, is_corked, is_flushed) = (AtomicBool::default(), AtomicBool::default(), AtomicBool::default());
        let (readable, readable_now) = (AtomicUsize::new(TURN_READ_BYTES), AtomicUsize::new(PASS_READ_BYTES));
        let (wake_flags, buffered, window) = (Default::default(), AtomicUsize::default(), SendWindow::default());
        Self { wake_flags, has_read, is_corked, readable, readable_now, is_flushed, buffered, window }
    }
}

impl Cork {
    /// Begins a turn of the connection, with its first pass. Reads are pending once [`TURN_READ_BYTES`] have been read in
    /// it, and the task is not woken for more: the connection defers its own wake-up then.
    pub(in crate::listen) fn begin_turn(&self) {
        self.readable.store(TURN_READ_BYTES, Ordering::Relaxed);
        self.begin_pass();
    }

    /// Begins a pass of the turn. Reads are pending once [`PASS_READ_BYTES`] have been read in it.
    pub(in crate::listen) fn begin_pass(&self) {
        self.readable_now.store(PASS_READ_BYTES, Ordering::Relaxed);
    }

    /// Returns true if nothing more is read in this pass. The client may have sent more.
    pub(in crate::listen) fn is_pass_read(&self) -> bool {
        self.readable_now.load(Ordering::Relaxed) == 0
    }

    /// Makes reads pending until the next turn.
    pub(in crate::listen) fn end_reading(&self) {
        self.readable.store(0, Ordering::Relaxed);
    }

    /// Returns true if nothing more is read in this turn. The client may have sent more.
    pub(in crate::listen) fn is_turn_read(&self) -> bool {
        self.readable.load(Ordering::Relaxed) == 0
    }

    /// Returns true if anything has been read since the last call.
    pub(in crate::listen) fn take_has_read(&self) -> bool {
        self.has_read.swap(false, Ordering::Relaxed)
    }

    /// Records that h2 has been polled without the cork, and so has written all that it could.
    pub(in crate::listen) fn note_polled(&self) {
        if self.is_flushed.load(Ordering::Relaxed) {
            self.window.note_all_written();
        }
    }

    /// Returns the bytes that wait for the socket, here and in h2.
    pub(in crate::listen) fn waiting_bytes(&self) -> usize {
        self.buffered.load(Ordering::Relaxed) + self.window.queued()
    }

    /// Corks or uncorks the writer. A corked writer's flush sends nothing below 16 KiB. Flush once more after
    /// uncorking.
    pub(in crate::listen) fn set_corked(&self, is_corked: bool) {
        self.is_corked.store(is_corked, Ordering::Relaxed);
    }
}

/// Most bytes that are read in a turn. They may hold a thousand of the smallest frames, which h2 takes 1 to 2 ms for. A
/// client of event streams sends far less.
pub(super) const TURN_READ_BYTES: usize = 16 * 1024;

/// Most bytes that are read before the requests in them are accepted. h2 takes all that it can read at once, and keeps
/// for the life of the connection the 250 bytes that each request needed until then.
pub(super) const PASS_READ_BYTES: usize = 1024;

/// The flag at `INDEX` of a connection's [`Cork`].
#[derive(Clone, Debug)]
pub(in crate::listen) struct CorkFlag<const INDEX: usize>(pub Arc<Cork>);

/// Set when there may be something to read.
pub(in crate::listen) type ReadFlag = CorkFlag<0>;

/// Set when h2 is to be polled.
pub(in crate::listen) type H2Flag = CorkFlag<1>;

/// Set when the timers and the drain signal are to be polled.
pub(in crate::listen) type TimerFlag = CorkFlag<2>;

/// The number of flags.
const FLAGS: usize = 3;

impl<const INDEX: usize> WakeFlag for CorkFlag<INDEX> {
    fn bits(&self) -> &AtomicU8 {
        &self.0.wake_flags[INDEX]
    }
}
