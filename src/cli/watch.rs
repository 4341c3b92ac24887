//! Notices that the configuration's files have changed.
//!
//! They are looked at once a second. A change is told when two looks in a row found the same, so that what is being
//! written is not read half; a reader who does so all the same refuses it whole. Reads nothing itself.

use rillgate::config::{Config, Problems};
use rillgate::runtime::file_watch::{FilePoller, INTERVAL};
use tokio::time::{Interval, MissedTickBehavior, interval};

/// See the module.
pub struct Watch {
    looks: Interval,
    watched: FilePoller,
    is_on: bool,
    /// Something has changed, and may be changing still.
    is_unsettled: bool,
}

impl Watch {
    /// Watches what `config` was made of, if it says so.
    pub fn new(config: &Config) -> Self {
        let mut looks = interval(INTERVAL);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self { looks, watched: config.watched_files.watch(), is_on: config.watch, is_unsettled: false }
    }

    /// Completes when there is something else to read. Cancel-safe.
    pub async fn changed(&mut self) {
        if !self.is_on {
            std::future::pending::<()>().await;
        }
        loop {
            self.looks.tick().await;
            let have_changed = self.watched.poll_changed();
            if std::mem::replace(&mut self.is_unsettled, have_changed) && !have_changed {
                return;
            }
        }
    }

    /// Goes on with what a configuration was made of that was read since, whether or not it was taken.
    pub fn follow(&mut self, config: &Config) {
        self.is_on = config.watch;
        self.look_from(config.watched_files.watch());
    }

    /// Goes on with the files of a configuration that was refused: any of them may be mended.
    pub fn await_correction(&mut self, problems: &Problems) {
        self.look_from(problems.watched_files().watch());
    }

    fn look_from(&mut self, watched: FilePoller) {
        self.watched = watched;
        self.is_unsettled = false;
    }
}
