//! The connections of gateways to a fake engine.

use tokio::sync::watch;

use crate::cluster::engine::{EngineError, EngineErrorKind, EngineState};

/// The direction in which a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cluster) enum Cut {
    /// Nothing arrives either way.
    Both,
    /// Requests do not arrive.
    Outward,
    /// Answers and messages do not arrive.
    Inward,
}

/// The connection of one gateway.
#[derive(Debug)]
pub(super) struct FakeLink {
    cut: Option<Cut>,
    /// The number of cuts so far. What was on its way during one is lost.
    pub cuts: u64,
    pub state: watch::Sender<EngineState>,
}

impl FakeLink {
    /// Connects.
    pub(in crate::cluster) fn new() -> Self {
        let state = EngineState { is_connected: true, connections: 1, error: None };
        Self { cut: None, cuts: 0, state: watch::channel(state).0 }
    }

    /// Cuts it.
    pub(in crate::cluster) fn cut(&mut self, cut: Cut) {
        self.cut = Some(cut);
        self.cuts += 1;
    }

    /// Mends it. Returns true if the gateway had noticed that it was cut.
    pub(in crate::cluster) fn mend(&mut self) -> bool {
        self.cut = None;
        !self.state.borrow().is_connected
    }

    /// Returns true if requests arrive.
    pub(in crate::cluster) fn carries_requests(&self) -> bool {
        !matches!(self.cut, Some(Cut::Both | Cut::Outward))
    }

    /// Returns true if answers and messages arrive.
    pub(in crate::cluster) fn carries_answers(&self) -> bool {
        !matches!(self.cut, Some(Cut::Both | Cut::Inward))
    }

    /// The gateway notices that it is cut, unless it was mended before.
    pub(in crate::cluster) fn notice(&self) {
        if self.cut.is_some() {
            self.state.send_modify(|state| {
                state.is_connected = false;
                state.error = Some(disconnected());
            });
        }
    }

    /// The gateway connects again, unless it was cut before.
    pub(in crate::cluster) fn reconnect(&self) {
        if self.cut.is_none() {
            self.state.send_if_modified(|state| {
                let is_new = !state.is_connected;
                if is_new {
                    *state = EngineState { is_connected: true, connections: state.connections + 1, error: None };
                }
                is_new
            });
        }
    }
}

/// Returns the error of a call without a connection.
pub(super) fn disconnected() -> EngineError {
    EngineError { kind: EngineErrorKind::Disconnected, message: "cut by the schedule".to_owned() }
}

/// Returns the error of a call that is not answered.
pub(super) fn timed_out() -> EngineError {
    EngineError { kind: EngineErrorKind::TimedOut, message: "no answer".to_owned() }
}
