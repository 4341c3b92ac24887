//! Listening sockets and their accept loops, within limits.
//!
//! | file | contents |
//! |---|---|
//! | [`listener`] | a bound socket and its accept loop |
//! | [`socket`] | socket options |
//! | [`inherited`] | sockets that systemd passed |
//! | [`handover`] | closing a socket without resetting queued connections |
//! | [`limits`] | the limits that all listeners share |
//! | [`admission`] | connection counts, in total and for each address |
//! | [`rate_limiter`] | accepts per second |
//! | [`handshake_queue`] | handshakes per second, in turn by address |

mod admission;
mod handover;
mod handshake_queue;
mod inherited;
mod limits;
mod listener;
mod rate_limiter;
mod socket;

pub(super) use admission::{Admitted, ConnectionLimit};
pub use handover::Handover;
pub(super) use handshake_queue::Overdue;
pub use inherited::InheritedSockets;
pub use limits::AcceptLimits;
pub use listener::Listener;
pub use rate_limiter::RateLimiter;
pub use socket::bind;
