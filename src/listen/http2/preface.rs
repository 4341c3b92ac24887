//! The beginning of an HTTP/2 connection: the client's preface, and the settings that it is answered with.
//!
//! Every bound that h2 enforces by itself is set here. Nothing is accepted yet.

use bytes::Bytes;
use h2::server::{self, Connection};

use super::corked_writer::CorkedWriter;
use crate::limits::Limits;
use crate::listen::protocol_errors::ProtocolErrors;
use crate::listen::timeouts::ConnectionTimeouts;
use crate::listen::transport::Transport;

/// Most request bytes that a client may send before they are read: enough for a ticket request, and too few to cause
/// harm.
const RECEIVE_WINDOW: u32 = 64 * 1024;

/// Most streams that a client may reset before they are accepted.
const MAX_PENDING_RESETS: usize = 20;

/// Most streams that are reset because of a client's errors.
const MAX_ERROR_RESETS: usize = 100;

/// Reads the preface (RFC 9113, 3.4). Returns `None` if the connection ends before that, and reports why.
pub(super) async fn read_preface(
    transport: CorkedWriter<Transport>,
    limits: &Limits,
    timeouts: &ConnectionTimeouts,
    protocol_errors: &ProtocolErrors,
) -> Option<Connection<CorkedWriter<Transport>, Bytes>> {
    let preface = server::Builder::new()
        .max_concurrent_streams(limits.h2_streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_send_buffer_size(limits.send_buffer)
        // Requests have next to no body, so small windows suffice.
        .initial_window_size(RECEIVE_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_pending_accept_reset_streams(MAX_PENDING_RESETS)
        .max_local_error_reset_streams(Some(MAX_ERROR_RESETS))
        // A stream may become a WebSocket (RFC 8441). The service refuses it on routes that have none.
        .enable_connect_protocol()
        .handshake(transport);
    let connection = tokio::select! {
        connection = preface => connection,
        timed_out = timeouts.wait_timed_out() => {
            protocol_errors.on_timeout(timed_out);
            return None;
        }
    };
    connection.inspect_err(|error| protocol_errors.on_http2_error(error)).ok()
}
