//! Log lines on their way to standard error, whose reader may stall.
//!
//! A worker that wrote to a full pipe would stop with all its clients. So lines are copied into a buffer, and one thread
//! writes it. The buffer is bounded: lines that do not fit are dropped, counted, and told in a line of their own once
//! the reader takes bytes again. Lines that follow one another are gathered for a moment, because waking the thread costs a
//! worker more than the line. The queue starts no thread itself.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tracing::warn;
use tracing_subscriber::fmt::MakeWriter;

/// A bounded queue of lines. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct LogQueue(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Locked to copy a line, and never during a write.
    state: Mutex<State>,
    /// Lines were added.
    filled: Condvar,
    /// The thread need not gather any longer: the buffer is half full, or somebody waits for the lines.
    due: Condvar,
    /// Everything has been written.
    emptied: Condvar,
    dropped: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    lines: Vec<u8>,
    /// Whether the thread is writing lines that it has taken out.
    is_writing: bool,
    /// Whether somebody waits until everything has been written.
    is_flushing: bool,
    /// Lines that were dropped since the last report.
    unreported: u64,
    /// Whether one line may exceed the bound: the report of dropped lines.
    has_room_for_report: bool,
}

/// Adds the lines of one event to the queue.
pub struct LineWriter<'q>(&'q LogQueue);

/// Flushes the queue when dropped.
#[derive(Debug)]
pub struct FlushOnDrop(LogQueue);

impl LogQueue {
    /// Returns the number of lines that were dropped so far.
    pub fn dropped_lines(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }

    /// Writes lines for as long as the process runs. Blocks: run it on a thread of its own.
    pub fn write_to(&self, mut writer: impl Write) {
        let mut taken = Vec::new();
        let mut last_report = None;
        loop {
            self.take_lines(&mut taken, last_report);
            // Nobody is left to hear of an error.
            let _ = writer.write_all(&taken).and_then(|()| writer.flush());
            taken.clear();
            taken.shrink_to(KEPT_BYTES);
            self.report_dropped(&mut last_report);
            self.gather();
        }
    }

    /// Lets lines gather after a write. The first line after a silence is never held up.
    fn gather(&self) {
        let Shared { state, due, emptied, .. } = &*self.0;
        let mut state = state.lock();
        state.is_writing = false;
        if state.lines.is_empty() {
            emptied.notify_all();
        }
        let goes_on = |state: &mut State| !state.is_flushing && state.lines.len() < MAX_QUEUED_BYTES / 2;
        due.wait_while_for(&mut state, goes_on, GATHER_TIME);
    }

    /// Waits for lines, or until a report is due.
    fn take_lines(&self, taken: &mut Vec<u8>, last_report: Option<Instant>) {
        let Shared { state, filled, emptied, .. } = &*self.0;
        let mut state = state.lock();
        state.is_writing = false;
        while state.lines.is_empty() {
            emptied.notify_all();
            match last_report.map(|last| last + REPORT_INTERVAL).filter(|_| state.unreported > 0) {
                None => filled.wait(&mut state),
                Some(due) if filled.wait_until(&mut state, due).timed_out() => break,
                Some(_) => {}
            }
        }
        std::mem::swap(&mut state.lines, taken);
        state.is_writing = true;
    }

    /// Logs the number of dropped lines, at most once in [`REPORT_INTERVAL`].
    fn report_dropped(&self, last_report: &mut Option<Instant>) {
        if last_report.is_some_and(|last| last.elapsed() < REPORT_INTERVAL) {
            return;
        }
        let lines = {
            let mut state = self.0.state.lock();
            state.has_room_for_report = state.unreported > 0;
            std::mem::take(&mut state.unreported)
        };
        if lines > 0 {
            *last_report = Some(Instant::now());
            // Its line is added to this queue.
            warn!(lines, "log lines dropped: standard error was not read in time");
        }
    }

