//! HTTP/2 with h2: one task drives a connection and all its streams.
//!
//! | file | contents |
//! |---|---|
//! | [`preface`] | the beginning of a connection, with the bounds that h2 enforces |
//! | [`connection`] | one connection and the future that drives it |
//! | [`stream`] | one request and its response |
//! | [`body_sender`] | sending the body of a response |
//! | [`stream_end`] | the ways in which a stream ends |
//! | [`corked_writer`] | gathering frames, so that many leave in one write |
//! | [`cork`] | the state that a connection shares with that writer |
//! | [`keepalive`] | detecting a client that is gone |
//! | [`send_window`] | following the connection's send window |

mod body_sender;
mod connection;
mod cork;
mod corked_writer;
mod keepalive;
mod preface;
mod send_window;
mod stream;
mod stream_end;

pub(super) use connection::handshake;
