//! A connection to the cluster's engine by a process that is not one of its gateways.

use std::time::Duration;

use tokio::time::timeout;

use crate::cluster::{ClusterSettings, Engine as _, EngineError, EngineErrorKind, EngineState, NatsEngine};

/// Connects to the engine for `work`, within ten seconds, and not as a gateway.
pub(super) async fn with_engine<T>(
    settings: ClusterSettings,
    work: impl AsyncFnOnce(&NatsEngine) -> Result<T, EngineError>,
) -> Result<T, EngineError> {
    let engine = NatsEngine::new(settings);
    let working = async {
        let mut state = engine.state();
        let is_decided = |state: &EngineState| state.is_connected || state.error.as_ref().is_some_and(is_final);
        // The state lives as long as the engine.
        let _ = timeout(ENGINE_TIMEOUT, state.wait_for(is_decided)).await;
        let state = state.borrow().clone();
        match (state.is_connected, state.error) {
            (true, _) => work(&engine).await,
            (false, Some(error)) => Err(error),
            (false, None) => {
                let message = format!("no connection within {} s", ENGINE_TIMEOUT.as_secs());
                Err(EngineError { kind: EngineErrorKind::TimedOut, message })
            }
        }
    };
    tokio::select! {
        done = working => done,
        () = engine.clone().run() => unreachable!("the engine runs until it is dropped"),
    }
}

/// Returns true if waiting does not help.
fn is_final(error: &EngineError) -> bool {
    match error.kind {
        EngineErrorKind::Denied | EngineErrorKind::TooLarge | EngineErrorKind::Unexpected => true,
        EngineErrorKind::Disconnected
        | EngineErrorKind::TimedOut
        | EngineErrorKind::Unavailable
        | EngineErrorKind::Full => false,
    }
}

/// The longest wait for a connection.
const ENGINE_TIMEOUT: Duration = Duration::from_secs(10);