    fn push(&self, line: &[u8]) {
        let mut state = self.0.state.lock();
        let is_full = state.lines.len() + line.len() > MAX_QUEUED_BYTES;
        if is_full && !std::mem::take(&mut state.has_room_for_report) {
            state.unreported += 1;
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        state.lines.extend_from_slice(line);
        let is_half_full = state.lines.len() >= MAX_QUEUED_BYTES / 2;
        drop(state);
        // Costs a system call only if the thread waits.
        self.0.filled.notify_one();
        if is_half_full {
            self.0.due.notify_one();
        }
    }

    /// Waits until every line has been written, at most `FLUSH_TIMEOUT`.
    pub fn flush(&self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        let mut state = self.0.state.lock();
        state.is_flushing = true;
        self.0.due.notify_one();
        while state.is_writing || !state.lines.is_empty() {
            if self.0.emptied.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        state.is_flushing = false;
    }

    /// Returns a guard that flushes when it is dropped, also by a panic.
    pub fn flush_on_drop(&self) -> FlushOnDrop {
        FlushOnDrop(self.clone())
    }
}

impl Drop for FlushOnDrop {
    fn drop(&mut self) {
        self.0.flush();
    }
}

impl Write for LineWriter<'_> {
    /// Never blocks and never fails.
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        self.0.push(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'q> MakeWriter<'q> for LogQueue {
    type Writer = LineWriter<'q>;

    fn make_writer(&'q self) -> LineWriter<'q> {
        LineWriter(self)
    }
}

/// Most bytes that wait for the reader of standard error, besides those that are being written: some 4000 lines.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;

/// The time for which lines gather after a write.
const GATHER_TIME: Duration = Duration::from_millis(10);

/// The buffer that is kept after a burst.
const KEPT_BYTES: usize = 64 * 1024;

/// The time between two reports of dropped lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Longest wait for the reader of standard error at the end of the process.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;
    use crate::runtime::workers;

    /// A pipe whose reader takes one write at a time.
    struct Pipe(SyncSender<Vec<u8>>);

    impl Write for Pipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.send(bytes.to_vec()).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn queue() -> (LogQueue, Receiver<Vec<u8>>) {
        let (pipe, reader) = sync_channel(0);
        let queue = LogQueue::default();
        let writing = queue.clone();
        workers::thread("log", move || writing.write_to(Pipe(pipe))).expect("a thread");
        (queue, reader)
    }

    #[test]
    fn lines_that_do_not_fit_are_dropped_and_counted_and_earlier_ones_arrive_in_order() {
        let (queue, reader) = queue();
        let line = |number: usize| format!("{number:0>1023}\n").into_bytes();

        let lines = 4 * MAX_QUEUED_BYTES / 1024;
        (0..lines).for_each(|number| queue.push(&line(number)));

        let dropped = queue.dropped_lines() as usize;
        assert!((lines / 2..lines).contains(&dropped), "{dropped}");
        let mut arrived = Vec::new();
        while arrived.len() < (lines - dropped) * 1024 {
            arrived.extend(reader.recv().expect("more"));
        }
        // The thread may take lines after some were dropped, so there may be a hole.
        let arrived: Vec<_> = arrived.chunks(1024).collect();
        assert!(arrived.iter().all(|line| line.ends_with(b"\n")) && arrived.is_sorted());
    }

    #[test]
    fn lines_in_a_row_are_gathered_and_a_flush_does_not_wait_for_more() {
        let (queue, reader) = queue();
        queue.push(b"first\n");
        assert_eq!(reader.recv().expect("a line"), b"first\n");

        (0..100).for_each(|_| queue.push(b"line\n"));
        let flushing = queue.clone();
        let flushed = workers::thread("flush", move || flushing.flush()).expect("a thread");
        let mut writes = 0;
        let mut arrived = 0;
        while arrived < 100 * 5 {
            arrived += reader.recv().expect("more").len();
            writes += 1;
        }
        flushed.join().expect("no panic");

        assert!(writes < 100, "{writes} writes");
        assert!(queue.0.state.lock().lines.is_empty());
    }

    #[test]
    fn a_flush_waits_for_the_reader_but_not_for_ever() {
        let (queue, reader) = queue();
        queue.push(b"line\n");

        let begun = Instant::now();
        queue.flush();
        assert!(begun.elapsed() >= FLUSH_TIMEOUT);

        let flushing = queue.clone();
        let flushed = workers::thread("flush", move || flushing.flush()).expect("a thread");
        assert_eq!(reader.recv().expect("a line"), b"line\n");
        flushed.join().expect("no panic");
        assert!(!queue.0.state.lock().is_writing);
    }
}
