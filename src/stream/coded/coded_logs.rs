//! The coded logs of one stream: one for each coding that a reader takes.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::coded_log::{CodedLog, CodingWindow};
use crate::coding::ContentCoding;
use crate::runtime::memory::MemoryLedger;

/// The coded logs that readers hold.
#[derive(Debug, Default)]
pub(in crate::stream) struct CodedLogs(Mutex<[Weak<CodedLog>; ContentCoding::ALL.len()]>);

impl CodedLogs {
    /// Returns the log in this coding, making it for its first reader. After a reload that changes the window, readers
    /// to come share another one.
    pub(in crate::stream) fn get(
        &self,
        coding: ContentCoding,
        window: CodingWindow,
        ledger: Option<&Arc<MemoryLedger>>,
    ) -> Arc<CodedLog> {
        let mut logs = self.0.lock();
        let log = &mut logs[coding as usize];
        log.upgrade().filter(|log| log.window() == window).unwrap_or_else(|| {
            let new = Arc::new(CodedLog::new(coding, window, ledger));
            *log = Arc::downgrade(&new);
            new
        })
    }
}
