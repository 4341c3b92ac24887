//! The state of the connection to the engine.

use super::error::EngineError;

/// The state of the connection to the engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EngineState {
    /// True while there is a connection.
    pub is_connected: bool,
    /// The number of connections so far. When it grows, subscriptions may have missed messages.
    pub connections: u64,
    /// The last error, while there is no connection.
    pub error: Option<EngineError>,
}
