//! Events in a content coding: compressed once for all readers that take it.

mod coded_log;
mod coded_logs;
mod coded_reader;
mod generation;

pub use coded_log::{CodedLog, CodingWindow};
pub(super) use coded_logs::CodedLogs;
pub use coded_reader::CodedReader;
