//! Detection of changes to the configuration's files.
//!
//! Polls the files once a second. Reports a change after two polls in a row that found the same, so that a file is not
//! read while it is being written; a file that is read half-written anyway is refused as a whole. Does not read the
//! files.

use crate::config::{Config, Problems};
use crate::runtime::file_watch::{FilePoller, INTERVAL};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Watches the files of the current configuration.
pub(super) struct Watch {
    ticks: Interval,
    poller: FilePoller,
    is_enabled: bool,
    /// The last poll found a change, which may not be complete.
    is_changing: bool,
}

impl Watch {
    /// Watches the files that `config` was read from, if its `watch` key allows it.
    pub(super) fn new(config: &Config) -> Self {
        let mut ticks = interval(INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { ticks, poller: config.watched_files.watch(), is_enabled: config.watch, is_changing: false }
    }

    /// Waits until the files have changed and should be read again. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if !self.is_enabled {
            std::future::pending::<()>().await;
        }
        loop {
            self.ticks.tick().await;
            let have_changed = self.poller.poll_changed();
            if std::mem::replace(&mut self.is_changing, have_changed) && !have_changed {
                return;
            }
        }
    }

    /// Watches the files of a configuration that was read since, accepted or not.
    pub(super) fn set_files(&mut self, config: &Config) {
        self.is_enabled = config.watch;
        self.set_poller(config.watched_files.watch());
    }

    /// Watches the files of a configuration that was refused. A correction may be in any of them.
    pub(super) fn await_correction(&mut self, problems: &Problems) {
        self.set_poller(problems.watched_files().watch());
    }

    fn set_poller(&mut self, poller: FilePoller) {
        self.poller = poller;
        self.is_changing = false;
    }
}
